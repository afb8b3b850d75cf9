package strata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/migrate"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/blueprint"
	"github.com/stratakit/strata/tenancy/library"
	"github.com/stratakit/strata/tenancy/move"
	"github.com/stratakit/strata/tenancy/settings"
)

// The errors of Migrate and New that a program may want to tell apart.
var (
	// ErrSchemaTooOld is returned by New when Migrate has not run with this version.
	ErrSchemaTooOld = migrate.ErrTooOld
	// ErrSchemaTooNew is returned by Migrate and New when a newer version of Strata has
	// made a change that this one cannot work with.
	ErrSchemaTooNew = migrate.ErrTooNew
	// ErrPooler is returned by Migrate when its pool goes through a pooler.
	ErrPooler = migrate.ErrPooler
	// ErrRolesMissing is returned by Migrate when the login may not create the database
	// roles; its text holds the SQL that an administrator has to run.
	ErrRolesMissing = migrate.ErrRoles
)

// MigrateConfig configures Migrate. The zero value is legal.
type MigrateConfig struct {
	// Schema is created when it is missing and holds Strata's tables; nothing outside
	// it and RiverSchema is touched. Default "strata".
	Schema string
	// RiverSchema holds the tables of River, which runs the background work. Products
	// that do not run the same kinds of work must not share one. Default "strata_river".
	RiverSchema string
	// Extensions are those that the products of this process add to recipients; Migrate makes
	// their tables after its own. Where a product makes its table itself, call
	// Extensions.Migrate after that instead. Default none.
	Extensions *recipients.Registry
	// Log receives a line for each migration that was applied. Default slog.Default().
	Log *slog.Logger
}

// lines lists every package's migrations in the order of their imports.
func lines() []migrate.Line {
	return []migrate.Line{
		tenancy.Migrations(),
		access.Migrations(),
		move.Migrations(),
		settings.Migrations(),
		library.Migrations(),
		blueprint.Migrations(),
		audit.Migrations(),
		billing.Migrations(),
		bulk.Migrations(),
		customfields.Migrations(),
		lifecycle.Migrations(),
		indexes.Migrations(),
		recipients.Migrations(),
		persons.Migrations(),
		exports.Migrations(),
		imports.Migrations(),
	}
}

// Migrate brings the database to the version this library needs, creating schemas and
// roles where they are missing. It is safe to call from any number of processes at
// once, at every start: they wait for each other, and each migration is applied once.
// Give ctx a deadline to bound that wait.
//
// It needs a direct connection to PostgreSQL 15 or later, and a login that owns the
// schemas, or may create them; the pool of New may go through PgBouncer, and its login
// needs less, see tenancy.NewDB. One connection of pool is enough; the lock has another, which leaves
// pool for it and ends with the call. Errors: ErrPooler, ErrRolesMissing, ErrSchemaTooNew, or
// what PostgreSQL said; what had been applied stays applied, and calling it again goes on.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	c, err := cfg.withDefaults(pool)
	if err != nil {
		return err
	}
	err = migrate.Locked(ctx, pool, c.Schema, func(ctx context.Context) error {
		if err := migrate.CheckNotTooNew(ctx, pool, c.Schema, lines()); err != nil {
			return err
		}
		if err := migrate.Prepare(ctx, pool, c.Schema); err != nil {
			return err
		}
		if err := migrateRiver(ctx, pool, c.RiverSchema, c.Log); err != nil {
			return err
		}
		return migrate.Up(ctx, pool, c.Schema, lines(), c.Log)
	})
	if err != nil {
		return err
	}
	return c.extensions(pool, func(db *tenancy.DB) error { return c.Extensions.MigrateLog(ctx, db, c.Log) })
}

// extensions calls do with a DB over pool.
func (cfg *MigrateConfig) extensions(pool *pgxpool.Pool, do func(db *tenancy.DB) error) error {
	db, err := tenancy.NewDB(pool, &tenancy.DBConfig{Schema: cfg.Schema, RiverSchema: cfg.RiverSchema})
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// CheckSchema returns ErrSchemaTooOld or ErrSchemaTooNew, naming the versions, when
// this library cannot work with the database as it is, River's schema included. New
// calls it.
func CheckSchema(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	c, err := cfg.withDefaults(pool)
	if err != nil {
		return err
	}
	if err := migrate.Check(ctx, pool, c.Schema, lines()); err != nil {
		return err
	}
	return checkRiver(ctx, pool, c.RiverSchema)
}

// Unmigrate takes Strata's tables, and with them all data of every tenant, out of the
// database. It is for tests and for leaving.
//
// Before that go what extensions of recipients have in the database, of all products: the
// migrations of those in MigrateConfig.Extensions are undone, and the tables that the library
// has made are dropped. A table that a product has made itself stays with its rows; it loses its
// foreign keys to Strata's tables and the triggers that count it (recipients.Detach). To use it
// with Strata again, empty it, and put back what Registry.Migrate then says is missing. The
// schemas, the roles and River's tables stay too.
//
// It refuses while an extension that is not in MigrateConfig.Extensions has migrations applied,
// naming it, and is PostgreSQL's error where something else that a product has made, such as a
// view, hangs on a table. What was undone by then stays undone, and calling it again goes on.
func Unmigrate(ctx context.Context, pool *pgxpool.Pool, cfg *MigrateConfig) error {
	c, err := cfg.withDefaults(pool)
	if err != nil {
		return err
	}
	if err := c.extensions(pool, func(db *tenancy.DB) error { return c.Extensions.Unmigrate(ctx, db) }); err != nil {
		return err
	}
	return migrate.Locked(ctx, pool, c.Schema, func(ctx context.Context) error {
		err := c.extensions(pool, func(db *tenancy.DB) error { return recipients.Detach(ctx, db) })
		if err != nil {
			return err
		}
		return migrate.Down(ctx, pool, c.Schema, lines())
	})
}

// withDefaults checks the names the way tenancy.NewDB does.
func (cfg *MigrateConfig) withDefaults(pool *pgxpool.Pool) (MigrateConfig, error) {
	var c MigrateConfig
	if cfg != nil {
		c = *cfg
	}
	db, err := tenancy.NewDB(pool, &tenancy.DBConfig{Schema: c.Schema, RiverSchema: c.RiverSchema})
	if err != nil {
		return c, err
	}
	c.Schema, c.RiverSchema = db.Schema(), db.RiverSchema()
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, db.Close()
}

// migrateRiver runs River's own migrations and lets strata_app enqueue work.
func migrateRiver(ctx context.Context, pool *pgxpool.Pool, schema string, log *slog.Logger) error {
	name := pgx.Identifier{schema}.Sanitize()
	if err := migrate.EnsureSchema(ctx, pool, schema); err != nil {
		return err
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: log})
	if err != nil {
		return fmt.Errorf("strata: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("strata: migrate River: %w", err)
	}
	_, err = pool.Exec(ctx, `GRANT USAGE ON SCHEMA `+name+` TO strata_app;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA `+name+` TO strata_app;
		GRANT USAGE ON ALL SEQUENCES IN SCHEMA `+name+` TO strata_app`)
	if err != nil {
		return fmt.Errorf("strata: let strata_app enqueue work: %w", err)
	}
	return nil
}

// checkRiver returns ErrSchemaTooOld when River's schema lacks migrations that the River
// of this library needs. What a newer schema needs River does not say.
func checkRiver(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("strata: %w", err)
	}
	result, err := m.Validate(ctx, nil)
	if err != nil {
		return fmt.Errorf("strata: read the version of River's schema: %w", err)
	}
	if !result.OK {
		return fmt.Errorf("schema %q of River: %s: run strata.Migrate: %w", schema, strings.Join(result.Messages, "; "), ErrSchemaTooOld)
	}
	return nil
}
