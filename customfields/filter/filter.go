package filter

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
)

// The limits of a filter. They are checked before the type check, whose cost grows with
// the square of the number of comparisons.
const (
	MaxFilterBytes = 4096
	maxNodes       = 500
	maxDepth       = 30
	maxListItems   = 1000
)

// Schema is what a filter may mention.
type Schema struct {
	// Fields are the custom fields of the workspace.
	Fields *customfields.Set
	// Columns are those of the table.
	Columns []Column
}

// Column is a column of the table that filters may also use, beside the custom fields.
type Column struct {
	// Name is what the filter calls it, such as "createdAt".
	Name string
	// Type is customfields.Text, customfields.Email, customfields.Number, customfields.Date or customfields.Boolean. A customfields.Date column is a timestamptz. An
	// customfields.Email column has every address in the form of recipients.NormalizeEmail, and ==, !=
	// and in put what they compare it with into that form.
	Type customfields.Type
	// SQL is the column in statements, with the table as r, such as "r.created_at".
	SQL string
	// Nullable says that the column may be NULL; to a filter that is null.
	Nullable bool
	// Options are the only values a customfields.Text column has, when it is an enumeration.
	Options []string
}

// Filter is a compiled expression. It does not change and is safe for concurrent use.
type Filter struct {
	source  string
	root    node
	program cel.Program
	refs    []string
}

// Position is a place in the text of a filter; both count from 1, Column in characters.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Problem is one thing wrong with a filter.
type Problem struct {
	Position
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Error is everything that is wrong with a filter.
type Error struct{ Problems []Problem }

// Error lists the problems with their positions.
func (e *Error) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
		if p.Suggestion != "" {
			parts[i] += fmt.Sprintf(" (did you mean %q?)", p.Suggestion)
		}
	}
	return "invalid filter: " + strings.Join(parts, "; ")
}

// Kind is fault.Invalid.
func (e *Error) Kind() fault.Kind { return fault.Invalid }

// Code is "invalid_filter".
func (e *Error) Code() string { return "invalid_filter" }

// FieldErrors are the problems as an HTTP answer lists them.
func (e *Error) FieldErrors() any {
	type fieldError struct {
		Field string `json:"field"`
		Problem
	}
	out := make([]fieldError, len(e.Problems))
	for i, p := range e.Problems {
		out[i] = fieldError{"filter", p}
	}
	return out
}

func problemAt(p Position, format string, args ...any) *Error {
	return &Error{Problems: []Problem{{Position: p, Message: fmt.Sprintf(format, args...)}}}
}

// String returns the filter as it was written.
func (f *Filter) String() string { return f.source }

// References returns the names of the columns and fields the filter reads ("status",
// "fields.tier"), sorted.
func (f *Filter) References() []string { return slices.Clone(f.refs) }

// SQL returns the filter as a condition in parentheses over the table r, with its
// parameters numbered from first, and their values. No part of the filter's text is in
// the condition: every literal is a parameter, and everything else comes from a fixed
// set of templates.
func (f *Filter) SQL(first int) (string, []any) {
	r := &renderer{first: first}
	r.render(f.root, true)
	return r.sql.String(), r.args
}
