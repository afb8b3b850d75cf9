package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// EnrolledTx returns which of the recipients of tx's domain have a row in a table that hangs by
// them: that of an extension of any product, or one that a product has with a foreign key
// to strata.recipients (domain_id, id). Who holds the recipients' rows knows that none comes.
// except, which may be nil, are the names of extensions in which a recipient may have one.
func (s *Store) EnrolledTx(ctx context.Context, tx *tenancy.Tx, ids []ID, except map[ID][]string) (enrolled []ID, err error) {
	hanging, err := hangingTx(ctx, tx, tx.SQL(`strata.recipients`), "id", ids)
	for id, tables := range hanging {
		for _, name := range except[id] {
			if x := s.registered[name]; x != nil {
				delete(tables, x.table.String())
			}
		}
		if len(tables) > 0 {
			enrolled = append(enrolled, id)
		}
	}
	return enrolled, err
}

// hangingTx returns the tables that have rows which hang, by a foreign key, on those that a table
// has of recipients: id is what it calls them, beside domain_id.
func hangingTx(ctx context.Context, tx *tenancy.Tx, table, id string, ids []ID) (map[ID]map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	type hanging struct{ table, domain, id string }
	var all []hanging
	err := tx.Read(ctx, `SELECT n.nspname, c.relname, max(quote_ident(a.attname)) FILTER (WHERE o.attname = 'domain_id'), max(quote_ident(a.attname)) FILTER (WHERE o.attname = $2)
		FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS k (own, other)
			JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own JOIN pg_attribute o ON o.attrelid = f.confrelid AND o.attnum = k.other
		WHERE f.contype = 'f' AND f.confrelid = $1::text::regclass AND f.conparentid = 0 GROUP BY f.oid, 1, 2 ORDER BY 1, 2`, []any{table, id}, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h hanging, err error) {
			var t tenancy.Table
			err = row.Scan(&t.Schema, &t.Name, &h.domain, &h.id)
			h.table = t.String()
			return h, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: find the tables that hang on %s: %w", table, err)
	}
	out := map[ID]map[string]bool{}
	for _, h := range all {
		err := tx.Read(ctx, fmt.Sprintf(`SELECT w.id FROM unnest($2::uuid[]) AS w (id) WHERE EXISTS (SELECT FROM %s WHERE %s = $1 AND %s = w.id OFFSET 0)`, h.table, h.domain, h.id), []any{tx.Tenant().DomainID, ids}, func(rows pgx.Rows) error {
			var id ID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				if out[id] == nil {
					out[id] = map[string]bool{}
				}
				out[id][h.table] = true
				return nil
			})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("recipients: look into %s: %w", h.table, err)
		}
	}
	return out, nil
}

// EraseTx deletes rows of recipients that tx has locked, as Purge does, for who made them and
// takes them back: it audits nothing, and gives back no place in the plan.
func EraseTx(ctx context.Context, tx *tenancy.Tx, ids []ID) error { return erase(ctx, tx, ids) }
