package recipients

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Get returns the row of a recipient. Errors: ErrNotFound, ErrNotEnrolled.
func (e *Enrollments[T]) Get(ctx context.Context, id ID) (*T, error) {
	s, x, err := e.bound()
	if err != nil {
		return nil, err
	}
	return get[T](ctx, x, s.db, id)
}

// GetTx is Get in the caller's transaction.
func (e *Enrollments[T]) GetTx(ctx context.Context, tx *tenancy.Tx, id ID) (*T, error) {
	_, x, err := e.bound()
	if err != nil {
		return nil, err
	}
	return get[T](ctx, x, tx, id)
}

func get[T any](ctx context.Context, x *extension, db reader, id ID) (*T, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	q := `SELECT ` + x.selected() + ` FROM strata.recipients r ` + x.join() + ` WHERE r.domain_id = $1 AND r.id = $2 AND r.deleted_at IS NULL`
	var out *T
	err = db.Read(ctx, q, []any{t.DomainID, id}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (*T, error) {
			m := x.newScan()
			if err := row.Scan(m.targets...); err != nil {
				return nil, err
			}
			got, _ := m.row().(*T)
			return got, nil
		})
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, ErrNotFound
	case err == nil && out == nil:
		return nil, ErrNotEnrolled
	}
	return out, err
}

// Update changes the row of a recipient: change gets what is stored and sets what is to be
// otherwise, and only the columns that it changed are written. It may run in a transaction
// that is undone. version makes the update conditional: it must be the row's; 0 updates
// whatever is there. The row that is stored afterwards is returned. Errors: ErrNotFound,
// ErrNotEnrolled, ErrVersion, ErrValueTaken, *tenancy.ValidationError, and those of change.
func (e *Enrollments[T]) Update(ctx context.Context, id ID, version int64, change func(row *T) error) (out *T, err error) {
	err = e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) (err error) {
		out, err = e.update(ctx, s, x, tx, id, version, change)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateTx is Update in the caller's transaction: after an error, tx goes on as before the
// call.
func (e *Enrollments[T]) UpdateTx(ctx context.Context, tx *tenancy.Tx, id ID, version int64, change func(row *T) error) (out *T, err error) {
	err = e.inSavepoint(ctx, tx, func(s *Store, x *extension) (err error) {
		out, err = e.update(ctx, s, x, tx, id, version, change)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (e *Enrollments[T]) update(ctx context.Context, s *Store, x *extension, tx *tenancy.Tx, id ID, version int64, change func(row *T) error) (*T, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	before, row, err := lockRow[T](ctx, x, tx, t, id)
	if err != nil {
		return nil, err
	}
	is := enrollmentOf(before).Version
	if version != 0 && version != is {
		return nil, fmt.Errorf("version %d was given, it is %d: %w", version, is, ErrVersion)
	}
	if err := change(row); err != nil {
		return nil, err
	}
	columns, changed, err := e.settle(ctx, x, before, row)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return row, nil
	}
	err = tx.Bun().NewUpdate().Model(row).ModelTableExpr("? AS ?", bun.Safe(x.table.String()), bun.Safe(x.alias())).
		Column(columns...).Set("version = ?, updated_at = now()", is+1).
		Where("?.domain_id = ? AND ?.recipient_id = ?", bun.Safe(x.alias()), t.DomainID, bun.Safe(x.alias()), id).
		Returning("?", bun.Safe(x.columnList())).Scan(ctx)
	if err != nil {
		return nil, x.refused(err)
	}
	inUTC(x, row)
	return row, s.audit.RecordTx(ctx, tx, x.entry("recipient.enrollment_updated", id, changed))
}

// lockRow reads a row twice, once to be changed, and holds it.
func lockRow[T any](ctx context.Context, x *extension, tx *tenancy.Tx, t tenancy.Tenant, id ID) (before, row *T, err error) {
	was, rows, err := lockRows[T](ctx, x, tx, t, []ID{id})
	if err != nil {
		return nil, nil, err
	}
	if len(rows) == 0 {
		_, err = get[T](ctx, x, tx, id) // says which of the two is not there
		if err == nil {
			err = ErrNotEnrolled // it was, when the statement began
		}
		return nil, nil, err
	}
	return was[0], rows[0], nil
}

// settle checks a row that a caller has changed, and returns the columns in which it differs
// from before, with their names for the audit trail. Whose it is and its version are as before,
// whatever was done to them.
func (e *Enrollments[T]) settle(ctx context.Context, x *extension, before, row *T) (columns, shown []string, err error) {
	*enrollmentOf(row) = *enrollmentOf(before)
	if err := e.checkRow(ctx, x, row); err != nil {
		return nil, nil, err
	}
	*enrollmentOf(row) = *enrollmentOf(before)
	columns, shown = x.changed(before, row)
	return columns, shown, nil
}

// changed returns the columns in which two rows differ, and their names for the audit trail.
func (x *extension) changed(before, after any) (columns, shown []string) {
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range x.columns {
		c := &x.columns[i]
		if !reflect.DeepEqual(a.FieldByIndex(c.index).Interface(), b.FieldByIndex(c.index).Interface()) {
			columns, shown = append(columns, c.Name), append(shown, c.shown())
		}
	}
	return columns, shown
}

// Withdraw takes a recipient out of the product: the row is gone for good. With versions the row
// must have one of them. Errors: ErrNotFound, ErrNotEnrolled, ErrVersion.
func (e *Enrollments[T]) Withdraw(ctx context.Context, id ID, versions ...IfVersion) error {
	return e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) error { return s.withdrawOne(ctx, x, tx, id, versions) })
}

// WithdrawTx is Withdraw in the caller's transaction: after an error, tx goes on as before the
// call.
func (e *Enrollments[T]) WithdrawTx(ctx context.Context, tx *tenancy.Tx, id ID, versions ...IfVersion) error {
	return e.inSavepoint(ctx, tx, func(s *Store, x *extension) error { return s.withdrawOne(ctx, x, tx, id, versions) })
}

func (s *Store) withdrawOne(ctx context.Context, x *extension, tx *tenancy.Tx, id ID, versions []IfVersion) error {
	n, err := s.withdraw(ctx, x, tx, []ID{id}, versions...)
	if err == nil && n == 0 {
		return ErrNotEnrolled
	}
	return err
}

// WithdrawMany withdraws those of the recipients that are enrolled, at most MaxEnrollMany, and
// returns how many they were. ErrNotFound, when one of them is not there, means that nothing
// was done.
func (e *Enrollments[T]) WithdrawMany(ctx context.Context, ids []ID) (n int, err error) {
	err = e.inTx(ctx, func(s *Store, x *extension, tx *tenancy.Tx) (err error) {
		n, err = s.withdraw(ctx, x, tx, ids)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// WithdrawManyTx is WithdrawMany in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments[T]) WithdrawManyTx(ctx context.Context, tx *tenancy.Tx, ids []ID) (n int, err error) {
	err = e.inSavepoint(ctx, tx, func(s *Store, x *extension) (err error) {
		n, err = s.withdraw(ctx, x, tx, ids)
		return err
	})
	return n, err
}

// withdraw takes out those that are enrolled; with versions each must have one of them.
func (s *Store) withdraw(ctx context.Context, x *extension, tx *tenancy.Tx, ids []ID, versions ...IfVersion) (int, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := checkMany(ids); err != nil {
		return 0, err
	}
	enrolled, err := x.lock(ctx, tx, t, ids)
	if err != nil {
		return 0, err
	}
	gone, err := s.takeOut(ctx, x, tx, ids, versions)
	if err == nil && len(versions) > 0 && gone < len(enrolled) {
		return 0, ErrVersion
	}
	return gone, err
}

// takeOut deletes the rows of recipients that are held, with versions those that have one of
// them, and returns how many there were.
func (s *Store) takeOut(ctx context.Context, x *extension, tx *tenancy.Tx, ids []ID, versions []IfVersion) (int, error) {
	var gone []ID
	err := tx.Read(ctx, `WITH held AS (
			SELECT $1::uuid AS domain_id, w.id FROM (SELECT DISTINCT id FROM unnest($2::uuid[]) AS u (id) ORDER BY id) w, LATERAL (
				SELECT FROM `+x.table.String()+` WHERE domain_id = $1 AND recipient_id = w.id AND (coalesce(cardinality($3::bigint[]), 0) = 0 OR version = ANY ($3)) OFFSET 0 FOR UPDATE) x ORDER BY w.id)
		DELETE FROM `+x.table.String()+` x USING held WHERE x.domain_id = held.domain_id AND x.recipient_id = held.id RETURNING x.recipient_id`,
		[]any{tx.Tenant().DomainID, ids, versions}, func(rows pgx.Rows) (err error) {
			gone, err = pgx.CollectRows(rows, pgx.RowTo[ID])
			return err
		})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(gone, compareIDs)
	entries := make([]audit.Entry, len(gone))
	for i, id := range gone {
		entries[i] = x.entry("recipient.withdrawn", id, nil)
	}
	return len(gone), s.audit.RecordTx(ctx, tx, entries...)
}
