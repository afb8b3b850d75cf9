package filter

// Evaluate is the three-valued answer that Match is made of: what cel-go says.
func (f *Filter) Evaluate(columns, fields map[string]any) (known, value bool) {
	return f.evaluate(columns, fields)
}

// Where is SQL for a wanted truth value: a condition that is TRUE exactly where the filter
// has it.
func (f *Filter) Where(first int, want bool) (string, []any) {
	r := &renderer{first: first}
	r.render(f.root, want)
	return r.sql.String(), r.args
}
