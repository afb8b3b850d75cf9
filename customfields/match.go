package customfields

import (
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
	vars := make(map[string]any, len(columns)+1)
	for k, v := range columns {
		vars[k] = v
	}
	if fields == nil {
		fields = map[string]any{}
	}
	vars["fields"] = fields
	out, _, err := f.program.Eval(vars)
	if err != nil || out == nil {
		return false, false
	}
	b, ok := out.(types.Bool)
	return ok, bool(b)
}
