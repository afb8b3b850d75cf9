package bulk_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// A throttled run waits for what it did beyond its limit, without a slot when that is long, and
// goes on at once when the limit is taken away.
func TestThrottle(t *testing.T) {
	t.Parallel()
	w := open(t)
	var limits []int
	h := &addOne{size: 10, open: func(_ context.Context, run bulk.Run) error {
		limits = append(limits, run.MaxPerSecond)
		return nil
	}}
	cfg := quick()
	cfg.MaxWorkers, cfg.Slice = 1, time.Hour
	r := w.runner(t, h, cfg)
	id := tenancy.NewID[bulk.Run]()
	items(t, w.Pool, id.String(), 45)
	slow, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", ID: id, Args: addOneArgs{id.String()}, MaxPerSecond: 1})
	require.NoError(t, err)
	require.Equal(t, 1, slow.MaxPerSecond)
	start(t, r)
	require.Eventually(t, func() bool { // one batch of 10 is ten seconds' worth
		now, err := r.Get(w.A.Ctx, id)
		require.NoError(t, err)
		return now.State == bulk.StateQueued && now.Processed == 10
	}, within, time.Millisecond)
	other := w.submit(t, w.A.Ctx, r, 10)
	w.exact(t, await(t, w.A.Ctx, r, other.ID, bulk.StateCompleted), 10)
	still, err := r.Get(w.A.Ctx, id)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, still.State)

	_, err = r.Throttle(w.A.Ctx, id, 1000) // short waits, in its slot
	require.NoError(t, err)
	now, err := r.Throttle(w.A.Ctx, id, 1000)
	require.NoError(t, err)
	require.Equal(t, 1000, now.MaxPerSecond)
	w.exact(t, await(t, w.A.Ctx, r, id, bulk.StateCompleted), 45)
	stop(t, r)
	require.Equal(t, []int{1, 0, 1000}, limits)
	require.Equal(t, []string{"run.submitted", "run.throttled", "run.completed"}, w.entries(t, w.A.Ctx, id))
	var v *tenancy.ValidationError
	_, err = r.Throttle(w.A.Ctx, id, -1)
	require.ErrorAs(t, err, &v)
	_, err = r.Throttle(w.A.Ctx, id, 1)
	require.ErrorIs(t, err, bulk.ErrState)
	_, err = submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", MaxPerSecond: -1})
	require.ErrorAs(t, err, &v)
}

// Work that is opened learns of another limit, and is held to it.
func TestThrottleWhileItRuns(t *testing.T) {
	t.Parallel()
	w := open(t)
	var limits []int
	h := &addOne{size: 10}
	h.open = func(_ context.Context, run bulk.Run) error {
		limits = append(limits, run.MaxPerSecond)
		return nil
	}
	h.done = func(ctx context.Context, tx *tenancy.Tx, after int64) error {
		_, err := tx.Exec(ctx, `UPDATE strata.runs SET max_per_second = 100`)
		return err
	}
	cfg := quick()
	cfg.Slice = time.Hour
	r := w.runner(t, h, cfg)
	run := w.submit(t, w.A.Ctx, r, 55)
	start(t, r)
	done := await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	w.exact(t, done, 55)
	stop(t, r)
	require.Equal(t, []int{0, 100}, limits)
	require.GreaterOrEqual(t, done.FinishedAt.Sub(*done.StartedAt), 450*time.Millisecond, "50 of them at 100 a second")
}
