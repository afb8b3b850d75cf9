package strata_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

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
	// Only the library's own bookkeeping of versions belongs to no tenant, and no
	// runtime role may touch it.
	rows, err := pool.Query(t.Context(), `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'strata' AND c.relkind IN ('r', 'p')
		  AND c.relname <> 'schema_lines' AND c.relname NOT LIKE 'goose\_%'
		  AND NOT (c.relrowsecurity AND c.relforcerowsecurity
			AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['strata_app'::regrole::oid] AND p.polwithcheck IS NOT NULL)
			AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'company_id' OR c.relname = 'companies')
			AND NOT has_table_privilege('strata_app', c.oid, 'TRUNCATE')
			AND NOT has_table_privilege('strata_query', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))`)
	require.NoError(t, err)
	bad, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bad, "row-level security enabled and forced, a policy for strata_app, the company's column, no TRUNCATE")

	// A policy that calls anything else, casts the column or says OR costs the index.
	rows, err = pool.Query(t.Context(), `SELECT tablename || ': ' || qual FROM pg_policies WHERE schemaname = 'strata' AND 'strata_app' = ANY (roles)
		AND qual !~ '^\(\w+ = \( SELECT \(NULLIF\(current_setting\(''strata\.\w+''::text, true\), ''''::text\)\)::uuid AS "?\w+"?\)\)$'`)
	require.NoError(t, err)
	bad, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bad)

	for _, table := range []string{"schema_lines", "goose_tenancy"} {
		var reachable bool
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT has_table_privilege('strata_app', 'strata.`+table+`', 'SELECT, INSERT, UPDATE, DELETE')`).Scan(&reachable))
		require.False(t, reachable, table)
	}
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
		"goose_audit", "goose_billing", "goose_bulk", "goose_customfields", "goose_imports", "goose_recipients", "goose_tenancy",
		"idempotency_keys", "import_rows", "run_batches", "runs", "schema_lines",
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

func TestSchemaTooOldAndTooNew(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, tenancytest.Template())
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
	err := strata.Migrate(t.Context(), pool, quiet)
	require.ErrorIs(t, err, strata.ErrSchemaTooNew)
	require.ErrorContains(t, err, "99")
	require.ErrorIs(t, strata.CheckSchema(t.Context(), pool, quiet), strata.ErrSchemaTooNew)

	set(0, 1)
	require.ErrorIs(t, strata.CheckSchema(t.Context(), pool, quiet), strata.ErrSchemaTooOld)
	empty := dbtest.Database(t, dbtest.Template{})
	err = strata.CheckSchema(t.Context(), empty, quiet)
	require.ErrorIs(t, err, strata.ErrSchemaTooOld)
	require.ErrorContains(t, err, "run strata.Migrate")
}

// A login that may not create roles gets the SQL for somebody who may, and that SQL works.
func TestMigrateSaysWhatAnAdministratorHasToRun(t *testing.T) {
	t.Parallel()
	server := dbtest.PostgresServer(t)
	admin, err := pgxpool.New(t.Context(), server.URL)
	require.NoError(t, err)
	defer admin.Close()
	for _, q := range []string{`CREATE ROLE "weak login" LOGIN PASSWORD 'weak'`, `CREATE DATABASE product OWNER "weak login"`} {
		_, err := admin.Exec(t.Context(), q)
		require.NoError(t, err)
	}
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	u.User, u.Path = url.UserPassword("weak login", "weak"), "/product"
	weak, err := pgxpool.New(t.Context(), u.String())
	require.NoError(t, err)
	defer weak.Close()

	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	err = strata.Migrate(t.Context(), weak, quiet)
	require.ErrorIs(t, err, strata.ErrRolesMissing)
	_, script, found := strings.Cut(err.Error(), "has to run: ")
	require.True(t, found, err)
	script, _, _ = strings.Cut(script, "; :")
	_, err = admin.Exec(t.Context(), script)
	require.NoError(t, err, script)
	require.NoError(t, strata.Migrate(t.Context(), weak, quiet))
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
