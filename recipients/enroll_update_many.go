package recipients

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// UpdateMany changes the rows of those of the recipients that are enrolled, at most
// MaxEnrollMany, all of them or none, and returns how many it changed; the others are passed
// over. change gets each row as Update has it. Errors: ErrValueTaken, those of change, and
// *tenancy.ValidationError, which names the row by its place among ids, as in "[3].phone".
func (e *Enrollments[T]) UpdateMany(ctx context.Context, ids []ID, change func(row *T) error) (n int, err error) {
	err = e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) (err error) {
		n, err = e.updateMany(ctx, s, x, tx, ids, change)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// UpdateManyTx is UpdateMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (e *Enrollments[T]) UpdateManyTx(ctx context.Context, tx *tenancy.Tx, ids []ID, change func(row *T) error) (n int, err error) {
	err = e.inSavepoint(ctx, tx, func(s *Store, x *extension) (err error) {
		n, err = e.updateMany(ctx, s, x, tx, ids, change)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (e *Enrollments[T]) updateMany(ctx context.Context, s *Store, x *extension, tx *tenancy.Tx, ids []ID, change func(row *T) error) (int, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := checkMany(ids); err != nil {
		return 0, err
	}
	before, rows, err := lockRows[T](ctx, x, tx, t, ids)
	if err != nil {
		return 0, err
	}
	var wrong []error
	var written []*T
	var entries []audit.Entry
	set := map[string]bool{}
	for i, row := range rows {
		if err := change(row); err != nil {
			return 0, err
		}
		id := enrollmentOf(before[i]).RecipientID
		columns, changed, err := e.settle(ctx, x, before[i], row)
		if err != nil {
			wrong = append(wrong, tenancy.PrefixFields(fmt.Sprintf("[%d].", slices.Index(ids, id)), err))
			continue
		}
		if len(columns) == 0 {
			continue
		}
		for _, c := range columns {
			set[c] = true
		}
		written = append(written, row)
		entries = append(entries, x.entry("recipient.enrollment_updated", id, changed))
	}
	if err := all(wrong...); err != nil || len(written) == 0 {
		return 0, err
	}
	if err := e.updateRows(ctx, x, tx, written, set); err != nil {
		return 0, err
	}
	return len(written), s.audit.RecordTx(ctx, tx, entries...)
}

// lockRows reads the rows that are there twice, once to be changed, in the order of their
// recipients, and holds them.
func lockRows[T any](ctx context.Context, x *extension, tx *tenancy.Tx, t tenancy.Tenant, ids []ID) (before, rows []*T, err error) {
	return readRows[T](ctx, x, tx, t, ids, holding)
}

// readRows looks each row up by itself, as held does.
func readRows[T any](ctx context.Context, x *extension, tx *tenancy.Tx, t tenancy.Tenant, ids []ID, how lockMode) (before, rows []*T, err error) {
	lock := ``
	if how == holding {
		lock = ` FOR UPDATE`
	}
	q := `SELECT ` + x.selected() + ` FROM (SELECT DISTINCT id FROM unnest($2::uuid[]) AS u (id) ORDER BY id) w, LATERAL (
			SELECT x.* FROM ` + x.table.String() + ` x WHERE x.domain_id = $1 AND x.recipient_id >= w.id AND x.recipient_id <= w.id
				AND (SELECT true FROM strata.recipients r WHERE r.domain_id = $1 AND r.id >= w.id AND r.id <= w.id AND r.deleted_at IS NULL ORDER BY r.id LIMIT 1)
			ORDER BY x.recipient_id LIMIT 1` + lock + `) ` + x.alias() + ` ORDER BY w.id`
	err = readByKey(ctx, tx, q, t.DomainID, ids, func(found pgx.Rows) error {
		for found.Next() {
			for _, into := range []*[]*T{&before, &rows} {
				m := x.newScan()
				if err := found.Scan(m.targets...); err != nil {
					return err
				}
				row, _ := m.row().(*T)
				*into = append(*into, row)
			}
		}
		return found.Err()
	})
	return before, rows, err
}
