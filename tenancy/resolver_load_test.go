package tenancy_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// held is a client of e's Redis that keeps back its first answer about a tenant.
func held(t *testing.T, e *tenancytest.Env) (client *line, loads *atomic.Int64, reached, release chan struct{}) {
	t.Helper()
	client, loads = newLine(t, e), new(atomic.Int64)
	reached, release = make(chan struct{}), make(chan struct{})
	client.AddHook(watch{after: func(cmd redis.Cmder) {
		if cmd.Name() == "hget" && loads.Add(1) == 1 {
			close(reached)
			<-release
		}
	}})
	return client, loads, reached, release
}

// awaited is a context that tells when somebody begins to wait for its end: who joins a
// load that is held does.
type awaited struct {
	context.Context
	begun func()
}

func (a awaited) Done() <-chan struct{} {
	a.begun()
	return a.Context.Done()
}

func TestConcurrentMissesLoadOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	client, loads, reached, release := held(t, e)
	r := newResolver(t, e, client, tenancy.ResolverConfig{})
	r.SetRedisTimeout(time.Hour)
	var g errgroup.Group
	resolve := func(ctx context.Context) func() error {
		return func() error { _, err := r.ResolveDomain(ctx, e.A.DomainID); return err }
	}
	g.Go(resolve(t.Context()))
	<-reached
	var joined sync.WaitGroup
	for range 64 {
		joined.Add(1)
		g.Go(resolve(awaited{t.Context(), sync.OnceFunc(joined.Done)}))
	}
	joined.Wait()
	close(release)
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, loads.Load())
}

// A load that has read the old value when the change commits must not outlive it.
func TestLoadThatRacedAChange(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	requireSuspended(t, throughRedis(t, e), e.A, false) // Redis has the old value
	client, loads, reached, release := held(t, e)
	r := newResolver(t, e, client, tenancy.ResolverConfig{Lifetime: time.Hour})
	r.SetRedisTimeout(time.Hour)
	var g errgroup.Group
	g.Go(func() error { // began before the change: either answer is right
		_, err := r.ResolveDomain(t.Context(), e.A.DomainID)
		return err
	})
	<-reached
	_, err := storeWith(t, e, r).SetCompanySuspended(e.A.CompanyCtx, true)
	require.NoError(t, err)
	var joined sync.WaitGroup
	for range 64 { // begin after the change, and join the load that began before
		joined.Add(1)
		g.Go(func() error {
			d, err := r.ResolveDomain(awaited{t.Context(), sync.OnceFunc(joined.Done)}, e.A.DomainID)
			if err == nil && !d.Suspended {
				err = errors.New("a caller that began after the change got the old tenant")
			}
			return err
		})
	}
	joined.Wait()
	close(release)
	require.NoError(t, g.Wait())
	requireSuspended(t, r, e.A, true)
	require.EqualValues(t, 2, loads.Load())
}

func TestChangesElsewhereDoNotHoldUpALoad(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	client := newLine(t, e)
	r := newResolver(t, e, client, tenancy.ResolverConfig{})
	loads := 0
	client.AddHook(watch{before: func(cmd redis.Cmder) {
		if cmd.Name() == "hget" {
			if loads++; loads < 10 {
				r.Forget(t.Context(), e.B.CompanyID)
			}
		}
	}})
	r.SetRedisTimeout(time.Hour)
	requireSuspended(t, r, e.A, false)
	require.Equal(t, 1, loads)
}
