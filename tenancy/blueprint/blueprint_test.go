package blueprint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/blueprint"
)

func TestOverrideIsKept(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	s := w.store(t, quick(), nil)
	working(t, s)
	here, there := w.workspaces[0], w.workspaces[1]
	id := w.create(t, s, campaign{Title: "Welcome", Seats: 10, Owner: "head office"})
	w.await(t, s, w.deploy(t, s, id, 0, blueprint.All()).ID)

	// It is applied at once, here only.
	d, err := s.Override(w.at(here), id, "title", "Willkommen")
	require.NoError(t, err)
	require.Equal(t, blueprint.ByOverride, w.await(t, s, d.RunID).Reason)
	c, applied := w.item(t, here)
	require.Equal(t, []any{campaign{Title: "Willkommen", Seats: 10, Owner: "head office"}, 2}, []any{c, applied})
	_, applied = w.item(t, there)
	require.Equal(t, 1, applied)

	// Another version changes all but that field, and says so.
	_, err = s.Publish(w.A.CompanyCtx, id, json.RawMessage(`{"title": "Hello", "seats": 20, "owner": "head office"}`), "friendlier")
	require.NoError(t, err)
	plan, err := s.Plan(w.A.CompanyCtx, id, 2, blueprint.Only(here))
	require.NoError(t, err)
	keeps := blueprint.Change{Action: blueprint.Kept, Subject: "title", Detail: "overridden in this workspace; the blueprint has changed it since"}
	require.Equal(t, blueprint.WouldChange, plan[0].Outcome)
	require.Equal(t, keeps, plan[0].Changes[0])
	conflict := []blueprint.Override{{
		Field: "title", Value: json.RawMessage(`"Willkommen"`), Base: json.RawMessage(`"Welcome"`), Blueprint: json.RawMessage(`"Hello"`), Conflict: true,
	}}
	require.Equal(t, conflict, plan[0].Overrides)
	run := w.await(t, s, w.deploy(t, s, id, 0, blueprint.Deployed()).ID)
	require.Equal(t, plan[0].Changes, w.outcomes(t, s, run.ID)[here].Changes)
	c, _ = w.item(t, here)
	require.Equal(t, campaign{Title: "Willkommen", Seats: 20, Owner: "head office"}, c)
	c, _ = w.item(t, there)
	require.Equal(t, "Hello", c.Title)
	d, err = s.Deployment(w.at(here), id)
	require.NoError(t, err)
	require.Equal(t, conflict, d.Overrides)

	// Back to the blueprint's.
	d, err = s.ClearOverride(w.at(here), id, "title")
	require.NoError(t, err)
	require.Empty(t, d.Overrides)
	w.await(t, s, d.RunID)
	c, _ = w.item(t, here)
	require.Equal(t, "Hello", c.Title)
	same, err := s.ClearOverride(w.at(here), id, "title")
	require.NoError(t, err)
	require.Equal(t, d.RunID, same.RunID, "nothing to do")
	require.Equal(t, []int{1, 1}, []int{w.entries(t, "blueprint.overridden"), w.entries(t, "blueprint.override_cleared")})

	// What cannot be.
	_, err = s.Override(w.at(here), id, "owner", "me")
	require.ErrorIs(t, err, blueprint.ErrLocked)
	var v *tenancy.ValidationError
	_, err = s.Override(w.at(here), id, "titel", "Willkommen")
	require.ErrorAs(t, err, &v)
	require.Equal(t, "title", v.Fields[0].Suggestion)
	_, err = s.Override(w.at(here), id, "seats", -1)
	require.ErrorAs(t, err, &v)
	require.Equal(t, "body.seats", v.Fields[0].Field)
	_, err = s.Override(w.at(here), id, "seats", "many")
	require.ErrorAs(t, err, &v)
	require.Equal(t, "invalid_type", v.Fields[0].Code)
	for _, title := range []string{"a\x00", strings.Repeat("a", 1<<20)} {
		_, err = s.Override(w.at(here), id, "title", title)
		require.ErrorAs(t, err, &v)
	}
}

// Whatever is overridden, paused and deployed in whatever order: the plan is what happens,
// and what a workspace has is the version with its overrides laid over.
func TestPlanEqualsDeploy(t *testing.T) {
	t.Parallel()
	w := open(t, 3)
	s := w.store(t, quick(), nil)
	working(t, s)
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	some := func() campaign {
		return campaign{Title: fmt.Sprint("title ", r.IntN(3)), Seats: r.IntN(3), Tags: []string{"a", "b", "c"}[:r.IntN(4)], Owner: "owner"}
	}
	bodies := []campaign{some()}
	id := w.create(t, s, bodies[0])
	over := map[tenancy.WorkspaceID]map[string]any{}
	for range 12 {
		if r.IntN(2) == 0 {
			body := some()
			_, err := s.Publish(w.A.CompanyCtx, id, body, "")
			require.NoError(t, err)
			bodies = append(bodies, body)
		}
		for _, ws := range w.workspaces {
			if over[ws] == nil {
				continue // not deployed there
			}
			field, c := []string{"title", "seats", "tags"}[r.IntN(3)], some()
			var err error
			var d blueprint.Deployment
			switch r.IntN(3) {
			case 0:
				over[ws][field] = map[string]any{"title": c.Title, "seats": c.Seats, "tags": c.Tags}[field]
				d, err = s.Override(w.at(ws), id, field, over[ws][field])
			case 1:
				delete(over[ws], field)
				d, err = s.ClearOverride(w.at(ws), id, field)
			default:
				continue
			}
			require.NoError(t, err)
			w.await(t, s, d.RunID)
		}
		version := 1 + r.IntN(len(bodies)) // an older one than now, too
		to := blueprint.Only(w.workspaces[r.IntN(3)], w.workspaces[r.IntN(3)])
		plan, err := s.Plan(w.A.CompanyCtx, id, version, to)
		require.NoError(t, err)
		run := w.await(t, s, w.deploy(t, s, id, version, to).ID)
		out := w.outcomes(t, s, run.ID)
		require.Len(t, plan, len(out))
		for _, p := range plan {
			o := out[p.WorkspaceID]
			require.Equal(t, blueprint.StateApplied, o.State, o.Error)
			require.ElementsMatch(t, p.Changes, o.Changes)
			if over[p.WorkspaceID] == nil {
				over[p.WorkspaceID] = map[string]any{}
			}
			want := bodies[version-1]
			raw, err := json.Marshal(over[p.WorkspaceID])
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, &want))
			have, _ := w.item(t, p.WorkspaceID)
			require.Equal(t, fmt.Sprint(want), fmt.Sprint(have))
			kept := 0
			for _, c := range p.Changes {
				if c.Action == blueprint.Kept {
					kept++
				}
			}
			require.Equal(t, len(over[p.WorkspaceID]), kept)
			require.Equal(t, p.Outcome == blueprint.UpToDate, kept == len(p.Changes))
		}
	}
}

func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	fail := errors.New("it would not work")
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "Welcome"})
	plan, err := s.Plan(w.A.CompanyCtx, id, 0, blueprint.All())
	require.NoError(t, err)
	require.Len(t, plan, 2)
	require.Equal(t, []blueprint.Change{{Action: blueprint.Created, Subject: "campaign"}}, plan[0].Changes)
	failing := w.store(t, quick(), func(context.Context, *tenancy.Tx, blueprint.Order[campaign]) error { return fail })
	plan, err = failing.Plan(w.A.CompanyCtx, id, 0, blueprint.All())
	require.NoError(t, err)
	require.Equal(t, []any{blueprint.WouldFail, fail.Error()}, []any{plan[1].Outcome, plan[1].Error})
	_, applied := w.item(t, w.workspaces[0])
	require.Zero(t, applied)
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Zero(t, sum.Workspaces)
	require.Empty(t, sum.Counters)
}

// Both give Apply the tenant as it is now: by its version settings and other caches know
// what is too old.
func TestApplyKnowsTheWorkspacesVersion(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	versions := make(chan int64, 2)
	s := w.store(t, quick(), func(ctx context.Context, _ *tenancy.Tx, _ blueprint.Order[campaign]) error {
		at, err := tenancy.TenantFrom(ctx)
		versions <- at.Version
		return err
	})
	id := w.create(t, s, campaign{Title: "Welcome"})
	require.NoError(t, second(w.Store.SetWorkspaceSuspended(w.A.CompanyCtx, w.A.WorkspaceID, true)))
	require.NoError(t, second(w.Store.SetWorkspaceSuspended(w.A.CompanyCtx, w.A.WorkspaceID, false)))
	r, err := tenancy.NewResolver(w.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	now, err := r.ResolveWorkspace(t.Context(), w.A.WorkspaceID)
	require.NoError(t, err)
	_, err = s.Plan(w.A.CompanyCtx, id, 0, blueprint.All())
	require.NoError(t, err)
	working(t, s)
	w.await(t, s, w.deploy(t, s, id, 0, blueprint.All()).ID)
	require.Equal(t, []int64{now.Version, now.Version}, []int64{<-versions, <-versions})
}

func TestPause(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	s := w.store(t, quick(), nil)
	here := w.at(w.workspaces[0])
	id := w.create(t, s, campaign{Title: "one"})
	first := w.deploy(t, s, id, 0, blueprint.All())
	d, err := s.Pause(here, id) // before it is applied
	require.NoError(t, err)
	require.Equal(t, []any{blueprint.StateSkipped, w.A.Actor.ID}, []any{d.State, d.PausedBy})
	working(t, s)
	run := w.await(t, s, first.ID)
	require.Equal(t, []int{1, 1}, []int{run.Applied, run.Skipped})

	_, err = s.Publish(w.A.CompanyCtx, id, campaign{Title: "two"}, "")
	require.NoError(t, err)
	plan, err := s.Plan(w.A.CompanyCtx, id, 0, blueprint.All())
	require.NoError(t, err)
	require.Equal(t, []blueprint.PlannedOutcome{blueprint.WouldSkip, blueprint.WouldChange}, []blueprint.PlannedOutcome{plan[0].Outcome, plan[1].Outcome})
	run = w.deploy(t, s, id, 0, blueprint.All())
	require.Equal(t, 1, run.Skipped, "known at once")
	_, err = s.Override(here, id, "seats", 7) // for later
	require.NoError(t, err)
	w.await(t, s, run.ID)
	_, applied := w.item(t, w.workspaces[0])
	require.Zero(t, applied)
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1, 1, 1, 1}, []int{sum.Workspaces, sum.Applied, sum.Skipped, sum.Paused, sum.Behind, sum.Overridden})

	// Without catching up it stays behind until the next deploy.
	d, err = s.Resume(here, id, false)
	require.NoError(t, err)
	require.Equal(t, []any{run.ID, 2, 0}, []any{d.RunID, d.WantedVersion, d.AppliedVersion})
	require.Nil(t, d.PausedAt)
	_, err = s.Pause(here, id)
	require.NoError(t, err)
	d, err = s.Resume(here, id, true)
	require.NoError(t, err)
	require.Equal(t, 1, w.await(t, s, d.RunID).Applied)
	c, _ := w.item(t, w.workspaces[0])
	require.Equal(t, campaign{Title: "two", Seats: 7}, c)
	require.Equal(t, []int{2, 2}, []int{w.entries(t, "blueprint.paused"), w.entries(t, "blueprint.resumed")})
}

func TestRollbackAndSuperseded(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "one"})
	_, err := s.Publish(w.A.CompanyCtx, id, campaign{Title: "two"}, "")
	require.NoError(t, err)
	before := w.deploy(t, s, id, 1, blueprint.All())
	after := w.deploy(t, s, id, 2, blueprint.Only(w.workspaces[0]))
	stop := working(t, s)
	w.await(t, s, after.ID)
	run := w.await(t, s, before.ID)
	require.Equal(t, []int{1, 1}, []int{run.Applied, run.Superseded})
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 1, 2: 1}, sum.Versions)
	stop()

	back := w.deploy(t, s, id, 1, blueprint.All())
	working(t, s)
	require.Equal(t, 2, w.await(t, s, back.ID).Applied)
	c, applied := w.item(t, w.workspaces[0])
	require.Equal(t, []any{"one", 2}, []any{c.Title, applied})
	runs, err := s.Runs(w.A.CompanyCtx, id, tenancy.PageRequest{PageSize: 2})
	require.NoError(t, err)
	require.Equal(t, []any{int64(3), before.ID, after.ID, true}, []any{runs.Total, runs.Items[0].ID, runs.Items[1].ID, runs.HasMore})
	runs, err = s.Runs(w.A.CompanyCtx, id, tenancy.PageRequest{PageSize: 2, Cursor: runs.NextCursor})
	require.NoError(t, err)
	require.Len(t, runs.Items, 1)
	versions, err := s.Versions(w.A.CompanyCtx, id, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, []int{versions.Items[0].Version, versions.Items[1].Version})
}

func TestCountTx(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "Welcome"})
	count := func(ws tenancy.WorkspaceID, add map[string]int64, fail error) error {
		ctx := w.at(ws)
		return w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			if err := s.CountTx(ctx, tx, id, add); err != nil {
				return err
			}
			return fail
		})
	}
	require.ErrorIs(t, count(w.workspaces[0], map[string]int64{"completions": 1}, nil), blueprint.ErrNotFound, "not deployed")
	w.deploy(t, s, id, 0, blueprint.All())
	undone := errors.New("undone")
	for i, ws := range w.workspaces {
		require.NoError(t, count(ws, map[string]int64{"completions": 2, "starts": int64(i)}, nil))
		require.ErrorIs(t, count(ws, map[string]int64{"completions": 100}, undone), undone)
	}
	var v *tenancy.ValidationError
	require.ErrorAs(t, count(w.workspaces[0], map[string]int64{"": 1}, nil), &v)
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"completions": 4, "starts": 1}, sum.Counters)
}

func TestNothingCrosses(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "Welcome"})
	run := w.deploy(t, s, id, 0, blueprint.Only(w.workspaces[0]))
	absent, absentRun := tenancy.NewID[blueprint.Blueprint](), tenancy.NewID[blueprint.Run]()
	b, all := w.B, tenancy.PageRequest{}

	// Company B: all of it is as if it were not there.
	for name, call := range map[string]func(blueprint.ID, blueprint.RunID) (any, error){
		"Get":      func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Get(b.CompanyCtx, id) },
		"Version":  func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Version(b.CompanyCtx, id, 1) },
		"Versions": func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Versions(b.CompanyCtx, id, all) },
		"Publish": func(id blueprint.ID, _ blueprint.RunID) (any, error) {
			return s.Publish(b.CompanyCtx, id, campaign{Title: "x"}, "")
		},
		"Plan": func(id blueprint.ID, _ blueprint.RunID) (any, error) {
			return s.Plan(b.CompanyCtx, id, 0, blueprint.All())
		},
		"Deploy": func(id blueprint.ID, _ blueprint.RunID) (any, error) {
			return s.Deploy(b.CompanyCtx, id, 0, blueprint.All())
		},
		"Summary":     func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Summary(b.CompanyCtx, id) },
		"Deployments": func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Deployments(b.CompanyCtx, id, all) },
		"Run":         func(_ blueprint.ID, run blueprint.RunID) (any, error) { return s.Run(b.CompanyCtx, run) },
		"Runs":        func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Runs(b.CompanyCtx, id, all) },
		"Outcomes":    func(_ blueprint.ID, run blueprint.RunID) (any, error) { return s.Outcomes(b.CompanyCtx, run, all) },
		"Retry":       func(_ blueprint.ID, run blueprint.RunID) (any, error) { return s.Retry(b.CompanyCtx, run) },
		"Deployment":  func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Deployment(b.WorkspaceCtx, id) },
		"Override": func(id blueprint.ID, _ blueprint.RunID) (any, error) {
			return s.Override(b.WorkspaceCtx, id, "title", "x")
		},
		"Pause":  func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Pause(b.WorkspaceCtx, id) },
		"Resume": func(id blueprint.ID, _ blueprint.RunID) (any, error) { return s.Resume(b.WorkspaceCtx, id, true) },
	} {
		got, err := call(id, run.ID)
		nothing, absentErr := call(absent, absentRun)
		require.Equal(t, nothing, got, name)
		require.Equal(t, absentErr, err, name)
	}
	// A workspace of A that it is not deployed to, also with the id of one that it is.
	other := w.at(w.workspaces[1])
	for name, err := range map[string]error{
		"Get":        second(s.Get(other, id)),
		"Deployment": second(s.Deployment(other, id)),
		"Override":   second(s.Override(other, id, "title", "x")),
		"Pause":      second(s.Pause(other, id)),
	} {
		require.ErrorIs(t, err, blueprint.ErrNotFound, name)
	}
	here, err := s.Here(other, all)
	require.NoError(t, err)
	require.Empty(t, here.Items)
	here, err = s.Here(w.at(w.workspaces[0]), all)
	require.NoError(t, err)
	require.Equal(t, id, here.Items[0].BlueprintID)
	require.NoError(t, second(s.Get(w.at(w.workspaces[0]), id)))
	// What is the company's is not for a workspace, and the other way round.
	require.ErrorIs(t, second(s.Deploy(w.at(w.workspaces[0]), id, 0, blueprint.All())), blueprint.ErrCompanyLevel)
	require.ErrorIs(t, second(s.Summary(w.at(w.workspaces[0]), id)), blueprint.ErrCompanyLevel)
	require.ErrorIs(t, second(s.Pause(w.A.CompanyCtx, id)), tenancy.ErrNoTenant)
	// Nor is another company's workspace a target.
	require.ErrorIs(t, second(s.Deploy(w.A.CompanyCtx, id, 0, blueprint.Only(w.workspaces[0], b.WorkspaceID))), blueprint.ErrNotFound)
	// Nothing of it reached Apply, nor B's tables, where a name is B's own.
	own, err := s.Create(b.CompanyCtx, blueprint.New{Kind: "campaign", Name: "Onboarding", Body: campaign{Title: "B's"}})
	require.NoError(t, err)
	page, err := s.List(b.CompanyCtx, all)
	require.NoError(t, err)
	require.Equal(t, []blueprint.Blueprint{own}, page.Items)
}

func second[T any](_ T, err error) error { return err }

func TestWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	s := w.store(t, quick(), nil)
	ctx := w.A.CompanyCtx
	var v *tenancy.ValidationError
	_, err := s.Create(ctx, blueprint.New{Kind: "campaign", Name: " ", Body: json.RawMessage(`{"titel": "x", "seets": 1}`)})
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field+" "+f.Suggestion)
	}
	require.Equal(t, []string{"name ", "body.seets seats", "body.titel title"}, fields)
	for _, body := range []any{nil, 7, []int{1}, json.RawMessage(`{"title": 1}`), json.RawMessage(`{`), campaign{}, campaign{Title: "a\x00"}} {
		_, err = s.Create(ctx, blueprint.New{Kind: "campaign", Name: "x", Body: body})
		require.ErrorAs(t, err, &v, "%v", body)
	}
	_, err = s.Create(ctx, blueprint.New{Kind: "campaigns", Name: "x", Body: campaign{Title: "x"}})
	require.ErrorIs(t, err, blueprint.ErrUnknownKind)
	require.ErrorContains(t, err, `do you mean "campaign"?`)
	id := w.create(t, s, campaign{Title: "x"})
	_, err = s.Create(ctx, blueprint.New{Kind: "campaign", Name: "Onboarding", Body: campaign{Title: "x"}})
	require.ErrorIs(t, err, blueprint.ErrNameTaken)
	// What is refused leaves no trace in a transaction that goes on.
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := s.PublishTx(ctx, tx, id, campaign{}, "")
		require.ErrorAs(t, err, &v)
		return nil
	}))
	latest, err := s.Version(ctx, id, 0)
	require.NoError(t, err)
	require.Equal(t, 1, latest.Version)
	for _, version := range []int{-1, 2, 1 << 40} {
		_, err = s.Deploy(ctx, id, version, blueprint.All())
		require.ErrorIs(t, err, blueprint.ErrNotFound)
	}
	_, err = s.Deploy(ctx, id, 0, blueprint.Targets{})
	require.ErrorAs(t, err, &v)

	for _, table := range []string{"blueprint_versions", "blueprint_runs"} { // they never change
		err = w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE strata.`+table+` SET version = version`)
			return err
		})
		require.ErrorContains(t, err, "permission denied")
	}

	spec := blueprint.Spec[campaign]{}
	for _, k := range []*blueprint.Kind{
		nil, blueprint.NewKind("x", spec), blueprint.NewKind("", spec),
		blueprint.NewKind("x", blueprint.Spec[campaign]{Apply: nil, Locked: []string{"nothing"}}),
		blueprint.NewKind("x", blueprint.Spec[map[string]any]{}),
	} {
		_, err = blueprint.NewStore(w.DB, w.Audit, nil, k)
		require.Error(t, err)
	}
	_, err = blueprint.NewStore(w.DB, w.Audit, nil, campaigns(nil), campaigns(nil))
	require.ErrorContains(t, err, "two kinds")
}

// What a definition holds below its fields is refused, and not lost, when there is no
// place for it, or when PostgreSQL has none.
func TestNestedAndUnstorable(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	type nested struct {
		Colors struct {
			Text string `json:"text"`
		} `json:"colors"`
		Any json.RawMessage `json:"any,omitempty"`
	}
	s, err := blueprint.NewStore(w.DB, w.Audit, quick(), blueprint.NewKind("nested", blueprint.Spec[nested]{
		Apply: func(context.Context, *tenancy.Tx, blueprint.Order[nested]) (blueprint.Result, error) {
			return blueprint.Result{}, nil
		},
	}))
	require.NoError(t, err)
	for body, code := range map[string]string{
		`{"colors": {"texd": "red"}}`: "invalid", `{"any": 1e200000}`: "not_storable", `{"any": "\ud800"}`: "not_storable", `{"any": "\u0000"}`: "invalid_text",
	} {
		_, err = s.Create(w.A.CompanyCtx, blueprint.New{Kind: "nested", Name: "x", Body: json.RawMessage(body)})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, body)
		require.Equal(t, []string{"body", code}, []string{v.Fields[0].Field, v.Fields[0].Code}, body)
	}
	b, err := s.Create(w.A.CompanyCtx, blueprint.New{Kind: "nested", Name: "x", Body: json.RawMessage(`{"colors": {"text": "red"}}`)})
	require.NoError(t, err)
	_, err = s.Deploy(w.A.CompanyCtx, b.ID, 0, blueprint.All())
	require.NoError(t, err)
	var v *tenancy.ValidationError
	_, err = s.Override(w.A.WorkspaceCtx, b.ID, "colors", json.RawMessage(`{"texd": "red"}`))
	require.ErrorAs(t, err, &v)
	_, err = s.Override(w.A.WorkspaceCtx, b.ID, "any", json.RawMessage(`1e200000`))
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"body.any", "not_storable"}, []string{v.Fields[0].Field, v.Fields[0].Code})
}
