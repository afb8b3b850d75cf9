package filter

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Match evaluates the filter in process on one record: columns by their names (string,
// float64, bool, time.Time, nil) and normalised custom fields. The answer is that of the
// SQL on the same record: where CEL has an error, such as a comparison with what is not
// set, there is no match.
func (f *Filter) Match(columns, fields map[string]any) bool {
	known, value := f.evaluate(columns, fields)
	return known && value
}

// evaluate returns the three-valued answer.
func (f *Filter) evaluate(columns, fields map[string]any) (known, value bool) {
	out, _, err := f.program.Eval(activation{columns, fields})
	if err != nil || out == nil {
		return false, false
	}
	b, ok := out.(types.Bool)
	return ok, bool(b)
}

// activation gives cel-go the values of a record without copying them.
type activation struct{ columns, fields map[string]any }

var _ cel.Activation = activation{}

// ResolveName returns a column, or the custom fields by the name "fields".
func (a activation) ResolveName(name string) (any, bool) {
	if name == "fields" {
		return a.fields, true
	}
	v, ok := a.columns[name]
	return v, ok
}

// Parent is nil: there is no outer scope.
func (a activation) Parent() cel.Activation { return nil }
