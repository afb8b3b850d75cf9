package filter

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/stratakit/strata/customfields"
)

// isSet asks whether a reference has a value, or has none. It is never NULL. A custom
// field whose stored value is of another JSON type than the field's has none: so it is
// in every other condition too.
func (r *renderer) isSet(x operand, want bool) string {
	if x.column != nil {
		if want {
			return x.column.SQL + " IS NOT NULL"
		}
		return x.column.SQL + " IS NULL"
	}
	op := " IS DISTINCT FROM '"
	if want {
		op = " IS NOT DISTINCT FROM '"
	}
	return "jsonb_typeof(r.custom_fields->" + quoteKey(x.field.Key) + ")" + op + jsonType(x.field) + "'"
}

// jsonType is what jsonb_typeof says of the field's values.
func jsonType(f *customfields.Field) string {
	switch f.Type {
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

// value is a reference as a SQL value of its type, NULL where it is not set. It can
// never raise, whatever is stored: a cast is guarded by the type of the JSON value, and
// by the range of its own. A number is a float8, as a column is and as CEL has it.
func (r *renderer) value(x operand) string {
	if x.column != nil {
		if x.kind() == customfields.Text {
			return x.column.SQL + ` COLLATE "C"` // CEL orders text by code point
		}
		return x.column.SQL
	}
	raw := "r.custom_fields->" + quoteKey(x.field.Key)
	text := "r.custom_fields->>" + quoteKey(x.field.Key)
	guard := func(value string) string {
		return "(CASE WHEN jsonb_typeof(" + raw + ") = '" + jsonType(x.field) + "' THEN " + value + " END)"
	}
	switch x.kind() {
	case customfields.Number:
		// What float8 cannot hold, which a cast would raise on, counts as not set.
		number := "(" + raw + ")::numeric"
		return guard("CASE WHEN " + number + " = 0 OR abs(" + number + ") BETWEEN 5e-324 AND 1.7976931348623157e308 THEN (" + raw + ")::float8 END")
	case customfields.Boolean:
		return guard("(" + raw + ")::boolean")
	case customfields.Text, customfields.Date, customfields.Select, customfields.MultiSelect, customfields.URL, customfields.Email:
	}
	return guard("(" + text + `) COLLATE "C"`)
}

// number compares a custom field with a number as jsonb does, which is quicker than a
// cast: numbers stand between all strings and all booleans
// (https://www.postgresql.org/docs/current/datatype-json.html#JSON-INDEXING), so a second
// comparison leaves values of other types out.
func (r *renderer) number(x operand, op string, value float64) {
	raw := "r.custom_fields->" + quoteKey(x.field.Key)
	only := " AND " + raw + " < 'false'"
	if op == "<" || op == "<=" {
		only = " AND " + raw + " >= '-1e400'" // less than any float64
	}
	r.write(raw, " ", op, " ", r.bind(strconv.FormatFloat(value, 'f', -1, 64), "jsonb"), only)
}

// dateText is a timestamptz in the form of customfields.DateLayout.
const dateText = `to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') COLLATE "C"`

// pair is two references of one kind in forms that PostgreSQL can compare. A date is
// text in a custom field and a timestamptz in a column: when they meet, both are text,
// because text that is no date would make a cast raise.
func (r *renderer) pair(a, b operand) (left, right string) {
	left, right = r.value(a), r.value(b)
	if a.kind() == customfields.Date && (a.field == nil) != (b.field == nil) {
		if a.field == nil {
			left = fmt.Sprintf(dateText, a.column.SQL)
		} else {
			right = fmt.Sprintf(dateText, b.column.SQL)
		}
	}
	return left, right
}

var keyForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// quoteKey writes a key as a literal. The form of a key admits nothing to escape.
func quoteKey(key string) string {
	if !keyForm.MatchString(key) {
		panic("customfields: a key that was never checked reached the renderer: " + key)
	}
	return "'" + key + "'"
}

// bindFor binds a literal that is compared with x, unless x is a custom field and a
// number: number does that.
func (r *renderer) bindFor(x operand, value any) string {
	if x.field != nil {
		if t, ok := value.(time.Time); ok {
			return r.bind(t.Format(customfields.DateLayout), "text")
		}
		return r.bind(value, "text")
	}
	return r.bind(value, sqlType(x.kind()))
}

// sqlType is the type of a column's parameter.
func sqlType(t customfields.Type) string {
	switch t {
	case customfields.Number:
		return "float8"
	case customfields.Date:
		return "timestamptz"
	case customfields.Boolean:
		return "boolean"
	case customfields.Text, customfields.Select, customfields.MultiSelect, customfields.URL, customfields.Email:
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
