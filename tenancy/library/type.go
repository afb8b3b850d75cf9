package library

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/stratakit/strata/tenancy"
)

// Spec says what is special about a type. The zero value is legal.
type Spec[T any] struct {
	// Validate returns what is wrong with a body, best as a *tenancy.ValidationError. What
	// is written passes it; of what is read it fills Item.Invalid. It must be safe for
	// concurrent use. Nil: every body is fine.
	Validate func(body T) error
}

// Type works with the items of one type, whose bodies are Ts kept as JSON. It is safe for
// concurrent use.
type Type[T any] struct {
	store *Store
	name  string
	spec  Spec[T]
}

var typeForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// NewType registers a type under a name, such as "email_template". Products that share a
// database and register the same name share the items. It fails for a name that is not of
// lower-case letters, digits and underscores, and for one that is registered already.
func NewType[T any](s *Store, name string, spec Spec[T]) (*Type[T], error) {
	if !typeForm.MatchString(name) {
		return nil, fmt.Errorf("library: type %q: want a lower-case letter and then lower-case letters, digits and underscores, at most 63", name)
	}
	if err := s.register(name); err != nil {
		return nil, err
	}
	return &Type[T]{store: s, name: name, spec: spec}, nil
}

// Name returns the name that the type is registered under.
func (t *Type[T]) Name() string { return t.name }

// New is what Create needs. The owner is the tenant of the context: a workspace, or its
// company, or with Platform the platform.
type New[T any] struct {
	Name string
	Body T
}

// Create creates an item. Errors: *tenancy.ValidationError with everything that is wrong,
// ErrNameTaken, ErrNotFound when the tenant is deleted.
func (t *Type[T]) Create(ctx context.Context, in New[T]) (out Item[T], err error) {
	err = t.store.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = t.CreateTx(ctx, tx, in)
		return err
	})
	return out, err
}

// CreateTx is Create in the caller's transaction, which goes on after an error.
func (t *Type[T]) CreateTx(ctx context.Context, tx *tenancy.Tx, in New[T]) (Item[T], error) {
	var v tenancy.ValidationError
	var r row
	r.Name, r.nameNorm = checkName(&v, in.Name)
	r.body = t.encode(&v, in.Body)
	if err := v.OrNil(); err != nil {
		return Item[T]{}, err
	}
	scope, err := writing(ctx, tx)
	if err != nil {
		return Item[T]{}, err
	}
	if r, err = t.store.insert(ctx, tx, scope, t.name, r); err != nil {
		return Item[T]{}, err
	}
	return t.item(r), t.store.record(ctx, tx, t.name, "created", r, nil)
}

// Get returns an item that can be seen from ctx, or ErrNotFound.
func (t *Type[T]) Get(ctx context.Context, id ID) (Item[T], error) { return t.get(ctx, t.store.db, id) }

// GetTx is Get in the caller's transaction.
func (t *Type[T]) GetTx(ctx context.Context, tx *tenancy.Tx, id ID) (Item[T], error) {
	return t.get(ctx, tx, id)
}

func (t *Type[T]) get(ctx context.Context, db reader, id ID) (Item[T], error) {
	r, err := t.store.get(ctx, db, t.name, id)
	if err != nil {
		return Item[T]{}, err
	}
	return t.item(r), nil
}

// Change is what Update changes; nil leaves as it is.
type Change[T any] struct {
	// Version is that of the item that was read and is to be changed.
	Version int64
	Name    *string
	Body    *T
}

// Update changes an item. Errors: *tenancy.ValidationError, ErrNotFound, ErrNotOwner,
// ErrVersionConflict, ErrNameTaken.
func (t *Type[T]) Update(ctx context.Context, id ID, c Change[T]) (out Item[T], err error) {
	err = t.store.db.InTx(ctx, func(tx *tenancy.Tx) error {
		out, err = t.UpdateTx(ctx, tx, id, c)
		return err
	})
	return out, err
}

// UpdateTx is Update in the caller's transaction, which goes on after an error.
func (t *Type[T]) UpdateTx(ctx context.Context, tx *tenancy.Tx, id ID, c Change[T]) (Item[T], error) {
	r, err := t.store.own(ctx, tx, t.name, id)
	if err != nil {
		return Item[T]{}, err
	}
	var v tenancy.ValidationError
	checkVersion(&v, c.Version)
	metadata := map[string]any{}
	if c.Name != nil {
		metadata["previousName"] = r.Name
		r.Name, r.nameNorm = checkName(&v, *c.Name)
	}
	if c.Body != nil {
		r.body = t.encode(&v, *c.Body)
	}
	if err := v.OrNil(); err != nil {
		return Item[T]{}, err
	}
	r.Version = c.Version
	if r, err = t.store.update(ctx, tx, r); err != nil {
		return Item[T]{}, err
	}
	metadata["bodyChanged"] = r.bodyVersion == r.Version
	return t.item(r), t.store.record(ctx, tx, t.name, "updated", r, metadata)
}

// Delete takes an item out of everybody's sight and makes its name free. Its clones stay.
// Errors: ErrNotFound, ErrNotOwner.
func (t *Type[T]) Delete(ctx context.Context, id ID) error {
	return t.store.db.InTx(ctx, func(tx *tenancy.Tx) error { return t.DeleteTx(ctx, tx, id) })
}

// DeleteTx is Delete in the caller's transaction.
func (t *Type[T]) DeleteTx(ctx context.Context, tx *tenancy.Tx, id ID) error {
	r, err := t.store.own(ctx, tx, t.name, id)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.library_items SET deleted_at = now(), updated_at = now() WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`),
		r.Owner.CompanyID, r.ID)
	if err != nil {
		return fmt.Errorf("library: delete an item: %w", err)
	}
	if tag.RowsAffected() == 0 { // somebody else was faster
		return ErrNotFound
	}
	return t.store.record(ctx, tx, t.name, "deleted", r, nil)
}

func checkVersion(v *tenancy.ValidationError, version int64) {
	if version < 1 {
		v.Add("version", "required", "must be the version of the item that was read")
	}
}

// encode returns a body as JSON and notes in v what is wrong with it.
func (t *Type[T]) encode(v *tenancy.ValidationError, body T) json.RawMessage {
	if err := t.validate(body); err != nil {
		noteInvalid(v, err)
		return nil
	}
	data, err := json.Marshal(body)
	if err != nil {
		noteInvalid(v, err)
	} else if limit := t.store.cfg.MaxBody; len(data) > limit {
		v.Add("body", "too_large", fmt.Sprintf("must have at most %d bytes as JSON, and has %d", limit, len(data)))
	}
	return data
}

func noteInvalid(v *tenancy.ValidationError, err error) {
	var theirs *tenancy.ValidationError
	if errors.As(err, &theirs) {
		v.Fields = append(v.Fields, theirs.Fields...)
		return
	}
	v.Add("body", "invalid", err.Error())
}

func (t *Type[T]) validate(body T) error {
	if t.spec.Validate == nil {
		return nil
	}
	return t.spec.Validate(body)
}

// item makes of what is stored what the caller gets.
func (t *Type[T]) item(r row) Item[T] {
	out := Item[T]{Envelope: r.Envelope, Raw: r.body}
	if out.Owner.Level == Global {
		out.Owner.CompanyID = tenancy.CompanyID{}
	}
	if out.Invalid = json.Unmarshal(r.body, &out.Body); out.Invalid == nil {
		out.Invalid = t.validate(out.Body)
	}
	return out
}
