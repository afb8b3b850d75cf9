package lifecycle

import (
	"fmt"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
)

// The package's sentinel errors.
var (
	// ErrRunNotFound is returned for a run that the workspace does not have.
	ErrRunNotFound error = fault.New(fault.NotFound, "custom_field_run_not_found", "run not found")
	// ErrTooLate is returned by Cancel for a run that cannot be undone any more.
	ErrTooLate error = fault.New(fault.Conflict, "too_late", "the run cannot be cancelled any more")
	// ErrState is returned by Retry for a run that has not failed.
	ErrState error = fault.New(fault.Conflict, "wrong_state", "only a run that has failed can be tried again")
	// ErrNotConvertible is returned for two types of which the one cannot become the other
	// (customfields.Convertible), and for a field that is of the type already.
	ErrNotConvertible error = fault.New(fault.Invalid, "not_convertible", "the field cannot be converted to this type")
	// ErrUnique is returned by Convert for a unique field: what is taken is known by the values
	// as they are.
	ErrUnique error = fault.New(fault.Conflict, "field_unique", "a unique field cannot be converted: make it not unique first, and unique again afterwards")
	// ErrTooManyOptions is returned for a field whose values would make more options than a
	// select may have.
	ErrTooManyOptions error = fault.New(fault.Invalid, "too_many_options", "the field has more than 500 different values: say which options it shall have")
	// ErrNoSuchOption is returned by RemoveOption for an option, or a replacement, that the
	// field does not have.
	ErrNoSuchOption error = fault.New(fault.Invalid, "unknown_option", "the field has no such option")
	// ErrNotArchived is returned by Purge for a field that is in use.
	ErrNotArchived = customfields.ErrNotArchived
)

// LossError is returned by Convert when more values cannot be converted than the caller
// accepts to lose, and is what a run fails with that finds so many before the flip.
type LossError struct {
	Key        string
	To         customfields.Type
	Lost       int64
	AcceptLoss int64
	Samples    []Sample
}

// Error says how many values would be lost.
func (e *LossError) Error() string {
	return fmt.Sprintf("%d values of %s cannot become a %s and would be lost, %d were accepted", e.Lost, e.Key, e.To, e.AcceptLoss)
}

// Kind is fault.Conflict.
func (e *LossError) Kind() fault.Kind { return fault.Conflict }

// Code is "values_would_be_lost".
func (e *LossError) Code() string { return "values_would_be_lost" }

// Details are the members an HTTP answer has beside code and message.
func (e *LossError) Details() map[string]any {
	return map[string]any{"lost": e.Lost, "acceptLoss": e.AcceptLoss, "samples": append([]Sample{}, e.Samples...)}
}

// InUseError is returned for what would break filters that a Holder keeps.
type InUseError struct {
	Key     string
	Filters []Dependent
}

// Error names the filters.
func (e *InUseError) Error() string {
	const most = 10
	names := make([]string, 0, most+1)
	for i, f := range e.Filters {
		if i == most {
			names = append(names, fmt.Sprintf("… (%d in all)", len(e.Filters)))
			break
		}
		names = append(names, fmt.Sprintf("%s %q", f.Kind, f.Name))
	}
	return fmt.Sprintf("the field %s is used by filters that would break: %s", e.Key, strings.Join(names, ", "))
}

// Kind is fault.Conflict.
func (e *InUseError) Kind() fault.Kind { return fault.Conflict }

// Code is "field_in_use".
func (e *InUseError) Code() string { return "field_in_use" }

// Details are the members an HTTP answer has beside code and message.
func (e *InUseError) Details() map[string]any { return map[string]any{"filters": e.Filters} }

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lifecycle: %s: %w", what, err)
}
