package recipients

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// order is what a Sort means. Every order ends with the id, so that it is total.
type order struct {
	// sql is what is compared; empty for the id alone.
	sql string
	// value is sql as text, for a cursor, and cast is what makes it sql's type again.
	value, cast string
	descending  bool

	// set and unset divide the rows by whether they have a value, where they need not: those
	// without come last in both directions. Each of the two parts is read by itself, so that
	// an index over the values serves the first.
	set, unset string
	use        filter.Use
}

func columnOrder(name string) (order, bool) {
	switch name {
	case "", "createdAt": // ids grow with time
		return order{value: "NULL"}, true
	case "updatedAt":
		return order{sql: "r.updated_at", value: `to_jsonb(r.updated_at) #>> '{}'`, cast: "timestamptz"}, true
	case "email":
		return order{sql: "r.email_norm", value: "r.email_norm", cast: "text"}, true
	case "name":
		return order{sql: `r.name COLLATE "C"`, value: "r.name", cast: "text"}, true
	}
	return order{}, false
}

const fieldPrefix = "fields."

func unknownSort(message, suggestion string) error {
	return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "sort", Code: "unknown_sort", Message: message, Suggestion: suggestion}}}
}

// parseSort reads a Sort; set is only asked for when it names a field.
func parseSort(s string, set func() (*customfields.Set, error)) (order, error) {
	name, descending := strings.CutPrefix(s, "-")
	if name == "" && descending {
		name = "createdAt"
	}
	o, ok := columnOrder(name)
	if key, isField := strings.CutPrefix(name, fieldPrefix); isField {
		fields, err := set()
		if err != nil {
			return o, err
		}
		if o, err = fieldOrder(fields, key); err != nil {
			return o, err
		}
	} else if !ok {
		return o, unknownSort("must be createdAt, updatedAt, email, name or fields.<key>, with a leading - for the other direction", "")
	}
	o.descending = descending
	return o, nil
}

// fieldOrder is the order by a custom field.
func fieldOrder(set *customfields.Set, key string) (order, error) {
	f := set.Field(key)
	if f == nil {
		var known []string
		for _, k := range set.Keys() {
			known = append(known, fieldPrefix+k)
		}
		return order{}, unknownSort("the workspace has no such field", suggest.Closest(fieldPrefix+key, known))
	}
	if !f.Filterable {
		return order{}, unknownSort("the field is not filterable, and cannot be sorted by either", "")
	}
	by, ok := filter.OrderBy(f)
	if !ok {
		return order{}, unknownSort("a multi_select has several values, by which nothing can be sorted", "")
	}
	return order{sql: by.SQL, value: by.Text, cast: by.Type, set: by.Set, unset: "(" + by.Set + ") IS NOT TRUE", use: by.Use}, nil
}

// by is the ORDER BY of the rows that have a value, or of those that have none.
func (o order) by(set bool) string {
	direction := ""
	if o.descending {
		direction = " DESC"
	}
	if o.sql == "" || !set {
		return "r.id" + direction
	}
	return o.sql + direction + ", r.id" + direction
}

// after is the condition that a row comes after the cursor's, within its part.
func (o order) after(where string, args []any, c cursorKey) (string, []any, error) {
	op := ">"
	if o.descending {
		op = "<"
	}
	args = slices.Clone(args)
	if o.sql == "" || c.Value == nil {
		if o.sql != "" && o.set == "" {
			return "", nil, tenancy.ErrInvalidCursor
		}
		args = append(args, c.ID)
		return fmt.Sprintf("%s AND r.id %s $%d", where, op, len(args)), args, nil
	}
	value, err := cursorValue(*c.Value, o.cast)
	if err != nil {
		return "", nil, err
	}
	args = append(args, value, c.ID)
	n := len(args)
	bound := fmt.Sprintf("$%d::%s", n-1, o.cast)
	if o.cast == "jsonb" {
		bound = fmt.Sprintf("$%d::text::jsonb", n-1)
	}
	return fmt.Sprintf("%s AND (%s, r.id) %s (%s, $%d)", where, o.sql, op, bound, n), args, nil
}

// maxDigits is how long a number of a cursor may be: PostgreSQL keeps 16,383 digits after the
// point.
const maxDigits = 16_000

// cursorValue reads a cursor's sort value. What PostgreSQL could not hold in the column
// no list has returned.
func cursorValue(s, cast string) (any, error) {
	switch cast {
	case "timestamptz":
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return nil, tenancy.ErrInvalidCursor
		}
		return t, nil
	case "jsonb":
		var v any
		if json.Unmarshal([]byte(s), &v) != nil {
			return nil, tenancy.ErrInvalidCursor
		}
		switch v := v.(type) {
		case bool:
			return s, nil
		case float64:
			// PostgreSQL writes numbers without an exponent, and fails on those too long for it.
			if !math.IsInf(v, 0) && len(s) < maxDigits && !strings.ContainsAny(s, "eE") {
				return s, nil
			}
		}
		return nil, tenancy.ErrInvalidCursor
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, tenancy.ErrInvalidCursor
	}
	return s, nil
}
