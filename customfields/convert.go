package customfields

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// conversions lists what the values of a type can become. Everything can become text, and
// text, where a value reads as one, everything: as in a file (Set.NormalizeText).
//
//	number        "7.5"; a boolean from 1 and 0
//	date          "2026-01-31", with the time when that is not midnight UTC
//	boolean       "true" and "false"; as a number 1 and 0
//	select        its option; a multi_select of the one
//	multi_select  "a; b"; a select where there is one option
//
// What is not here would be a guess: a number as a date has a dozen meanings.
var conversions = map[Type][]Type{
	Text:        fieldTypes,
	Number:      {Number, Text, Boolean, Select, MultiSelect},
	Date:        {Date, Text, Select},
	Boolean:     {Boolean, Text, Number, Select},
	Select:      {Select, Text, Number, Date, MultiSelect, Boolean, URL, Email},
	MultiSelect: {MultiSelect, Text, Select},
	URL:         {URL, Text, Select},
	Email:       {Email, Text, Select},
}

// Convertible reports whether values of one type can become another. Every type can
// become itself: that only moves the values to another slot.
func Convertible(from, to Type) bool { return slices.Contains(conversions[from], to) }

// Convertibles returns what Convertible allows for a type.
func Convertibles(from Type) []Type { return slices.Clone(conversions[from]) }

// Convert returns a stored value of one type as one of the field to, or says why it cannot
// be one. It returns nil for a value that becomes none.
func Convert(from Type, value any, to *Field) (any, *tenancy.FieldError) {
	converted, p := convert(from, value, to)
	if p != nil {
		e := to.fieldError(value, p)
		return nil, &e
	}
	return converted, nil
}

func convert(from Type, value any, to *Field) (any, *problem) {
	if len(to.ArchivedOptions) > 0 { // a value that has one keeps it
		all := *to
		all.Options, all.ArchivedOptions = slices.Concat(to.Options, to.ArchivedOptions), nil
		to = &all
	}
	switch {
	case value == nil:
		return nil, nil
	case from == to.Type:
		return to.form(value) // whatever the constraints are by now
	case from == Boolean && to.Type == Number:
		if value == true {
			return 1.0, nil
		}
		return 0.0, nil
	case from == Select && to.Type == MultiSelect:
		if option, ok := value.(string); ok {
			return to.form([]string{option})
		}
	}
	text, ok := textOf(from, value)
	if !ok || !Convertible(from, to.Type) {
		return nil, &problem{code: "not_convertible", message: fmt.Sprintf("a %s cannot become a %s", from, to.Type)}
	}
	return to.normalizeText(text)
}

// textOf is a stored value as text, from which it can be read again.
func textOf(from Type, value any) (string, bool) {
	switch v := value.(type) {
	case string:
		if from == Date {
			return dateText(v), true
		}
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	case []string:
		return strings.Join(v, "; "), true
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			part, ok := item.(string)
			if !ok {
				return "", false
			}
			parts[i] = part
		}
		return strings.Join(parts, "; "), true
	}
	return "", false
}

// dateText is a stored date as people write it: without a time when it is midnight UTC.
func dateText(stored string) string {
	t, err := time.Parse(DateLayout, stored)
	switch {
	case err != nil:
		return stored
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// OptionsIn returns the options that a stored value would need when its field, of the type
// from, became a select or multi_select: none for a text that cannot be an option.
func OptionsIn(from Type, value any, to Type) []string {
	text, ok := textOf(from, value)
	if !ok {
		return nil
	}
	parts := []string{text}
	if to == MultiSelect && from != Select {
		parts = splitOptions(text)
	}
	var out []string
	for _, p := range parts {
		p = strings.TrimSpace(p)
		if optionProblem(p, to) == "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
