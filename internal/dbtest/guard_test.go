package dbtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
)

// guarded has a tenant table under forced row-level security, a partitioned one, an exempt
// one, and a role as the library's runtime role.
var guarded = dbtest.Template{Name: "guarded", Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `
		create schema app;
		create table app.audit_entries (domain_id int not null, xid bigint not null, what text) partition by list (domain_id);
		create table app.audit_entries_1 partition of app.audit_entries default;
		create table app.things (domain_id int not null, n int not null, primary key (domain_id, n));
		create table app.parted (domain_id int not null, n int) partition by list (domain_id);
		create table app.parted_1 partition of app.parted default;
		create table app.scratch (n int);
		do $$ begin
			if not exists (select from pg_roles where rolname = 'dbtest_app') then create role dbtest_app; end if;
			execute 'grant dbtest_app to ' || quote_ident(current_user);
		end $$;
		grant usage on schema app to dbtest_app;
		grant select, insert, update, delete on all tables in schema app to dbtest_app;
		alter table app.audit_entries enable row level security;
		alter table app.audit_entries force row level security;
		create policy tenant on app.audit_entries to dbtest_app
			using (domain_id = (select nullif(current_setting('app.domain_id', true), '')::int));
		alter table app.things enable row level security;
		alter table app.things force row level security;
		create policy tenant on app.things to dbtest_app
			using (domain_id = (select nullif(current_setting('app.domain_id', true), '')::int));`)
	if err != nil {
		return err
	}
	return dbtest.AuditGuard(ctx, pool, "app", "scratch")
}}

const (
	asApp   = `set local role dbtest_app; select set_config('app.domain_id', '1', true)`
	entry   = `insert into app.audit_entries values (1, pg_current_xact_id()::text::bigint, 'made')`
	foreign = `insert into app.audit_entries values (1, 1, 'of another transaction')`
)

func TestAuditGuard(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, guarded)
	thing := `insert into app.things values (1, 1) on conflict (domain_id, n) do update set n = excluded.n`
	tests := []struct {
		name       string
		statements []string
		refused    string
	}{
		{"no change", []string{asApp, "select 1"}, ""},
		{"change and entry", []string{asApp, thing, entry}, ""},
		{"entry and change", []string{asApp, entry, thing}, ""},
		{"insert alone", []string{asApp, "insert into app.things values (1, 2)"}, "INSERT on app.things without"},
		{"update alone", []string{asApp, "update app.things set n = n"}, "UPDATE on app.things without"},
		{"delete alone", []string{asApp, "delete from app.things"}, "DELETE on app.things without"},
		{"nothing matched", []string{asApp, "delete from app.things where n = -1"}, ""},
		{"partition", []string{asApp, "insert into app.parted values (1, 1)"}, "INSERT on app.parted"},
		{"as the owner", []string{"insert into app.parted values (1, 1)"}, "INSERT on app.parted"},
		{"exempt", []string{asApp, "insert into app.scratch values (1)"}, ""},
		{"entry of another transaction", []string{asApp, thing, foreign}, "on app.things without"},
		{"entry undone", []string{asApp, thing, "savepoint s", entry, "rollback to s"}, "on app.things without"},
		{"change undone", []string{asApp, "savepoint s", thing, "rollback to s"}, ""},
		{
			"change undone and done again",
			[]string{asApp, "savepoint s", thing, "rollback to s", "update app.things set n = n"},
			"UPDATE on app.things without",
		},
		{"many rows alone", []string{asApp, "insert into app.things select 1, g from generate_series(10, 200000) g"}, "INSERT on app.things"},
		{"many rows and entry", []string{asApp, "insert into app.things select 1, g from generate_series(10, 200000) g", entry}, ""},
		{"two tables", []string{asApp, "insert into app.scratch values (2)", "insert into app.parted values (1, 2)"}, "INSERT on app.parted"},
	}
	// In order, on one connection at a time: settings of one transaction must not
	// reach the next.
	for _, tt := range tests {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			for _, s := range tt.statements {
				if _, err := tx.Exec(t.Context(), s); err != nil {
					return err
				}
			}
			return nil
		})
		if tt.refused == "" {
			require.NoError(t, err, tt.name)
			continue
		}
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, tt.name)
		require.Equal(t, "23S01", pgErr.Code, tt.name)
		require.Contains(t, pgErr.Message, tt.refused, tt.name)
	}
}

func TestAuditGuardRefusesUnknownTables(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	require.ErrorContains(t, dbtest.AuditGuard(t.Context(), pool, "public"), "no table audit_entries")
	_, err := pool.Exec(t.Context(), "create table audit_entries (xid bigint)")
	require.NoError(t, err)
	require.ErrorContains(t, dbtest.AuditGuard(t.Context(), pool, "public", "gone"), "exempt table gone")
}
