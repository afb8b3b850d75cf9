package blueprint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Spec says what blueprints of one kind are. T is a struct that is written as a JSON
// object; its top-level fields are what a workspace can override, one by one.
type Spec[T any] struct {
	// Apply brings the workspace of ctx's tenant to a definition, through tx alone: it may
	// be called again after a failure, and Plan calls it in a transaction that is rolled
	// back. What must happen outside the database goes into tx.AfterCommit or a job. ctx
	// ends after Config.ApplyTimeout. Its error is tried again with growing pauses, unless
	// it is Permanent. It must not ask for more of the same blueprint in this workspace
	// (OverrideTx, ClearOverrideTx, PauseTx, ResumeTx): each would bring on the next Apply.
	// Required.
	Apply func(ctx context.Context, tx *tenancy.Tx, order Order[T]) (Result, error)
	// Validate says what is wrong with a definition, as a *tenancy.ValidationError where
	// it can. It is asked of the blueprint, and again with the overrides of a workspace
	// laid over. Nil: everything that T can hold is right.
	Validate func(definition T) error
	// Locked lists fields, by their JSON names, that a workspace cannot override. One that
	// was overridden before it was locked stays so until ClearOverride.
	Locked []string
}

// Order is what Spec.Apply has to bring about.
type Order[T any] struct {
	BlueprintID ID
	// DeploymentID stands for the blueprint in this workspace for ever: keep it beside
	// what is created, to find it the next time.
	DeploymentID DeploymentID
	Version      int
	// Definition is the blueprint's, with the overrides of the workspace laid over.
	Definition T
	// Previous is the Definition that was applied last, of version PreviousVersion; nil
	// and 0 the first time.
	Previous        *T
	PreviousVersion int
	// Overridden lists the fields of Definition that are the workspace's own, sorted.
	Overridden []string
}

// Result is what Spec.Apply did.
type Result struct {
	// Changes is what it did, for people to read; of a long list the first 500 are kept.
	// The fields that the workspace has overridden are added by the Store.
	Changes []Change
	// Counters are added to those of the blueprint in this workspace, as CountTx does.
	Counters map[string]int64
}

// Change is one thing that was done, or was left as it is for a reason.
type Change struct {
	Action  Action `json:"action"`
	Subject string `json:"subject"`
	Detail  string `json:"detail,omitempty"`
}

// Action is what was done with the subject of a Change.
type Action string

// The actions.
const (
	Created Action = "created"
	Changed Action = "changed"
	Removed Action = "removed"
	// Kept is what a workspace has of its own, and keeps.
	Kept Action = "kept"
)

// Kind is one kind of blueprint, made with NewKind for NewStore.
type Kind struct {
	name   string
	fields []string // sorted
	locked []string
	// known refuses what there is no field for, at any depth, which would be lost without a
	// word. What is stored may be from a newer version of the program, and is not asked.
	known     func(json.RawMessage) error
	canonical func(json.RawMessage) (json.RawMessage, error)
	validate  func(json.RawMessage) error
	apply     func(context.Context, *tenancy.Tx, order) (Result, error)
	err       error
}

// order is an Order whose type is not known here.
type order = Order[json.RawMessage]

// NewKind returns a kind of blueprint. name is stored with its blueprints: it is for
// ever. What is wrong with it, NewStore reports.
func NewKind[T any](name string, spec Spec[T]) *Kind {
	k := &Kind{name: name, fields: fieldsOf(reflect.TypeFor[T]()), locked: spec.Locked}
	switch {
	case name == "":
		k.err = errors.New("blueprint: a kind needs a name")
	case spec.Apply == nil:
		k.err = fmt.Errorf("blueprint: kind %q has no Apply", name)
	case len(k.fields) == 0:
		k.err = fmt.Errorf("blueprint: kind %q: %s is not a struct with exported fields", name, reflect.TypeFor[T]())
	}
	for _, f := range spec.Locked {
		if k.err == nil && !slices.Contains(k.fields, f) {
			k.err = fmt.Errorf("blueprint: kind %q locks %q, which is no field: they are %s", name, f, strings.Join(k.fields, ", "))
		}
	}
	decode := func(raw json.RawMessage) (definition T, err error) {
		if len(raw) > maxBody {
			return definition, tooLarge()
		}
		if err = json.Unmarshal(raw, &definition); err == nil && spec.Validate != nil {
			err = spec.Validate(definition)
		}
		return definition, invalid(err)
	}
	k.known = func(raw json.RawMessage) error {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		return invalid(dec.Decode(new(T)))
	}
	k.canonical = func(raw json.RawMessage) (json.RawMessage, error) {
		if err := k.known(raw); err != nil {
			return nil, err
		}
		definition, err := decode(raw)
		if err != nil {
			return nil, err
		}
		return json.Marshal(definition)
	}
	k.validate = func(raw json.RawMessage) error {
		_, err := decode(raw)
		return err
	}
	k.apply = func(ctx context.Context, tx *tenancy.Tx, o order) (Result, error) {
		typed := Order[T]{
			BlueprintID: o.BlueprintID, DeploymentID: o.DeploymentID, Version: o.Version,
			PreviousVersion: o.PreviousVersion, Overridden: o.Overridden,
		}
		var err error
		if typed.Definition, err = decode(o.Definition); err != nil {
			return Result{}, Permanent(err) // another definition or override is needed
		}
		if o.Previous != nil {
			typed.Previous = new(T) // what once was right need not be so any more
			if err := json.Unmarshal(*o.Previous, typed.Previous); err != nil {
				return Result{}, Permanent(fmt.Errorf("blueprint: the definition applied last does not fit kind %q any more: %w", name, err))
			}
		}
		return spec.Apply(ctx, tx, typed)
	}
	return k
}

// fieldsOf returns the JSON names of a struct's top-level fields, sorted.
func fieldsOf(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inlined := f.Anonymous && tag == "" && isStruct(f.Type) // its own fields are visible too
		switch {
		case !f.IsExported() || inlined || f.Tag.Get("json") == "-":
		case tag != "":
			names[tag] = true
		default:
			names[f.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// maxBody is the largest definition, in bytes of JSON.
const maxBody = 1 << 20

func tooLarge() error {
	var v tenancy.ValidationError
	v.Add("body", "too_large", "must have at most 1 MiB as JSON")
	return v.OrNil()
}

// parse returns a definition in the one form that it is stored in, or a
// *tenancy.ValidationError.
func (k *Kind) parse(body any) (json.RawMessage, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, invalid(err)
	}
	if len(raw) > maxBody {
		return nil, tooLarge()
	}
	var v tenancy.ValidationError
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		v.Add("body", "invalid_type", "must be a JSON object")
		return nil, v.OrNil()
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		k.checkField(&v, "body."+name, name)
	}
	if err := v.OrNil(); err != nil {
		return nil, err
	}
	return k.canonical(raw)
}

// checkField notes in v when there is no field of that name.
func (k *Kind) checkField(v *tenancy.ValidationError, field, name string) {
	if slices.Contains(k.fields, name) {
		return
	}
	near := suggest.Closest(name, k.fields)
	v.Fields = append(v.Fields, tenancy.FieldError{
		Field: field, Code: "unknown_field", Suggestion: near,
		Message: "is no field of " + k.name + ": they are " + strings.Join(k.fields, ", "),
	})
}

// invalid makes a *tenancy.ValidationError of what decoding or Validate returned, unless
// that says by itself what kind of error it is.
func invalid(err error) error {
	if err == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	var v tenancy.ValidationError
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		field := "body"
		if wrong.Field != "" {
			field += "." + wrong.Field
		}
		v.Add(field, "invalid_type", fmt.Sprintf("must be a %s, not a %s", wrong.Type, wrong.Value))
	} else {
		v.Add("body", "invalid", err.Error())
	}
	return v.OrNil()
}
