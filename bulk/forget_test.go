package bulk_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// rows counts what there is of a run in the domain of the first company.
func (w *world) rows(t *testing.T, id bulk.RunID) (n int) {
	t.Helper()
	require.NoError(t, w.DB.Read(w.A.Ctx, `SELECT (SELECT count(*) FROM strata.runs WHERE id = $1) + (SELECT count(*) FROM strata.run_batches WHERE run_id = $1)
		+ (SELECT count(*) FROM strata.run_attempts WHERE run_id = $1)`, []any{id}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	return n
}

func TestForgetAndDelete(t *testing.T) {
	t.Parallel()
	w := open(t)
	bad := map[bulk.RunID]bool{}
	h := &addOne{size: 10, open: func(_ context.Context, run bulk.Run) error {
		if bad[run.ID] {
			return bulk.Permanent(errors.New("broken"))
		}
		return nil
	}}
	r := w.runner(t, h, quick())
	young, old, failed, oldFailed, deleted := w.submit(t, w.A.Ctx, r, 30), w.submit(t, w.A.Ctx, r, 30), w.submit(t, w.A.Ctx, r, 30), w.submit(t, w.A.Ctx, r, 30), w.submit(t, w.A.Ctx, r, 30)
	foreign := w.submit(t, w.B.Ctx, r, 30)
	bad[failed.ID], bad[oldFailed.ID] = true, true
	require.ErrorIs(t, r.Delete(w.A.Ctx, old.ID), bulk.ErrState)
	start(t, r)
	for _, run := range []bulk.Run{young, old, deleted} {
		w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 30)
	}
	for _, run := range []bulk.Run{failed, oldFailed} {
		await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	}
	await(t, w.B.Ctx, r, foreign.ID, bulk.StateCompleted)
	stop(t, r)

	require.Equal(t, 6, w.rows(t, old.ID), "the run, four batches, an attempt")
	require.NoError(t, r.Delete(w.A.Ctx, deleted.ID))
	require.Zero(t, w.rows(t, deleted.ID))
	require.ErrorIs(t, r.Delete(w.A.Ctx, deleted.ID), bulk.ErrNotFound)
	require.Equal(t, []string{"run.submitted", "run.completed", "run.deleted"}, w.entries(t, w.A.Ctx, deleted.ID), "the audit trail remains")

	w.change(t, `UPDATE strata.runs SET finished_at = now() - interval '31 days' WHERE id = ANY ($1)`, []bulk.RunID{old.ID, failed.ID})
	w.change(t, `UPDATE strata.runs SET finished_at = now() - interval '91 days' WHERE id = $1`, oldFailed.ID)
	n, err := r.Forget(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for run, left := range map[bulk.RunID]int{young.ID: 6, failed.ID: 2, old.ID: 0, oldFailed.ID: 0} {
		require.Equal(t, left, w.rows(t, run))
	}
	_, err = r.Get(w.B.Ctx, foreign.ID)
	require.NoError(t, err)
	n, err = r.Forget(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

// All failed runs of a kind are tried again, but for those whose work is being done anyway.
func TestRetryAll(t *testing.T) {
	t.Parallel()
	w := open(t)
	broken := true
	h := &addOne{size: 10, open: func(context.Context, bulk.Run) error {
		if broken {
			return bulk.Permanent(errors.New("broken"))
		}
		return nil
	}}
	r := w.runner(t, h, quick())
	require.NoError(t, r.Register("other", h))
	var runs []bulk.Run
	for range 3 {
		runs = append(runs, w.submit(t, w.A.Ctx, r, 10))
	}
	keyed := func() bulk.Run {
		run, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", DedupKey: "key", Args: addOneArgs{"none"}})
		require.NoError(t, err)
		return run
	}
	twin := keyed()
	other, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "other", Args: addOneArgs{"none"}})
	require.NoError(t, err)
	foreign := w.submit(t, w.B.Ctx, r, 10)
	start(t, r)
	for _, run := range append([]bulk.Run{twin, other}, runs...) {
		await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	}
	await(t, w.B.Ctx, r, foreign.ID, bulk.StateFailed)
	stop(t, r)
	broken = false
	active := keyed()

	done, err := r.RetryAll(w.A.Ctx, bulk.ListQuery{Kind: "add_one"})
	require.NoError(t, err)
	require.Equal(t, bulk.Retried{
		Runs:      []bulk.RunID{runs[0].ID, runs[1].ID, runs[2].ID},
		Conflicts: []bulk.Conflict{{RunID: twin.ID, Active: active.ID}},
	}, done)
	var already *bulk.AlreadyRunningError
	_, err = r.Retry(w.A.Ctx, twin.ID)
	require.ErrorAs(t, err, &already)
	require.Equal(t, active.ID, already.RunID)
	require.NoError(t, r.Start(t.Context()))
	for _, run := range runs {
		w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 10)
	}
	for ctx, id := range map[context.Context]bulk.RunID{w.A.Ctx: other.ID, w.B.Ctx: foreign.ID} {
		still, err := r.Get(ctx, id)
		require.NoError(t, err)
		require.Equal(t, bulk.StateFailed, still.State)
	}
	_, err = r.RetryAll(w.A.CompanyCtx, bulk.ListQuery{})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}
