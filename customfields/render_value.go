package customfields

import (
	"strconv"
	"time"
)

// json is a reference for IS NULL: the raw value. Values are never JSON null.
func (r *renderer) json(x operand) string {
	if x.column != nil {
		return x.column.SQL
	}
	return "(r.custom_fields->" + quoteKey(x.field.Key) + ")"
}

// value is a reference as a SQL value of its type, NULL where it is not set. It can
// never raise, whatever is stored: a cast is guarded by the type of the JSON value, and
// numeric holds every JSON number.
func (r *renderer) value(x operand) string {
	if x.column != nil {
		if x.column.Type == Text {
			return x.column.SQL + ` COLLATE "C"` // CEL orders text by code point
		}
		return x.column.SQL
	}
	raw := "r.custom_fields->" + quoteKey(x.field.Key)
	text := "r.custom_fields->>" + quoteKey(x.field.Key)
	guard := func(jsonType, value string) string {
		return "(CASE WHEN jsonb_typeof(" + raw + ") = '" + jsonType + "' THEN " + value + " END)"
	}
	switch x.kind() {
	case Number:
		return guard("number", "("+raw+")::numeric")
	case Boolean:
		return guard("boolean", "("+raw+")::boolean")
	case Text, Date, Select, MultiSelect, URL, Email:
	}
	return guard("string", "("+text+`) COLLATE "C"`)
}

// comparable is value for a comparison with another reference. A number is a float8
// there, as a column is and as CEL has it; what float8 cannot hold counts as not set.
func (r *renderer) comparable(x operand) string {
	if x.field == nil || x.kind() != Number {
		return r.value(x)
	}
	raw := "r.custom_fields->" + quoteKey(x.field.Key)
	return "(CASE WHEN jsonb_typeof(" + raw + ") = 'number' THEN CASE WHEN abs((" + raw + ")::numeric) < 1e300 THEN (" + raw + ")::float8 END END)"
}

// quoteKey writes a key as a literal. The form of a key admits nothing to escape.
func quoteKey(key string) string {
	if !keyForm.MatchString(key) {
		panic("customfields: a key that was never checked reached the renderer: " + key)
	}
	return "'" + key + "'"
}

// bindFor binds a literal that is compared with x.
func (r *renderer) bindFor(x operand, value any) string {
	if x.field != nil {
		if t, ok := value.(time.Time); ok {
			return r.bind(t.Format(DateLayout), "text")
		}
		if n, ok := value.(float64); ok {
			// As text: a cast from float8 to numeric keeps 15 digits only.
			return r.bind(strconv.FormatFloat(n, 'f', -1, 64), "numeric")
		}
		return r.bind(value, "text")
	}
	return r.bind(value, sqlType(x.kind()))
}

// sqlType is the type of a column's parameter.
func sqlType(t Type) string {
	switch t {
	case Number:
		return "float8"
	case Date:
		return "timestamptz"
	case Boolean:
		return "boolean"
	case Text, Select, MultiSelect, URL, Email:
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
	out := make([]T, 0, len(values))
	for _, v := range values {
		if t, ok := v.(T); ok { // the checker has seen to it: a list has one type
			out = append(out, t)
		}
	}
	return out
}
