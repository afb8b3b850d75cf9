package web

import (
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// FieldError is one thing wrong with one field of a request.
type FieldError struct {
	// Field is the path of the field in the body, or the name of the query parameter.
	Field string `json:"field"`
	// Value is the offending value, shortened, where an answer repeats it.
	Value string `json:"value,omitempty"`
	// Code is a stable machine word.
	Code string `json:"code,omitempty"`
	// Message says what would be right.
	Message string `json:"message"`
	// Suggestion is a value that would be accepted, when there is an obvious one.
	Suggestion string `json:"suggestion,omitempty"`
}

// requestError is an error that names fields.
type requestError struct {
	kind    fault.Kind
	code    string
	message string
	fields  []FieldError
}

// Error returns the message for a person.
func (e *requestError) Error() string { return e.message }

// Kind returns what went wrong.
func (e *requestError) Kind() fault.Kind { return e.kind }

// Code returns the machine word.
func (e *requestError) Code() string { return e.code }

// FieldErrors returns the fields for the answer, or nil when it names none.
func (e *requestError) FieldErrors() any {
	if len(e.fields) == 0 {
		return nil
	}
	return e.fields
}

// Invalid returns an error of kind fault.Invalid that names everything wrong at once,
// or nil when nothing is.
func Invalid(fields ...FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + ": " + f.Message
	}
	return &requestError{fault.Invalid, "validation_failed", "invalid input: " + strings.Join(parts, "; "), fields}
}

func malformed(code, message string, fields ...FieldError) error {
	return &requestError{fault.Malformed, code, message, fields}
}
