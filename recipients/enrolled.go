package recipients

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// EnrolledTx returns which of the recipients of tx's domain have a row in a table that hangs by
// them: that of an extension of any product, or one that a product has with a foreign key
// to strata.recipients (domain_id, id). Who holds the recipients' rows knows that none comes.
// except, which may be nil, are the names of extensions in which a recipient may have one of its own.
func (s *Store) EnrolledTx(ctx context.Context, tx *tenancy.Tx, ids []ID, except map[ID][]string) (enrolled []ID, err error) {
	hanging, err := hangingTx(ctx, tx, tx.SQL(`strata.recipients`), "id", ids)
	for id, keys := range hanging {
		for _, name := range except[id] {
			if x := s.registered[name]; x != nil {
				keys = slices.DeleteFunc(keys, func(k foreignKey) bool { return k.own && k.table == x.table.String() })
			}
		}
		if len(keys) > 0 {
			enrolled = append(enrolled, id)
		}
	}
	return enrolled, err
}

// foreignKey is one by which rows of a table hang on those of another.
type foreignKey struct {
	table string
	hangs string // SQL: a row k of table hangs on a row r of the other
	own   bool   // it is the one by which an extension has the rows of recipients
}

// hangingTx returns by which foreign keys, of whatever columns, rows hang on those that a table has
// of recipients: id is what it calls them, beside domain_id.
func hangingTx(ctx context.Context, tx *tenancy.Tx, table, id string, ids []ID) (map[ID][]foreignKey, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var all []foreignKey
	err := tx.Read(ctx, `SELECT n.nspname, c.relname, string_agg(format('k.%I = r.%I', a.attname, o.attname), ' AND '),
			array_agg(a.attname::text ORDER BY a.attname) = '{domain_id,recipient_id}'
		FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS k (own, other)
			JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own JOIN pg_attribute o ON o.attrelid = f.confrelid AND o.attnum = k.other
		WHERE f.contype = 'f' AND f.confrelid = $1::text::regclass AND f.conparentid = 0 GROUP BY f.oid, 1, 2 ORDER BY 1, 2, f.oid`, []any{table}, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k foreignKey, err error) {
			var t tenancy.Table
			err = row.Scan(&t.Schema, &t.Name, &k.hangs, &k.own)
			k.table = t.String()
			return k, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: find the tables that hang on %s: %w", table, err)
	}
	out := map[ID][]foreignKey{}
	for _, k := range all {
		err := tx.Read(ctx, fmt.Sprintf(`SELECT w.id FROM unnest($2::uuid[]) AS w (id), LATERAL (SELECT * FROM %s WHERE domain_id = $1 AND %s = w.id OFFSET 0) r
			WHERE EXISTS (SELECT FROM %s k WHERE %s OFFSET 0)`, table, id, k.table, k.hangs), []any{tx.Tenant().DomainID, ids}, func(rows pgx.Rows) error {
			var id ID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				out[id] = append(out[id], k)
				return nil
			})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("recipients: look into %s: %w", k.table, err)
		}
	}
	return out, nil
}

// EraseTx deletes rows of recipients that tx has locked, as Purge does, for who made them and
// takes them back: it audits nothing, and gives back no place in the plan.
func EraseTx(ctx context.Context, tx *tenancy.Tx, ids []ID) error { return erase(ctx, tx, ids) }
