package filter

import (
	"regexp"

	"github.com/stratakit/strata/customfields"
)

// UseForm is in which way a filter or a sort uses a field: what an index has to be good
// for.
type UseForm string

// The ways of using a field.
const (
	UseEqual  UseForm = "equal"  // ==, !=, in, and what a multi_select is asked
	UseRange  UseForm = "range"  // <, <=, >, >= and what is written as these
	UsePrefix UseForm = "prefix" // startsWith
	UseSort   UseForm = "sort"   // the order of a list
	UseOther  UseForm = "other"  // what no index serves: has(), contains, endsWith, matches
)

// Use is one way in which one custom field is used.
type Use struct {
	// Field is the JSON key under which the values are stored.
	Field string
	Type  customfields.Type
	Form  UseForm
}

var slotForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}(~[0-9]+)?$`)

// Indexed returns the expression over which an index serves the ranges, prefixes and order
// of a field: with column, such as r.custom_fields, the jsonb column, and slot, the key under
// which values are stored. It is what SQL compares ranges and prefixes of the field with,
// but for the alias. Numbers and booleans are compared as jsonb, everything else as text by
// code point; text that is stored where the type is another one is NULL. ok is false for a
// multi_select, which has no order, and for a slot that is none.
func Indexed(column, slot string, t customfields.Type) (expression string, ok bool) {
	if !slotForm.MatchString(slot) {
		return "", false
	}
	raw := column + "->'" + slot + "'"
	switch t {
	case customfields.Number, customfields.Boolean:
		return "(" + raw + ")", true
	case customfields.Text, customfields.Date, customfields.Select, customfields.URL, customfields.Email:
		return "((CASE WHEN jsonb_typeof(" + raw + ") = 'string' THEN " + column + "->>'" + slot + `' END) COLLATE "C")`, true
	case customfields.MultiSelect:
	}
	return "", false
}
