package recipients

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Here returns ErrElsewhere when only another product's process can change the enrollments.
func (a *AnyEnrollments) Here() error {
	if a.calls == nil {
		return fmt.Errorf("extension %q: %w", a.name, ErrElsewhere)
	}
	return nil
}

// Check says what Enroll would refuse of values whoever the recipient is: ErrElsewhere,
// *tenancy.ValidationError.
func (a *AnyEnrollments) Check(ctx context.Context, values map[string]json.RawMessage) error {
	if err := a.Here(); err != nil {
		return err
	}
	return a.calls.checkJSON(ctx, values)
}

// EnrollEachTx enrolls each of up to MaxEach recipients that are there with the same values, in
// the caller's transaction; those that are enrolled already stay as they are. After an error,
// tx goes on as before the call. Errors are those of Check, and ErrValueTaken, which means that
// nothing was done.
func (a *AnyEnrollments) EnrollEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID, values map[string]json.RawMessage) (Each, error) {
	if err := a.Here(); err != nil {
		return Each{}, err
	}
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) { return a.calls.enrollEach(ctx, tx, ids, values) })
}

// WithdrawEachTx withdraws each of up to MaxEach recipients that is enrolled, in the caller's
// transaction: after an error, tx goes on as before the call. Errors: ErrElsewhere.
func (a *AnyEnrollments) WithdrawEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID) (Each, error) {
	if err := a.Here(); err != nil {
		return Each{}, err
	}
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (out Each, err error) {
		x := a.store.registered[a.name]
		if _, err := a.store.beginEach(ctx, tx, ids); err != nil {
			return out, err
		}
		rows, err := a.store.hold(ctx, tx, `r.id = ANY ($2) AND `+live, ids)
		if err != nil {
			return out, err
		}
		out.Changed, err = a.store.takeOut(ctx, x, tx, idsOf(rows), nil)
		out.Unchanged = len(rows) - out.Changed
		return out, err
	})
}

// rowOf makes a row of values that is checked but for what the recipient's own would be.
func (e *Enrollments[T]) rowOf(ctx context.Context, x *extension, values map[string]json.RawMessage) (*T, error) {
	row := new(T)
	if err := x.setJSON(row, values); err != nil {
		return nil, err
	}
	return row, e.checkRow(ctx, x, row)
}

func (e *Enrollments[T]) checkJSON(ctx context.Context, values map[string]json.RawMessage) error {
	_, x, err := e.bound()
	if err == nil {
		_, err = e.rowOf(ctx, x, values)
	}
	return err
}

func (e *Enrollments[T]) enrollEach(ctx context.Context, tx *tenancy.Tx, ids []ID, values map[string]json.RawMessage) (out Each, err error) {
	s, x, err := e.bound()
	if err != nil {
		return out, err
	}
	if _, err := s.beginEach(ctx, tx, ids); err != nil {
		return out, err
	}
	there, enrolled, err := x.held(ctx, tx, tx.Tenant(), ids, holding)
	if err != nil {
		return out, err
	}
	var rows []*T
	var entries []audit.Entry
	for _, id := range there {
		if enrolled[id] {
			out.Unchanged++
			continue
		}
		row, err := e.rowOf(ctx, x, values) // each its own: a Check may keep to itself what it sets
		if err != nil {
			return out, err
		}
		t := tx.Tenant()
		*enrollmentOf(row) = Enrollment{DomainID: t.DomainID, RecipientID: id, CompanyID: t.CompanyID, WorkspaceID: t.WorkspaceID, Version: 1}
		rows, entries = append(rows, row), append(entries, x.entry("recipient.enrolled", id, nil))
	}
	if len(rows) == 0 {
		return out, nil
	}
	if err := e.insertRows(ctx, x, tx, rows); err != nil {
		return out, err
	}
	out.Changed = len(rows)
	return out, s.audit.RecordTx(ctx, tx, entries...)
}
