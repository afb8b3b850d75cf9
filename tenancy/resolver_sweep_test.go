package tenancy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// clock is the time, moved on.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// throughRedis returns a resolver that remembers nothing itself.
func throughRedis(t *testing.T, e *tenancytest.Env) *tenancy.Resolver {
	t.Helper()
	return newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Nanosecond})
}

func requireSuspended(t *testing.T, r *tenancy.Resolver, c *tenancytest.Company, want bool) {
	t.Helper()
	d, err := r.ResolveDomain(t.Context(), c.DomainID)
	require.NoError(t, err)
	require.Equal(t, want, d.Suspended)
}

func TestSweepReachesARedisThatWasAway(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	line, clock := newLine(t, e), &clock{}
	r := newResolver(t, e, line, tenancy.ResolverConfig{Lifetime: time.Hour, Now: clock.now})
	sweep := r.Sweeper()
	require.NoError(t, sweep(t.Context()))
	requireSuspended(t, r, e.A, false)

	requireSuspended(t, r, e.B, false)
	line.cut()
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		_, err := e.Store.SetCompanySuspended(c.CompanyCtx, true)
		require.NoError(t, err)
	}
	require.Error(t, sweep(t.Context()), "Redis was not told")
	requireSuspended(t, r, e.B, true)
	clock.advance(10 * time.Minute)
	require.Error(t, sweep(t.Context()), "Redis was not told")
	require.Error(t, sweep(t.Context()), "nor was it while the breaker was open")

	line.restore()
	clock.advance(time.Minute)
	other := throughRedis(t, e)
	requireSuspended(t, other, e.A, false)
	requireSuspended(t, r, e.A, false) // Redis has the old value, and now memory too
	require.NoError(t, sweep(t.Context()))
	requireSuspended(t, other, e.A, true)
	requireSuspended(t, r, e.A, true)
}

func TestSweepOfANewProcessCoversWhatRedisMayHold(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	other, clock := throughRedis(t, e), &clock{}
	requireSuspended(t, other, e.A, false)
	_, err := e.Store.SetCompanySuspended(e.A.CompanyCtx, true)
	require.NoError(t, err)
	requireSuspended(t, other, e.A, false)

	clock.advance(50 * time.Minute)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Now: clock.now})
	require.NoError(t, r.Sweeper()(t.Context()))
	requireSuspended(t, other, e.A, true)
}

func TestSweepTellsAChangeOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	client := newLine(t, e)
	var asked, tombstones atomic.Int64
	client.AddHook(watch{before: func(cmd redis.Cmder) {
		switch cmd.Name() {
		case "hget":
			asked.Add(1)
		case "eval":
			tombstones.Add(1)
		}
	}})
	r := newResolver(t, e, client, tenancy.ResolverConfig{Lifetime: time.Hour})
	sweep := r.Sweeper()
	require.NoError(t, sweep(t.Context()))
	require.EqualValues(t, 6, tombstones.Swap(0), "two companies that are new")
	requireSuspended(t, r, e.A, false)
	requireSuspended(t, r, e.B, false)

	_, err := e.Store.SetCompanySuspended(e.A.CompanyCtx, true)
	require.NoError(t, err)
	require.NoError(t, sweep(t.Context()))
	require.EqualValues(t, 3, tombstones.Swap(0), "a company, its workspace and its domain")
	asked.Store(0)
	requireSuspended(t, r, e.A, true)
	requireSuspended(t, r, e.B, false)
	require.EqualValues(t, 1, asked.Swap(0), "company B did not change")

	require.NoError(t, sweep(t.Context()))
	require.Zero(t, tombstones.Load())
	requireSuspended(t, r, e.A, true)
	require.Zero(t, asked.Load())
}

func TestSweepRunsWhileMessagesArrive(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	r.SetPace(100*time.Millisecond, 100*time.Millisecond)
	run(t, r)
	require.Eventually(t, r.Subscribed, eventually, tick)

	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan struct{})
	go func() {
		defer close(published)
		for ctx.Err() == nil {
			_ = e.Redis.Publish(ctx, tenancy.ChangesChannel, tenancy.NewID[tenancy.Company]().String())
		}
	}()
	t.Cleanup(func() { cancel(); <-published })
	requireSuspended(t, r, e.A, false)
	_, err := e.Store.SetCompanySuspended(e.A.CompanyCtx, true) // this store knows no resolver
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err := r.ResolveDomain(t.Context(), e.A.DomainID)
		return err == nil && d.Suspended
	}, eventually, tick)
}

func TestSweepIsQuickOnceTheSubscriptionBreaks(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	line := newLine(t, e)
	r := newResolver(t, e, line, tenancy.ResolverConfig{Lifetime: time.Hour})
	r.SetPace(time.Hour, 200*time.Millisecond)
	suspend := func(c *tenancytest.Company) { // by a store that knows no resolver
		_, err := e.Store.SetCompanySuspended(c.CompanyCtx, true)
		require.NoError(t, err)
	}
	seen := func(c *tenancytest.Company) func() bool {
		return func() bool {
			d, err := r.ResolveDomain(t.Context(), c.DomainID)
			return err == nil && d.Suspended
		}
	}
	requireSuspended(t, r, e.A, false)
	requireSuspended(t, r, e.B, false)
	suspend(e.B)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	require.Eventually(t, r.Subscribed, eventually, tick)
	require.Eventually(t, seen(e.B), eventually, tick) // so that the next sweep is an hour away
	requireSuspended(t, r, e.A, false)
	line.cut()
	suspend(e.A)
	require.Eventually(t, seen(e.A), eventually, tick)

	line.restore()
	require.Eventually(t, r.Subscribed, eventually, tick)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.False(t, r.Subscribed(), "Run waits for what it started")
}
