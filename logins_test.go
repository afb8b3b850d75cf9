package strata_test

import (
	"log/slog"
	"net/url"
	"strings"
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
