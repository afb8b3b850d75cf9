package bulk_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// A process that is stopped hands over at once: nobody waits for its lease to run out.
func TestStopGivesLeasesBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.Lease, cfg.Slice = time.Hour, time.Hour
	g := make(gate)
	r1 := w.runner(t, &addOne{size: 10, before: g.pass}, cfg)
	require.NoError(t, r1.Start(t.Context()))
	require.Error(t, r1.Start(t.Context()), "once")
	require.Error(t, r1.Register("other", &addOne{}), "before Start")
	run := w.submit(t, w.A.Ctx, r1, 5000)
	g <- struct{}{}
	g <- struct{}{}
	stopped := make(chan error, 1)
	go func() { stopped <- r1.Stop(context.WithoutCancel(t.Context())) }()
	for done := false; !done; { // the batch that runs is finished
		select {
		case err := <-stopped:
			require.NoError(t, err)
			done = true
		case g <- struct{}{}:
		}
	}
	given, err := r1.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, given.State)
	require.GreaterOrEqual(t, given.Processed, int64(20))
	require.Less(t, given.Processed, int64(5000))
	r2 := w.runner(t, &addOne{size: 100}, cfg)
	start(t, r2)
	w.exact(t, await(t, w.A.Ctx, r2, run.ID, bulk.StateCompleted), 5000)
}

// When Stop may wait no longer the batch is rolled back, and the lease given back too.
func TestStopWithoutPatience(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.Lease, cfg.Slice = time.Hour, time.Hour
	began := make(chan struct{})
	h := &addOne{size: 10, done: func(ctx context.Context, _ *tenancy.Tx, _ int64) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}}
	r := w.runner(t, h, cfg)
	require.NoError(t, r.Start(t.Context()))
	run := w.submit(t, w.A.Ctx, r, 100)
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Stop(ctx), context.Canceled)
	given, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, given.State)
	require.Zero(t, given.Processed)
	require.Zero(t, given.Failures, "that was no failure of the run")
	h.done = nil
	start(t, r)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 100)
}

// A run that kills its process every time must not do so for ever.
func TestTakingOverCounts(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := &addOne{size: 10}
	r := w.runner(t, h, quick())
	run := w.submit(t, w.A.Ctx, r, 100)
	w.change(t, `UPDATE strata.runs SET state = 'processing', lease = gen_random_uuid(), lease_until = now(), failures = 2`)
	start(t, r)
	failed := await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	require.Equal(t, 3, failed.Failures)
	require.Contains(t, failed.Error, "died")
	require.Zero(t, h.opened)
	require.Equal(t, []bulk.State{bulk.StateFailed}, w.finishes(t, run.ID))
}

func TestDomainGone(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := &addOne{size: 10}
	r := w.runner(t, h, quick())
	run := w.submit(t, w.B.Ctx, r, 100)
	require.NoError(t, w.Store.DeleteCompany(w.B.CompanyCtx))
	start(t, r)
	gone := await(t, w.B.Ctx, r, run.ID, bulk.StateCancelled)
	require.Equal(t, "domain_gone", gone.ErrorCode)
	require.Equal(t, []bulk.State{bulk.StateCancelled}, w.finishes(t, run.ID))
}
