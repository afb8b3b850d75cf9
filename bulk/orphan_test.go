package bulk_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// A run of a kind that no process of its queue does becomes a dead letter; one that only has to
// wait for a process that is busy does not, nor one of another queue.
func TestUnknownKind(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.MaxWorkers, cfg.OrphanAfter, cfg.Slice = 1, 4*time.Second, time.Hour
	stuck := make(chan struct{})
	busy := w.runner(t, &addOne{size: 10, open: func(ctx context.Context, _ bulk.Run) error {
		select {
		case <-stuck:
		case <-ctx.Done():
		}
		return nil
	}}, cfg)
	otherCfg := cfg
	otherCfg.Queue = "other"
	elsewhere := w.runner(t, &addOne{size: 10}, otherCfg)

	var waiting []bulk.Run
	for range 2 {
		waiting = append(waiting, w.submit(t, w.A.Ctx, busy, 10))
	}
	foreign := w.submit(t, w.A.Ctx, elsewhere, 10)
	orphan, err := submit(w.A.Ctx, w.DB, busy, bulk.Submission{Kind: "mystery", ID: tenancy.NewID[bulk.Run]()})
	require.NoError(t, err)
	cancelled, err := submit(w.A.Ctx, w.DB, busy, bulk.Submission{Kind: "mystery"})
	require.NoError(t, err)
	_, err = busy.Pause(w.A.Ctx, cancelled.ID)
	require.NoError(t, err)
	_, err = busy.Cancel(w.A.Ctx, cancelled.ID)
	require.NoError(t, err)
	dead, err := submit(w.A.Ctx, w.DB, busy, bulk.Submission{Kind: "mystery"})
	require.NoError(t, err)
	w.change(t, `UPDATE strata.runs SET state = 'processing', lease = gen_random_uuid(), lease_until = now() - interval '1 hour' WHERE id = $1`, dead.ID)

	start(t, busy)
	cfg.Worker = "one that does something else"
	other, err := bulk.NewRunner(w.DB, nil, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	require.NoError(t, other.Register("something_else", &addOne{}))
	start(t, other)

	failed := await(t, w.A.Ctx, busy, orphan.ID, bulk.StateFailed)
	require.Equal(t, "unknown_kind", failed.ErrorCode)
	require.Equal(t, "mystery: no process does runs of this kind", failed.PublicError())
	require.Equal(t, []string{"run.submitted", "run.failed"}, w.entries(t, w.A.Ctx, orphan.ID))
	await(t, w.A.Ctx, busy, dead.ID, bulk.StateFailed)
	await(t, w.A.Ctx, busy, cancelled.ID, bulk.StateCancelled)
	for _, run := range []bulk.Run{waiting[1], foreign} {
		now, err := busy.Get(w.A.Ctx, run.ID)
		require.NoError(t, err)
		require.Equal(t, bulk.StateQueued, now.State, "it has waited for as long as the orphan")
	}
	close(stuck)
	for _, run := range waiting {
		w.exact(t, await(t, w.A.Ctx, busy, run.ID, bulk.StateCompleted), 10)
	}

	stop(t, other) // a process that knows it comes
	require.NoError(t, other.Register("mystery", &addOne{size: 10}))
	require.NoError(t, other.Start(t.Context()))
	_, err = busy.Retry(w.A.Ctx, orphan.ID)
	require.NoError(t, err)
	await(t, w.A.Ctx, busy, orphan.ID, bulk.StateCompleted)
}

// River's jobs only wake: whatever becomes of them, runs are worked on.
func TestRiverJobsAreExpendable(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	var runs []bulk.Run
	for range 4 {
		runs = append(runs, w.submit(t, w.A.Ctx, r, 30))
	}
	_, err := w.Pool.Exec(t.Context(), `UPDATE strata_river.river_job SET state = 'discarded', finalized_at = now() WHERE id % 2 = 0`)
	require.NoError(t, err)
	_, err = w.Pool.Exec(t.Context(), `UPDATE strata_river.river_job SET state = 'running', attempt = max_attempts, attempted_at = now() - interval '2 days' WHERE id % 2 = 1`)
	require.NoError(t, err) // the process died at its last attempt: River will discard it
	start(t, r)
	for _, run := range runs {
		w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 30)
		require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
	}
}

// A River job that is cancelled while its run is worked on ends, and the run does not. When it
// is tried again it finds nothing to do.
func TestRunOutlivesItsRiverJob(t *testing.T) {
	t.Parallel()
	w := open(t)
	operator, err := river.NewClient(riverpgxv5.New(w.Pool), &river.Config{Schema: w.DB.RiverSchema()})
	require.NoError(t, err)
	// job waits for the only River job to be in a state.
	job := func(state rivertype.JobState, attempt int) (found *rivertype.JobRow, err error) {
		for began := time.Now(); time.Since(began) < within; time.Sleep(10 * time.Millisecond) {
			list, err := operator.JobList(t.Context(), river.NewJobListParams().States(state))
			if err != nil {
				return nil, err
			}
			if len(list.Jobs) == 1 && list.Jobs[0].Attempt == attempt {
				return list.Jobs[0], nil
			}
		}
		return nil, fmt.Errorf("no River job is %s at attempt %d", state, attempt)
	}
	var outlived atomic.Bool
	h := &addOne{size: 10}
	h.before = func(ctx context.Context, _ *tenancy.Tx, after int64) error {
		if after > 0 {
			return nil
		}
		running, err := job(rivertype.JobStateRunning, 1)
		if err == nil {
			_, err = operator.JobCancel(ctx, running.ID)
		}
		if err == nil { // the worker has returned, without an error
			_, err = job(rivertype.JobStateCompleted, 1)
		}
		outlived.Store(err == nil)
		return err
	}
	cfg := quick()
	cfg.Poll, cfg.Slice = time.Hour, time.Hour // only River wakes
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 30)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 30)
	require.True(t, outlived.Load())

	ended, err := job(rivertype.JobStateCompleted, 1)
	require.NoError(t, err)
	_, err = operator.JobRetry(t.Context(), ended.ID)
	require.NoError(t, err)
	_, err = job(rivertype.JobStateCompleted, 2)
	require.NoError(t, err)
	require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 30)
}
