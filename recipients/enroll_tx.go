package recipients

import (
	"context"

	"github.com/stratakit/strata/tenancy"
)

// InTx runs fn in a transaction of the Store's database: for the calls of Enrollments that take
// one, together with a product's own statements. It commits when fn returns nil.
func (e *Enrollments[T]) InTx(ctx context.Context, fn func(tx *tenancy.Tx) error) error {
	return e.inTx(ctx, func(_ *Store, _ *extension, tx *tenancy.Tx) error { return fn(tx) })
}
