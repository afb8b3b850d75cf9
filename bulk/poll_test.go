package bulk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// Batches that are longer than the lease keep their own runs, and no others, from being
// found.
func TestLongBatchesDoNotCrowdOut(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.MaxWorkers = 1
	r := w.runner(t, &addOne{size: 10}, cfg)
	long, due := w.submit(t, w.A.Ctx, r, 10), w.submit(t, w.A.Ctx, r, 10)
	w.polledOnly(t)
	w.change(t, `UPDATE strata.runs SET state = 'processing', lease = gen_random_uuid(), lease_until = now(), next_attempt_at = '2020-01-01' WHERE id = $1`, long.ID)
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error { // the long batch
		_, err := tx.Exec(w.A.Ctx, `SELECT FROM strata.runs WHERE id = $1 FOR NO KEY UPDATE`, long.ID)
		require.NoError(t, err)
		start(t, r)
		w.exact(t, await(t, w.A.Ctx, r, due.ID, bulk.StateCompleted), 10)
		return nil
	}))
	w.exact(t, await(t, w.A.Ctx, r, long.ID, bulk.StateCompleted), 10)
}

// A cancelled run whose Finish fails waits, as every other failure does.
func TestCancelThatCannotFinishWaits(t *testing.T) {
	t.Parallel()
	w := open(t)
	var later atomic.Bool
	h := &addOne{size: 10}
	h.finish = func(_ context.Context, _ *tenancy.Tx, run bulk.Run) error {
		if run.State == bulk.StateCancelled && !later.Load() {
			return errors.New("not now")
		}
		return nil
	}
	cfg := quick()
	cfg.Backoff = time.Hour
	api, err := bulk.NewRunner(w.DB, nil, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	var others []bulk.Run
	for range 2 {
		run := w.submit(t, w.A.Ctx, api, 10)
		_, err := api.Pause(w.A.Ctx, run.ID)
		require.NoError(t, err)
		others = append(others, run)
	}
	w.polledOnly(t)
	run := w.submit(t, w.A.Ctx, api, 10)
	_, err = api.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	r := w.runner(t, h, cfg)
	start(t, r)
	var waiting bulk.Run
	require.Eventually(t, func() bool {
		waiting, err = r.Get(w.A.Ctx, run.ID)
		require.NoError(t, err)
		return waiting.State == bulk.StateQueued && waiting.Failures > 0
	}, within, time.Millisecond)
	for _, other := range others { // found by two polls, one after the other
		w.change(t, `UPDATE strata.runs SET state = 'queued' WHERE id = $1`, other.ID)
		await(t, w.A.Ctx, r, other.ID, bulk.StateCompleted)
	}
	still, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, waiting, still, "nobody has touched it")

	later.Store(true)
	w.change(t, `UPDATE strata.runs SET next_attempt_at = now() WHERE id = $1`, run.ID)
	await(t, w.A.Ctx, r, run.ID, bulk.StateCancelled)
}
