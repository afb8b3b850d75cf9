package operations

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// The names of the operations.
const (
	Set      = "set"      // SetArgs
	Delete   = "delete"   // no arguments
	Restore  = "restore"  // no arguments; of those that are deleted
	Enroll   = "enroll"   // EnrollArgs
	Withdraw = "withdraw" // WithdrawArgs
)

// EnrollArgs enroll recipients in a product: with the same Data, by the names of JSON. Those
// that are enrolled already stay as they are.
type EnrollArgs struct {
	Product string                     `json:"product"`
	Data    map[string]json.RawMessage `json:"data,omitempty"`
}

// WithdrawArgs take recipients out of a product.
type WithdrawArgs struct {
	Product string `json:"product"`
}

type none struct{}

// New returns the operations on the recipients of store, registered with runner. Prefix of cfg
// is by default "recipients".
func New(store *recipients.Store, runner *bulk.Runner, cfg *bulk.OperationsConfig) (*bulk.Operations, error) {
	if store == nil {
		return nil, errors.New("operations: New needs a Store")
	}
	var c bulk.OperationsConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Prefix == "" {
		c.Prefix = "recipients"
	}
	ops, err := bulk.NewOperations(runner, source{store}, &c)
	if err != nil {
		return nil, err
	}
	o := &operations{store}
	return ops, errors.Join(
		bulk.Register(ops, bulk.Operation[SetArgs]{Name: Set, Check: o.checkSet, Apply: o.set, Prepare: o.prepareSet}),
		bulk.Register(ops, bulk.Operation[none]{Name: Delete, Apply: o.delete}),
		bulk.Register(ops, bulk.Operation[none]{Name: Restore, OfDeleted: true, Apply: o.restore}),
		bulk.Register(ops, bulk.Operation[EnrollArgs]{Name: Enroll, Check: o.checkEnroll, Apply: o.enroll}),
		bulk.Register(ops, bulk.Operation[WithdrawArgs]{Name: Withdraw, Check: o.checkWithdraw, Apply: o.withdraw}),
	)
}

// source finds recipients.
type source struct{ store *recipients.Store }

func (s source) Select(ctx context.Context, sel bulk.Selection, deleted bool) (string, []any, error) {
	return s.store.SelectIDs(ctx, recipients.Query{Filter: sel.Filter, Search: sel.Search, Deleted: deleted}, recipientIDs(sel.IDs))
}

// recipientIDs keeps nil, which is not the same as none.
func recipientIDs(ids []uuid.UUID) []recipients.ID {
	if ids == nil {
		return nil
	}
	out := make([]recipients.ID, len(ids))
	for i, id := range ids {
		out[i] = recipients.ID(id)
	}
	return out
}

type operations struct{ store *recipients.Store }

func (o *operations) delete(ctx context.Context, tx *tenancy.Tx, _ none, ids []uuid.UUID) (bulk.Outcome, error) {
	return outcome(o.store.DeleteEachTx(ctx, tx, recipientIDs(ids)))
}

func (o *operations) restore(ctx context.Context, tx *tenancy.Tx, _ none, ids []uuid.UUID) (bulk.Outcome, error) {
	return outcome(o.store.RestoreEachTx(ctx, tx, recipientIDs(ids)))
}

func (o *operations) checkEnroll(ctx context.Context, args EnrollArgs) error {
	x, err := o.extension(ctx, args.Product)
	if err != nil {
		return err
	}
	return tenancy.PrefixFields("data.", x.Check(ctx, args.Data))
}

func (o *operations) enroll(ctx context.Context, tx *tenancy.Tx, args EnrollArgs, ids []uuid.UUID) (bulk.Outcome, error) {
	x, err := o.extension(ctx, args.Product)
	if err != nil {
		return bulk.Outcome{}, bulk.Permanent(err)
	}
	return outcome(x.EnrollEachTx(ctx, tx, recipientIDs(ids), args.Data))
}

func (o *operations) checkWithdraw(ctx context.Context, args WithdrawArgs) error {
	x, err := o.extension(ctx, args.Product)
	if err != nil {
		return err
	}
	return x.Here()
}

func (o *operations) withdraw(ctx context.Context, tx *tenancy.Tx, args WithdrawArgs, ids []uuid.UUID) (bulk.Outcome, error) {
	x, err := o.extension(ctx, args.Product)
	if err != nil {
		return bulk.Outcome{}, bulk.Permanent(err)
	}
	return outcome(x.WithdrawEachTx(ctx, tx, recipientIDs(ids)))
}

// extension is that of the product's name; one that is not there is the request's fault.
func (o *operations) extension(ctx context.Context, name string) (*recipients.AnyEnrollments, error) {
	x, err := o.store.Extension(ctx, name)
	if errors.Is(err, recipients.ErrUnknownExtension) {
		return nil, &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "product", Value: name, Code: "unknown_extension", Message: err.Error()}}}
	}
	return x, err
}

func outcome(each recipients.Each, err error) (bulk.Outcome, error) {
	out := bulk.Outcome{Changed: each.Changed, Unchanged: each.Unchanged, Failed: make([]bulk.Failed, len(each.Failed))}
	for i, f := range each.Failed {
		out.Failed[i] = bulk.Failed{ID: uuid.UUID(f.ID), Err: f.Err}
	}
	return out, err
}
