package customfields

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"

	"github.com/stratakit/strata/tenancy"
)

// Constraints narrow what a value of a field may be. The zero value allows all that the
// type does. They are asked when a value is written: what is stored already stays when they
// become narrower, until it is written again.
type Constraints struct {
	// Min and Max are the least and the greatest value: of a number a number, of a date
	// text in one of the forms that a date is read from. Nil: no bound.
	Min any `json:"min,omitempty"`
	Max any `json:"max,omitempty"`
	// MinLength and MaxLength bound the length of text, url and email in characters
	// (Unicode code points). 0: no bound.
	MinLength int `json:"minLength,omitempty"`
	MaxLength int `json:"maxLength,omitempty"`
	// Pattern is a regular expression (RE2, package regexp) that text, url and email must
	// match as a whole, from the first character to the last: it needs no anchors. Empty: none.
	Pattern string `json:"pattern,omitempty"`
}

// maxPattern is the longest pattern, in bytes.
const maxPattern = 500

// maxLength is the longest value of a type that has a length, in characters, or 0.
func (t Type) maxLength() int { return map[Type]int{Text: maxText, URL: maxURL, Email: maxEmail}[t] }

// prepared is what reading values needs of a definition, made once.
type prepared struct {
	pattern *regexp.Regexp
	filled  any // the default
}

// prepare makes f ready to read values.
func (f *Field) prepare() {
	if p := f.Constraints.Pattern; p != "" {
		f.pattern, _ = whole(p) // it was checked when it was defined
	}
	if f.Default != nil {
		f.filled, _ = f.form(f.Default) // a list that comes from JSON is a list of options again
	}
}

// whole compiles a pattern so that it has to match the whole of a value.
func whole(pattern string) (*regexp.Regexp, error) {
	if _, err := syntax.Parse(pattern, syntax.Perl); err != nil { // alone: a)|(b would be well-formed in brackets
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

func (f *Field) checkConstraints(v *tenancy.ValidationError) {
	if f.DateOnly && f.Type != Date {
		v.Add("dateOnly", "not_allowed", "only a date can be without a time of day")
	}
	f.checkBounds(v)
	f.checkLengths(v)
	switch c := &f.Constraints; {
	case c.Pattern == "":
	case f.Type.maxLength() == 0:
		v.Add("constraints.pattern", "not_allowed", "only text, url and email have a pattern")
	case len(c.Pattern) > maxPattern || !storable(c.Pattern):
		v.Add("constraints.pattern", "invalid_text", fmt.Sprintf("must be text of at most %d bytes", maxPattern))
	default:
		if _, err := whole(c.Pattern); err != nil {
			v.Add("constraints.pattern", "invalid_pattern", "must be a regular expression in the syntax of RE2: "+err.Error())
		}
	}
}

// checkBounds brings the bounds into the form that values are stored in.
func (f *Field) checkBounds(v *tenancy.ValidationError) {
	c, good := &f.Constraints, true
	for _, b := range []struct {
		name  string
		bound *any
	}{{"constraints.min", &c.Min}, {"constraints.max", &c.Max}} {
		switch {
		case *b.bound == nil:
		case f.Type != Number && f.Type != Date:
			v.Add(b.name, "not_allowed", "only a number and a date have bounds")
			good = false
		default:
			value, p := f.form(*b.bound)
			if p == nil && value != nil && f.DateOnly {
				p = midnight(value)
			}
			if p != nil {
				v.Fields = append(v.Fields, tenancy.FieldError{Field: b.name, Value: show(*b.bound), Code: p.code, Message: p.message})
				good = false
			}
			*b.bound = value
		}
	}
	if good && c.Min != nil && c.Max != nil && less(c.Max, c.Min) {
		v.Add("constraints.max", "out_of_range", "must not be less than min")
	}
}

func (f *Field) checkLengths(v *tenancy.ValidationError) {
	c, most := &f.Constraints, f.Type.maxLength()
	for _, b := range []struct {
		name   string
		length int
	}{{"constraints.minLength", c.MinLength}, {"constraints.maxLength", c.MaxLength}} {
		switch {
		case b.length == 0:
		case most == 0:
			v.Add(b.name, "not_allowed", "only text, url and email have a length")
		case b.length < 0 || b.length > most:
			v.Add(b.name, "out_of_range", fmt.Sprintf("must be between 1 and %d", most))
		}
	}
	if c.MaxLength > 0 && c.MinLength > c.MaxLength {
		v.Add("constraints.maxLength", "out_of_range", "must not be less than minLength")
	}
}

// checkDefault brings the default into the form that values are stored in.
func (f *Field) checkDefault(v *tenancy.ValidationError) {
	if f.Default == nil || len(v.Fields) > 0 {
		return
	}
	f.prepare()
	value, p := f.normalize(f.Default)
	if p != nil {
		v.Fields = append(v.Fields, tenancy.FieldError{Field: "default", Value: show(f.Default), Code: p.code, Message: p.message, Suggestion: p.suggestion})
		return
	}
	f.Default = value
	f.prepare()
}

// constrain returns what keeps a value, in its stored form, from being one of this field.
func (f *Field) constrain(value any) *problem {
	c := &f.Constraints
	if s, ok := value.(string); ok && f.Type.maxLength() > 0 {
		if n := utf8.RuneCountInString(s); n < c.MinLength {
			return &problem{code: "too_short", message: fmt.Sprintf("must have at least %d characters", c.MinLength)}
		} else if c.MaxLength > 0 && n > c.MaxLength {
			return &problem{code: "too_long", message: fmt.Sprintf("must have at most %d characters", c.MaxLength)}
		}
		if f.pattern != nil && !f.pattern.MatchString(s) {
			return &problem{code: "pattern_mismatch", message: "must match the pattern " + c.Pattern}
		}
		return nil
	}
	if f.DateOnly {
		if p := midnight(value); p != nil {
			return p
		}
	}
	switch {
	case c.Min != nil && less(value, c.Min):
		return &problem{code: "too_small", message: "must be at least " + show(f.shown(c.Min))}
	case c.Max != nil && less(c.Max, value):
		return &problem{code: "too_great", message: "must be at most " + show(f.shown(c.Max))}
	}
	return nil
}

const midnightSuffix = "T00:00:00.000000Z"

// midnight refuses a date with a time of day.
func midnight(date any) *problem {
	if s, ok := date.(string); ok && len(s) == len(DateLayout) && s[len("2006-01-02"):] == midnightSuffix {
		return nil
	}
	return &problem{code: "not_a_day", message: "must be a day such as 2026-01-31, without a time of day"}
}

// shown is a bound as a person writes it.
func (f *Field) shown(bound any) any {
	if s, ok := bound.(string); ok && f.DateOnly {
		return s[:len("2006-01-02")]
	}
	return bound
}

// less compares two numbers, or two dates, whose text is in the order of time.
func less(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && a < b
	case string:
		b, ok := b.(string)
		return ok && a < b
	}
	return false
}

// having returns f as it is for a record that has the value stored: with the archived
// options that are in it.
func (f *Field) having(stored any) *Field {
	var held []string
	switch v := stored.(type) {
	case string:
		held = []string{v}
	case []string:
		held = v
	case []any:
		for _, o := range v {
			s, _ := o.(string)
			held = append(held, s)
		}
	}
	held = slices.DeleteFunc(slices.Clone(held), func(o string) bool { return !slices.Contains(f.ArchivedOptions, o) })
	if len(held) == 0 {
		return f
	}
	with := *f
	with.Options = slices.Concat(f.Options, held)
	return &with
}
