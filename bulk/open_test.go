package bulk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
)

// Who cancels or pauses a run need not wait for its Open.
func TestCancelAndPauseWhileOpenWorks(t *testing.T) {
	t.Parallel()
	w := open(t)
	opening := make(chan bulk.RunID)
	h := &addOne{size: 10}
	h.open = func(ctx context.Context, run bulk.Run) error {
		if run.Version >= 100 { // it was resumed
			return nil
		}
		opening <- run.ID
		<-ctx.Done()
		return ctx.Err()
	}
	r := w.runner(t, h, quick())
	start(t, r)

	run := w.submit(t, w.A.Ctx, r, 20)
	require.Equal(t, run.ID, <-opening)
	_, err := r.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	ended := await(t, w.A.Ctx, r, run.ID, bulk.StateCancelled)
	require.Zero(t, ended.Failures)
	require.Equal(t, []bulk.State{bulk.StateCancelled}, w.finishes(t, run.ID))

	run = w.submit(t, w.A.Ctx, r, 20)
	require.Equal(t, run.ID, <-opening)
	_, err = r.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	held := await(t, w.A.Ctx, r, run.ID, bulk.StatePaused)
	require.Zero(t, held.Failures)
	w.change(t, `UPDATE strata.runs SET version = 100 WHERE id = $1`, run.ID)
	_, err = r.Resume(w.A.Ctx, run.ID)
	require.NoError(t, err)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 20)
}

// A pause that is taken back before it was done leaves the run where it is worked on.
func TestPauseTakenBackWhileOpenWorks(t *testing.T) {
	t.Parallel()
	w := open(t)
	opening := make(chan struct{}, 1)
	h := &addOne{size: 10}
	var r *bulk.Runner
	var opened int
	h.open = func(ctx context.Context, run bulk.Run) error {
		if opened++; opened > 1 {
			return nil
		}
		opening <- struct{}{}
		<-ctx.Done()
		_, err := r.Resume(context.WithoutCancel(ctx), run.ID)
		return err
	}
	r = w.runner(t, h, quick())
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 20)
	<-opening
	_, err := r.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 20)
	require.Equal(t, []string{"run.submitted", "run.pause_requested", "run.resumed", "run.completed"}, w.entries(t, w.A.Ctx, run.ID))
}

// What Open tells of itself is progress, and is not counted twice once a batch says it.
func TestOpenTells(t *testing.T) {
	t.Parallel()
	w := open(t)
	release := make(chan struct{})
	h := &addOne{size: 100}
	h.open = func(ctx context.Context, run bulk.Run) error {
		run.Report(-1, 0)
		run.Report(40, 80)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cfg := quick()
	cfg.Slice = time.Minute
	r := w.runner(t, h, cfg)
	run := w.submit(t, w.A.Ctx, r, 80)
	w.change(t, `UPDATE strata.runs SET total = 1000, state = 'processing', lease = gen_random_uuid(), lease_until = now(), opened = 77`) // its process died
	progress, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.EqualValues(t, 77, (<-progress).Processed)
	start(t, r)
	var last bulk.Progress
	for last = range progress {
		if last.Processed == 40 {
			break
		}
	}
	require.EqualValues(t, 80, last.Total)
	require.InDelta(t, 50, last.Percentage, 0.001)
	require.Positive(t, last.RatePerSecond)
	require.NotNil(t, last.EtaSeconds)
	now, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Zero(t, now.Processed, "the ledger has nothing yet")
	require.EqualValues(t, 40, now.Opened)
	now.Report(50, 0) // nobody asks this one
	close(release)
	for last = range progress {
		require.LessOrEqual(t, last.Processed, int64(80))
	}
	require.Equal(t, bulk.StateCompleted, last.Status)
	done, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Zero(t, done.Opened)
	w.exact(t, done, 80)
}

// An Open that tells nothing for too long is broken off, one that tells goes on.
func TestHungOpen(t *testing.T) {
	t.Parallel()
	w := open(t)
	var r *bulk.Runner
	var silent bulk.RunID
	h := &addOne{size: 10}
	h.open = func(ctx context.Context, run bulk.Run) error {
		for n := int64(1); ctx.Err() == nil; n++ {
			now, err := r.Get(ctx, run.ID)
			if err != nil {
				return err
			}
			if run.ID != silent {
				run.Report(n, 0)
			}
			if now.Version >= run.Version+3 { // for longer than Hang
				return errors.New("it has told enough")
			}
		}
		return ctx.Err()
	}
	cfg := quick()
	cfg.MaxFailures, cfg.Hang = 1, 1500*time.Millisecond
	r = w.runner(t, h, cfg)
	hung, tells := w.submit(t, w.A.Ctx, r, 10), w.submit(t, w.A.Ctx, r, 10)
	silent = hung.ID
	start(t, r)
	require.Contains(t, await(t, w.A.Ctx, r, hung.ID, bulk.StateFailed).Error, "told nothing for too long")
	require.Equal(t, "it has told enough", await(t, w.A.Ctx, r, tells.ID, bulk.StateFailed).Error)
}
