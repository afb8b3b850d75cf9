package indexes

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/fault"
)

// builder is the one that builds: it holds the lock. Each step is committed by itself, and
// what it begins with tells whoever comes after a crash how to go on.
type builder struct {
	*Advisor

	conn *pgx.Conn
}

// settings are those of the session. When the process dies, PostgreSQL notices at once
// instead of at the end of the build, and the next one can go on.
func (b *builder) settings(ctx context.Context) error {
	_, err := b.conn.Exec(ctx, fmt.Sprintf(`SET statement_timeout = 0; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = 0`, b.cfg.LockTimeout.Milliseconds()))
	if err != nil {
		return fmt.Errorf("indexes: %w", err)
	}
	_, err = b.conn.Exec(ctx, `SET client_connection_check_interval = '1s'`)
	var pg *pgconn.PgError
	if err != nil && !errors.As(err, &pg) { // not every system can
		return fmt.Errorf("indexes: %w", err)
	}
	return nil
}

func (b *builder) do(ctx context.Context, act Action) error {
	if act.Do == DoDrop {
		return b.drop(ctx, act)
	}
	err := b.create(ctx, act)
	if err == nil || ctx.Err() != nil || b.conn.IsClosed() {
		return err // broken off: it stays in state building, and the next step goes on
	}
	return errors.Join(err, b.fail(ctx, act, err))
}

func (b *builder) create(ctx context.Context, act Action) error {
	x := act.Index
	wrap := func(err error) error { return fmt.Errorf("indexes: build %s of %s: %w", x.Name, act.table, err) }
	err := b.exec(ctx, `INSERT INTO strata.field_indexes AS i (table_schema, table_name, slot, form, index_name, state, automatic, reason)
		VALUES ($1, $2, $3, $4, $5, 'building', $6, $7)
		ON CONFLICT (table_schema, table_name, slot, form) DO UPDATE SET state = 'building', changed_at = now(), automatic = i.automatic AND excluded.automatic`,
		x.Schema, x.Table, x.Slot, string(x.Form), x.Name, x.Automatic, act.Why)
	if err != nil {
		return wrap(err)
	}
	valid, err := b.valid(ctx, x)
	if err != nil {
		return wrap(err)
	}
	if !valid {
		// What a build that was broken off leaves is never used, but written to.
		if err := b.exec(ctx, x.dropSQL()); err != nil {
			return wrap(err)
		}
		if err := b.exec(ctx, x.createSQL(act.table)); err != nil {
			return wrap(err)
		}
	}
	if err := b.exec(ctx, x.statisticsSQL(act.table)); err != nil {
		return wrap(err)
	}
	if err := b.exec(ctx, `ANALYZE `+act.table.sql()); err != nil {
		return wrap(err)
	}
	err = b.exec(ctx, `UPDATE strata.field_indexes SET state = 'ready', attempts = 0, error = '', retry_at = NULL, changed_at = now(), used_at = now(),
			size_bytes = pg_relation_size(format('%I.%I', table_schema, index_name)::regclass)
		WHERE table_schema = $1 AND table_name = $2 AND slot = $3 AND form = $4`, x.Schema, x.Table, x.Slot, string(x.Form))
	if err != nil {
		return wrap(err)
	}
	b.cfg.Log.InfoContext(ctx, "built an index over a field", "index", x.Name, "table", act.table.String(), "slot", x.Slot, "why", act.Why)
	return nil
}

// valid reports whether the index is there and can be used.
func (b *builder) valid(ctx context.Context, x Index) (valid bool, err error) {
	err = b.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indexrelid = c.oid
		WHERE n.nspname = $1 AND c.relname = $2 AND i.indisvalid AND i.indisready)`, x.Schema, x.Name).Scan(&valid)
	return valid, err
}

// fail records what went wrong, and takes away what is left of the build. The next try is
// after 15 minutes, then after twice as long each time, at most a day.
func (b *builder) fail(ctx context.Context, act Action, cause error) error {
	x := act.Index
	text, _ := fault.Kept(cause)
	return errors.Join(
		b.exec(ctx, `UPDATE strata.field_indexes SET state = 'failed', attempts = attempts + 1, error = $5, changed_at = now(),
				retry_at = now() + least(interval '1 day', interval '15 minutes' * 2 ^ least(attempts, 10))
			WHERE table_schema = $1 AND table_name = $2 AND slot = $3 AND form = $4`, x.Schema, x.Table, x.Slot, string(x.Form), text),
		b.exec(ctx, x.dropSQL()))
}

func (b *builder) drop(ctx context.Context, act Action) error {
	x := act.Index
	where := []any{x.Schema, x.Table, x.Slot, string(x.Form)}
	err := b.exec(ctx, `UPDATE strata.field_indexes SET state = 'dropping', changed_at = now()
		WHERE table_schema = $1 AND table_name = $2 AND slot = $3 AND form = $4`, where...)
	for _, q := range []string{x.dropSQL(), x.dropStatisticsSQL()} {
		if err == nil {
			err = b.exec(ctx, q)
		}
	}
	if err == nil {
		err = b.exec(ctx, `DELETE FROM strata.field_indexes WHERE table_schema = $1 AND table_name = $2 AND slot = $3 AND form = $4`, where...)
	}
	if err != nil {
		return fmt.Errorf("indexes: drop %s of %s: %w", x.Name, act.table, err)
	}
	b.cfg.Log.InfoContext(ctx, "dropped an index over a field", "index", x.Name, "table", act.table.String(), "slot", x.Slot, "why", act.Why)
	return nil
}

// note keeps which indexes were used since the last time: by PostgreSQL's count, or by what
// filters say they did.
func (b *builder) note(ctx context.Context) error {
	err := b.exec(ctx, `UPDATE strata.field_indexes x SET scans = s.scans, size_bytes = s.size,
			used_at = CASE WHEN s.scans > x.scans OR s.last_use > x.used_at THEN now() ELSE x.used_at END
		FROM (SELECT i.table_schema, i.table_name, i.slot, i.form, pg_stat_get_numscans(c.oid) AS scans, pg_relation_size(c.oid) AS size,
				(SELECT max(u.noted_at) FROM strata.field_uses u WHERE u.table_schema = i.table_schema AND u.table_name = i.table_name
					AND u.slot = i.slot AND u.form = i.form AND u.purpose IN ('range', 'prefix', 'sort')) AS last_use
			FROM strata.field_indexes i JOIN pg_namespace n ON n.nspname = i.table_schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = i.index_name
			WHERE i.state = 'ready') s
		WHERE x.table_schema = s.table_schema AND x.table_name = s.table_name AND x.slot = s.slot AND x.form = s.form
			AND (s.scans <> x.scans OR s.last_use > x.used_at)`)
	if err != nil {
		return fmt.Errorf("indexes: note which are used: %w", err)
	}
	return nil
}

// exec runs one statement, each in a transaction of its own, as CONCURRENTLY wants it.
func (b *builder) exec(ctx context.Context, q string, args ...any) error {
	_, err := b.conn.Exec(ctx, b.db.SQL(q), args...)
	return err
}
