package library

import (
	"context"
	"errors"

	"github.com/stratakit/strata/tenancy"
)

// CloneTo is what Clone makes of an item.
type CloneTo struct {
	// Name of the clone. Empty: that of the source.
	Name string
}

// Clone copies an item that can be seen from ctx, a clone too, into the library of ctx's
// tenant. The clone is changed like any other item, and keeps a link to its source. Errors:
// ErrNotFound, *tenancy.ValidationError for the name and when the source is itself invalid,
// ErrNameTaken.
func (t *Type[T]) Clone(ctx context.Context, id ID, to CloneTo) (out Item[T], err error) {
	err = t.store.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = t.CloneTx(ctx, tx, id, to)
		return err
	})
	return out, err
}

// CloneTx is Clone in the caller's transaction, which goes on after an error.
func (t *Type[T]) CloneTx(ctx context.Context, tx *tenancy.Tx, id ID, to CloneTo) (Item[T], error) {
	scope, err := writing(ctx, tx)
	if err != nil {
		return Item[T]{}, err
	}
	source, err := t.store.get(ctx, tx, t.name, id)
	if err != nil {
		return Item[T]{}, err
	}
	if to.Name == "" {
		to.Name = source.Name
	}
	var v tenancy.ValidationError
	var r row
	r.Name, r.nameNorm = checkName(&v, to.Name)
	t.take(&v, &r, source)
	if err := v.OrNil(); err != nil {
		return Item[T]{}, err
	}
	if r, err = t.store.insert(ctx, tx, scope, t.name, r); err != nil {
		return Item[T]{}, err
	}
	return t.item(r), t.store.record(ctx, tx, t.name, "cloned", r, sourceMetadata(r))
}

// SourceState is how the source of a clone stands to what was taken from it.
type SourceState[T any] struct {
	// Changed is set when the body of the source has changed since it was taken over. A new
	// name is no change.
	Changed bool
	// Gone is set when the source is deleted, or cannot be seen from the context: that of a
	// company's item may lie in one of its workspaces.
	Gone bool
	// Latest is the source as it is now; nil when it is gone.
	Latest *Item[T]
}

// Source returns the state of what an item was cloned from. Errors: ErrNotFound,
// ErrNoSource for an item that is no clone.
func (t *Type[T]) Source(ctx context.Context, id ID) (SourceState[T], error) {
	return t.source(ctx, t.store.db, id)
}

// SourceTx is Source in the caller's transaction.
func (t *Type[T]) SourceTx(ctx context.Context, tx *tenancy.Tx, id ID) (SourceState[T], error) {
	return t.source(ctx, tx, id)
}

func (t *Type[T]) source(ctx context.Context, db reader, id ID) (SourceState[T], error) {
	clone, err := t.store.get(ctx, db, t.name, id)
	if err != nil {
		return SourceState[T]{}, err
	}
	if clone.Source == nil {
		return SourceState[T]{}, ErrNoSource
	}
	source, err := t.store.get(ctx, db, t.name, clone.Source.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return SourceState[T]{Gone: true}, nil
	case err != nil:
		return SourceState[T]{}, err
	}
	latest := t.item(source)
	return SourceState[T]{Changed: source.bodyVersion > clone.Source.Version, Latest: &latest}, nil
}

// Pull replaces the body of a clone, which was read as version, by the present one of its
// source: also what was changed in the clone is gone then. Errors: ErrNotFound, ErrNotOwner,
// ErrNoSource, ErrSourceGone, ErrVersionConflict, *tenancy.ValidationError when the source
// is itself invalid.
func (t *Type[T]) Pull(ctx context.Context, id ID, version int64) (out Item[T], err error) {
	err = t.store.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = t.PullTx(ctx, tx, id, version)
		return err
	})
	return out, err
}

// PullTx is Pull in the caller's transaction, which goes on after an error.
func (t *Type[T]) PullTx(ctx context.Context, tx *tenancy.Tx, id ID, version int64) (Item[T], error) {
	r, err := t.store.own(ctx, tx, t.name, id)
	if err != nil {
		return Item[T]{}, err
	}
	if r.Source == nil {
		return Item[T]{}, ErrNoSource
	}
	source, err := t.store.get(ctx, tx, t.name, r.Source.ID)
	if errors.Is(err, ErrNotFound) {
		err = ErrSourceGone
	}
	if err != nil {
		return Item[T]{}, err
	}
	var v tenancy.ValidationError
	checkVersion(&v, version)
	t.take(&v, &r, source)
	if err := v.OrNil(); err != nil {
		return Item[T]{}, err
	}
	r.Version = version
	if r, err = t.store.update(ctx, tx, r); err != nil {
		return Item[T]{}, err
	}
	return t.item(r), t.store.record(ctx, tx, t.name, "pulled", r, sourceMetadata(r))
}

// take gives r the body of a source as it is stored, with what this version of the program
// knows nothing of, and notes in v what is wrong with it.
func (t *Type[T]) take(v *tenancy.ValidationError, r *row, source row) {
	if err := t.item(source).Invalid; err != nil {
		noteInvalid(v, err)
	}
	r.body = source.body
	r.Source = &Source{ID: source.ID, Version: source.Version}
}

func sourceMetadata(r row) map[string]any {
	return map[string]any{"sourceId": r.Source.ID, "sourceVersion": r.Source.Version}
}
