package tenancy_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// eventually bounds a wait for another goroutine. It is no measurement.
const (
	eventually = 20 * time.Second
	tick       = 5 * time.Millisecond
)

func newResolver(t *testing.T, e *tenancytest.Env, client redis.UniversalClient, cfg tenancy.ResolverConfig) *tenancy.Resolver {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	r, err := tenancy.NewResolver(e.DB, client, &cfg)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// storeWith returns a store whose changes r is told of.
func storeWith(t *testing.T, e *tenancytest.Env, r *tenancy.Resolver) *tenancy.Store {
	t.Helper()
	s, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Resolver: r})
	require.NoError(t, err)
	return s
}

func run(t *testing.T, r *tenancy.Resolver) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.ErrorIs(t, <-done, context.Canceled) })
}

func TestResolveEveryLevel(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for name, client := range map[string]redis.UniversalClient{"with Redis": e.Redis, "without Redis": nil} {
		t.Run(name, func(t *testing.T) {
			r := newResolver(t, e, client, tenancy.ResolverConfig{})
			for range 2 { // loaded, then from memory
				d, err := r.ResolveDomain(t.Context(), e.A.DomainID)
				require.NoError(t, err)
				require.Equal(t, tenancy.LevelDomain, d.Level())
				require.Equal(t, e.A.CompanyID, d.CompanyID)
				require.Equal(t, e.A.WorkspaceID, d.WorkspaceID)
				require.Equal(t, "enterprise", d.Plan)
				require.Equal(t, tenancy.AccessFull, d.Access)
				require.Positive(t, d.Version)
				w, err := r.ResolveWorkspace(t.Context(), e.A.WorkspaceID)
				require.NoError(t, err)
				require.Equal(t, tenancy.LevelWorkspace, w.Level())
				c, err := r.ResolveCompany(t.Context(), e.A.CompanyID)
				require.NoError(t, err)
				require.Equal(t, tenancy.LevelCompany, c.Level())
				_, err = r.ResolveDomain(t.Context(), tenancy.NewID[tenancy.Domain]())
				require.ErrorIs(t, err, tenancy.ErrNotFound)
				_, err = r.ResolveDomain(t.Context(), tenancy.DomainID(e.A.CompanyID))
				require.ErrorIs(t, err, tenancy.ErrNotFound, "a company's id is not a domain's")
			}
		})
	}
}

func TestChangeIsSeenByEveryProcess(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	there := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	run(t, there)
	store := storeWith(t, e, here)

	for _, suspended := range []bool{true, false, true} {
		_, err := there.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err)
		_, err = store.SetCompanySuspended(e.A.CompanyCtx, suspended)
		require.NoError(t, err)
		mine, err := here.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err)
		require.Equal(t, suspended, mine.Suspended, "the process that made the change sees it at once")
		require.Eventually(t, func() bool {
			d, err := there.ResolveDomain(t.Context(), e.A.DomainID)
			return err == nil && d.Suspended == suspended
		}, eventually, tick)
	}
	require.NoError(t, store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID))
	require.Eventually(t, func() bool {
		_, err := there.ResolveDomain(t.Context(), e.A.DomainID)
		return errors.Is(err, tenancy.ErrNotFound)
	}, eventually, tick)
	_, err := there.ResolveDomain(t.Context(), e.B.DomainID)
	require.NoError(t, err)
}

// A process that dies after its commit and before its message tells nobody: the sweep must find it.
func TestSweepFindsWhatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, nil, tenancy.ResolverConfig{Lifetime: time.Hour})
	_, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	run(t, r)
	_, err = e.Store.SetCompanySuspended(e.A.CompanyCtx, true) // this store knows no resolver
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err := r.ResolveDomain(t.Context(), e.A.DomainID)
		return err == nil && d.Suspended
	}, eventually, tick)
}

func TestNotFoundIsForgottenOnCreate(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{NegativeLifetime: time.Hour})
	store := storeWith(t, e, r)
	// Look the id up before it exists, through a database that is told to use it.
	id := tenancy.NewID[tenancy.Domain]()
	_, err := r.ResolveDomain(t.Context(), id)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	require.NoError(t, e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.A.CompanyCtx, `INSERT INTO strata.domains (company_id, workspace_id, id, domain_name) VALUES ($1, $2, $3, 'late.example')`,
			e.A.CompanyID, e.A.WorkspaceID, id)
		return errors.Join(err, e.Audit.RecordChange(e.A.CompanyCtx, tx, tenancy.Change{Action: "domain.created"}))
	}))
	_, err = r.ResolveDomain(t.Context(), id)
	require.ErrorIs(t, err, tenancy.ErrNotFound, "still remembered")
	_, err = store.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "other.example"})
	require.NoError(t, err)
	_, err = r.ResolveDomain(t.Context(), id)
	require.NoError(t, err)
}

// ownPool returns a pool on e's database that the test may close, and a DB over it.
func ownPool(t *testing.T, e *tenancytest.Env) (*pgxpool.Pool, *tenancy.DB) {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), e.Pool.Config())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return pool, db
}

func TestStaleTenantWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	pool, db := ownPool(t, e)
	r := newResolver(t, &tenancytest.Env{DB: db}, nil, tenancy.ResolverConfig{Lifetime: time.Millisecond})
	fresh, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	require.False(t, fresh.Stale)
	pool.Close()
	require.Eventually(t, func() bool {
		d, err := r.ResolveDomain(t.Context(), e.A.DomainID)
		return err == nil && d.Stale && d.CompanyID == e.A.CompanyID
	}, eventually, tick)
	_, err = r.ResolveDomain(t.Context(), e.B.DomainID)
	require.Error(t, err)
}

func TestDeletedTenantIsNotServedStale(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	pool, db := ownPool(t, e)
	r := newResolver(t, &tenancytest.Env{DB: db}, nil, tenancy.ResolverConfig{Lifetime: time.Nanosecond, NegativeLifetime: time.Nanosecond})
	requireSuspended(t, r, e.A, false)
	require.NoError(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID)) // this store knows no resolver
	_, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	pool.Close()
	_, err = r.ResolveDomain(t.Context(), e.A.DomainID)
	require.Error(t, err)
	require.NotErrorIs(t, err, tenancy.ErrNotFound, "it was asked again")
}

func TestResolveHitDoesNotAllocate(t *testing.T) {
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	ctx := t.Context()
	_, err := r.ResolveDomain(ctx, e.A.DomainID)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = r.ResolveDomain(ctx, e.A.DomainID) }))
}

func TestCompanyOfASlug(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour, NegativeLifetime: time.Hour})
	store := storeWith(t, e, r)
	for _, slug := range []string{"", "Acme", "a.b", "-", "acme"} {
		_, err := r.ResolveCompanySlug(t.Context(), slug)
		require.ErrorIs(t, err, tenancy.ErrNotFound, slug)
	}
	first, err := store.CreateCompany(t.Context(), tenancy.NewCompany{Name: "Acme"})
	require.NoError(t, err)
	_, err = store.CreateWorkspace(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: first.ID}), tenancy.NewWorkspace{Name: "Main"})
	require.NoError(t, err)
	got, err := r.ResolveCompanySlug(t.Context(), "acme")
	require.NoError(t, err, "that nobody had it is forgotten when somebody has")
	byID, err := r.ResolveCompany(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, byID, got)

	require.NoError(t, store.DeleteCompany(tenancy.WithTenant(t.Context(), got)))
	_, err = r.ResolveCompanySlug(t.Context(), "acme")
	require.ErrorIs(t, err, tenancy.ErrNotFound)
}
