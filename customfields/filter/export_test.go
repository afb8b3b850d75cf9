package filter

import "time"

// Evaluate is the three-valued answer that Match is made of: what cel-go says.
func (f *Filter) Evaluate(r Record, at time.Time) (known, value bool) { return f.evaluate(r, at) }

// Where is SQL for a wanted truth value: a condition that is TRUE exactly where the filter
// has it, and FALSE or NULL where it has the other one or none.
func (f *Filter) Where(o Options, want bool) (string, []any) {
	r := newRenderer(f.schema, o)
	sql := r.render(f.root, want)
	return sql, r.args
}
