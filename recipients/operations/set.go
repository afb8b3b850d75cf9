package operations

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// SetArgs say what is to change. Names are "name", "status" and "statusReason", and
// "fields.<key>" for custom fields:
//
//	{"set":       {"status": "inactive", "fields.tier": "gold", "fields.note": null},
//	 "add":       {"fields.tags": ["vip"]},
//	 "remove":    {"fields.tags": ["trial"]},
//	 "increment": {"fields.visits": 1}}
//
// null clears a custom field. Add and Remove are of multi_select fields, Increment is of number
// fields, where no value counts as 0. An address, and a value of a unique field, cannot be
// given to several recipients.
type SetArgs struct {
	Set       map[string]any      `json:"set,omitempty"`
	Add       map[string][]string `json:"add,omitempty"`
	Remove    map[string][]string `json:"remove,omitempty"`
	Increment map[string]float64  `json:"increment,omitempty"`
}

const fieldPrefix = "fields."

func (o *operations) checkSet(ctx context.Context, args SetArgs) error {
	edit, wrong := args.edit()
	err := o.store.CheckEdit(ctx, edit)
	var v *tenancy.ValidationError
	if err != nil && !errors.As(err, &v) {
		return err
	}
	if v != nil {
		for _, f := range v.Fields {
			if f.Field != "set" || len(wrong.Fields) == 0 { // nothing is left of it, because all of it is wrong
				wrong.Fields = append(wrong.Fields, args.named(f))
			}
		}
	}
	return wrong.OrNil()
}

func (o *operations) set(ctx context.Context, tx *tenancy.Tx, args SetArgs, ids []uuid.UUID) (bulk.Outcome, error) {
	edit, wrong := args.edit()
	if err := wrong.OrNil(); err != nil {
		return bulk.Outcome{}, bulk.Permanent(err)
	}
	return outcome(o.store.EditEachTx(ctx, tx, recipientIDs(ids), edit))
}

func (o *operations) prepareSet(ctx context.Context, args SetArgs, ids []uuid.UUID) (func(ctx context.Context, tx *tenancy.Tx) (bulk.Outcome, error), error) {
	edit, wrong := args.edit()
	if err := wrong.OrNil(); err != nil {
		return nil, err
	}
	p, err := o.store.PrepareEdit(ctx, recipientIDs(ids), edit)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *tenancy.Tx) (bulk.Outcome, error) { return outcome(p.EditTx(ctx, tx)) }, nil
}

// edit is what the arguments say, and what of it cannot be read.
func (a SetArgs) edit() (e recipients.Edit, wrong *tenancy.ValidationError) {
	wrong = &tenancy.ValidationError{}
	for _, name := range slices.Sorted(maps.Keys(a.Set)) {
		value := a.Set[name]
		key, custom := strings.CutPrefix(name, fieldPrefix)
		text, isText := value.(string)
		switch {
		case custom:
			if e.CustomFields == nil {
				e.CustomFields = map[string]any{}
			}
			e.CustomFields[key] = value
		case name == "email":
			wrong.Add("set.email", "not_allowed", "cannot be the same of several recipients")
		case name != "name" && name != "status" && name != "statusReason":
			wrong.Fields = append(wrong.Fields, unknown("set", name, "name", "status", "statusReason"))
		case !isText:
			wrong.Add("set."+name, "wrong_type", "must be a text")
		case name == "name":
			e.Name = &text
		case name == "status":
			status := recipients.Status(text)
			e.Status = &status
		default:
			e.StatusReason = &text
		}
	}
	e.Add, e.Remove, e.Increment = keyed(wrong, "add", a.Add), keyed(wrong, "remove", a.Remove), keyed(wrong, "increment", a.Increment)
	return e, wrong
}

// keyed are the values by the keys of their fields.
func keyed[V any](wrong *tenancy.ValidationError, member string, values map[string]V) map[string]V {
	var out map[string]V
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key, custom := strings.CutPrefix(name, fieldPrefix)
		if !custom {
			wrong.Fields = append(wrong.Fields, unknown(member, name))
			continue
		}
		if out == nil {
			out = map[string]V{}
		}
		out[key] = values[name]
	}
	return out
}

func unknown(member, name string, known ...string) tenancy.FieldError {
	message := `must be "` + fieldPrefix + `<key>" of a custom field`
	if len(known) > 0 {
		message += ", or one of " + suggest.Quoted(known)
	}
	return tenancy.FieldError{Field: member + "." + name, Code: "unknown_field", Message: message, Suggestion: suggest.Closest(name, known)}
}

// named is a problem of an edit by the name that the arguments have for it.
func (a SetArgs) named(f tenancy.FieldError) tenancy.FieldError {
	key, custom := strings.CutPrefix(f.Field, "customFields.")
	name := fieldPrefix + key
	switch {
	case f.Field == "set":
	case !custom:
		f.Field = "set." + f.Field
	case has(a.Set, name):
		f.Field = "set." + name
	case has(a.Add, name):
		f.Field = "add." + name
	case has(a.Remove, name):
		f.Field = "remove." + name
	default:
		f.Field = "increment." + name
	}
	return f
}

func has[V any](m map[string]V, name string) bool {
	_, ok := m[name]
	return ok
}
