package filter

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/stratakit/strata/customfields"
)

// quoteKey writes the key of a custom field as a literal. Its form admits nothing to escape.
func quoteKey(key string) string {
	if !customfields.ValidSlot(key) {
		panic("filter: a key that was never checked reached the renderer: " + key)
	}
	return "'" + key + "'"
}

// raw is the JSON value of a custom field.
func raw(f *customfields.Field) string { return "r.custom_fields->" + quoteKey(slot(f)) }

// jsonType is what jsonb_typeof says of the field's values.
func jsonType(t customfields.Type) string {
	switch t {
	case customfields.Number:
		return "number"
	case customfields.Boolean:
		return "boolean"
	case customfields.MultiSelect:
		return "array"
	case customfields.Text, customfields.Date, customfields.Select, customfields.URL, customfields.Email:
	}
	return "string"
}

// isSet asks whether a reference has a value, or has none. It is never NULL. A custom
// field whose stored value is of another JSON type than the field's has none: so it is
// in every other condition too.
func (r *renderer) isSet(o operand, want bool) string {
	if o.column != nil {
		return o.column.SQL + negated(" IS NOT NULL", " IS NULL", want)
	}
	return "jsonb_typeof(" + raw(o.field) + ")" + negated(" IS NOT DISTINCT FROM '", " IS DISTINCT FROM '", want) + jsonType(o.field.Type) + "'"
}

// contained returns the document that a record with this equality contains.
func (r *renderer) contained(c equal) (key string, value any, ok bool) {
	if c.ref.field == nil {
		return "", nil, false
	}
	return slot(c.ref.field), r.stored(c.value), true
}

// stored is a literal or moment as a custom field holds it.
func (r *renderer) stored(value any) any {
	if m, ok := value.(moment); ok {
		return r.moment(m).Format(customfields.DateLayout)
	}
	return value
}

func document(doc map[string]any) string {
	b, err := json.Marshal(doc)
	if err != nil { // strings, float64, bool and lists of strings always have a JSON form
		return "{}"
	}
	return string(b)
}

// contains asks whether custom_fields contains doc. It is never NULL, and what the GIN
// index is for.
func (r *renderer) contains(doc map[string]any, want bool) string {
	return definitely(want) + "r.custom_fields @> " + r.bind(document(doc), "jsonb")
}

// indexed reports whether an index of its own answers an equality with a field.
func (r *renderer) indexed(o operand) bool {
	return o.field != nil && r.ready != nil && o.kind() != booleanKind && o.kind() != listKind && r.ready(slot(o.field), o.field.Type)
}

func (r *renderer) equal(c equal, want bool) string {
	if key, value, ok := r.contained(c); ok {
		if want && r.indexed(c.ref) {
			if n, isNumber := value.(float64); isNumber {
				return raw(c.ref.field) + " = " + r.bind(numberText(n), "jsonb")
			}
			return r.sought(r.text(c.ref), "=", value.(string))
		}
		return r.contains(map[string]any{key: value}, want)
	}
	column := c.ref.column.SQL // in its own collation, which an index of the table's has
	var p string
	if m, ok := c.value.(moment); ok {
		p = r.date(m)
	} else {
		p = r.bind(c.value, sqlType(c.ref.kind()))
	}
	switch {
	case want:
		return column + " = " + p
	case c.ref.column.Nullable: // null is not equal to anything else: that is false, not unknown
		return column + " IS DISTINCT FROM " + p
	}
	return column + " <> " + p
}

func (r *renderer) flag(o operand, want bool) string {
	if o.field != nil {
		return r.contains(map[string]any{slot(o.field): want}, true)
	}
	return o.column.SQL + " IS " + boolSQL(want)
}

// among is value in [literals].
func (r *renderer) among(c among, want bool) string {
	o, isRef := c.value.(operand)
	switch {
	case len(c.values) == 0 && !isRef: // computed: unknown where it has an error
		return r.value(c.value) + negated(" IS NULL AND FALSE", " IS NOT NULL", want)
	case len(c.values) == 0:
		return boolSQL(!want)
	case isRef && o.field != nil && want && r.indexed(o):
		return r.amongIndexed(o, c.values)
	case isRef && o.field != nil:
		docs := make([]string, len(c.values))
		for i, v := range c.values {
			docs[i] = document(map[string]any{slot(o.field): v})
		}
		return definitely(want) + "r.custom_fields @> ANY(" + r.bind(docs, "jsonb[]") + ")"
	}
	list := r.bind(listOf(c.values), sqlType(c.value.kind())+"[]")
	var v string
	if isRef {
		v = o.column.SQL
	} else {
		v = r.value(c.value)
	}
	switch {
	case want:
		return v + " = ANY(" + list + ")"
	case isRef && o.column.Nullable:
		return v + " IS NULL OR " + v + " <> ALL(" + list + ")"
	}
	return v + " <> ALL(" + list + ")"
}

// amongIndexed is among for what an index of its own answers: some times quicker than the
// index on all fields, and estimated by what there is.
func (r *renderer) amongIndexed(o operand, values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		if n, isNumber := v.(float64); isNumber {
			texts[i] = numberText(n)
		} else {
			texts[i] = r.stored(v).(string) // the builder has seen to it
		}
	}
	if o.kind() == numberKind {
		return raw(o.field) + " = ANY(" + r.bind(texts, "jsonb[]") + ")"
	}
	beginnings := make([]string, len(texts))
	decided := true
	for i, s := range texts {
		beginnings[i] = beginningOf(s)
		decided = decided && decides(s)
	}
	text := r.text(o)
	condition := beginning(text) + " = ANY(" + r.bind(beginnings, "text[]") + ")"
	if !decided {
		condition += " AND " + text + " = ANY(" + r.bind(texts, "text[]") + ")"
	}
	return condition
}

// sought compares a text of which an index has the beginning. What is less begins with what
// is less, or the same.
func (r *renderer) sought(text, op, s string) string {
	if decides(s) {
		return beginning(text) + " " + op + " " + r.bind(s, "text")
	}
	first := op
	if op != "=" {
		first = op[:1] + "="
	}
	return beginning(text) + " " + first + " " + r.bind(beginningOf(s), "text") + " AND " + text + " " + op + " " + r.bind(s, "text")
}

// soughtText is the text with which an index of its own on a field can be asked, if there is
// one and v is known.
func (r *renderer) soughtText(of, v value) (string, bool) {
	o, isRef := of.(operand)
	if !isRef || !r.indexed(o) || o.kind() == numberKind {
		return "", false
	}
	switch v := v.(type) {
	case literal:
		s, ok := v.value.(string)
		return s, ok
	case moment:
		return r.moment(v).Format(customfields.DateLayout), true
	}
	return "", false
}

// overlap is hasAny, hasAll and "option" in a field.
func (r *renderer) overlap(c overlap, want bool) string {
	key := slot(c.ref.field)
	switch {
	case len(c.values) == 0:
		return boolSQL(c.all == want)
	case c.all || len(c.values) == 1:
		return r.contains(map[string]any{key: c.values}, want)
	}
	docs := make([]string, len(c.values))
	for i, v := range c.values {
		docs[i] = document(map[string]any{key: []string{v}})
	}
	return definitely(want) + "r.custom_fields @> ANY(" + r.bind(docs, "jsonb[]") + ")"
}

// member is value in a field. A null is in no list; what is computed and has an error is
// unknown.
func (r *renderer) member(c member, want bool) string {
	in := "(" + r.list(c.ref) + " @> to_jsonb(" + r.text(c.value) + "))"
	if definite(c.value) {
		return in + negated(" IS TRUE", " IS NOT TRUE", want)
	}
	return definitely(want) + in
}

// list is the JSON array of a multi_select, an empty one where it is not set.
func (r *renderer) list(o operand) string {
	return "CASE WHEN jsonb_typeof(" + raw(o.field) + ") = 'array' THEN " + raw(o.field) + " ELSE '[]'::jsonb END"
}

// number compares a custom field with a number as jsonb does, which is quicker than a
// cast: numbers stand between all strings and all booleans
// (https://www.postgresql.org/docs/current/datatype-json.html#JSON-INDEXING), so a second
// comparison leaves values of other types out.
func (r *renderer) number(o operand, op string, value float64) string {
	field := raw(o.field)
	only := " AND " + field + " < 'false'"
	if op == "<" || op == "<=" {
		only = " AND " + field + " >= '-1e400'" // less than any float64
	}
	return field + " " + op + " " + r.bind(numberText(value), "jsonb") + only
}

func numberText(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// sqlType is the type of a column's parameter.
func sqlType(k kind) string {
	switch k {
	case numberKind:
		return "float8"
	case dateKind:
		return "timestamptz"
	case booleanKind:
		return "boolean"
	case durationKind:
		return "bigint"
	case textKind, listKind:
	}
	return "text"
}

// listOf makes a typed slice, which pgx can send as an array.
func listOf(values []any) any {
	switch values[0].(type) {
	case float64:
		return sliceOf[float64](values)
	case bool:
		return sliceOf[bool](values)
	case time.Time:
		return sliceOf[time.Time](values)
	}
	return sliceOf[string](values)
}

func sliceOf[T any](values []any) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = v.(T) // the builder has seen to it
	}
	return out
}
