package bulk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// gate lets a run's batches pass only while it is open.
type gate chan struct{}

func (g gate) pass(ctx context.Context, _ *tenancy.Tx, _ int64) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) entries(t *testing.T, ctx context.Context, id bulk.RunID) []string {
	t.Helper()
	page, err := w.Audit.List(ctx, audit.Query{ResourceType: "run", ResourceID: id.String()})
	require.NoError(t, err)
	var actions []string
	for i := len(page.Items) - 1; i >= 0; i-- {
		actions = append(actions, page.Items[i].Action)
	}
	return actions
}

// insist asks again while a batch takes too long.
func insist(ask func() error) (err error) {
	for err = bulk.ErrBusy; errors.Is(err, bulk.ErrBusy); {
		err = ask()
	}
	return err
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := make(gate)
	h := &addOne{size: 10, before: g.pass}
	cfg := quick()
	cfg.Slice = time.Minute
	r := w.runner(t, h, cfg)
	queued := w.submit(t, w.A.Ctx, r, 100)
	got, err := r.Cancel(w.A.Ctx, queued.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateCancelled, got.State, "at once: nobody works on it")
	require.Equal(t, []bulk.State{bulk.StateCancelled}, w.finishes(t, queued.ID))
	require.Equal(t, []string{"run.submitted", "run.cancelled"}, w.entries(t, w.A.Ctx, queued.ID))
	_, err = r.Cancel(w.A.Ctx, queued.ID)
	require.NoError(t, err)
	_, err = r.Retry(w.A.Ctx, queued.ID)
	require.ErrorIs(t, err, bulk.ErrState)

	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 5000)
	g <- struct{}{}
	g <- struct{}{}
	asked := make(chan error, 1)
	go func() {
		asked <- insist(func() error { _, err := r.Cancel(w.A.Ctx, run.ID); return err })
	}()
	for done := false; !done; { // the batch that runs has to end first
		select {
		case err := <-asked:
			require.NoError(t, err)
			done = true
		case g <- struct{}{}:
		}
	}
	close(g)
	ended := await(t, w.A.Ctx, r, run.ID, bulk.StateCancelled)
	require.Less(t, ended.Processed, int64(5000))
	require.Positive(t, ended.Processed, "what was done stays")
	require.Equal(t, []string{"run.submitted", "run.cancel_requested", "run.cancelled"}, w.entries(t, w.A.Ctx, run.ID))
	require.Equal(t, []bulk.State{bulk.StateCancelled}, w.finishes(t, run.ID))
}

// Whoever asks for a change does not wait for a long batch: what he holds, others need.
func TestChangeDuringALongBatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	run := w.submit(t, w.A.Ctx, r, 10)
	ctx, cancel := context.WithTimeout(w.A.Ctx, within)
	defer cancel()
	require.NoError(t, w.DB.InTx(ctx, func(tx *tenancy.Tx) error { // the batch
		_, err := tx.Exec(ctx, `SELECT FROM strata.runs FOR NO KEY UPDATE`)
		require.NoError(t, err)
		_, err = r.Cancel(ctx, run.ID)
		require.ErrorIs(t, err, bulk.ErrBusy)
		require.Equal(t, fault.Unavailable, fault.KindOf(err))
		return nil
	}))
	got, err := r.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateCancelled, got.State)
}

// A process without the handler cannot finish what it cancels: one that has it does.
func TestCancelWithoutTheHandler(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := &addOne{size: 10}
	cfg := quick()
	api, err := bulk.NewRunner(w.DB, nil, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	run := w.submit(t, w.A.Ctx, api, 100)
	_, err = api.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	got, err := api.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StatePaused, got.State)
	start(t, w.runner(t, h, cfg))
	await(t, w.A.Ctx, api, run.ID, bulk.StateCancelled)
	require.Equal(t, []bulk.State{bulk.StateCancelled}, w.finishes(t, run.ID))
	require.Zero(t, h.opened)
	require.Equal(t, []string{"run.submitted", "run.paused", "run.cancel_requested", "run.cancelled"}, w.entries(t, w.A.Ctx, run.ID))
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := make(gate)
	h := &addOne{size: 10, before: g.pass}
	cfg := quick()
	cfg.Slice = time.Minute
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 5000)
	g <- struct{}{}
	asked := make(chan error, 1)
	go func() {
		asked <- insist(func() error { _, err := r.Pause(w.A.Ctx, run.ID); return err })
	}()
	for done := false; !done; {
		select {
		case err := <-asked:
			require.NoError(t, err)
			done = true
		case g <- struct{}{}:
		}
	}
	close(g)
	held := await(t, w.A.Ctx, r, run.ID, bulk.StatePaused)
	require.Less(t, held.Processed, int64(5000))
	_, err := r.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	_, err = r.Resume(w.A.Ctx, run.ID)
	require.NoError(t, err)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 5000)
	_, err = r.Pause(w.A.Ctx, run.ID)
	require.ErrorIs(t, err, bulk.ErrState)
	_, err = r.Cancel(w.A.Ctx, run.ID)
	require.ErrorIs(t, err, bulk.ErrState)
	require.Equal(t, []string{"run.submitted", "run.pause_requested", "run.resumed", "run.completed"}, w.entries(t, w.A.Ctx, run.ID))
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	run := w.submit(t, w.A.Ctx, r, 10)
	_, err := r.Get(w.B.Ctx, run.ID)
	require.ErrorIs(t, err, bulk.ErrNotFound)
	for _, do := range []func(context.Context, bulk.RunID) (bulk.Run, error){
		r.Cancel, r.Pause, r.Resume, r.Retry,
		func(ctx context.Context, id bulk.RunID) (bulk.Run, error) { return r.Throttle(ctx, id, 5) },
		func(ctx context.Context, id bulk.RunID) (bulk.Run, error) { return bulk.Run{}, r.Delete(ctx, id) },
	} {
		_, err := do(w.B.Ctx, run.ID)
		require.ErrorIs(t, err, bulk.ErrNotFound)
	}
	_, err = r.Watch(w.B.Ctx, run.ID)
	require.ErrorIs(t, err, bulk.ErrNotFound)
	_, err = r.Attempts(w.B.Ctx, run.ID)
	require.ErrorIs(t, err, bulk.ErrNotFound)
	page, err := r.List(w.B.Ctx, bulk.ListQuery{})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.Zero(t, page.Total)
	_, err = r.List(w.A.CompanyCtx, bulk.ListQuery{})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	start(t, r)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 10)
	for _, table := range []string{"runs", "run_batches", "run_attempts"} {
		require.NoError(t, w.DB.Read(w.B.Ctx, `SELECT FROM strata.`+table, nil, func(rows pgx.Rows) error {
			require.False(t, rows.Next())
			return nil
		}))
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	var want []bulk.RunID
	for range 5 {
		want = append([]bulk.RunID{w.submit(t, w.A.Ctx, r, 1).ID}, want...)
	}
	var got []bulk.RunID
	q := bulk.ListQuery{Kind: "add_one", State: bulk.StateQueued}
	q.PageSize = 2
	for {
		page, err := r.List(w.A.Ctx, q)
		require.NoError(t, err)
		if q.Cursor == "" {
			require.EqualValues(t, 5, page.Total)
		}
		for _, run := range page.Items {
			got = append(got, run.ID)
		}
		if !page.HasMore {
			break
		}
		q.Cursor = page.NextCursor
	}
	require.Equal(t, want, got)
	page, err := r.List(w.A.Ctx, bulk.ListQuery{State: bulk.StateFailed})
	require.NoError(t, err)
	require.Empty(t, page.Items)
}
