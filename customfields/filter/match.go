package filter

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/stratakit/strata/customfields"
)

// Record is what a filter is asked about in process.
type Record struct {
	// Columns are the columns of the table by their names: string, float64, int, int64,
	// bool, time.Time, or nil.
	Columns map[string]any
	// Fields are the custom fields in their stored form, as customfields.Set.Normalize or
	// a decoder of JSON returns them.
	Fields map[string]any
	// Extensions are the columns of the joined tables, by the names of table and column.
	// A table that is not there has no row for the record.
	Extensions map[string]map[string]any
	// Events counts the events of a kind from a time on. Nil counts none. An error is an
	// error of CEL, so no match: who has to tell the two apart counts before, or notes it.
	Events func(kind string, since time.Time) (int64, error)
}

// Match evaluates the filter in process, with at as its now. The answer is that of the SQL
// for the same record: where CEL has an error, such as a comparison with what is not set,
// there is no match.
func (f *Filter) Match(r Record, at time.Time) bool {
	known, value := f.evaluate(r, at)
	return known && value
}

// evaluate returns the three-valued answer.
func (f *Filter) evaluate(r Record, at time.Time) (known, value bool) {
	out, _, err := f.program.Eval(newActivation(f, r, at))
	if err != nil || out == nil {
		return false, false
	}
	b, ok := out.(types.Bool)
	return ok, bool(b)
}

// activation gives cel-go the values of a record without copying them.
type activation struct {
	record Record
	at     time.Time
	filter *Filter
}

var _ cel.Activation = (*activation)(nil)

func newActivation(f *Filter, r Record, at time.Time) *activation {
	return &activation{r, at.UTC().Truncate(time.Microsecond), f}
}

// ResolveName returns a column, the custom fields, the column of an extension, or a clock.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "fields":
		return a.record.Fields, true
	case "now":
		return a.at, true
	case "today":
		return startOfDay(a.at, a.filter.schema.location()), true
	case recordName:
		return &recordVal{a}, true
	}
	if v, ok := a.record.Columns[name]; ok {
		return double(v), true
	}
	if a.filter.schema.column(name) != nil {
		return nil, true
	}
	for _, x := range a.filter.schema.Extensions {
		if n := len(x.Name); len(name) > n && name[:n] == x.Name && name[n] == '.' {
			return double(a.record.Extensions[x.Name][name[n+1:]]), true
		}
	}
	return nil, false
}

// double makes a whole number the float64 that every number of a filter is.
func double(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v
}

// Parent is nil: there is no outer scope.
func (a *activation) Parent() cel.Activation { return nil }

// recordVal is the record as a value of CEL, for functions that look at all of it.
type recordVal struct{ *activation }

var _ ref.Val = (*recordVal)(nil)

func (r *recordVal) count(kind string, window time.Duration) ref.Val {
	if r.record.Events == nil {
		return types.Double(0)
	}
	n, err := r.record.Events(kind, r.at.Add(-window))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Double(n)
}

// native returns a stored value as cel-go knows it, or nil: a value of another type than
// the field's, which only SQL written by hand can leave there, counts as not set. So it
// does in our SQL.
func native(t customfields.Type, value any) any {
	switch v := value.(type) {
	case string:
		switch kindOfType(t) {
		case textKind:
			return v
		case dateKind:
			if at, err := time.Parse(customfields.DateLayout, v); err == nil {
				return at
			}
		case numberKind, booleanKind, durationKind, listKind:
		}
	case float64:
		if kindOfType(t) == numberKind {
			return v
		}
	case json.Number:
		if n, err := v.Float64(); err == nil && kindOfType(t) == numberKind {
			return n
		}
	case int:
		if kindOfType(t) == numberKind {
			return float64(v)
		}
	case int64:
		if kindOfType(t) == numberKind {
			return float64(v)
		}
	case bool:
		if kindOfType(t) == booleanKind {
			return v
		}
	case []string:
		if kindOfType(t) == listKind {
			return v
		}
	case []any:
		if kindOfType(t) != listKind {
			return nil
		}
		list := make([]string, 0, len(v))
		for _, item := range v {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// ConvertToNative is part of ref.Val; nobody converts a record.
func (r *recordVal) ConvertToNative(reflect.Type) (any, error) { return nil, errRecord }

// ConvertToType is part of ref.Val; nobody converts a record.
func (r *recordVal) ConvertToType(ref.Type) ref.Val { return types.WrapErr(errRecord) }

// Equal is part of ref.Val; nobody compares records.
func (r *recordVal) Equal(ref.Val) ref.Val { return types.False }

// Type is the type of records.
func (r *recordVal) Type() ref.Type { return recordCEL }

// Value is the record.
func (r *recordVal) Value() any { return r.record }

var errRecord = errors.New("filter: a record is no value of CEL")
