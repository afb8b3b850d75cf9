package strata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	if os.Getenv(serverVariable) != "" {
		os.Exit(serverChild())
	}
	if os.Getenv(productVariable) != "" {
		os.Exit(productChild())
	}
	dbtest.Main(m)
}

// counter counts the log lines of applied migrations.
type counter struct {
	slog.Handler
	n atomic.Int64
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "migrated" {
		c.n.Add(1)
	}
	return nil
}
func (c *counter) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *counter) WithGroup(string) slog.Handler      { return c }

func migrationsApplied(t *testing.T, pool *pgxpool.Pool, schema string) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT sum(version) FROM `+schema+`.schema_lines`).Scan(&n))
	return n
}

func TestTenProcessesMigrateOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	log := &counter{}
	var g errgroup.Group
	for range 10 {
		g.Go(func() error {
			own, err := pgxpool.New(t.Context(), pool.Config().ConnString())
			if err != nil {
				return err
			}
			defer own.Close()
			return strata.Migrate(t.Context(), own, &strata.MigrateConfig{Log: slog.New(log)})
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, migrationsApplied(t, pool, "strata"), log.n.Load(), "each migration once")
	require.NoError(t, strata.Migrate(t.Context(), pool, &strata.MigrateConfig{Log: slog.New(log)}))
	require.EqualValues(t, migrationsApplied(t, pool, "strata"), log.n.Load(), "again is nothing")
}

// The lock must not take from a pool what the work needs, whoever waits for it.
func TestMigrateNeedsOneConnectionOfItsPool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ conns, callers int }{{1, 1}, {1, 3}, {4, 10}} {
		t.Run(fmt.Sprintf("%d connections, %d callers", c.conns, c.callers), func(t *testing.T) {
			t.Parallel()
			cfg := dbtest.Database(t, dbtest.Template{}).Config()
			cfg.MaxConns = int32(c.conns)
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			defer pool.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a deadlock has no other end
			defer cancel()
			log := &counter{}
			var g errgroup.Group
			for range c.callers {
				g.Go(func() error { return strata.Migrate(ctx, pool, &strata.MigrateConfig{Log: slog.New(log)}) })
			}
			require.NoError(t, g.Wait())
			require.EqualValues(t, migrationsApplied(t, pool, "strata"), log.n.Load(), "each migration once")
		})
	}
}

func TestMigrateTouchesOnlyItsSchemas(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	require.NoError(t, strata.Migrate(t.Context(), pool, &strata.MigrateConfig{
		Schema: "acme_core", RiverSchema: "acme_jobs", Log: slog.New(slog.DiscardHandler),
	}))
	rows, err := pool.Query(t.Context(), `SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	require.NoError(t, err)
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"acme_core", "acme_jobs"}, schemas)
}

func TestEveryTableHasItsWalls(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, tenancytest.Template())
	// Only the library's own bookkeeping of versions, tables, indexes and processes belongs to no tenant, and no
	// runtime role may change it, but for notes that it cannot read.
	rows, err := pool.Query(t.Context(), `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'strata' AND c.relkind IN ('r', 'p')
		  AND c.relname NOT IN ('schema_lines', 'tenant_tables', 'recipient_extensions', 'field_indexes', 'field_uses', 'run_workers') AND c.relname NOT LIKE 'goose\_%'
		  AND NOT (c.relrowsecurity AND c.relforcerowsecurity
			AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['strata_app'::regrole::oid] AND p.polwithcheck IS NOT NULL)
			AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'company_id' OR c.relname = 'companies')
			AND NOT has_table_privilege('strata_app', c.oid, 'TRUNCATE')
			AND NOT has_table_privilege('strata_query', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))`)
	require.NoError(t, err)
	bad, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bad, "row-level security enabled and forced, a policy for strata_app, the company's column, no TRUNCATE")

	// A policy that calls anything else, casts the column or says OR costs the index. What a
	// column is compared with is one value for the whole statement: a setting, perhaps only
	// while there is no workspace, or the id that stands for the platform.
	rows, err = pool.Query(t.Context(), `SELECT tablename || ': ' || qual FROM pg_policies WHERE schemaname = 'strata' AND 'strata_app' = ANY (roles)
		AND qual !~ '^\(\w+ = \( SELECT \(NULLIF\(current_setting\(''strata\.\w+''::text, true\), ''''::text\)\)::uuid AS "?\w+"?(\s+WHERE \(NULLIF\(current_setting\(''strata\.workspace_id''::text, true\), ''''::text\) IS NULL\))?\)\)$'
		AND NOT (cmd = 'SELECT' AND qual = '(company_id = ''ffffffff-ffff-ffff-ffff-ffffffffffff''::uuid)')`)
	require.NoError(t, err)
	bad, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bad)

	for table, privileges := range map[string]string{"schema_lines": "INSERT, UPDATE, DELETE, TRUNCATE", "tenant_tables": "INSERT, UPDATE, DELETE, TRUNCATE", "recipient_extensions": "INSERT, UPDATE, DELETE, TRUNCATE", "field_indexes": "SELECT, INSERT, UPDATE, DELETE, TRUNCATE", "field_uses": "SELECT, UPDATE, TRUNCATE", "goose_tenancy": "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"} {
		var reachable bool
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT has_table_privilege('strata_app', 'strata.`+table+`', $1)`, privileges).Scan(&reachable))
		require.False(t, reachable, table)
	}
}

// A move goes through every table with rows of domains: in ours, and in those of products.
func TestEveryTableOfDomainsIsRegistered(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, tenancytest.Template())
	rows, err := pool.Query(t.Context(), `SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'domain_id'
		WHERE c.relnamespace = 'strata'::regnamespace AND c.relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT FROM strata.tenant_tables t WHERE t.schema_name = 'strata' AND t.table_name = c.relname) ORDER BY 1`)
	require.NoError(t, err)
	company, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"audit_entries", "domain_checks", "moves", "person_links", "settings"}, company,
		"history stays with the company in which it happened, and so do links to persons; checks of the name and settings have a policy by company and go along when the domain goes over")
}

// Every test of this repository runs under the audit guard: it has to be on.
func TestEveryTableIsGuarded(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	rows, err := e.Pool.Query(t.Context(), `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'strata' AND c.relkind IN ('r', 'p')
		  AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'dbtest_guard' AND g.tgenabled = 'O')
		ORDER BY c.relname`)
	require.NoError(t, err)
	unguarded, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{ // in these a row is no mutation that a user asked for
		"blueprint_counters", "blueprint_tasks", "custom_field_runs", "custom_field_uniques", "domain_checks", "field_indexes", "field_uses",
		"goose_access", "goose_audit", "goose_billing", "goose_blueprint", "goose_bulk", "goose_customfields", "goose_exports", "goose_imports", "goose_indexes", "goose_library", "goose_lifecycle", "goose_move", "goose_persons",
		"goose_recipients", "goose_settings", "goose_tenancy",
		"idempotency_keys", "import_changes", "import_rows", "moves", "person_keys", "person_matches", "recipient_counts", "recipient_extensions", "run_attempts", "run_batches", "run_failures", "run_targets", "run_workers", "runs", "schema_lines", "tenant_tables",
	}, unguarded)

	change := func(entries ...audit.Entry) error {
		return e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.A.CompanyCtx, `UPDATE strata.companies SET name = name WHERE id = $1`, e.A.CompanyID)
			return errors.Join(err, e.Audit.RecordTx(e.A.CompanyCtx, tx, entries...))
		})
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, change(), &pg)
	require.Equal(t, "23S01", pg.Code)
	require.NoError(t, change(audit.Entry{Action: "company.updated"}))
}

func TestNoMigrationThroughAPooler(t *testing.T) {
	t.Parallel()
	if !dbtest.Pooled() {
		t.Skip("no pooler stands before PostgreSQL: bash .ci/run pooler puts one there")
	}
	pool := dbtest.Database(t, tenancytest.Template())
	require.ErrorIs(t, strata.Migrate(t.Context(), pool, nil), strata.ErrPooler)
	require.ErrorIs(t, strata.Unmigrate(t.Context(), pool, nil), strata.ErrPooler)
	require.NoError(t, strata.CheckSchema(t.Context(), pool, nil))
}

func TestSchemaTooOldAndTooNew(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), dbtest.DirectURL(t, dbtest.Database(t, tenancytest.Template())))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	set := func(version, compatibleFrom int) {
		_, err := pool.Exec(t.Context(), `UPDATE strata.schema_lines SET version = $1, compatible_from = $2 WHERE line = 'tenancy'`, version, compatibleFrom)
		require.NoError(t, err)
	}
	require.NoError(t, strata.CheckSchema(t.Context(), pool, quiet))

	set(99, 1) // an expanding migration of the next version: both versions run
	require.NoError(t, strata.Migrate(t.Context(), pool, quiet))
	require.NoError(t, strata.CheckSchema(t.Context(), pool, quiet))

	set(99, 99) // a contracting one: this version must not
	err = strata.Migrate(t.Context(), pool, &strata.MigrateConfig{RiverSchema: "other_river", Log: quiet.Log})
	require.ErrorIs(t, err, strata.ErrSchemaTooNew)
	require.ErrorContains(t, err, "99")
	require.ErrorIs(t, strata.CheckSchema(t.Context(), pool, quiet), strata.ErrSchemaTooNew)
	var created bool
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT to_regnamespace('other_river') IS NOT NULL`).Scan(&created))
	require.False(t, created, "nothing is done to a schema that is too new")

	set(0, 1)
	require.ErrorIs(t, strata.CheckSchema(t.Context(), pool, quiet), strata.ErrSchemaTooOld)
	empty := dbtest.Database(t, dbtest.Template{})
	err = strata.CheckSchema(t.Context(), empty, quiet)
	require.ErrorIs(t, err, strata.ErrSchemaTooOld)
	require.ErrorContains(t, err, "run strata.Migrate")
}

// Work is queued in River's schema: it has to fit too.
func TestRiversSchemaTooOld(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, tenancytest.Template())
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	nowhere := &strata.MigrateConfig{RiverSchema: "nowhere"}
	require.ErrorIs(t, strata.CheckSchema(t.Context(), pool, nowhere), strata.ErrSchemaTooOld)
	_, err := strata.New(t.Context(), pool, nil, &strata.Config{RiverSchema: "nowhere", Log: quiet.Log})
	require.ErrorIs(t, err, strata.ErrSchemaTooOld)

	_, err = pool.Exec(t.Context(), `DELETE FROM strata_river.river_migration WHERE version = (SELECT max(version) FROM strata_river.river_migration)`)
	require.NoError(t, err)
	err = strata.CheckSchema(t.Context(), pool, quiet)
	require.ErrorIs(t, err, strata.ErrSchemaTooOld)
	require.ErrorContains(t, err, "strata_river")
	require.ErrorContains(t, err, "run strata.Migrate")
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	shape := func() []string {
		rows, err := pool.Query(t.Context(), `
			SELECT format('%s %s %s', table_name, column_name, data_type) FROM information_schema.columns WHERE table_schema = 'strata' AND table_name NOT LIKE 'goose%'
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'strata' AND tablename NOT LIKE 'goose%'
			UNION ALL SELECT format('%s %s %s', tablename, policyname, qual) FROM pg_policies WHERE schemaname = 'strata'
			UNION ALL SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid WHERE r.relnamespace = 'strata'::regnamespace AND r.relname NOT LIKE 'goose%'
			ORDER BY 1`)
		require.NoError(t, err)
		out, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return out
	}
	require.NoError(t, strata.Migrate(t.Context(), pool, quiet))
	before := shape()
	require.NotEmpty(t, before)
	require.NoError(t, strata.Unmigrate(t.Context(), pool, quiet))
	var left int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'strata'::regnamespace AND relkind IN ('r', 'S') AND relname NOT LIKE 'goose%' AND relname <> 'schema_lines'`).Scan(&left))
	require.Zero(t, left)
	require.NoError(t, strata.Migrate(t.Context(), pool, quiet))
	require.Equal(t, before, shape())
}
