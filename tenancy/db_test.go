package tenancy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// scopeOf reads what PostgreSQL itself says of the scope.
const scopeOf = `SELECT current_user::text, current_setting('strata.company_id', true), coalesce(current_setting('strata.domain_id', true), '')`

func readScope(ctx context.Context, db *tenancy.DB) (role, company, domain string, err error) {
	err = db.Read(ctx, scopeOf, nil, func(rows pgx.Rows) error {
		for rows.Next() {
			if err := rows.Scan(&role, &company, &domain); err != nil {
				return err
			}
		}
		return nil
	})
	return role, company, domain, err
}

func TestNoTenantIsNeverEveryTenant(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	err := e.DB.InTx(t.Context(), func(*tenancy.Tx) error { t.Error("must not run"); return nil })
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	err = e.DB.Read(t.Context(), `SELECT 1`, nil, func(pgx.Rows) error { return nil })
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = tenancy.DomainFrom(e.A.WorkspaceCtx)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.ErrorContains(t, err, "needs a domain")

	// Even the login itself, which owns the tables, sees nothing without a scope.
	var n int
	require.NoError(t, e.Pool.QueryRow(t.Context(), `SELECT count(*) FROM strata.companies`).Scan(&n))
	require.Zero(t, n)
}

func TestTxServesPgxBunAndOwnSQLTogether(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	rename := func(tx *tenancy.Tx) {
		_, err := tx.Exec(e.A.Ctx, tx.SQL(`UPDATE strata.workspaces SET name = 'by pgx' WHERE company_id = $1`), e.A.CompanyID)
		require.NoError(t, err)
		_, err = tx.Bun().NewRaw(tx.SQL(`UPDATE strata.domains SET domain_name = ? WHERE company_id = ?`), "by-bun.example", e.A.CompanyID).Exec(e.A.Ctx)
		require.NoError(t, err)
		require.NoError(t, e.Audit.RecordChange(e.A.Ctx, tx, tenancy.Change{Action: "test"}))
	}
	names := func() (workspace, domain string) {
		w, err := e.Store.Workspace(e.A.Ctx, e.A.WorkspaceID)
		require.NoError(t, err)
		d, err := e.Store.Domain(e.A.Ctx, e.A.DomainID)
		require.NoError(t, err)
		return w.Name, d.DomainName
	}

	// One rollback undoes both, whether it comes from an error or a panic.
	require.ErrorIs(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error { rename(tx); return boom }), boom)
	require.PanicsWithValue(t, "boom", func() {
		_ = e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error { rename(tx); panic("boom") })
	})
	w, d := names()
	require.NotEqual(t, "by pgx", w)
	require.NotEqual(t, "by-bun.example", d)

	// One commit keeps both, and the hooks run after it.
	hook := false
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		rename(tx)
		tx.AfterCommit(func(ctx context.Context) {
			hook = true
			w, _ := names()
			require.Equal(t, "by pgx", w, "the hook must see what was committed")
		})
		require.False(t, hook)
		return nil
	}))
	require.True(t, hook)
	w, d = names()
	require.Equal(t, "by pgx", w)
	require.Equal(t, "by-bun.example", d)
}

func TestScopeNeverLeaksThroughThePool(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	var g errgroup.Group
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		for range 4 {
			g.Go(func() error {
				for range 50 {
					role, company, domain, err := readScope(c.Ctx, e.DB)
					if err != nil {
						return err
					}
					require.Equal(t, []string{tenancy.RoleApp, c.CompanyID.String(), c.DomainID.String()}, []string{role, company, domain})
					if err := e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
						return tx.QueryRow(c.Ctx, scopeOf).Scan(&role, &company, &domain)
					}); err != nil {
						return err
					}
					require.Equal(t, []string{tenancy.RoleApp, c.CompanyID.String(), c.DomainID.String()}, []string{role, company, domain})
				}
				return nil
			})
		}
	}
	require.NoError(t, g.Wait())

	// The pool's own connections carry nothing of it.
	var role string
	var company *string
	require.NoError(t, e.Pool.QueryRow(t.Context(), `SELECT current_user::text, nullif(current_setting('strata.company_id', true), '')`).Scan(&role, &company))
	require.NotContains(t, []string{tenancy.RoleApp, tenancy.RoleQuery}, role)
	require.Nil(t, company)
}

func TestWorkspaceScopeHasNoDomain(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	_, company, domain, err := readScope(e.A.WorkspaceCtx, e.DB)
	require.NoError(t, err)
	require.Equal(t, e.A.CompanyID.String(), company)
	require.Empty(t, domain)
}

func TestReadTrustedOnlyReads(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	var n int
	require.NoError(t, e.DB.ReadTrusted(t.Context(), `SELECT count(*) FROM strata.companies`, nil, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	require.Equal(t, 2, n, "the trusted role sees every tenant")
	err := e.DB.ReadTrusted(t.Context(), `DELETE FROM strata.companies`, nil, func(rows pgx.Rows) error {
		for rows.Next() {
			t.Error("must return no rows")
		}
		return rows.Err()
	})
	require.ErrorContains(t, err, "permission denied")
}

func TestReadSaysOnceWhatIsWrong(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, q := range []string{`SELECT 1/0`, `SELECT * FROM strata.nothing`, `SELECT * FROM strata.goose_tenancy`} {
		err := e.DB.Read(e.A.Ctx, q, nil, func(rows pgx.Rows) error {
			for rows.Next() {
				t.Error("must return no rows")
			}
			return rows.Err()
		})
		require.Error(t, err, q)
		require.Equal(t, 1, strings.Count(err.Error(), "SQLSTATE"), "%s: %v", q, err)
	}
}

func TestAnotherSchemaName(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	db, err := tenancy.NewDB(e.Pool, &tenancy.DBConfig{Schema: "acme_core"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.Equal(t,
		`SELECT nextval('acme_core.x'), r.a FROM acme_core.recipients r WHERE d = current_setting('strata.domain_id') AND mystrata.x = 1`,
		db.SQL(`SELECT nextval('strata.x'), r.a FROM strata.recipients r WHERE d = current_setting('strata.domain_id') AND mystrata.x = 1`))
	for _, bad := range []string{"Strata", "a-b", `a"b`, "1a", "a; DROP SCHEMA strata"} {
		_, err := tenancy.NewDB(e.Pool, &tenancy.DBConfig{Schema: bad})
		require.Error(t, err, bad)
	}
	_, err = tenancy.NewDB(e.Pool, &tenancy.DBConfig{Schema: "same", RiverSchema: "same"})
	require.Error(t, err)
}

func TestChangeWithoutItsAuditEntryCannotCommit(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.A.Ctx, `UPDATE strata.workspaces SET name = 'unseen' WHERE company_id = $1`, e.A.CompanyID)
		return err
	})
	require.ErrorContains(t, err, "workspaces", "the guard of the test databases must be on")
}

// After a scope its settings are empty and not NULL, unlike on a connection that never had
// one. Both are no scope, and neither is an error.
func TestConnectionThatHadAScopeHasNone(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	cfg, err := pgxpool.ParseConfig(dbtest.DirectURL(t, e.Pool))
	require.NoError(t, err)
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	look := func() (setting *string, rows int) {
		err := pool.QueryRow(t.Context(), `SELECT current_setting('strata.company_id', true), (SELECT count(*) FROM strata.companies)`).Scan(&setting, &rows)
		require.NoError(t, err)
		return setting, rows
	}
	_, rows := look()
	require.Zero(t, rows)
	require.NoError(t, db.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		return tx.QueryRow(e.A.Ctx, `SELECT count(*) FROM strata.companies`).Scan(&rows)
	}))
	require.Equal(t, 1, rows)
	setting, rows := look()
	require.NotNil(t, setting)
	require.Empty(t, *setting)
	require.Zero(t, rows)
}
