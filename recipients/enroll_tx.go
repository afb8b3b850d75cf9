package recipients

import (
	"context"
	"maps"

	"github.com/stratakit/strata/tenancy"
)

// InTx runs fn in a transaction of the Store's database: for the calls of Enrollments that take
// one, together with a product's own statements. It commits when fn returns nil.
func (e *Enrollments[T]) InTx(ctx context.Context, fn func(tx *tenancy.Tx) error) error {
	return e.inTx(ctx, func(_ *Store, _ *extension, tx *tenancy.Tx) error { return fn(tx) })
}

// RecordTx notes in the audit trail what a product's own statements did to what it has of a
// recipient beside the row, such as in further tables: it writes no row. action is one such as
// "recipient.devices_changed"; metadata, which may be nil, names no personal data and no secret.
func (e *Enrollments[T]) RecordTx(ctx context.Context, tx *tenancy.Tx, id ID, action string, metadata map[string]any) error {
	s, x, err := e.bound()
	if err != nil {
		return err
	}
	entry := x.entry(action, id, nil)
	maps.Copy(entry.Metadata, metadata)
	return s.audit.RecordTx(ctx, tx, entry)
}
