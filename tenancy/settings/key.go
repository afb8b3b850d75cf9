package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"

	"github.com/stratakit/strata/tenancy"
)

// Mode says what a deeper level may do to a value.
type Mode string

// The modes.
const (
	// Inheritable: a deeper level may have a value of its own. A company can lock its
	// value, for as long as it likes.
	Inheritable Mode = "inheritable"
	// Locked: only a company has a value of its own.
	Locked Mode = "locked"
	// RestrictOnly: a deeper level may only be stricter, from the default downwards. When
	// a level above becomes stricter than it, what is above counts.
	RestrictOnly Mode = "restrict_only"
	// NeverInherited: the value of a company is the company's own; its workspaces do not
	// see it and have their own or the default.
	NeverInherited Mode = "never_inherited"
)

// Spec describes a key.
type Spec[T any] struct {
	// Default is the value while nobody has set any.
	Default T
	// Mode is what a deeper level may do. Default Inheritable.
	Mode Mode
	// Tighten returns the stricter of what is above and one's own, or what is left when
	// both hold: Min, Max, AllOf, AnyOf and Intersection are such functions. It belongs to
	// RestrictOnly, which needs one.
	Tighten func(above, own T) T
	// Validate says what is wrong with a value, in words for the person who entered it.
	// Nil: every T is in order. It is asked about stored values too, so that one which is
	// not in order any more is passed over.
	Validate func(T) error
	// Summary is one line for a person.
	Summary string
}

// Key is one setting with values of type T: bool, string, a number, time.Duration, a slice,
// or anything else that encoding/json writes and reads back. A Duration is written as
// "1h30m0s". Only a pointer can be null, and null is then a value like any other; having
// no value is what Clear does. A Key does not change: share it as a package variable.
type Key[T any] struct {
	def   *definition
	clone func(T) T // nil: a copy by assignment is one
}

// AnyKey is a Key of any type.
type AnyKey interface {
	// Name returns the key's name.
	Name() string

	definition() *definition
}

// value is a T and its JSON, in the one form in which values are compared.
type value struct {
	typed any
	raw   json.RawMessage
}

// definition is a Key without its type.
type definition struct {
	name     string
	summary  string
	mode     Mode
	fallback value
	// parse reads JSON. What comes in is read strictly; what is stored may have been
	// written by a newer version, whose types have more members.
	parse   func(raw []byte, strict bool) (value, *refusal)
	format  func(any) (value, *refusal)
	tighten func(above, own value) (value, *refusal)
	wrong   []string // what NewRegistry has to say about it
}

// MaxValueBytes bounds a value, as JSON.
const MaxValueBytes = 64 << 10

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// NewKey describes a key. name is like "imports.max_rows": lower-case words with dots
// between them, beginning with the package or product, at most 100 bytes. What is wrong
// with it NewRegistry says.
func NewKey[T any](name string, spec Spec[T]) *Key[T] {
	d := &definition{name: name, summary: spec.Summary, mode: spec.Mode}
	c := codecOf[T]()
	d.parse = func(raw []byte, strict bool) (value, *refusal) {
		v, why := c.parse(raw, strict)
		if why == nil && spec.Validate != nil {
			if err := spec.Validate(v); err != nil {
				why = refuse("invalid", "%s", err.Error())
			}
		}
		if why != nil {
			return value{}, why
		}
		return c.value(v)
	}
	d.format = func(v any) (value, *refusal) {
		t, ok := v.(T)
		if !ok {
			return value{}, refuse("wrong_type", "must be %s, not a Go %T", c.wants, v)
		}
		if spec.Validate != nil {
			if err := spec.Validate(t); err != nil {
				return value{}, refuse("invalid", "%s", err.Error())
			}
		}
		return c.value(t)
	}
	if spec.Tighten != nil {
		d.tighten = func(above, own value) (value, *refusal) {
			return c.value(spec.Tighten(above.typed.(T), own.typed.(T)))
		}
	}
	d.check(spec.Tighten != nil, c.wrong)
	if len(d.wrong) == 0 {
		var why *refusal
		if d.fallback, why = d.format(spec.Default); why != nil {
			d.wrong = append(d.wrong, "the default "+why.message)
		}
	}
	return &Key[T]{def: d, clone: cloneOf[T]()}
}

// check notes what is wrong with the description, and fills in the mode.
func (d *definition) check(tightens bool, wrongType string) {
	add := func(format string, args ...any) { d.wrong = append(d.wrong, fmt.Sprintf(format, args...)) }
	if len(d.name) > 100 || !nameForm.MatchString(d.name) {
		add("the name must be lower-case words of letters, digits and underscores with dots between them, such as imports.max_rows, at most 100 bytes")
	}
	switch d.mode {
	case "":
		d.mode = Inheritable
	case Inheritable, Locked, RestrictOnly, NeverInherited:
	default:
		add("there is no mode %q", string(d.mode))
	}
	if tightens != (d.mode == RestrictOnly) {
		add("RestrictOnly and Tighten belong together")
	}
	if wrongType != "" {
		add("%s", wrongType)
	}
}

// Name returns the key's name.
func (k *Key[T]) Name() string { return k.def.name }

func (k *Key[T]) definition() *definition { return k.def }

// Get returns the value for ctx's tenant: in a domain or workspace what that inherits or
// has of its own, in a company the company's. It comes from this process's memory, else
// from PostgreSQL; Store says how late a change can be noticed. What a value points to is
// shared: only a slice of strings is the caller's own. Errors: tenancy.ErrNoTenant,
// tenancy.ErrNotFound when the tenant is gone, an error when the Store was made without
// the key.
func (k *Key[T]) Get(ctx context.Context, s *Store) (T, error) { return k.get(ctx, s, nil) }

// GetTx is Get inside a transaction of the same company: it needs no second connection,
// and sees what the transaction has set.
func (k *Key[T]) GetTx(ctx context.Context, tx *tenancy.Tx, s *Store) (T, error) {
	return k.get(ctx, s, tx)
}

func (k *Key[T]) get(ctx context.Context, s *Store, tx *tenancy.Tx) (T, error) {
	var zero T
	i, err := s.registry.position(k.def)
	if err != nil {
		return zero, err
	}
	e, err := s.effective(ctx, tx)
	if err != nil {
		return zero, err
	}
	v := e.values[i].(T)
	if k.clone != nil {
		return k.clone(v), nil
	}
	return v, nil
}

// Set gives ctx's company or workspace a value of its own. Errors are those of
// Store.Change.
func (k *Key[T]) Set(ctx context.Context, s *Store, v T) error {
	return s.Change(ctx, Change{Set: map[string]any{k.def.name: v}})
}

// SetTx is Set in the caller's transaction.
func (k *Key[T]) SetTx(ctx context.Context, tx *tenancy.Tx, s *Store, v T) error {
	return s.ChangeTx(ctx, tx, Change{Set: map[string]any{k.def.name: v}})
}

// Clear takes away the value that ctx's company, workspace or domain has of its own, so
// that what is above counts again. Errors are those of Store.Clear.
func (k *Key[T]) Clear(ctx context.Context, s *Store) error { return s.Clear(ctx, k.def.name) }

// ClearTx is Clear in the caller's transaction.
func (k *Key[T]) ClearTx(ctx context.Context, tx *tenancy.Tx, s *Store) error {
	return s.ClearTx(ctx, tx, k.def.name)
}

// cloneOf returns how to copy what a caller might change in place, where that is cheap.
func cloneOf[T any]() func(T) T {
	if reflect.TypeFor[T]() == reflect.TypeFor[[]string]() {
		clone, _ := any(func(s []string) []string { return append([]string{}, s...) }).(func(T) T)
		return clone
	}
	return nil
}
