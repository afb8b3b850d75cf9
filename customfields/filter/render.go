package filter

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
)

// renderer writes a tree as SQL. It never writes NOT around something that may be NULL:
// a node is written either as what is TRUE exactly where it is true, or as what is TRUE
// exactly where it is false, and unknown is neither. So a negation is pushed down to
// where its meaning is certain, and the indexes of what is below it stay usable.
type renderer struct {
	sql   strings.Builder
	first int
	args  []any
}

func (r *renderer) write(parts ...string) {
	for _, p := range parts {
		r.sql.WriteString(p)
	}
}

// bind adds a parameter and returns it with its type, so that PostgreSQL never guesses.
func (r *renderer) bind(value any, sqlType string) string {
	r.args = append(r.args, value)
	return "$" + strconv.Itoa(r.first+len(r.args)-1) + "::" + sqlType
}

// render writes a condition that is TRUE exactly where n has the wanted truth value,
// and FALSE or NULL elsewhere.
func (r *renderer) render(n node, want bool) {
	r.write("(")
	defer r.write(")")
	switch n := n.(type) {
	case truth:
		r.write(boolSQL(n.value == want))
	case not:
		r.render(n.term, !want)
	case and:
		r.all(n.terms, want, want)
	case or:
		r.all(n.terms, want, !want)
	case isSet:
		r.write(r.isSet(n.ref, want))
	case flag:
		r.flag(n.ref, want)
	case equal:
		r.equal(n, want)
	case same:
		a, b := r.pair(n.a, n.b)
		r.write(r.negate(want), a, " IS NOT DISTINCT FROM ", b)
	case among:
		r.among(n, want)
	case member:
		r.contains(map[string]any{n.ref.field.Key: []string{n.value}}, want)
	case compare:
		if x, ok := n.value.(float64); ok && n.ref.field != nil {
			r.number(n.ref, opFor(n.op, want), x)
		} else {
			r.write(r.value(n.ref), " ", opFor(n.op, want), " ", r.bindFor(n.ref, n.value))
		}
	case order:
		a, b := r.pair(n.a, n.b)
		r.write(a, " ", opFor(n.op, want), " ", b)
	case match:
		r.match(n, want)
	}
}

// negate is for conditions that are never NULL.
func (r *renderer) negate(want bool) string {
	if want {
		return ""
	}
	return "NOT "
}

func boolSQL(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// all joins the terms: with AND when conjunct, else with OR. Containments that must all
// hold become one, which an index answers in one go.
func (r *renderer) all(terms []node, want, conjunct bool) {
	joiner := " OR "
	if conjunct {
		joiner = " AND "
	}
	if conjunct && want {
		terms = flatten(terms)
		merged, rest := mergeContainments(terms)
		if len(merged) > 0 {
			r.write("(")
			r.contains(merged, true)
			r.write(")")
			if len(rest) > 0 {
				r.write(joiner)
			}
		}
		terms = rest
	}
	for i, t := range terms {
		if i > 0 {
			r.write(joiner)
		}
		r.render(t, want)
	}
}

// flatten takes the terms out of ands within ands.
func flatten(terms []node) []node {
	out := make([]node, 0, len(terms))
	for _, t := range terms {
		if inner, ok := t.(and); ok {
			out = append(out, flatten(inner.terms)...)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// mergeContainments collects equalities and memberships of custom fields into one
// document, at most one value for a key unless the key is a list.
func mergeContainments(terms []node) (map[string]any, []node) {
	doc := map[string]any{}
	var rest []node
	for _, t := range terms {
		switch t := t.(type) {
		case equal:
			if key, value, ok := t.contained(); ok && doc[key] == nil {
				doc[key] = value
				continue
			}
		case flag:
			if t.ref.field != nil && doc[t.ref.field.Key] == nil {
				doc[t.ref.field.Key] = true
				continue
			}
		case member:
			list, _ := doc[t.ref.field.Key].([]string)
			doc[t.ref.field.Key] = append(list, t.value)
			continue
		}
		rest = append(rest, t)
	}
	return doc, rest
}

// contained returns the document that a record with this equality contains.
func (e equal) contained() (key string, value any, ok bool) {
	if e.ref.field == nil || e.value == nil {
		return "", nil, false
	}
	return e.ref.field.Key, stored(e.value), true
}

// stored is a literal as a custom field holds it.
func stored(value any) any {
	if t, ok := value.(time.Time); ok {
		return t.Format(customfields.DateLayout)
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
func (r *renderer) contains(doc map[string]any, want bool) {
	r.write(r.negate(want), "r.custom_fields @> ", r.bind(document(doc), "jsonb"))
}

func (r *renderer) equal(n equal, want bool) {
	if key, value, ok := n.contained(); ok {
		r.contains(map[string]any{key: value}, want)
		return
	}
	if n.value == nil {
		r.write(r.isSet(n.ref, !want))
		return
	}
	column := n.ref.column.SQL
	p := r.bindFor(n.ref, n.value)
	switch {
	case !n.ref.column.Nullable:
		r.write(column, equalOp(want), p)
	case want:
		r.write(column, " = ", p)
	default: // null is not equal to anything else: that is false, not unknown
		r.write(column, " IS DISTINCT FROM ", p)
	}
}

func equalOp(want bool) string {
	if want {
		return " = "
	}
	return " <> "
}

func (r *renderer) flag(x operand, want bool) {
	if x.field != nil {
		r.contains(map[string]any{x.field.Key: want}, true)
		return
	}
	r.write(x.column.SQL, " IS ", boolSQL(want))
}

func (r *renderer) among(n among, want bool) {
	if len(n.values) == 0 {
		r.write(boolSQL(!want))
		return
	}
	if n.ref.field != nil {
		docs := make([]string, len(n.values))
		for i, v := range n.values {
			docs[i] = document(map[string]any{n.ref.field.Key: stored(v)})
		}
		r.write(r.negate(want), "r.custom_fields @> ANY(", r.bind(docs, "jsonb[]"), ")")
		return
	}
	column, list := n.ref.column.SQL, r.bind(listOf(n.values), sqlType(n.ref.kind())+"[]")
	switch {
	case want:
		r.write(column, " = ANY(", list, ")")
	case n.ref.column.Nullable:
		r.write(column, " IS NULL OR ", column, " <> ALL(", list, ")")
	default:
		r.write(column, " <> ALL(", list, ")")
	}
}

func (r *renderer) match(n match, want bool) {
	text, p := r.value(n.ref), r.bind(n.text, "text")
	var condition string
	switch n.how {
	case startsWith:
		condition = "starts_with(" + text + ", " + p + ")"
	case endsWith:
		condition = "right(" + text + ", length(" + p + ")) = " + p
	case contains:
		condition = "strpos(" + text + ", " + p + ") > 0"
	}
	if want {
		r.write(condition)
		return
	}
	r.write("NOT (", condition, ")") // NULL stays NULL: unknown is not false
}

// opFor is the operator, or the one that holds where it does not.
func opFor(op string, want bool) string {
	if want {
		return op
	}
	return map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[op]
}
