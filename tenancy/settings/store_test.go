package settings_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// What each level sees, as values come and go at every one of them.
func TestLayers(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, &settings.Config{Plans: map[string]map[string]any{
		"enterprise": {"ui.greeting": "Welcome", "imports.max_rows": int64(500)},
		"free":       {"ui.greeting": json.RawMessage(`"Try it"`)},
	}}).store
	company, workspace := e.A.CompanyCtx, e.A.WorkspaceCtx
	free := tenancy.WithTenant(e.A.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: e.A.WorkspaceID, DomainID: e.A.DomainID, Plan: "free"})
	for _, step := range []struct {
		name string
		do   func() error
		want [3]any // what k is in the company, the workspace and the domain
		k    settings.AnyKey
	}{
		{"the plan's default", nil, [3]any{"Welcome", "Welcome", "Welcome"}, greeting},
		{"the key's default", nil, [3]any{0.5, 0.5, 0.5}, ratio},
		{"a company's value", func() error { return greeting.Set(company, s, "Hi") }, [3]any{"Hi", "Hi", "Hi"}, greeting},
		{"a workspace's own", func() error { return greeting.Set(workspace, s, "Yo") }, [3]any{"Hi", "Yo", "Yo"}, greeting},
		{"an empty one is one", func() error { return greeting.Set(workspace, s, "") }, [3]any{"Hi", "", ""}, greeting},
		{"cleared in the company", func() error { return greeting.Clear(company, s) }, [3]any{"Welcome", "", ""}, greeting},
		{"cleared everywhere", func() error { return greeting.Clear(workspace, s) }, [3]any{"Welcome", "Welcome", "Welcome"}, greeting},
		{"locked: the company's", func() error { return retention.Set(company, s, time.Hour) }, [3]any{time.Hour, time.Hour, time.Hour}, retention},
		{"never inherited", func() error { return banner.Set(company, s, "ours") }, [3]any{"ours", "", ""}, banner},
		{"never inherited, its own", func() error { return banner.Set(workspace, s, "mine") }, [3]any{"ours", "mine", "mine"}, banner},
		{"restricted by the plan", nil, [3]any{int64(500), int64(500), int64(500)}, maxRows},
		{"restricted by the workspace", func() error { return maxRows.Set(workspace, s, 200) }, [3]any{int64(500), int64(200), int64(200)}, maxRows},
		{"restricted further above", func() error { return maxRows.Set(company, s, 100) }, [3]any{int64(100), int64(100), int64(100)}, maxRows},
		{"and relaxed again", func() error { return maxRows.Set(company, s, 300) }, [3]any{int64(300), int64(200), int64(200)}, maxRows},
		{"an object", func() error { return storage.Set(workspace, s, quota{2, "TB"}) }, [3]any{quota{10, "GB"}, quota{2, "TB"}, quota{2, "TB"}}, storage},
	} {
		if step.do != nil {
			require.NoError(t, step.do(), step.name)
		}
		for i, ctx := range []context.Context{company, workspace, e.A.Ctx} {
			require.Equal(t, step.want[i], anyValue(t, ctx, s, step.k), "%s: level %d", step.name, i)
		}
	}
	require.Equal(t, "Try it", get(t, free, s, greeting), "another plan, as soon as the tenant has it")
	require.Equal(t, "Welcome", get(t, e.A.Ctx, s, greeting))
	none := tenancy.WithTenant(e.A.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, Plan: "bespoke"})
	require.Equal(t, "Hello", get(t, none, s, greeting), "a plan that has no defaults")
}

func anyValue(t *testing.T, ctx context.Context, s *settings.Store, k settings.AnyKey) any {
	t.Helper()
	switch k := k.(type) {
	case *settings.Key[string]:
		return get(t, ctx, s, k)
	case *settings.Key[int64]:
		return get(t, ctx, s, k)
	case *settings.Key[float64]:
		return get(t, ctx, s, k)
	case *settings.Key[time.Duration]:
		return get(t, ctx, s, k)
	case *settings.Key[quota]:
		return get(t, ctx, s, k)
	}
	t.Fatalf("no such key: %T", k)
	return nil
}

func TestNullIsNotClear(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	red := "red"
	require.NoError(t, color.Set(e.A.CompanyCtx, s, &red))
	require.NoError(t, color.Set(e.A.WorkspaceCtx, s, nil))
	require.Nil(t, get(t, e.A.Ctx, s, color), "null hides the company's value")
	x, err := s.Explain(e.A.Ctx, "ui.color")
	require.NoError(t, err)
	require.JSONEq(t, `null`, string(x.Value))
	require.Equal(t, settings.SourceWorkspace, x.Source)
	require.NoError(t, color.Clear(e.A.WorkspaceCtx, s))
	require.Equal(t, &red, get(t, e.A.Ctx, s, color))

	require.ErrorIs(t, color.Clear(e.A.WorkspaceCtx, s), settings.ErrNotSet)
	require.Equal(t, map[string]string{"ui.greeting": "null", "ui.beta": "null"},
		wrong(t, s.Change(e.A.WorkspaceCtx, settings.Change{Set: map[string]any{"ui.greeting": json.RawMessage(`null`), "ui.beta": json.RawMessage(` null `)}})))

	require.NoError(t, countries.Set(e.A.WorkspaceCtx, s, nil))
	require.Equal(t, []string{}, get(t, e.A.Ctx, s, countries), "no slice is an empty one, not null")
}

func TestEverythingWrongAtOnceAndNothingDone(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	require.NoError(t, maxRows.Set(e.A.CompanyCtx, s, 100))
	err := s.Change(e.A.WorkspaceCtx, settings.Change{
		Set: map[string]any{
			"ui.greetin":       "x",
			"ui.greeting":      "far longer than twenty bytes",
			"imports.max_rows": int64(101),
			"sms.countries":    []string{"AT", "FR"},
			"audit.retention":  time.Hour,
			"mail.ratio":       json.RawMessage(`"a half"`),
			"files.quota":      json.RawMessage(`{"hard":1,"sort":"x"}`),
			"ui.banner":        "nul\x00",
			"ui.beta":          true, // in order
		},
		Clear: []string{"ui.nothing", "ui.beta"},
		Lock:  map[string]bool{"ui.color": true},
	})
	require.Equal(t, map[string]string{
		"ui.greetin": "unknown_key", "ui.greeting": "invalid", "imports.max_rows": "too_lax", "sms.countries": "too_lax", "audit.retention": "locked",
		"mail.ratio": "wrong_type", "files.quota": "wrong_type", "ui.banner": "invalid_text", "ui.nothing": "unknown_key", "ui.beta": "contradiction", "ui.color": "not_company",
	}, wrong(t, err))
	require.ErrorContains(t, err, `ui.greetin: there is no such setting (did you mean "ui.greeting"?)`)
	require.ErrorContains(t, err, `imports.max_rows: must not be less strict than what the company has: 100`)
	require.ErrorContains(t, err, `mail.ratio: must be a number, not string`)
	require.False(t, get(t, e.A.Ctx, s, beta))

	for in, code := range map[string]string{
		`1.5`: "wrong_type", `"5"`: "wrong_type", `9223372036854775808`: "wrong_type", `5 6`: "wrong_type", `[5]`: "wrong_type", ``: "wrong_type", `{`: "wrong_type",
	} {
		require.Equal(t, map[string]string{"imports.max_rows": code}, wrong(t, s.Change(e.A.WorkspaceCtx, settings.Change{Set: map[string]any{"imports.max_rows": json.RawMessage(in)}})), in)
	}
	for _, in := range []string{`90`, `"90"`, `"soon"`} {
		require.Equal(t, map[string]string{"audit.retention": "wrong_type"}, wrong(t, s.Change(e.A.CompanyCtx, settings.Change{Set: map[string]any{"audit.retention": json.RawMessage(in)}})), in)
	}
	big := make([]string, settings.MaxValueBytes/2)
	require.Equal(t, map[string]string{"sms.countries": "too_large"}, wrong(t, countries.Set(e.A.WorkspaceCtx, s, big)))

	require.ErrorIs(t, greeting.Set(e.A.Ctx, s, "x"), settings.ErrDomainLevel)
	require.ErrorIs(t, greeting.Set(t.Context(), s, "x"), tenancy.ErrNoTenant)
	_, err = greeting.Get(t.Context(), s)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = s.Explain(e.A.Ctx, "ui.colour")
	require.ErrorIs(t, err, settings.ErrUnknownKey)
	require.ErrorContains(t, err, `did you mean "ui.color"?`)
	twin := settings.NewKey("ui.greeting", settings.Spec[string]{})
	_, err = twin.Get(e.A.Ctx, s)
	require.ErrorContains(t, err, "made without the key")
	require.NoError(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID))
	require.ErrorIs(t, greeting.Set(e.A.WorkspaceCtx, s, "x"), tenancy.ErrNotFound)
}

func TestRegistryAndPlansSayAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := settings.NewRegistry(
		greeting,
		settings.NewKey("ui.greeting", settings.Spec[int]{}),
		settings.NewKey("Not A Name", settings.Spec[int]{}),
		settings.NewKey("a.mode", settings.Spec[int]{Mode: "loose"}),
		settings.NewKey("a.bound", settings.Spec[int]{Mode: settings.RestrictOnly}),
		settings.NewKey("a.tighten", settings.Spec[int]{Tighten: settings.Max[int]}),
		settings.NewKey("a.any", settings.Spec[any]{}),
		settings.NewKey("a.default", settings.Spec[string]{Default: "x", Validate: func(string) error { return context.Canceled }}),
	)
	for _, part := range []string{`"ui.greeting": the name is used twice`, `"Not A Name": the name must be`, `no mode "loose"`, `"a.bound": RestrictOnly and Tighten`, `"a.tighten": RestrictOnly`, `"a.any"`, `"a.default": the default`} {
		require.ErrorContains(t, err, part)
	}
	e := tenancytest.Open(t)
	_, err = settings.NewStore(e.DB, e.Store, e.Audit, keys(t), &settings.Config{Plans: map[string]map[string]any{
		"free": {"ui.greting": "x", "imports.max_rows": int64(2000), "ui.beta": "yes"},
	}})
	require.ErrorContains(t, err, `key "imports.max_rows": must not be less strict than what the default has: 1000`)
	require.ErrorContains(t, err, `key "ui.beta": must be true or false`)
	require.ErrorContains(t, err, `did you mean "ui.greeting"?`)
}

func TestChangesInATransaction(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	ctx := e.A.WorkspaceCtx
	require.Equal(t, "Hello", get(t, ctx, s, greeting))
	undone := context.Canceled
	err := e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		require.NoError(t, greeting.SetTx(ctx, tx, s, "Hi"))
		inside, err := greeting.GetTx(ctx, tx, s)
		require.NoError(t, err)
		require.Equal(t, "Hi", inside)
		require.Equal(t, "Hello", get(t, ctx, s, greeting), "outside nothing has happened")
		return undone
	})
	require.ErrorIs(t, err, undone)
	require.Equal(t, "Hello", get(t, ctx, s, greeting))
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		require.NoError(t, greeting.SetTx(ctx, tx, s, "Hi"))
		require.NoError(t, greeting.ClearTx(ctx, tx, s))
		return beta.SetTx(ctx, tx, s, true)
	}))
	require.Equal(t, "Hello", get(t, ctx, s, greeting))
	require.True(t, get(t, e.A.Ctx, s, beta), "and below the level that was changed")

	err = e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error { return greeting.SetTx(ctx, tx, s, "x") })
	require.ErrorContains(t, err, "scope of another company than the context's workspace")
	err = e.DB.InTx(e.B.WorkspaceCtx, func(tx *tenancy.Tx) error {
		_, err := greeting.GetTx(ctx, tx, s)
		return err
	})
	require.ErrorContains(t, err, "another company")
}

// What is audited says what was and what is; what changes nothing is nothing.
func TestAudit(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	require.NoError(t, greeting.Set(e.A.CompanyCtx, s, "Hi"))
	for range 2 {
		require.NoError(t, s.Change(e.A.CompanyCtx, settings.Change{Set: map[string]any{"ui.greeting": "Hey"}, Lock: map[string]bool{"ui.greeting": true}}))
	}
	require.NoError(t, greeting.Clear(e.A.CompanyCtx, s))
	page, err := e.Audit.List(e.A.CompanyCtx, audit.Query{ResourceType: "setting"})
	require.NoError(t, err)
	var got []string
	for _, entry := range page.Items {
		m, err := json.Marshal(entry.Metadata)
		require.NoError(t, err)
		require.Equal(t, []any{"ui.greeting", e.A.Actor.ID, e.A.CompanyID}, []any{entry.ResourceID, entry.ActorID, entry.CompanyID})
		got = append(got, entry.Action+" "+string(m))
	}
	require.Equal(t, []string{ // newest first
		`setting.cleared {"before":"Hey"}`,
		`setting.changed {"after":"Hey","before":"Hi","locked":true}`,
		`setting.changed {"after":"Hi","locked":false}`,
	}, got)
}

func TestConcurrentSets(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here, there := start(t, e, e.Redis, nil), start(t, e, e.Redis, nil)
	var g errgroup.Group
	for i, p := range []*process{here, there, here, there} {
		g.Go(func() error {
			for n := range 5 {
				if err := ratio.Set(e.A.WorkspaceCtx, p.store, float64(100*i+n)); err != nil {
					return err
				}
				if err := greeting.Set(e.A.CompanyCtx, p.store, strconv.Itoa(100*i+n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	x, err := there.store.Explain(e.A.WorkspaceCtx, "mail.ratio")
	require.NoError(t, err)
	for _, p := range []*process{here, there} {
		raw, err := json.Marshal(get(t, p.request(t, e.A.Ctx), p.store, ratio))
		require.NoError(t, err)
		require.JSONEq(t, string(x.Value), string(raw), "all see what was set last")
	}
}

// What was small enough to be set is not too large to be read: PostgreSQL writes jsonb
// longer than it came in.
func TestLargestValueIsReadBack(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	bits := settings.NewKey("test.bits", settings.Spec[[]int]{})
	weights := settings.NewKey("test.weights", settings.Spec[[]float64]{})
	registry, err := settings.NewRegistry(bits, weights)
	require.NoError(t, err)
	s := startWith(t, e, nil, registry, nil).store
	many, huge := make([]int, 30_000), []float64{}
	for range 1000 {
		huge = append(huge, 1e300)
	}
	require.NoError(t, bits.Set(e.A.CompanyCtx, s, many))
	require.NoError(t, weights.Set(e.A.CompanyCtx, s, huge))
	require.Equal(t, many, get(t, e.A.Ctx, s, bits))
	require.Equal(t, huge, get(t, e.A.Ctx, s, weights))
	x, err := s.Explain(e.A.Ctx, "test.bits")
	require.NoError(t, err)
	require.Equal(t, settings.SourceCompany, x.Source)
}

// However many settings a request makes up, it is answered with a few of them: the company
// is locked while each is looked at.
func TestManyUnknownSettings(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	c := settings.Change{Set: map[string]any{}, Lock: map[string]bool{}}
	for i := range 1000 {
		name := "made.up" + strconv.Itoa(i)
		c.Set[name], c.Lock[name], c.Clear = json.RawMessage(`1`), true, append(c.Clear, name+"x")
	}
	for _, only := range []settings.Change{c, {Clear: c.Clear}, {Lock: c.Lock}} {
		require.Len(t, wrong(t, s.Change(e.A.CompanyCtx, only)), 100)
	}
}
