package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/internal/fault"
)

// ErrRoles is returned by Prepare when the login may neither create nor use the roles.
// The text around it holds the SQL an administrator has to run.
var ErrRoles error = fault.New(fault.Unavailable, "roles_missing", "the database roles of Strata are missing")

// rolesSQL makes the two roles. NOINHERIT keeps strata_app from having what
// strata_query may see without becoming it. Every row is visible to strata_query by
// policy; a superuser gives it BYPASSRLS as well, see useStatistics.
var rolesSQL = []string{
	`CREATE ROLE strata_query NOLOGIN NOINHERIT NOBYPASSRLS`,
	`CREATE ROLE strata_app NOLOGIN NOINHERIT NOBYPASSRLS`,
	`GRANT strata_query TO strata_app`,
}

// Prepare creates the schema and the roles where they are missing and lets the login
// become strata_app. It returns ErrRoles with the exact SQL when it may not.
func Prepare(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var login string
	var missing int
	var canCreate bool
	err := pool.QueryRow(ctx, `SELECT session_user, 2 - (SELECT count(*) FROM pg_roles WHERE rolname IN ('strata_app', 'strata_query')),
		(SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user)`).Scan(&login, &missing, &canCreate)
	if err != nil {
		return fmt.Errorf("migrate: look at the roles: %w", err)
	}
	steps := append(append([]string{}, rolesSQL...), `GRANT strata_app TO `+quote(login))
	if missing > 0 && !canCreate {
		return rolesError(schema, login, steps, nil)
	}
	if missing > 0 {
		for _, s := range rolesSQL {
			if err := execShared(ctx, pool, s); err != nil {
				return rolesError(schema, login, steps, err)
			}
		}
	}
	if !canBecome(ctx, pool) {
		if err := execShared(ctx, pool, steps[len(steps)-1]); err != nil {
			return rolesError(schema, login, steps[len(steps)-1:], err)
		}
	}
	if err := useStatistics(ctx, pool); err != nil {
		return err
	}
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, schema).Scan(&exists); err != nil {
		return fmt.Errorf("migrate: look for the schema: %w", err)
	}
	if !exists {
		if _, err := pool.Exec(ctx, `CREATE SCHEMA `+quote(schema)); err != nil {
			return fmt.Errorf("migrate: create schema %s: %w", schema, err)
		}
	}
	if _, err := pool.Exec(ctx, `GRANT USAGE ON SCHEMA `+quote(schema)+` TO strata_app, strata_query`); err != nil {
		return fmt.Errorf("migrate: let the roles use schema %s: %w", schema, err)
	}
	return nil
}

// useStatistics gives strata_query BYPASSRLS when the login is a superuser; no other may.
// It sees nothing more by that. But where a policy applies, even USING (true), PostgreSQL
// plans without the statistics of operators that are not leakproof, those of jsonb among
// them: it takes every filter to match one row in a hundred, and half of the filters
// measured took up to 1.6 times as long.
func useStatistics(ctx context.Context, pool *pgxpool.Pool) error {
	var may bool
	err := pool.QueryRow(ctx, `SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
		AND NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'strata_query')`).Scan(&may)
	if err == nil && may {
		err = execShared(ctx, pool, `ALTER ROLE strata_query BYPASSRLS`)
	}
	if err != nil {
		return fmt.Errorf("migrate: let strata_query use statistics: %w", err)
	}
	return nil
}

// canBecome tries it, because what membership means differs between PostgreSQL versions.
func canBecome(ctx context.Context, pool *pgxpool.Pool) bool {
	_, err := pool.Exec(ctx, `BEGIN; SET LOCAL ROLE strata_app; SET LOCAL ROLE strata_query; ROLLBACK`)
	return err == nil
}

// execShared runs a statement on the roles, which all databases of the cluster share,
// so that another database's migration may run the same one now: it being there
// already is success, and a collision is tried again.
func execShared(ctx context.Context, pool *pgxpool.Pool, statement string) error {
	for attempt := 0; ; attempt++ {
		_, err := pool.Exec(ctx, statement)
		var pg *pgconn.PgError
		if err == nil || !errors.As(err, &pg) {
			return err
		}
		switch pg.Code {
		case "42710", "23505": // duplicate_object, unique_violation on pg_authid or pg_auth_members
			return nil
		case "XX000": // "tuple concurrently updated"
			if attempt < 10 {
				continue
			}
		}
		return err
	}
}

func rolesError(schema, login string, statements []string, cause error) error {
	err := ErrRoles
	if cause != nil {
		err = errors.Join(ErrRoles, cause)
	}
	return fmt.Errorf("schema %q cannot be prepared by login %q: an administrator has to run: %s; : %w",
		schema, login, strings.Join(statements, "; "), err)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
