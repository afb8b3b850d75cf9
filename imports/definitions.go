package imports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// definition is what checking a row goes by of a custom field. Its label and the like are
// none of an import's business.
type definition struct {
	ID          customfields.ID          `json:"id"`
	Key         string                   `json:"key"`
	Slot        string                   `json:"slot"`
	Type        customfields.Type        `json:"type"`
	Options     []string                 `json:"options,omitempty"`
	Archived    []string                 `json:"archived,omitempty"`
	Required    bool                     `json:"required,omitempty"`
	Unique      bool                     `json:"unique,omitempty"`
	DateOnly    bool                     `json:"dateOnly,omitempty"`
	Default     string                   `json:"default,omitempty"`
	Constraints customfields.Constraints `json:"constraints"`
	Changing    bool                     `json:"changing,omitempty"`
}

func definitionsOf(set *customfields.Set) []definition {
	out := make([]definition, len(set.Fields))
	for i := range set.Fields {
		f := &set.Fields[i]
		out[i] = definition{
			ID: f.ID, Key: f.Key, Slot: f.Slot, Type: f.Type, Options: f.Options, Archived: f.ArchivedOptions, Required: f.Required,
			Unique: f.Unique, DateOnly: f.DateOnly, Constraints: f.Constraints, Changing: f.Transition != nil,
		}
		if f.Default != nil {
			out[i].Default = fmt.Sprint(f.Default)
		}
	}
	return out
}

// FieldsChangedError is returned by Commit when custom fields have changed, since the rows were
// checked, in what rows are checked by. It says what has changed; it is ErrFieldsChanged.
type FieldsChangedError struct {
	// Fields are the fields, as customFields.<key>. Code is added, removed, renamed, or what
	// of the definition changed: type, options, required, unique, default, constraints or values.
	Fields []tenancy.FieldError
}

// Error names the fields.
func (e *FieldsChangedError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = strings.TrimPrefix(f.Field, "customFields.") + ": " + f.Message
	}
	return fmt.Sprintf("%s (%s)", ErrFieldsChanged, strings.Join(parts, "; "))
}

// Is reports whether target is ErrFieldsChanged.
func (e *FieldsChangedError) Is(target error) bool { return target == ErrFieldsChanged }

// Kind is fault.Conflict.
func (e *FieldsChangedError) Kind() fault.Kind { return fault.Conflict }

// Code is "fields_changed".
func (e *FieldsChangedError) Code() string { return "fields_changed" }

// FieldErrors are the fields an HTTP answer names.
func (e *FieldsChangedError) FieldErrors() any { return e.Fields }

// changedSince returns what differs between the definitions that rows were checked by and those
// that there are, in the order of their keys.
func changedSince(checked, now []definition) (changes []tenancy.FieldError) {
	for _, d := range now {
		i := slices.IndexFunc(checked, func(c definition) bool { return c.ID == d.ID })
		if i < 0 {
			changes = append(changes, tenancy.FieldError{Field: "customFields." + d.Key, Code: "added", Message: "the field is new"})
			continue
		}
		changes = append(changes, d.differs(checked[i])...)
	}
	for _, c := range checked {
		if !slices.ContainsFunc(now, func(d definition) bool { return c.ID == d.ID }) {
			changes = append(changes, tenancy.FieldError{Field: "customFields." + c.Key, Code: "removed", Message: "the field is not there any more"})
		}
	}
	slices.SortStableFunc(changes, func(a, b tenancy.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return changes
}

// differs says what of a field is not as it was.
func (d definition) differs(was definition) (changes []tenancy.FieldError) {
	add := func(changed bool, code, format string, args ...any) {
		if changed {
			changes = append(changes, tenancy.FieldError{Field: "customFields." + d.Key, Code: code, Message: fmt.Sprintf(format, args...)})
		}
	}
	is := func(on bool) string {
		if on {
			return "is"
		}
		return "is not"
	}
	add(d.Key != was.Key, "renamed", "the field was called %s", was.Key)
	add(d.Type != was.Type, "type", "it was %s and is %s", was.Type, d.Type)
	gone, more := without(was.Options, d.Options), without(d.Options, was.Options)
	add(len(gone) > 0, "options", "the options %s are gone", list(gone))
	add(len(more) > 0, "options", "the options %s are new", list(more))
	add(len(gone)+len(more) == 0 && !slices.Equal(was.Archived, d.Archived), "options", "the archived options are others")
	add(d.Required != was.Required, "required", "it %s required now", is(d.Required))
	add(d.Unique != was.Unique, "unique", "it %s unique now", is(d.Unique))
	add(d.Default != was.Default, "default", "its default was %q and is %q", was.Default, d.Default)
	add(d.Constraints != was.Constraints || d.DateOnly != was.DateOnly, "constraints", "other values are allowed")
	add(d.Type == was.Type && (d.Slot != was.Slot || d.Changing && !was.Changing), "values", "its values are being changed, or were")
	return changes
}

// without returns what of list is not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
