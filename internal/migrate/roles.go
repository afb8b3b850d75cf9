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

// The two roles. NOINHERIT keeps strata_app from having what strata_query may see without
// becoming it. Every row is visible to strata_query by policy; a superuser gives it
// BYPASSRLS as well, see useStatistics.
const (
	createQuery = `CREATE ROLE strata_query NOLOGIN NOINHERIT NOBYPASSRLS`
	createApp   = `CREATE ROLE strata_app NOLOGIN NOINHERIT NOBYPASSRLS`
	grantQuery  = `GRANT strata_query TO strata_app`
)

// Prepare creates the schema and the roles where they are missing and lets the login
// become strata_app. It returns ErrRoles with the exact SQL when it may not.
func Prepare(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	if err := prepareRoles(ctx, pool, schema); err != nil {
		return err
	}
	if err := useStatistics(ctx, pool); err != nil {
		return err
	}
	if err := EnsureSchema(ctx, pool, schema); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, `GRANT USAGE ON SCHEMA `+quote(schema)+` TO strata_app, strata_query`); err != nil {
		return fmt.Errorf("migrate: let the roles use schema %s: %w", schema, err)
	}
	return nil
}

func prepareRoles(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var login string
	var canCreate, query, app, granted bool
	err := pool.QueryRow(ctx, `SELECT session_user, (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user),
		EXISTS (SELECT FROM pg_roles WHERE rolname = 'strata_query'), EXISTS (SELECT FROM pg_roles WHERE rolname = 'strata_app'),
		EXISTS (SELECT FROM pg_auth_members WHERE roleid = to_regrole('strata_query') AND member = to_regrole('strata_app'))`,
	).Scan(&login, &canCreate, &query, &app, &granted)
	if err != nil {
		return fmt.Errorf("migrate: look at the roles: %w", err)
	}
	var missing []string
	if !query {
		missing = append(missing, createQuery)
	}
	if !app {
		missing = append(missing, createApp)
	}
	if !granted {
		missing = append(missing, grantQuery)
	}
	grantLogin := `GRANT strata_app TO ` + quote(login)
	if (!query || !app) && !canCreate {
		return rolesError(schema, login, append(missing, grantLogin), nil)
	}
	for i, s := range missing {
		if err := execShared(ctx, pool, s); err != nil {
			return rolesError(schema, login, append(missing[i:], grantLogin), err)
		}
	}
	if !canBecome(ctx, pool) {
		if err := execShared(ctx, pool, grantLogin); err != nil {
			return rolesError(schema, login, []string{grantLogin}, err)
		}
	}
	return nil
}

// EnsureSchema creates a schema that is missing. It looks first, because CREATE SCHEMA
// IF NOT EXISTS wants the right to create one also where there is nothing to create.
func EnsureSchema(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, quote(schema)).Scan(&exists); err != nil {
		return fmt.Errorf("migrate: look for schema %s: %w", schema, err)
	}
	if exists {
		return nil
	}
	if err := execShared(ctx, pool, `CREATE SCHEMA `+quote(schema)); err != nil {
		return fmt.Errorf("migrate: create schema %s: %w", schema, err)
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

// execShared runs a statement that another migration may run now too: all databases of
// the cluster share the roles, and several installations may share River's schema. It
// being there already is success, and a collision is tried again.
func execShared(ctx context.Context, pool *pgxpool.Pool, statement string) error {
	for attempt := 0; ; attempt++ {
		_, err := pool.Exec(ctx, statement)
		var pg *pgconn.PgError
		if err == nil || !errors.As(err, &pg) {
			return err
		}
		switch pg.Code {
		case "42710", "42P06", "23505": // duplicate object or schema, unique_violation in a catalog
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
