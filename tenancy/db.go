package tenancy

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/stratakit/strata/internal/migrate"
)

// The default schemas.
const (
	DefaultSchema      = "strata"
	DefaultRiverSchema = "strata_river"
)

// The roles every scoped statement runs as. Neither can log in, and RoleApp never
// bypasses row-level security: the wall stands even when the pool logs in as a superuser.
const (
	// RoleApp reads and writes the rows of the tenant in scope.
	RoleApp = "strata_app"
	// RoleQuery only reads, and sees every row: for statements the library builds
	// itself, which name the tenant's column first. Row-level security would keep the
	// planner from using the indexes of operators that are not leakproof. Where Migrate
	// does not run as a superuser, run ALTER ROLE strata_query BYPASSRLS once: it lets the
	// planner use their statistics too, and shows the role nothing more.
	RoleQuery = "strata_query"
)

// DBConfig configures a DB. The zero value is legal.
type DBConfig struct {
	// Schema holds Strata's tables. Default DefaultSchema.
	Schema string
	// RiverSchema holds River's tables. Default DefaultRiverSchema.
	RiverSchema string
}

// DB runs statements in the scope of a tenant over a pgx pool that the caller owns
// and closes. It is safe for concurrent use. There is no way through a DB to the
// rows of a tenant that is not in the context, other than ReadTrusted.
type DB struct {
	pool        *pgxpool.Pool
	sql         *sql.DB
	bun         *bun.DB
	schema      string
	riverSchema string
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// NewDB returns a DB over pool. It does not connect. It fails when a schema's name
// would need quoting. Close it when done.
//
// The login of pool has to be a member of RoleApp, no more, and INHERIT what that may do
// (the default of CREATE ROLE): pgx has a statement parsed before the role is set.
func NewDB(pool *pgxpool.Pool, cfg *DBConfig) (*DB, error) {
	var c DBConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	if c.RiverSchema == "" {
		c.RiverSchema = DefaultRiverSchema
	}
	for _, name := range []string{c.Schema, c.RiverSchema} {
		if !schemaName.MatchString(name) {
			return nil, fmt.Errorf("tenancy: schema name %q: want lower-case letters, digits and underscores", name)
		}
	}
	if c.Schema == c.RiverSchema {
		return nil, fmt.Errorf("tenancy: Strata and River cannot share the schema %q", c.Schema)
	}
	db := &DB{pool: pool, schema: c.Schema, riverSchema: c.RiverSchema}
	db.sql = stdlib.OpenDBFromPool(pool)
	db.bun = bun.NewDB(db.sql, pgdialect.New())
	return db, nil
}

// Close ends the DB's own housekeeping. The pool stays open: it is the caller's.
func (db *DB) Close() error { return db.sql.Close() }

// Pool returns the caller's pool, for work that is not Strata's.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Schema returns the name of Strata's schema.
func (db *DB) Schema() string { return db.schema }

// RiverSchema returns the name of River's schema.
func (db *DB) RiverSchema() string { return db.riverSchema }

// SQL returns q with every "strata." that names a schema replaced by the configured
// one. Statements are written against the default schema, so that what stands in the
// source can be pasted into psql. A quote before it ('strata.domain_id') marks a
// setting, which keeps its name.
func (db *DB) SQL(q string) string {
	return migrate.RewriteSchema(q, db.schema)
}

// settings returns the arguments of scopeSQL for t: the ids as text, empty below its level.
func settings(role string, t Tenant) []any {
	text := func(zero bool, s fmt.Stringer) string {
		if zero {
			return ""
		}
		return s.String()
	}
	return []any{
		role,
		text(t.CompanyID.IsZero(), t.CompanyID),
		text(t.WorkspaceID.IsZero(), t.WorkspaceID),
		text(t.DomainID.IsZero(), t.DomainID),
	}
}

// scopeSQL sets role and tenant until the end of the transaction. Settings are
// transaction-local always: a SET on a pooled connection would reach the next borrower.
const scopeSQL = `SELECT set_config('role', $1, true), set_config('strata.company_id', $2, true),
	set_config('strata.workspace_id', $3, true), set_config('strata.domain_id', $4, true)`

// Read runs one SELECT as RoleApp in the scope of ctx's tenant, in one round trip:
// PostgreSQL runs a batch as one implicit transaction, so the settings end with it.
// It calls scan once with the rows; scan loops, Read closes. It returns ErrNoTenant
// without a tenant, ErrNotFound when a domain of the tenant is not where the tenant has it,
// whatever scan was given, else the statement's or scan's error.
func (db *DB) Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error {
	t, err := TenantFrom(ctx)
	if err != nil {
		return err
	}
	return db.read(ctx, RoleApp, t, q, args, scan)
}

// ReadTrusted is Read as RoleQuery, to which every row of every tenant is visible:
// the statement itself must begin with the tenant's column, and no part of it may
// come from a user other than as an argument. It works without a tenant.
//
// The planner makes a new plan for each call, because a filter's best plan depends
// on its values.
func (db *DB) ReadTrusted(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error {
	t, _ := TenantFrom(ctx) // the settings are for the statement's own use; absence is legal here
	return db.read(ctx, RoleQuery, t, q, args, scan)
}

const scopeTrustedSQL = scopeSQL + `, set_config('plan_cache_mode', 'force_custom_plan', true)`

func (db *DB) read(ctx context.Context, role string, t Tenant, q string, args []any, scan func(pgx.Rows) error) (err error) {
	var b pgx.Batch
	if role == RoleQuery {
		b.Queue(scopeTrustedSQL, settings(role, t)...)
	} else {
		b.Queue(scopeSQL, settings(role, t)...)
	}
	b.Queue(db.SQL(q), args...)
	place := placeOf(ctx, t)
	if place != nil {
		b.Queue(db.SQL(placeSQL), place...)
	}
	results := db.pool.SendBatch(ctx, &b)
	defer func() {
		if closeErr := results.Close(); err == nil { // Close repeats the error of a statement
			err = closeErr
		}
	}()
	if _, err := results.Exec(); err != nil {
		return setupError(err)
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := scan(rows); err != nil {
		return err
	}
	rows.Close()
	if err := rows.Err(); err != nil || place == nil {
		return err
	}
	there, err := results.Exec()
	if err == nil && there.RowsAffected() == 0 {
		return ErrNotFound
	}
	return err
}
