package filter

import (
	"fmt"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

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
