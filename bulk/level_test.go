package bulk_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// submitAt asks for a run over n new items for the workspace or the company of A.
func (w *world) submitAt(t *testing.T, r *bulk.Runner, level tenancy.Level, n int) bulk.Run {
	t.Helper()
	id := tenancy.NewID[bulk.Run]()
	items(t, w.Pool, id.String(), n)
	run, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", ID: id, Args: addOneArgs{id.String()}, Level: level})
	require.NoError(t, err)
	require.Equal(t, level, run.Level)
	return run
}

// A run of a workspace or a company is worked on in a domain, and is there for its own level
// only: to get, to control, to watch, and in the audit trail.
func TestLevels(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	for _, c := range []struct {
		level  tenancy.Level
		own    context.Context
		others []context.Context
	}{
		{tenancy.LevelWorkspace, w.A.WorkspaceCtx, []context.Context{w.A.Ctx, w.A.CompanyCtx, w.B.Ctx, w.B.WorkspaceCtx, w.B.CompanyCtx}},
		{tenancy.LevelCompany, w.A.CompanyCtx, []context.Context{w.A.Ctx, w.A.WorkspaceCtx, w.B.Ctx, w.B.WorkspaceCtx, w.B.CompanyCtx}},
		{tenancy.LevelDomain, w.A.Ctx, []context.Context{w.A.WorkspaceCtx, w.A.CompanyCtx, w.B.Ctx, w.B.WorkspaceCtx, w.B.CompanyCtx}},
	} {
		run := w.submitAt(t, r, c.level, 10)
		for _, ctx := range c.others {
			_, err := r.Get(ctx, run.ID)
			require.ErrorIs(t, err, bulk.ErrNotFound)
			for _, do := range []func(context.Context, bulk.RunID) (bulk.Run, error){r.Cancel, r.Pause, r.Resume, r.Retry} {
				_, err := do(ctx, run.ID)
				require.ErrorIs(t, err, bulk.ErrNotFound)
			}
			_, err = r.Watch(ctx, run.ID)
			require.ErrorIs(t, err, bulk.ErrNotFound)
		}
		paused, err := r.Pause(c.own, run.ID)
		require.NoError(t, err)
		require.Equal(t, bulk.StatePaused, paused.State)
		_, err = r.Resume(c.own, run.ID)
		require.NoError(t, err)
		_, err = r.Cancel(c.own, run.ID)
		require.NoError(t, err)
		trail, err := w.Audit.List(c.own, audit.Query{ResourceType: "run", ResourceID: run.ID.String()})
		require.NoError(t, err)
		require.Len(t, trail.Items, 4)
		require.Equal(t, c.level == tenancy.LevelDomain, !trail.Items[0].DomainID.IsZero())
		require.Equal(t, c.level == tenancy.LevelCompany, trail.Items[0].WorkspaceID.IsZero())
	}
	page, err := r.List(w.A.Ctx, bulk.ListQuery{})
	require.NoError(t, err)
	require.EqualValues(t, 1, page.Total, "the domain's own")
	require.Len(t, page.Items, 1)

	_, err = submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", Level: tenancy.LevelCompany, DedupKey: "k"})
	require.ErrorContains(t, err, "a run of a company cannot have a DedupKey")
}

// Who watches a domain hears of its runs only, also while somebody of the same process watches
// one of the company.
func TestWatchOfALevel(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	above, own := w.submitAt(t, r, tenancy.LevelCompany, 100), w.submit(t, w.A.Ctx, r, 10)
	_, err := r.Pause(w.A.Ctx, own.ID)
	require.NoError(t, err)
	all, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	one, err := r.Watch(w.A.CompanyCtx, above.ID)
	require.NoError(t, err)
	start(t, r)
	var last bulk.Progress
	for p := range one {
		last = p
	}
	require.Equal(t, bulk.StateCompleted, last.Status)
	require.EqualValues(t, 100, last.Processed)
	run, err := r.Get(w.A.CompanyCtx, above.ID)
	require.NoError(t, err)
	require.EqualValues(t, 100, run.Counters["updated"])
	_, err = r.Resume(w.A.Ctx, own.ID)
	require.NoError(t, err)
	for p := range all {
		require.Equal(t, own.ID, p.JobID)
		if p.Status.Final() {
			break
		}
	}
}

// What a workspace or a company had worked on in a domain does not go along when that moves.
func TestMoveForgetsRunsOfOtherLevels(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	own := w.submit(t, w.A.Ctx, r, 10)
	workspace, company := w.submitAt(t, r, tenancy.LevelWorkspace, 10), w.submitAt(t, r, tenancy.LevelCompany, 10)
	start(t, r)
	await(t, w.A.Ctx, r, own.ID, bulk.StateCompleted)
	await(t, w.A.WorkspaceCtx, r, workspace.ID, bulk.StateCompleted)
	await(t, w.A.CompanyCtx, r, company.ID, bulk.StateCompleted)
	mv := move.Move{From: move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}, To: move.Place{CompanyID: w.B.CompanyID, WorkspaceID: w.B.WorkspaceID}}
	mv.DomainID = w.A.DomainID
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error { return r.DomainMoved(w.A.Ctx, tx, mv) }))
	for _, table := range []string{"runs WHERE id", "run_batches WHERE run_id"} {
		for id, left := range map[bulk.RunID]bool{own.ID: true, workspace.ID: false, company.ID: false} {
			var found bool
			require.NoError(t, w.DB.Read(w.A.Ctx, `SELECT FROM strata.`+table+` = $1`, []any{id}, func(rows pgx.Rows) error {
				found = rows.Next()
				return nil
			}))
			require.Equal(t, left, found, table)
		}
	}
}
