package recipients

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Edit is one change of many recipients: nil leaves as it is.
type Edit struct {
	Name *string
	// Status and StatusReason are those of Change.
	Status       *Status
	StatusReason *string
	// CustomFields are set; a nil value clears one.
	CustomFields map[string]any
	// Add and Remove are options that multi_select fields get and lose, by key.
	Add, Remove map[string][]string
	// Increment is added to number fields, by key. No value counts as 0.
	Increment map[string]float64
}

// CheckEdit says as a *tenancy.ValidationError what of an edit would be refused for every
// recipient of the workspace, and refuses a value of a unique field, which only one can have.
func (s *Store) CheckEdit(ctx context.Context, e Edit) error {
	set, err := s.fields.Set(ctx)
	if err != nil {
		return err
	}
	return e.check(set)
}

func (e Edit) check(set *customfields.Set) error {
	var v tenancy.ValidationError
	if e.Name == nil && e.Status == nil && e.StatusReason == nil && len(e.CustomFields)+len(e.Add)+len(e.Remove)+len(e.Increment) == 0 {
		v.Add("set", "required", "say what is to change")
	}
	w := writing(0, &held{Recipient: Recipient{Status: Active}})
	if err := collect(&v, w.change(set, Change{Name: e.Name, Status: e.Status, StatusReason: e.StatusReason, CustomFields: e.CustomFields})); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(e.CustomFields)) {
		if f := set.Field(key); f != nil && f.Unique && e.CustomFields[key] != nil {
			v.Add("customFields."+key, "not_allowed", "is unique: several recipients cannot have the same value")
		}
	}
	for _, options := range []map[string][]string{e.Add, e.Remove} {
		for _, key := range slices.Sorted(maps.Keys(options)) {
			if f := e.field(&v, set, key, customfields.MultiSelect); f != nil {
				checkOptions(&v, f, options[key])
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.Increment)) {
		f := e.field(&v, set, key, customfields.Number)
		switch by := e.Increment[key]; {
		case f == nil:
		case f.Unique:
			v.Add("customFields."+key, "not_allowed", "is unique: give each recipient its value alone")
		case math.IsNaN(by) || math.IsInf(by, 0):
			v.Add("customFields."+key, "out_of_range", "must be a finite number")
		}
	}
	return v.OrNil()
}

// field returns the field of a key if it has the type and is not set too.
func (e Edit) field(v *tenancy.ValidationError, set *customfields.Set, key string, want customfields.Type) *customfields.Field {
	f := set.Field(key)
	switch _, twice := e.CustomFields[key]; {
	case f == nil:
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "customFields." + fault.Shown(key), Code: "unknown_field", Message: "the workspace has no such field", Suggestion: suggest.Closest(key, set.Keys()),
		})
	case f.Type != want:
		v.Add("customFields."+key, "wrong_type", fmt.Sprintf("is a field of the type %s, this is for %s", f.Type, want))
	case twice:
		v.Add("customFields."+key, "duplicate", "is set already: it can be one of the two")
	default:
		return f
	}
	return nil
}

func checkOptions(v *tenancy.ValidationError, f *customfields.Field, options []string) {
	if len(options) == 0 {
		v.Add("customFields."+f.Key, "required", "name at least one option")
	}
	for _, o := range options {
		if !slices.Contains(f.Options, o) && !slices.Contains(f.ArchivedOptions, o) {
			v.Fields = append(v.Fields, tenancy.FieldError{
				Field: "customFields." + f.Key, Value: fault.Shown(o), Code: "unknown_option", Message: "must be one of " + suggest.Quoted(f.Options), Suggestion: suggest.Closest(o, f.Options),
			})
		}
	}
}

// of is what the edit is for a recipient that has the values stored.
func (e *Edit) of(set *customfields.Set, stored map[string]any) Change {
	c := Change{Name: e.Name, Status: e.Status, StatusReason: e.StatusReason, CustomFields: e.CustomFields}
	if len(e.Add)+len(e.Remove)+len(e.Increment) == 0 {
		return c
	}
	c.CustomFields = maps.Clone(e.CustomFields)
	if c.CustomFields == nil {
		c.CustomFields = map[string]any{}
	}
	for _, options := range []map[string][]string{e.Add, e.Remove} {
		for key := range options {
			c.CustomFields[key] = listAfter(storedOf(set, stored, key), e.Add[key], e.Remove[key])
		}
	}
	for key, by := range e.Increment {
		now, _ := storedOf(set, stored, key).(float64)
		c.CustomFields[key] = now + by
	}
	return c
}

func storedOf(set *customfields.Set, stored map[string]any, key string) any {
	if f := set.Field(key); f != nil {
		return stored[f.Slot]
	}
	return nil // it is archived by now, which is said of the change
}

// listAfter is a stored list with what is added and without what is removed.
func listAfter(stored any, add, remove []string) any {
	var out []any
	now, _ := stored.([]any)
	for _, o := range now {
		if text, ok := o.(string); !ok || !slices.Contains(remove, text) {
			out = append(out, o)
		}
	}
	for _, o := range add {
		if !slices.Contains(remove, o) && !slices.Contains(out, any(o)) {
			out = append(out, o)
		}
	}
	if out == nil {
		return nil
	}
	return out
}
