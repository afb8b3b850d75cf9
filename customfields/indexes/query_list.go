package indexes

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// List returns every index, by table, slot and form. It is for those who run the
// installation: the slots are those of all tenants.
func (a *Advisor) List(ctx context.Context) ([]Index, error) { return a.list(ctx) }

const listSQL = `
	SELECT x.table_schema, x.table_name, x.slot, x.form, x.index_name, x.state, x.automatic, x.reason, x.attempts, x.error, x.retry_at,
		coalesce(pg_stat_get_numscans(c.oid), x.scans), coalesce(pg_relation_size(c.oid), x.size_bytes), x.used_at, x.created_at, x.changed_at,
		c.oid IS NOT NULL, coalesce(i.indisvalid AND i.indisready, false)
	FROM strata.field_indexes x
	LEFT JOIN pg_namespace n ON n.nspname = x.table_schema
	LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = x.index_name AND c.relkind = 'i'
	LEFT JOIN pg_index i ON i.indexrelid = c.oid
	ORDER BY x.table_schema, x.table_name, x.slot, x.form`

func (a *Advisor) list(ctx context.Context) (out []Index, err error) {
	err = a.db.ReadTrusted(ctx, listSQL, nil, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (x Index, err error) {
			err = row.Scan(&x.Schema, &x.Table, &x.Slot, &x.Form, &x.Name, &x.State, &x.Automatic, &x.Reason, &x.Attempts, &x.Error, &x.RetryAt,
				&x.Scans, &x.SizeBytes, &x.UsedAt, &x.CreatedAt, &x.ChangedAt, &x.there, &x.valid)
			return x, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("indexes: look at the indexes: %w", err)
	}
	return out, nil
}

// facts are what a plan goes by, at one time of PostgreSQL's clock.
type facts struct {
	now     time.Time
	rows    map[Table]int64 // of those that are there
	indexes []Index
	uses    []used
	dead    map[string]bool // slots of fields that no workspace can filter by any more
}

// used is what filters did with a field in the last day, without equality, for which there
// is an index already.
type used struct {
	key
	uses, slow int64
}

func (a *Advisor) facts(ctx context.Context) (f facts, err error) {
	if f.indexes, err = a.list(ctx); err != nil {
		return f, err
	}
	f.rows, f.dead = map[Table]int64{}, map[string]bool{}
	for _, t := range a.tables {
		err := a.db.ReadTrusted(ctx, `SELECT now(), greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid))
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, []any{t.Schema, t.Name},
			func(rows pgx.Rows) error {
				var n int64
				_, err := pgx.ForEachRow(rows, []any{&f.now, &n}, func() error {
					f.rows[t] = n
					return nil
				})
				return err
			})
		if err != nil {
			return f, fmt.Errorf("indexes: look at table %s: %w", t, err)
		}
	}
	err = a.db.ReadTrusted(ctx, `SELECT table_schema, table_name, slot, form, sum(uses)::bigint, sum(slow)::bigint FROM strata.field_uses
		WHERE noted_at > now() - interval '1 day' AND purpose IN ('range', 'prefix', 'sort') GROUP BY 1, 2, 3, 4 ORDER BY 6 DESC, 1, 2, 3, 4`, nil,
		func(rows pgx.Rows) (err error) {
			f.uses, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (u used, err error) {
				err = row.Scan(&u.schema, &u.table, &u.slot, &u.form, &u.uses, &u.slow)
				return u, err
			})
			return err
		})
	if err != nil {
		return f, fmt.Errorf("indexes: look at what filters did: %w", err)
	}
	// A slot is the key until the field is renamed.
	err = a.db.ReadTrusted(ctx, `SELECT coalesce(to_jsonb(f)->>'slot', f.key) FROM strata.custom_fields f
		GROUP BY 1 HAVING NOT bool_or(f.filterable AND f.archived_at IS NULL)`, nil, func(rows pgx.Rows) error {
		slots, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, s := range slots {
			f.dead[s] = true
		}
		return err
	})
	if err != nil {
		return f, fmt.Errorf("indexes: look at the fields: %w", err)
	}
	return f, nil
}
