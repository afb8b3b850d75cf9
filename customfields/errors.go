package customfields

import (
	"fmt"
	"strings"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// The package's sentinel errors.
var (
	// ErrNotFound is returned for a field the workspace does not have.
	ErrNotFound error = fault.New(fault.NotFound, "custom_field_not_found", "custom field not found")
	// ErrKeyTaken is returned by Create for a key the workspace uses or has archived.
	ErrKeyTaken error = fault.New(fault.Conflict, "key_taken", "the workspace already has a custom field with this key, perhaps archived")
	// ErrKeyHeld is returned for a key that another field had a moment ago: processes that have
	// not heard of its new key yet would store values of this one in its place.
	ErrKeyHeld error = fault.New(fault.Conflict, "key_held", "another field had this key until a moment ago: try again in a few seconds")
	// ErrOptionInUse is returned by Update for options that leave out one there was:
	// values of records would become invalid.
	ErrOptionInUse error = fault.New(fault.Conflict, "option_removed", "an option can be added, moved and archived, not left out: name it among archivedOptions, or remove it, which goes through the records")
	// ErrVersion is returned by Update when the field has changed since it was read.
	ErrVersion error = fault.New(fault.Conflict, "version_conflict", "the custom field has changed since it was read: read it again")
	// ErrChanging is returned for what cannot be done to a field while another change of it
	// goes through the records.
	ErrChanging error = fault.New(fault.Conflict, "field_changing", "the field is being changed: wait until that has ended, or cancel it")
	// ErrNotArchived is returned by Restore for a field that is in use.
	ErrNotArchived error = fault.New(fault.Conflict, "field_not_archived", "the field is not archived")
	// ErrUniqueBusy is returned by Update for a field that was unique a moment ago, while its
	// values are being forgotten, and when somebody else changes what is being done.
	ErrUniqueBusy error = fault.New(fault.Conflict, "unique_busy", "whether the field is unique is being changed: try again in a moment")
	// ErrValueTaken is what a *TakenError is about.
	ErrValueTaken error = fault.New(fault.Conflict, "value_taken", "another record of the domain has this value")
)

// TakenError is returned when a record is written or restored with values of unique fields
// that another record of its domain has. It wraps ErrValueTaken.
type TakenError struct{ Values []TakenValue }

// TakenValue is a value, shortened, that another record has.
type TakenValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Error names the fields and the values.
func (e *TakenError) Error() string {
	parts := make([]string, len(e.Values))
	for i, v := range e.Values {
		parts[i] = fmt.Sprintf("%s %q", v.Key, v.Value)
	}
	return strings.Join(parts, ", ") + ": " + ErrValueTaken.Error()
}

// Unwrap returns ErrValueTaken.
func (e *TakenError) Unwrap() error { return ErrValueTaken }

// Kind is fault.Conflict.
func (e *TakenError) Kind() fault.Kind { return fault.Conflict }

// Code is "value_taken".
func (e *TakenError) Code() string { return "value_taken" }

// FieldErrors are the errors of an HTTP answer.
func (e *TakenError) FieldErrors() any {
	out := make([]tenancy.FieldError, len(e.Values))
	for i, v := range e.Values {
		out[i] = tenancy.FieldError{Field: "customFields." + v.Key, Value: show(v.Value), Code: e.Code(), Message: ErrValueTaken.Error()}
	}
	return out
}

// DuplicatesError is returned by Update for a field that cannot become unique, because
// several records of a domain have the same value.
type DuplicatesError struct {
	Key string
	// Count is how many values there are that several records have, in all domains of the
	// workspace. Values are the most frequent of them.
	Count  int64
	Values []Duplicate
}

// Duplicate is a value, shortened, and how many records of one domain have it.
type Duplicate struct {
	Value   string `json:"value"`
	Records int64  `json:"records"`
}

// Error says how many there are.
func (e *DuplicatesError) Error() string {
	return fmt.Sprintf("the field %s cannot be unique: %d of its values are those of several records", e.Key, e.Count)
}

// Kind is fault.Conflict.
func (e *DuplicatesError) Kind() fault.Kind { return fault.Conflict }

// Code is "values_not_unique".
func (e *DuplicatesError) Code() string { return "values_not_unique" }

// Details are the members an HTTP answer has beside code and message.
func (e *DuplicatesError) Details() map[string]any {
	return map[string]any{"count": e.Count, "values": e.Values}
}
