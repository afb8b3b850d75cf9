package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// newResolverWithoutPostgres returns a resolver that only Redis can serve.
func newResolverWithoutPostgres(t *testing.T, e *tenancytest.Env) *tenancy.Resolver {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/none?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return newResolver(t, &tenancytest.Env{DB: db}, e.Redis, tenancy.ResolverConfig{})
}

func TestResolverSharesThroughRedis(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	first := newResolver(t, e, e.Redis, tenancy.ResolverConfig{})
	want, err := first.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)

	second := newResolverWithoutPostgres(t, e)
	got, err := second.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = second.ResolveDomain(t.Context(), e.B.DomainID)
	require.Error(t, err)
	require.NotErrorIs(t, err, tenancy.ErrNotFound, "a backend that is down is not 'not found'")
}

// What one workspace changes must not keep the others out of Redis.
func TestChangeKeepsRedisForItsNeighbours(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{})
	store := storeWith(t, e, r)
	w, err := store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Neighbour"})
	require.NoError(t, err)
	requireSuspended(t, r, e.A, false)
	_, err = store.RenameWorkspace(e.A.CompanyCtx, w.ID, "New name")
	require.NoError(t, err)

	want, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	got, err := newResolverWithoutPostgres(t, e).ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err, "the domain is not in Redis")
	require.Equal(t, want, got)
}

// A process that has just failed to reach Redis still tells the others of its change.
func TestChangeIsAnnouncedWhileTheBreakerIsOpen(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	line, stopped := newLine(t, e), time.Now()
	here := newResolver(t, e, line, tenancy.ResolverConfig{Now: func() time.Time { return stopped }})
	there := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	there.SetPace(time.Hour, time.Hour)
	run(t, there)
	require.Eventually(t, there.Subscribed, eventually, tick)
	requireSuspended(t, there, e.A, false)

	line.cut()
	requireSuspended(t, here, e.A, false)
	require.False(t, here.RedisUp())
	line.restore()
	_, err := storeWith(t, e, here).SetCompanySuspended(e.A.CompanyCtx, true)
	require.NoError(t, err)
	require.False(t, here.RedisUp(), "its clock stands still")
	requireSuspended(t, throughRedis(t, e), e.A, true)
	require.Eventually(t, func() bool {
		d, err := there.ResolveDomain(t.Context(), e.A.DomainID)
		return err == nil && d.Suspended
	}, eventually, tick)
}

func TestRedisThatNeverAnswers(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, silent(t), tenancy.ResolverConfig{})

	// A caller that gives up says nothing about Redis.
	r.SetRedisTimeout(time.Hour)
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := r.ResolveDomain(impatient, e.A.DomainID)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, r.RedisUp())

	r.SetRedisTimeout(10 * time.Millisecond)
	done := make(chan error, 1)
	go func() {
		_, err := r.ResolveDomain(context.Background(), e.A.DomainID)
		if err == nil {
			_, err = storeWith(t, e, r).SetCompanySuspended(e.A.CompanyCtx, true)
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return len(done) == 1 }, eventually, tick, "Redis holds up a resolve or a change")
	require.NoError(t, <-done)
	require.False(t, r.RedisUp())
	requireSuspended(t, r, e.A, true)
}
