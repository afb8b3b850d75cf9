package strata_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

// cluster is a PostgreSQL of the test's own, where it makes logins: those of the shared
// one have roles already.
type cluster struct {
	url   string
	admin *pgxpool.Pool
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{url: dbtest.PostgresServer(t).URL}
	c.admin = c.pool(t, c.url)
	return c
}

func (c *cluster) pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (c *cluster) exec(t *testing.T, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, q := range statements {
		_, err := pool.Exec(t.Context(), q)
		require.NoError(t, err, q)
	}
}

// as connects a login to a database. Without a login it is the administrator.
func (c *cluster) as(t *testing.T, login, database string) *pgxpool.Pool {
	t.Helper()
	u, err := url.Parse(c.url)
	require.NoError(t, err)
	u.Path = "/" + database
	if login != "" {
		u.User = url.UserPassword(login, "weak")
	}
	return c.pool(t, u.String())
}

// A login that may not create roles gets the SQL for somebody who may, and that SQL
// works, whatever is there already.
func TestMigrateSaysWhatAnAdministratorHasToRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.exec(t, c.admin, `CREATE ROLE "weak login" LOGIN PASSWORD 'weak'`, `CREATE DATABASE product OWNER "weak login"`)
	weak := c.as(t, "weak login", "product")
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	script := func() string {
		err := strata.Migrate(t.Context(), weak, quiet)
		require.ErrorIs(t, err, strata.ErrRolesMissing)
		_, script, found := strings.Cut(err.Error(), "has to run: ")
		require.True(t, found, err)
		script, _, _ = strings.Cut(script, "; :")
		return script
	}
	c.exec(t, c.admin, `BEGIN; `+script()+`; ROLLBACK`)
	c.exec(t, c.admin, `CREATE ROLE strata_query`)
	c.exec(t, c.admin, `BEGIN; `+script()+`; ROLLBACK`, `DROP ROLE strata_query`)
	c.exec(t, c.admin, `CREATE ROLE strata_app`)
	c.exec(t, c.admin, `BEGIN; `+script()+`; ROLLBACK`)
	c.exec(t, c.admin, `CREATE ROLE strata_query`)
	c.exec(t, c.admin, script())
	require.NoError(t, strata.Migrate(t.Context(), weak, quiet))
}

func TestLoginsWithFewRights(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	quiet := &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}
	c.exec(t, c.admin,
		`CREATE DATABASE product`,
		`CREATE ROLE strata_query NOLOGIN NOINHERIT`, `CREATE ROLE strata_app NOLOGIN NOINHERIT`, `GRANT strata_query TO strata_app`,
		`CREATE ROLE owner LOGIN PASSWORD 'weak'`, `GRANT strata_app TO owner`,
		`CREATE ROLE member LOGIN PASSWORD 'weak'`, `GRANT strata_app TO member`,
		`CREATE ROLE aloof LOGIN PASSWORD 'weak' NOINHERIT`, `GRANT strata_app TO aloof`,
		`CREATE ROLE stranger LOGIN PASSWORD 'weak'`,
	)
	c.exec(t, c.as(t, "", "product"), `CREATE SCHEMA strata AUTHORIZATION owner`, `CREATE SCHEMA strata_river AUTHORIZATION owner`)

	// To migrate, owning the schemas is enough: none has to be created.
	owner := c.as(t, "owner", "product")
	for range 2 {
		require.NoError(t, strata.Migrate(t.Context(), owner, quiet))
	}

	// To run, being a member of strata_app is.
	s, err := strata.New(t.Context(), c.as(t, "member", "product"), nil, &strata.Config{Log: quiet.Log})
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	defer func() { require.NoError(t, s.Stop(t.Context())) }()
	require.NoError(t, s.Ready(t.Context()))
	tenant, err := s.Tenancy.Bootstrap(t.Context(), tenancy.NewCompany{Name: "Acme"}, tenancy.NewDomain{DomainName: "acme.example"})
	require.NoError(t, err)
	ctx := tenancy.WithTenant(t.Context(), tenant)
	_, err = s.Tenancy.Company(ctx)
	require.NoError(t, err)
	_, err = s.Tenancy.CompanyBySlug(ctx, "acme")
	require.NoError(t, err)
	require.NoError(t, s.DB.InTx(ctx, func(*tenancy.Tx) error { return nil }))

	// What keeps the others out is called by its name.
	for login, says := range map[string]string{"aloof": "permission denied for schema", "stranger": "permission denied for schema"} {
		db, err := tenancy.NewDB(c.as(t, login, "product"), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		err = db.Read(ctx, `SELECT id FROM strata.companies`, nil, func(pgx.Rows) error { return nil })
		require.ErrorContains(t, err, says, login)
		require.NotContains(t, err.Error(), "cannot become", login)
		if login == "stranger" {
			require.ErrorContains(t, db.InTx(ctx, func(*tenancy.Tx) error { return nil }), "cannot become strata_app")
		}
	}
}

// Roles that undo the walls are named before anything is served.
func TestNewRefusesRolesThatUndoTheWalls(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	log := &lines{}
	cfg := &strata.Config{Log: slog.New(slog.NewTextHandler(log, nil))}
	c.exec(t, c.admin, `CREATE DATABASE product`)
	admin := c.as(t, "", "product")
	require.NoError(t, strata.Migrate(t.Context(), admin, &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}))
	c.exec(t, c.admin, `CREATE ROLE member LOGIN PASSWORD 'weak'`, `GRANT strata_app TO member`,
		`CREATE ROLE aloof LOGIN PASSWORD 'weak' NOINHERIT`, `GRANT strata_app TO aloof`, `CREATE ROLE stranger LOGIN PASSWORD 'weak'`,
		`CREATE ROLE all_seeing BYPASSRLS`)
	check := func(login string) error {
		db, err := tenancy.NewDB(c.as(t, login, "product"), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		return db.Check(t.Context())
	}
	require.NoError(t, check("member"))

	// A superuser may serve too: the role that it becomes is bound.
	require.NoError(t, check(""))

	// What is less than a hole is logged.
	c.exec(t, admin, `CREATE FUNCTION strata.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM strata.recipients'`)
	s, err := strata.New(t.Context(), c.as(t, "member", "product"), nil, cfg)
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), `subject="function strata.peek()" problem="it runs with the rights of postgres, which no policy binds`)
	c.exec(t, admin, `REVOKE EXECUTE ON FUNCTION strata.peek FROM PUBLIC`)
	require.NoError(t, check("member"))

	for _, k := range []struct{ do, undo, subject, says string }{
		{`ALTER ROLE strata_app BYPASSRLS`, `ALTER ROLE strata_app NOBYPASSRLS`, "role strata_app", "no policy binds it"},
		{`ALTER ROLE strata_app SUPERUSER`, `ALTER ROLE strata_app NOSUPERUSER`, "role strata_app", "NOSUPERUSER"},
		{`ALTER ROLE strata_query SUPERUSER`, `ALTER ROLE strata_query NOSUPERUSER`, "role strata_query", "superuser"},
		{`GRANT all_seeing TO strata_app`, `REVOKE all_seeing FROM strata_app`, "role strata_app", "a member of all_seeing"},
		{`GRANT all_seeing TO strata_query`, `REVOKE all_seeing FROM strata_query`, "role strata_query", "a member of all_seeing"},
		{
			`ALTER ROLE strata_app INHERIT; REVOKE strata_query FROM strata_app; GRANT strata_query TO strata_app`,
			`ALTER ROLE strata_app NOINHERIT; REVOKE strata_query FROM strata_app; GRANT strata_query TO strata_app`, "role strata_app", "inherits the rights of strata_query",
		},
		{`REVOKE strata_query FROM strata_app`, `GRANT strata_query TO strata_app`, "role strata_app", "cannot become strata_query"},
	} {
		c.exec(t, c.admin, k.do)
		_, err := strata.New(t.Context(), c.as(t, "member", "product"), nil, cfg)
		var found *tenancy.CheckError
		require.ErrorAs(t, err, &found, k.do)
		require.Equal(t, k.subject, found.Problems[0].Subject, k.do)
		require.ErrorContains(t, err, k.says, k.do)
		c.exec(t, c.admin, k.undo)
		require.NoError(t, check("member"), k.undo)
	}
	for login, says := range map[string]string{"aloof": "does not inherit", "stranger": "GRANT strata_app TO"} {
		require.ErrorContains(t, check(login), "login "+login, login)
		require.ErrorContains(t, check(login), says, login)
	}

	// The owner of the tables must be somebody else than the role that is to be bound.
	c.exec(t, admin, `ALTER TABLE strata.recipients OWNER TO strata_app`)
	require.ErrorContains(t, check("member"), "strata.recipients: strata_app is a member of its owner")
	empty, err := tenancy.NewDB(newCluster(t).admin, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, empty.Close()) }()
	require.ErrorContains(t, empty.Check(t.Context()), "role strata_app: it does not exist")
}

// Whoever the pool logs in as, and whether or not the table's owner is bound: a scope shows
// its own.
func TestTheWallStandsWhoeverLogsIn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.exec(t, c.admin, `CREATE DATABASE product`)
	admin := c.as(t, "", "product")
	require.NoError(t, strata.Migrate(t.Context(), admin, &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}))
	c.exec(t, c.admin, `CREATE ROLE member LOGIN PASSWORD 'weak'`, `CREATE ROLE owner LOGIN PASSWORD 'weak'`,
		`CREATE ROLE bypassing LOGIN PASSWORD 'weak' BYPASSRLS`, `GRANT strata_app TO member, owner, bypassing`)
	c.exec(t, admin, `ALTER TABLE strata.companies OWNER TO owner`)
	ids := make([]tenancy.CompanyID, 3)
	for i := range ids {
		ids[i] = tenancy.NewID[tenancy.Company]()
		_, err := admin.Exec(t.Context(), `INSERT INTO strata.companies (id, name, slug) VALUES ($1, $2, $2)`, ids[i], fmt.Sprintf("company-%d", i))
		require.NoError(t, err)
	}
	const all = `SELECT count(*) FROM strata.companies`
	for _, forced := range []string{"FORCE", "NO FORCE"} {
		c.exec(t, admin, `ALTER TABLE strata.companies `+forced+` ROW LEVEL SECURITY`)
		for login, bare := range map[string]int{"": 3, "bypassing": 3, "owner": map[string]int{"FORCE": 0, "NO FORCE": 3}[forced], "member": 0} {
			pool := c.as(t, login, "product")
			db, err := tenancy.NewDB(pool, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			var n int
			require.NoError(t, pool.QueryRow(t.Context(), all).Scan(&n))
			require.Equal(t, bare, n, "what %q sees of itself, %s", login, forced)
			ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: ids[0]})
			require.NoError(t, db.InTx(ctx, func(tx *tenancy.Tx) error { return tx.QueryRow(ctx, all).Scan(&n) }))
			require.Equal(t, 1, n, "%q in a scope, %s", login, forced)
			require.NoError(t, db.Read(ctx, all, nil, func(rows pgx.Rows) error {
				n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
				return err
			}))
			require.Equal(t, 1, n, "%q in a scope, %s", login, forced)
		}
	}
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
