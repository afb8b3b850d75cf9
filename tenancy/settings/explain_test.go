package settings_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// told is an explanation in short: the value and its source, then what is shadowed.
func told(t testing.TB, s settings.Setting, err error) string {
	t.Helper()
	require.NoError(t, err)
	out := fmt.Sprintf("%s %s", s.Source, s.Value)
	if s.Locked {
		out += " locked"
	}
	for _, l := range s.Shadowed {
		out += fmt.Sprintf("; %s %s %s", l.Source, l.Value, l.Why)
	}
	return out
}

func TestExplain(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, &settings.Config{Plans: map[string]map[string]any{"enterprise": {"ui.greeting": "Welcome"}}}).store
	explain := func(name string) string {
		x, err := s.Explain(e.A.Ctx, name)
		return told(t, x, err)
	}
	before := time.Now().Add(-time.Minute)
	require.NoError(t, greeting.Set(e.A.CompanyCtx, s, "Hi"))
	require.NoError(t, greeting.Set(e.A.WorkspaceCtx, s, "Yo"))
	require.Equal(t, `workspace "Yo"; system "Hello" overridden; plan "Welcome" overridden; company "Hi" overridden`, explain("ui.greeting"))
	x, err := s.Explain(e.A.Ctx, "ui.greeting")
	require.NoError(t, err)
	require.Equal(t, []any{"ui.greeting", "What the first page says", settings.Inheritable, e.A.Actor.ID, ""}, []any{x.Key, x.Summary, x.Mode, x.SetBy, x.Reason})
	require.True(t, x.SetAt.After(before))
	require.Equal(t, e.A.Actor.ID, x.Shadowed[2].SetBy)
	require.NotNil(t, x.Shadowed[2].SetAt)
	require.Nil(t, x.Shadowed[1].SetAt)

	require.NoError(t, countries.Set(e.A.WorkspaceCtx, s, []string{"CH", "AT"}))
	require.NoError(t, countries.Set(e.A.CompanyCtx, s, []string{"DE", "AT"}))
	require.Equal(t, `workspace ["AT"]; system ["AT","CH","DE"] overridden; company ["DE","AT"] overridden; workspace ["CH","AT"] stricter_above`, explain("sms.countries"))
	require.NoError(t, maxRows.Set(e.A.WorkspaceCtx, s, 50))
	require.NoError(t, maxRows.Set(e.A.CompanyCtx, s, 10))
	require.Equal(t, `company 10; system 1000 overridden; workspace 50 stricter_above`, explain("imports.max_rows"))
	require.NoError(t, banner.Set(e.A.CompanyCtx, s, "for us alone"))
	require.Equal(t, `system ""`, explain("ui.banner"), "a workspace does not see it here either")
	require.Equal(t, `system "720h0m0s" locked`, explain("audit.retention"))

	all, err := s.List(e.A.Ctx)
	require.NoError(t, err)
	var names []string
	for _, x := range all {
		names = append(names, x.Key)
	}
	require.Equal(t, []string{"ui.greeting", "ui.color", "imports.max_rows", "sms.countries", "audit.retention", "ui.banner", "files.quota", "mail.ratio", "ui.beta"}, names)
	require.Equal(t, explain("sms.countries"), told(t, all[3], nil))
}

func TestACompanyLocks(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	explain := func() string {
		x, err := s.Explain(e.A.WorkspaceCtx, "ui.greeting")
		return told(t, x, err)
	}
	lock := func(on bool) error {
		return s.Change(e.A.CompanyCtx, settings.Change{Lock: map[string]bool{"ui.greeting": on}})
	}
	require.NoError(t, greeting.Set(e.A.WorkspaceCtx, s, "Yo"))
	require.Equal(t, map[string]string{"ui.greeting": "not_set"}, wrong(t, lock(true)))
	require.NoError(t, greeting.Set(e.A.CompanyCtx, s, "Hi"))
	require.NoError(t, lock(true))
	require.Equal(t, "Hi", get(t, e.A.Ctx, s, greeting))
	require.Equal(t, `company "Hi" locked; system "Hello" overridden; workspace "Yo" locked`, explain())
	require.Equal(t, map[string]string{"ui.greeting": "locked"}, wrong(t, greeting.Set(e.A.WorkspaceCtx, s, "x")))
	require.NoError(t, greeting.Set(e.A.CompanyCtx, s, "Hey"))
	require.Equal(t, "Hey", get(t, e.A.Ctx, s, greeting), "a new value is locked as the old one was")
	require.NoError(t, lock(false))
	require.Equal(t, "Yo", get(t, e.A.Ctx, s, greeting), "what the workspace had is still there")

	require.NoError(t, s.Change(e.A.CompanyCtx, settings.Change{Set: map[string]any{"ui.greeting": "Ho"}, Lock: map[string]bool{"ui.greeting": true}}))
	require.Equal(t, "Ho", get(t, e.A.Ctx, s, greeting))
	require.NoError(t, greeting.Clear(e.A.CompanyCtx, s))
	require.Equal(t, "Yo", get(t, e.A.Ctx, s, greeting), "a lock goes with its value")
	require.Equal(t, map[string]string{"ui.banner": "not_lockable", "audit.retention": "not_lockable", "ui.colr": "unknown_key"},
		wrong(t, s.Change(e.A.CompanyCtx, settings.Change{Lock: map[string]bool{"ui.banner": true, "audit.retention": false, "ui.colr": true}})))
}

// Whatever is set in whatever order, nothing that is in force is laxer than any level
// above it, nor stricter than all of them together.
func TestRestrictOnlyIsNeverLaxer(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, &settings.Config{Plans: map[string]map[string]any{"enterprise": {"imports.max_rows": int64(800), "sms.countries": []string{"AT", "DE"}}}}).store
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	levels := []tenancy.Level{tenancy.LevelCompany, tenancy.LevelWorkspace}
	rows := map[tenancy.Level]int64{}
	lists := map[tenancy.Level][]string{}
	refused := 0
	for range 150 {
		level := levels[random.IntN(2)]
		ctx := e.A.CompanyCtx
		if level == tenancy.LevelWorkspace {
			ctx = e.A.WorkspaceCtx
		}
		n := random.Int64N(1000)
		var list []string
		for _, c := range []string{"AT", "CH", "DE"} {
			if random.IntN(2) == 0 {
				list = append(list, c)
			}
		}
		switch random.IntN(5) {
		case 0:
			_ = maxRows.Clear(ctx, s)
			delete(rows, level)
		case 1:
			_ = countries.Clear(ctx, s)
			delete(lists, level)
		case 2, 3:
			if err := maxRows.Set(ctx, s, n); err == nil {
				rows[level] = n
			} else {
				require.Equal(t, map[string]string{"imports.max_rows": "too_lax"}, wrong(t, err))
				refused++
			}
		default:
			if err := countries.Set(ctx, s, list); err == nil {
				lists[level] = list
			} else {
				require.Equal(t, map[string]string{"sms.countries": "too_lax"}, wrong(t, err))
				refused++
			}
		}
		wantRows, wantList := int64(800), []string{"AT", "DE"}
		for _, level := range levels {
			if n, ok := rows[level]; ok {
				wantRows = min(wantRows, n)
			}
			if own, ok := lists[level]; ok {
				wantList = slices.DeleteFunc(slices.Clone(own), func(c string) bool { return !slices.Contains(wantList, c) })
			}
		}
		require.Equal(t, wantRows, get(t, e.A.Ctx, s, maxRows))
		require.ElementsMatch(t, wantList, get(t, e.A.Ctx, s, countries))
	}
	require.Positive(t, refused)
}

func TestReadyTightenings(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2, settings.Min(2, 3))
	require.Equal(t, 3, settings.Max(2, 3))
	require.Equal(t, []bool{true, false, false, false}, []bool{settings.AllOf(true, true), settings.AllOf(true, false), settings.AllOf(false, true), settings.AllOf(false, false)})
	require.Equal(t, []bool{true, true, true, false}, []bool{settings.AnyOf(true, true), settings.AnyOf(true, false), settings.AnyOf(false, true), settings.AnyOf(false, false)})
	require.Equal(t, []int{3, 1}, settings.Intersection([]int{1, 2, 3}, []int{4, 3, 1}))
}

// A newer program has stricter or other types: what is stored is passed over, not lost.
func TestAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	old := start(t, e, nil, nil).store
	require.NoError(t, greeting.Set(e.A.CompanyCtx, old, "Hi"))
	require.NoError(t, greeting.Set(e.A.WorkspaceCtx, old, "Yo"))
	require.NoError(t, storage.Set(e.A.CompanyCtx, old, quota{5, "GB"}))
	require.NoError(t, ratio.Set(e.A.CompanyCtx, old, 2.5))
	require.NoError(t, old.Change(e.A.CompanyCtx, settings.Change{Lock: map[string]bool{"mail.ratio": true}}))

	long := settings.NewKey("ui.greeting", settings.Spec[string]{Default: "Good day", Validate: func(s string) error {
		if s == "Yo" {
			return fmt.Errorf("%q is too familiar", s)
		}
		return nil
	}})
	smaller := settings.NewKey("files.quota", settings.Spec[struct {
		Hard int64 `json:"hard"`
	}]{})
	whole := settings.NewKey("mail.ratio", settings.Spec[int]{Default: 1})
	registry, err := settings.NewRegistry(long, smaller, whole)
	require.NoError(t, err)
	s := startWith(t, e, nil, registry, nil).store
	require.Equal(t, "Hi", get(t, e.A.Ctx, s, long))
	x, err := s.Explain(e.A.Ctx, "ui.greeting")
	require.Equal(t, `company "Hi"; system "Good day" overridden; workspace "Yo" invalid`, told(t, x, err))
	require.Equal(t, `"Yo" is too familiar`, x.Shadowed[1].Message)
	require.EqualValues(t, 5, get(t, e.A.Ctx, s, smaller).Hard, "a member that is not known any more is no harm")
	require.Equal(t, 1, get(t, e.A.Ctx, s, whole))
	require.NoError(t, whole.Set(e.A.WorkspaceCtx, s, 7), "a lock on nothing locks nothing")
	all, err := s.List(e.A.Ctx)
	require.NoError(t, err)
	require.Len(t, all, 3, "values of keys that are not known are not shown")
	require.NoError(t, long.Clear(e.A.WorkspaceCtx, s), "and what is invalid can be cleared")
	require.Equal(t, "Hi", get(t, e.A.Ctx, old, greeting))
	raw, err := json.Marshal(get(t, e.A.CompanyCtx, old, storage))
	require.NoError(t, err)
	require.JSONEq(t, `{"hard":5,"unit":"GB"}`, string(raw), "it was left alone")
}
