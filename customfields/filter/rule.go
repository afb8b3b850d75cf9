package filter

import (
	"fmt"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// Rule is a filter in the form that visual builders edit, and JSON as they keep it:
//
//	{"all": [
//	  {"field": "fields.tier", "op": "in", "value": ["gold", "silver"]},
//	  {"any": [
//	    {"field": "email", "op": "iendsWith", "value": "@example.com"},
//	    {"event": "email.opened", "within": "7d", "op": ">=", "value": 2}]},
//	  {"not": {"cel": "size(fields.tags) > 3.0 * score"}}]}
//
// A rule is one of All, Any, Not, a condition on a Field, a condition on an Event, or CEL.
// [ToRule] makes one of any filter: what has no condition of its own, such as arithmetic,
// is CEL. [FromRule] writes it as a filter again. Neither needs a schema.
//
// # Conditions on a field
//
//	op                                   value                 as a filter
//	set, unset                           none                  has(f), !has(f); c != null, c == null for a column
//	==, !=                               any                   f == v, f != v; != includes what is not set
//	<, <=, >, >=                         any but a boolean     f < v
//	between                              list of two           between(f, v1, v2), both included
//	in, notIn                            list                  f in [v1, v2], !(f in [v1, v2])
//	contains, startsWith, endsWith       text                  f.contains(v)
//	icontains, istartsWith, iendsWith,
//	iequals                              text                  the same whatever the letters' case
//	matches                              text                  f.matches(v), a regular expression
//	includes                             text                  v in f, for a multi_select
//	hasAny, hasAll, hasNone              list of text          hasAny(f, [v1, v2]), for a multi_select
//	withinLast, withinNext               duration              withinLast(f, v), for a date
//	anniversary                          none                  anniversary(f), for a date
//	isTrue                               none                  f, for a boolean
//
// With Set, != and notIn leave out what is not set: has(f) && f != v.
//
// # Values
//
// A value is a text, a number, a boolean, or an object with one member: {"date":
// "2026-01-31"}, {"timestamp": "2026-01-31T12:00:00Z"}, {"now": "-30d"}, {"today": "+1d"},
// or {"field": "fields.other"}. A duration is a number of days such as "7d", or what Go's
// time.ParseDuration reads, such as "1h30m"; after now and today it has a sign, and "0d"
// stands for none.
type Rule struct {
	// All holds where every one of its rules does. An empty list always holds.
	All []Rule `json:"all,omitzero"`
	// Any holds where one of its rules does. An empty list never holds.
	Any []Rule `json:"any,omitzero"`
	// Not holds where its rule has an answer, and it is no. Nil: none.
	Not *Rule `json:"not,omitempty"`
	// Field is the name of what is compared: "email", "fields.tier" or "sms.phone".
	Field string `json:"field,omitempty"`
	// Event is the kind of event that is counted, Within how far back, such as "7d".
	Event  string `json:"event,omitempty"`
	Within string `json:"within,omitempty"`
	// Op is what is asked of the field, or of the number of events: ==, !=, <, <=, > or >=.
	Op string `json:"op,omitempty"`
	// Value is what the field or the number is compared with, as encoding/json reads it, or
	// anything that encoding/json writes as one of the values above.
	Value any `json:"value,omitempty"`
	// Set leaves out of != and notIn what is not set.
	Set bool `json:"set,omitempty"`
	// CEL is a filter of its own.
	CEL string `json:"cel,omitempty"`
}

// RuleProblem is one thing wrong with a rule.
type RuleProblem struct {
	// Path is where: "all[1].value[0]". Empty: the rule itself.
	Path       string `json:"path"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

// RuleError is everything that is wrong with a rule.
type RuleError struct{ Problems []RuleProblem }

// Error lists the problems with their paths.
func (e *RuleError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.Message
		if p.Path != "" {
			parts[i] = p.Path + ": " + p.Message
		}
		if p.Suggestion != "" {
			parts[i] += fmt.Sprintf(" (did you mean %q?)", p.Suggestion)
		}
	}
	return "invalid rule: " + strings.Join(parts, "; ")
}

// Kind is fault.Invalid.
func (e *RuleError) Kind() fault.Kind { return fault.Invalid }

// Code is "invalid_rule".
func (e *RuleError) Code() string { return "invalid_rule" }

// FieldErrors are the problems as an HTTP answer lists them: of the member "rule".
func (e *RuleError) FieldErrors() any {
	type fieldError struct {
		Field      string `json:"field"`
		Message    string `json:"message"`
		Suggestion string `json:"suggestion,omitempty"`
	}
	out := make([]fieldError, len(e.Problems))
	for i, p := range e.Problems {
		out[i] = fieldError{below("rule", p.Path), p.Message, p.Suggestion}
	}
	return out
}

// maxRuleProblems is how many problems are worth telling at once.
const maxRuleProblems = 20

func (e *RuleError) add(path, format string, args ...any) {
	e.problem(RuleProblem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (e *RuleError) problem(p RuleProblem) {
	if len(e.Problems) < maxRuleProblems {
		e.Problems = append(e.Problems, p)
	}
}

// orNil is the error, when there is a problem.
func (e *RuleError) orNil() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// below is the path of a member of what is at a path.
func below(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
