// Package tenancytest opens what this repository's tests start from: a migrated
// database of the test's own, reached as the login of a real installation, with two
// companies that must never see each other.
package tenancytest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// Env is one test's world. Everything in it ends with the test.
type Env struct {
	Pool  *pgxpool.Pool
	DB    *tenancy.DB
	Redis redis.UniversalClient

	Store  *tenancy.Store
	Audit  *audit.Recorder
	Limits *billing.Limits

	// A and B are two companies on the enterprise plan.
	A, B *Company

	companies atomic.Int64
}

// Company is a company with one workspace and one domain, and contexts in which its
// owner works at each level.
type Company struct {
	CompanyID   tenancy.CompanyID
	WorkspaceID tenancy.WorkspaceID
	DomainID    tenancy.DomainID

	Actor        tenancy.Actor
	Ctx          context.Context // domain level
	WorkspaceCtx context.Context
	CompanyCtx   context.Context
}

// unguardedSQL lists the tables that may change without an audit entry in the same
// transaction, because a row in them is no mutation a user asked for: the audit trail
// itself, the record of migrations, leases, cursors and attempts of runs, moves and changes of custom fields, staging of imports and what they changed,
// keys of requests, checks of domain names, attempts at blueprints and what products count
// for them, the keys and progress of matching persons, the lists of tables and of extensions, what is known of indexes, how many recipients there are.
const unguardedSQL = `SELECT tablename FROM pg_tables WHERE schemaname = 'strata' AND (tablename LIKE 'goose\_%'
	OR tablename IN ('audit_entries', 'schema_lines', 'runs', 'run_batches', 'run_targets', 'run_failures', 'run_attempts', 'run_workers', 'import_changes', 'import_rows', 'idempotency_keys', 'domain_checks', 'custom_field_uniques',
		'moves', 'tenant_tables', 'recipient_extensions', 'blueprint_tasks', 'blueprint_counters', 'custom_field_runs', 'field_indexes', 'field_uses', 'person_keys', 'person_matches', 'recipient_counts'))`

// Template is the database every test begins with: migrated, and with a guard that
// fails every commit in which a table changed without an audit entry.
func Template() dbtest.Template {
	return dbtest.Template{Name: "strata", Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
		if err := strata.Migrate(ctx, pool, &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}); err != nil {
			return err
		}
		rows, err := pool.Query(ctx, unguardedSQL)
		if err != nil {
			return err
		}
		unguarded, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		return dbtest.AuditGuard(ctx, pool, "strata", unguarded...)
	}}
}

// Open returns a new Env.
func Open(t testing.TB) *Env {
	t.Helper()
	return OpenOn(t, dbtest.Database(t, Template()), dbtest.Redis(t))
}

// OpenOn returns an Env on servers of the test's own: pool's database has been set up by
// Template.
func OpenOn(t testing.TB, pool *pgxpool.Pool, client redis.UniversalClient) *Env {
	t.Helper()
	e := &Env{Pool: pool, Redis: client}
	var err error
	e.DB, err = tenancy.NewDB(e.Pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.DB.Close() })
	e.Audit, err = audit.NewRecorder(e.DB, nil)
	require.NoError(t, err)
	catalog, err := billing.NewCatalog()
	require.NoError(t, err)
	e.Limits, err = billing.NewLimits(e.DB, catalog, e.Audit, nil)
	require.NoError(t, err)
	e.Store, err = tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Provisioner: e.Limits, Limits: e.Limits})
	require.NoError(t, err)
	e.A, e.B = e.Company(t, "enterprise"), e.Company(t, "enterprise")
	return e
}

// Company creates one more company on plan.
func (e *Env) Company(t testing.TB, plan string) *Company {
	t.Helper()
	n := e.companies.Add(1)
	tenant, err := e.Store.Bootstrap(t.Context(),
		tenancy.NewCompany{Name: fmt.Sprintf("Company %d", n), Plan: plan},
		tenancy.NewDomain{DomainName: fmt.Sprintf("company-%d.example", n)})
	require.NoError(t, err)
	c := &Company{
		CompanyID: tenant.CompanyID, WorkspaceID: tenant.WorkspaceID, DomainID: tenant.DomainID,
		Actor: tenancy.Actor{
			ID: fmt.Sprintf("user-%d", n), Type: tenancy.ActorUser, Email: fmt.Sprintf("owner@company-%d.example", n),
			CompanyID: tenant.CompanyID, Role: access.CompanyOwner,
		},
	}
	at := func(tenant tenancy.Tenant) context.Context {
		return tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), c.Actor)
	}
	c.Ctx = at(tenant)
	tenant.DomainID = tenancy.DomainID{}
	c.WorkspaceCtx = at(tenant)
	tenant.WorkspaceID = tenancy.WorkspaceID{}
	c.CompanyCtx = at(tenant)
	return c
}

// Domain creates one more domain in the company's workspace and returns a context in it.
func (e *Env) Domain(t testing.TB, c *Company, name string) context.Context {
	t.Helper()
	d, err := e.Store.CreateDomain(c.WorkspaceCtx, c.WorkspaceID, tenancy.NewDomain{DomainName: strings.ToLower(name)})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(c.Ctx)
	require.NoError(t, err)
	tenant.DomainID = d.ID
	return tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), c.Actor)
}
