package filter

import "github.com/stratakit/strata/customfields"

// Order is the order of a list by a custom field, as parts of a statement over the table r.
// What is stored under the field with another JSON type counts as not set, as it does in
// conditions.
type Order struct {
	// SQL is what is compared. An index over IndexExpression has its order.
	SQL string
	// Set is TRUE for the records that have a value, and FALSE or NULL for the others.
	Set string
	// Text is the value as text, which cast to Type is the value again: for a cursor.
	Text, Type string
	// Use is what to tell those who look after indexes.
	Use Use
}

// OrderBy returns the order by a field: numbers by size, false before true, dates by time, and
// everything else by code point, texts by their first 255 characters. A multi_select has none.
func OrderBy(f *customfields.Field) (Order, bool) {
	o := Order{Type: "jsonb", Use: Use{Slot: slot(f), Type: f.Type, Form: UseSort}}
	switch f.Type {
	case customfields.Number: // in the order of jsonb they stand between all texts and all booleans
		o.SQL = "(" + raw(f) + ")"
		o.Set = o.SQL + " >= '-1e400' AND " + o.SQL + " < 'false'"
	case customfields.Boolean:
		o.SQL = "(" + raw(f) + ")"
		o.Set = o.SQL + " >= 'false' AND " + o.SQL + " <= 'true'"
	case customfields.Text, customfields.Date, customfields.Select, customfields.URL, customfields.Email:
		o.SQL, o.Type = "("+beginning("("+textExpression("r.", f)+")"+codePoints)+")", "text"
		o.Set = o.SQL + " IS NOT NULL"
	case customfields.MultiSelect:
		return Order{}, false
	}
	o.Text = o.SQL + "::text"
	return o, true
}
