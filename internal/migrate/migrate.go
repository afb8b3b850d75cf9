package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/pooler"
)

// Errors of this package.
var (
	// ErrTooOld is returned by Check when the schema lacks migrations this library needs.
	ErrTooOld error = fault.New(fault.Unavailable, "schema_too_old", "the database schema is older than this version of Strata")
	// ErrTooNew is returned by Check and Up when a newer library has made a change that
	// this one cannot work with.
	ErrTooNew error = fault.New(fault.Unavailable, "schema_too_new", "the database schema is newer than this version of Strata")
	// ErrPooler is returned by Locked when the pool's connections do not reach PostgreSQL
	// themselves.
	ErrPooler error = fault.New(fault.Unavailable, "pooler", "a pooler such as PgBouncer stands before PostgreSQL: migrate through a direct connection, because a lock taken through a pooler outlives its owner")
)

// lockPoll is how often a process that waits for another's migrations asks again. It
// polls instead of waiting inside PostgreSQL because a waiting statement holds a
// snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot: a deadlock.
const lockPoll = 100 * time.Millisecond

// Locked runs fn while holding the migration lock of schema, waiting for it as long
// as ctx allows. The lock belongs to a session of its own: it needs a direct
// connection, not a transaction pooler, and is released when that session ends,
// however the process ends.
func Locked(ctx context.Context, pool *pgxpool.Pool, schema string, fn func(ctx context.Context) error) error {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: connect: %w", err)
	}
	// Out of the pool: those that wait must leave it to the one that works.
	conn := pooled.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // and with it ends the lock
	// A pooler would keep the session, and the lock with it.
	if pooled, err := pooler.Between(ctx, conn); err != nil {
		return fmt.Errorf("migrate: %w", err)
	} else if pooled {
		return ErrPooler
	}
	for {
		var got bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('strata.migrate.' || $1, 0))`, schema).Scan(&got); err != nil {
			return fmt.Errorf("migrate: lock: %w", err)
		}
		if got {
			return fn(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("migrate: another process has been migrating schema %q all this time: %w", schema, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

const createLines = `CREATE TABLE IF NOT EXISTS strata.schema_lines (
	line            text PRIMARY KEY,
	version         bigint NOT NULL,
	compatible_from bigint NOT NULL,
	migrated_at     timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON strata.schema_lines TO strata_app` // for Check by a login that is a member of it

// Up applies what is missing of each line, in order. Call it inside Locked, after
// CheckNotTooNew and Prepare. A line whose schema is newer is left alone.
func Up(ctx context.Context, pool *pgxpool.Pool, schema string, lines []Line, log *slog.Logger) error {
	rewrite := rewriter(schema)
	if _, err := pool.Exec(ctx, rewrite(createLines)); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }() // closes nothing of the pool
	for _, l := range lines {
		if err := up(ctx, pool, db, schema, l, log); err != nil {
			return err
		}
		if err := registerTables(ctx, pool, schema, l.DomainTables); err != nil {
			return err
		}
	}
	return nil
}

// registerTables notes the tables with rows of domains, of which the first line makes the
// list.
func registerTables(ctx context.Context, pool *pgxpool.Pool, schema string, tables []string) error {
	if len(tables) == 0 {
		return nil
	}
	_, err := pool.Exec(ctx, rewriter(schema)(`INSERT INTO strata.tenant_tables (schema_name, table_name, product)
		SELECT $1, t, 'strata' FROM unnest($2::text[]) t ON CONFLICT DO NOTHING`), schema, tables)
	if err != nil {
		return fmt.Errorf("migrate: register tables: %w", err)
	}
	return nil
}

func up(ctx context.Context, pool *pgxpool.Pool, db *sql.DB, schema string, l Line, log *slog.Logger) error {
	rewrite := rewriter(schema)
	steps, err := l.load(rewrite)
	if err != nil {
		return err
	}
	state, err := readState(ctx, pool, rewrite, l.Name)
	if err != nil {
		return err
	}
	known := int64(len(steps))
	if state.version >= known {
		return nil
	}
	provider, err := newProvider(db, schema, l.Name, steps)
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		log.InfoContext(ctx, "migrated", "line", l.Name, "version", r.Source.Version, "duration", r.Duration)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", l.Name, err)
	}
	return nil
}

// Down undoes every migration of the lines, last line first, and with them the data.
// It is for tests and for taking Strata out of a database. Call it inside Locked.
func Down(ctx context.Context, pool *pgxpool.Pool, schema string, lines []Line) error {
	rewrite := rewriter(schema)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
		steps, err := l.load(rewrite)
		if err != nil {
			return err
		}
		provider, err := newProvider(db, schema, l.Name, steps)
		if err != nil {
			return err
		}
		if _, err := provider.DownTo(ctx, 0); err != nil {
			return fmt.Errorf("migrate %s down: %w", l.Name, err)
		}
	}
	return nil
}

// Check returns ErrTooOld or ErrTooNew, naming both versions, when the schema is not
// one that the lines can work with, and nil when it is.
func Check(ctx context.Context, pool *pgxpool.Pool, schema string, lines []Line) error {
	rewrite := rewriter(schema)
	for _, l := range lines {
		steps, err := l.load(rewrite)
		if err != nil {
			return err
		}
		state, err := readState(ctx, pool, rewrite, l.Name)
		if err != nil {
			return err
		}
		if known := int64(len(steps)); state.version < known {
			return fmt.Errorf("%s is at version %d in schema %q, this library needs %d: run strata.Migrate: %w", l.Name, state.version, schema, known, ErrTooOld)
		}
		if err := state.checkNotTooNew(l, rewrite); err != nil {
			return err
		}
	}
	return nil
}

// CheckNotTooNew returns ErrTooNew, naming both versions, when a newer library has made a
// change that the lines cannot work with. Being too old, or not there at all, is no error.
func CheckNotTooNew(ctx context.Context, pool *pgxpool.Pool, schema string, lines []Line) error {
	rewrite := rewriter(schema)
	for _, l := range lines {
		state, err := readState(ctx, pool, rewrite, l.Name)
		if err != nil {
			return err
		}
		if err := state.checkNotTooNew(l, rewrite); err != nil {
			return err
		}
	}
	return nil
}

type state struct{ version, compatibleFrom int64 }

func (s state) checkNotTooNew(l Line, rewrite func(string) string) error {
	steps, err := l.load(rewrite)
	if err != nil {
		return err
	}
	if known := int64(len(steps)); s.version > known && s.compatibleFrom > known {
		return fmt.Errorf("%s is at version %d, which needs a library that knows version %d, this one knows %d: upgrade Strata in this program: %w",
			l.Name, s.version, s.compatibleFrom, known, ErrTooNew)
	}
	return nil
}

func readState(ctx context.Context, pool *pgxpool.Pool, rewrite func(string) string, line string) (state, error) {
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, rewrite("strata.schema_lines")).Scan(&exists); err != nil {
		return state{}, fmt.Errorf("migrate: read the schema's version: %w", err)
	}
	if !exists {
		return state{}, nil
	}
	var s state
	err := pool.QueryRow(ctx, rewrite(`SELECT version, compatible_from FROM strata.schema_lines WHERE line = $1`), line).Scan(&s.version, &s.compatibleFrom)
	if errors.Is(err, pgx.ErrNoRows) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("migrate: read the schema's version: %w", err)
	}
	return s, nil
}

// newProvider hands the steps to goose, which keeps its own record of what ran in
// <schema>.goose_<line> and runs each step in a transaction. Our record of the version is
// written in the same one: a process that dies between two steps leaves both true.
func newProvider(db *sql.DB, schema, line string, steps []migration) (*goose.Provider, error) {
	var gm []*goose.Migration
	before := state{compatibleFrom: 1}
	for _, s := range steps {
		after := state{s.version, max(before.compatibleFrom, s.compatibleFrom)}
		up := step{s.up, schema, line, after}
		down := step{s.down, schema, line, before}
		if s.noTransaction {
			gm = append(gm, goose.NewGoMigration(s.version, up.alone(), down.inTx()))
		} else {
			gm = append(gm, goose.NewGoMigration(s.version, up.inTx(), down.inTx()))
		}
		before = after
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, nil,
		goose.WithGoMigrations(gm...), goose.WithDisableGlobalRegistry(true), goose.WithTableName(schema+".goose_"+line))
	if err != nil {
		return nil, fmt.Errorf("migrate %s: %w", line, err)
	}
	return p, nil
}

// step is a migration in one direction, with what is true after it.
type step struct {
	text, schema, line string
	after              state
}

func (s step) inTx() *goose.GoFunc {
	return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return s.run(ctx, tx) }}
}

func (s step) alone() *goose.GoFunc {
	return &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error { return s.run(ctx, db) }}
}

func (s step) run(ctx context.Context, db execer) error {
	if err := exec(ctx, db, s.text); err != nil {
		return err
	}
	rewrite := rewriter(s.schema)
	if s.after.version == 0 {
		_, err := db.ExecContext(ctx, rewrite(`DELETE FROM strata.schema_lines WHERE line = $1`), s.line)
		return err
	}
	_, err := db.ExecContext(ctx, rewrite(`INSERT INTO strata.schema_lines (line, version, compatible_from) VALUES ($1, $2, $3)
		ON CONFLICT (line) DO UPDATE SET version = excluded.version, compatible_from = excluded.compatible_from, migrated_at = now()`),
		s.line, s.after.version, s.after.compatibleFrom)
	return err
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// exec runs a file of several statements; without arguments pgx sends it as it is.
// A lock that traffic holds is given up on, not queued behind: whoever waits behind a
// waiting ACCESS EXCLUSIVE lock waits too.
func exec(ctx context.Context, db execer, text string) error {
	if _, ok := db.(*sql.Tx); ok {
		text = "SET LOCAL lock_timeout = '10s';\n" + text
	}
	_, err := db.ExecContext(ctx, text)
	return err
}
