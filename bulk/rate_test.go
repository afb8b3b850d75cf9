package bulk_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// worked is a run as its batches make it.
type worked struct {
	rate      float64
	processed int64
}

// batches does so many, each of so much in so many seconds.
func (w *worked) batches(n int, did int64, seconds float64) {
	for range n {
		w.rate = bulk.Averaged(w.rate, w.processed, did, seconds)
		w.processed += did
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	var w worked
	w.batches(1, 500, 2)
	require.InDelta(t, 250, w.rate, 1e-9, "of one batch, its own")
	w.batches(100, 250, 1)
	require.InDelta(t, 250, w.rate, 1e-9, "what is even stays even")
	w.batches(10, 25, 0.1)
	w.batches(3, 2500, 10)
	require.InDelta(t, 250, w.rate, 1e-9, "whatever the size of the batches")

	young := worked{}
	young.batches(1, 100, 1)
	young.batches(1, 300, 1)
	require.InDelta(t, 200, young.rate, 5, "of a young run, nearly the plain average")

	old := worked{}
	old.batches(600, 100, 1)
	old.batches(30, 200, 1)
	require.InDelta(t, 100+100*(1-1/2.718281828), old.rate, 0.1, "after 30 seconds of another speed, most of the way")
	old.batches(120, 200, 1)
	require.InDelta(t, 200, old.rate, 2, "and then all of it")
	old.batches(30, 0, 1)
	require.InDelta(t, 200/2.718281828, old.rate, 1, "batches that get nothing done count")

	idle := worked{}
	idle.batches(5, 0, 1)
	require.Zero(t, idle.rate)
	idle.batches(1, 100, 1)
	require.Positive(t, idle.rate)
	require.InDelta(t, 7, bulk.Averaged(7, 100, 50, 0), 0, "a clock that stands still tells nothing")
	require.InDelta(t, 7, bulk.Averaged(7, 100, 50, -1), 0, "nor does one that goes back")
}

// The rate is that of the work: it neither begins anew with each slice and process, nor
// counts the time between them.
func TestRateGoesOn(t *testing.T) {
	t.Parallel()
	w := open(t)
	clock := &clock{now: time.Now()}
	cfg := quick()
	cfg.Slice, cfg.Now = 3*time.Second, clock.Now
	var rates []float64
	h := &addOne{
		size: 10,
		open: func(_ context.Context, run bulk.Run) error {
			if run.Processed > 0 {
				rates = append(rates, run.Rate)
			}
			clock.pass(time.Hour) // it stood in line
			return nil
		},
		done: func(context.Context, *tenancy.Tx, int64) error {
			clock.pass(time.Second)
			return nil
		},
	}
	first := w.runner(t, h, cfg)
	run := w.submit(t, w.A.Ctx, first, 95)
	require.NoError(t, first.Start(t.Context()))
	require.Eventually(t, func() bool {
		now, err := first.Get(w.A.Ctx, run.ID)
		require.NoError(t, err)
		return now.Processed > 0
	}, within, time.Millisecond)
	stop(t, first)
	second := w.runner(t, h, cfg)
	start(t, second)
	done := await(t, w.A.Ctx, second, run.ID, bulk.StateCompleted)
	require.GreaterOrEqual(t, len(rates), 2, "there was more than one slice")
	for _, rate := range rates {
		require.InDelta(t, 10, rate, 1e-6)
	}
	require.InDelta(t, 9.5, done.Rate, 0.5, "the last batch had half")
}
