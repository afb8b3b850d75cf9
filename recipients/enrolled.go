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
func EnrolledTx(ctx context.Context, tx *tenancy.Tx, ids []ID) (enrolled []ID, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	type hanging struct{ table, domain, id string }
	var all []hanging
	err = tx.Read(ctx, `SELECT format('%I.%I', n.nspname, c.relname), max(quote_ident(a.attname)) FILTER (WHERE o.attname = 'domain_id'), max(quote_ident(a.attname)) FILTER (WHERE o.attname = 'id')
		FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS k (own, other)
			JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.own JOIN pg_attribute o ON o.attrelid = f.confrelid AND o.attnum = k.other
		WHERE f.contype = 'f' AND f.confrelid = 'strata.recipients'::regclass AND f.conparentid = 0 GROUP BY f.oid, 1 ORDER BY 1`, nil, func(rows pgx.Rows) (err error) {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h hanging, err error) {
			err = row.Scan(&h.table, &h.domain, &h.id)
			return h, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: find the tables of extensions: %w", err)
	}
	for _, h := range all {
		err := tx.Read(ctx, fmt.Sprintf(`SELECT DISTINCT %s FROM %s WHERE %s = $1 AND %[1]s = ANY ($2)`, h.id, h.table, h.domain), []any{tx.Tenant().DomainID, ids}, func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[ID])
			enrolled = append(enrolled, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("recipients: look into %s: %w", h.table, err)
		}
	}
	return enrolled, nil
}

// EraseTx deletes rows of recipients that tx has locked, as Purge does, for who made them and
// takes them back: it audits nothing, and gives back no place in the plan.
func EraseTx(ctx context.Context, tx *tenancy.Tx, ids []ID) error { return erase(ctx, tx, ids) }
