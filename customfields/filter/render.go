package filter

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
)

// renderer writes a tree as SQL. It never writes NOT around something that may be NULL
// where that would lose an answer: a condition is written either as what is TRUE exactly
// where it is true, or as what is TRUE exactly where it is false, and unknown is neither.
// So a negation is pushed down to where its meaning is certain, and the indexes of what is
// below it stay usable.
//
// It writes strings from a fixed set of templates; what a filter says reaches them as
// parameters only.
type renderer struct {
	first  int
	events *Events
	args   []any
	at     time.Time // now
	today  time.Time
	ready  func(slot string, t customfields.Type) bool
	write  func(value any, sqlType string) string // in place of a parameter
}

func newRenderer(s Schema, o Options) *renderer {
	at := o.At
	if at.IsZero() {
		at = time.Now()
	}
	at = at.UTC().Truncate(time.Microsecond)
	return &renderer{events: s.Events, first: cmp.Or(o.First, 1), at: at, today: startOfDay(at, s.location()), ready: o.Ready}
}

// bind adds a parameter and returns it with its type, so that PostgreSQL never guesses.
func (r *renderer) bind(value any, sqlType string) string {
	if r.write != nil {
		return r.write(value, sqlType)
	}
	r.args = append(r.args, value)
	return "$" + strconv.Itoa(r.first+len(r.args)-1) + "::" + sqlType
}

// render writes a condition that is TRUE exactly where c has the wanted truth value, and
// FALSE or NULL elsewhere.
func (r *renderer) render(c condition, want bool) string { return "(" + r.condition(c, want) + ")" }

func (r *renderer) condition(c condition, want bool) string {
	switch c := c.(type) {
	case truth:
		return boolSQL(c.value == want)
	case not:
		return r.condition(c.term, !want)
	case and:
		return r.all(c.terms, want, want)
	case or:
		return r.all(c.terms, want, !want)
	case either:
		return "(" + r.render(c.test, true) + " AND " + r.render(c.yes, want) + ") OR (" + r.render(c.test, false) + " AND " + r.render(c.no, want) + ")"
	case isSet:
		return r.isSet(c.ref, want)
	case flag:
		return r.flag(c.ref, want)
	case equal:
		return r.equal(c, want)
	case same:
		return r.same(c, want)
	case sameTruth:
		return r.sameTruth(c, want)
	case among:
		return r.among(c, want)
	case overlap:
		return r.overlap(c, want)
	case member:
		return r.member(c, want)
	case compare:
		return r.compare(c, want)
	case match:
		return r.match(c, want)
	case pattern:
		return r.text(c.value) + negated(" ~ ", " !~ ", want) + r.bind(patternSQL(c.re), "text")
	case quantified:
		return r.quantified(c, want)
	case exactlyOne:
		return r.exactlyOne(c, want)
	case anniversary:
		return r.anniversary(c, want)
	}
	panic("filter: a condition without SQL") // the switch has every type of ir.go
}

func boolSQL(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// negated chooses between an operator and its opposite, both NULL for a NULL.
func negated(op, opposite string, want bool) string {
	if want {
		return op
	}
	return opposite
}

// definitely is for conditions that are never NULL.
func definitely(want bool) string {
	if want {
		return ""
	}
	return "NOT "
}

// all joins the terms: with AND when conjunct, else with OR. Containments that must all
// hold become one, which an index answers in one go.
func (r *renderer) all(terms []condition, want, conjunct bool) string {
	if len(terms) == 0 {
		return boolSQL(conjunct)
	}
	var parts []string
	if conjunct && want {
		var doc map[string]any
		if doc, terms = r.merge(flatten(terms)); len(doc) > 0 {
			parts = append(parts, "("+r.contains(doc, true)+")")
		}
	}
	for _, t := range terms {
		parts = append(parts, r.render(t, want))
	}
	if conjunct {
		return strings.Join(parts, " AND ")
	}
	return strings.Join(parts, " OR ")
}

// flatten takes the terms out of ands within ands.
func flatten(terms []condition) []condition {
	out := make([]condition, 0, len(terms))
	for _, t := range terms {
		if inner, ok := t.(and); ok {
			out = append(out, flatten(inner.terms)...)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// merge collects equalities and memberships of custom fields into one document, at most
// one value for a key unless the key is a list. What an index of its own answers stays
// outside, but for a select: of its few options each is so common that the index on all
// fields, asked for everything at once, has fewer rows to look at.
func (r *renderer) merge(terms []condition) (map[string]any, []condition) {
	doc := map[string]any{}
	var rest []condition
	for _, t := range terms {
		switch t := t.(type) {
		case equal:
			if key, value, ok := r.contained(t); ok && doc[key] == nil && (t.ref.field.Type == customfields.Select || !r.indexed(t.ref)) {
				doc[key] = value
				continue
			}
		case flag:
			if t.ref.field != nil && doc[slot(t.ref.field)] == nil {
				doc[slot(t.ref.field)] = true
				continue
			}
		case overlap:
			if (t.all || len(t.values) == 1) && len(t.values) > 0 {
				key := slot(t.ref.field)
				list, _ := doc[key].([]string)
				doc[key] = append(list, t.values...)
				continue
			}
		}
		rest = append(rest, t)
	}
	return doc, rest
}

// same is a == b. Where both are columns, fields or literals, a NULL is equal to a NULL;
// one that is computed makes the answer unknown.
func (r *renderer) same(c same, want bool) string {
	a, b := r.pair(c.a, c.b)
	switch {
	case definite(c.a) && definite(c.b):
		return a + negated(" IS NOT DISTINCT FROM ", " IS DISTINCT FROM ", want) + b
	case want:
		return a + " = " + b
	case definite(c.a) && !isLiteral(c.a):
		return b + " IS NOT NULL AND " + a + " IS DISTINCT FROM " + b
	case definite(c.b) && !isLiteral(c.b):
		return a + " IS NOT NULL AND " + a + " IS DISTINCT FROM " + b
	}
	return a + " <> " + b
}

func isLiteral(v value) bool {
	switch v.(type) {
	case literal, moment, span, element:
		return true
	}
	return false
}

// sameTruth is flag == condition: what is not set is equal to neither true nor false.
func (r *renderer) sameTruth(c sameTruth, want bool) string {
	on, off := equal{c.ref, true}, equal{c.ref, false}
	return "(" + r.render(on, want) + " AND " + r.render(c.term, true) + ") OR (" + r.render(off, want) + " AND " + r.render(c.term, false) + ")"
}

func (r *renderer) compare(c compare, want bool) string {
	op := opFor(c.op, want)
	if o, ok := c.a.(operand); ok && o.field != nil && o.kind() == numberKind {
		if l, ok := c.b.(literal); ok {
			return r.number(o, op, l.value.(float64))
		}
	}
	if s, ok := r.soughtText(c.a, c.b); ok {
		return r.sought(r.text(c.a), op, s)
	}
	a, b := r.pair(c.a, c.b)
	return a + " " + op + " " + b
}

// opFor is the operator, or the one that holds where it does not.
func opFor(op string, want bool) string {
	if want {
		return op
	}
	return map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[op]
}

func (r *renderer) match(c match, want bool) string {
	if s, ok := r.soughtText(c.value, c.text); ok && want && c.how == startsWith && decides(s) {
		return "starts_with(" + beginning(r.text(c.value)) + ", " + r.bind(s, "text") + codePoints + ")"
	}
	text, part := r.text(c.value), r.text(c.text)
	var condition string
	switch c.how {
	case startsWith:
		condition = "starts_with(" + text + ", " + part + ")"
	case endsWith:
		condition = "right(" + text + ", length(" + part + ")) = " + part
	case contains:
		condition = "strpos(" + text + ", " + part + ") > 0"
	}
	if want {
		return condition
	}
	return "NOT (" + condition + ")" // NULL stays NULL: unknown is not false
}

// quantified asks the texts of a list, none of which is NULL. What the predicate does not
// know of one of them stays unknown unless another one decides.
func (r *renderer) quantified(c quantified, want bool) string {
	from := "(SELECT j #>> '{}' AS v FROM jsonb_array_elements(" + r.list(c.ref) + ") j WHERE jsonb_typeof(j) = 'string') " + alias(c.elem)
	switch {
	case c.how == existsOne:
		// The answers come from a query within, because an aggregate over r alone would be one of the query around.
		answers := "(SELECT CASE WHEN " + r.render(c.term, true) + " THEN TRUE WHEN " + r.render(c.term, false) + " THEN FALSE END AS answer FROM " + from + ") a"
		return "(SELECT CASE WHEN count(a.answer) = count(*) THEN count(*) FILTER (WHERE a.answer) END FROM " + answers + ")" + negated(" = 1", " <> 1", want)
	case (c.how == exists) == want: // one is enough
		return "EXISTS (SELECT FROM " + from + " WHERE " + r.render(c.term, want) + ")"
	}
	return "NOT EXISTS (SELECT FROM " + from + " WHERE " + r.render(c.term, want) + " IS NOT TRUE)"
}

func alias(e element) string { return "e" + strconv.Itoa(e.depth) }

// exactlyOne counts the terms that are true, and is NULL where one is unknown.
func (r *renderer) exactlyOne(c exactlyOne, want bool) string {
	sum := "0"
	for _, t := range c.terms {
		sum += " + CASE WHEN " + r.render(t, true) + " THEN 1 WHEN " + r.render(t, false) + " THEN 0 END"
	}
	return "(" + sum + ")" + negated(" = 1", " <> 1", want)
}

// anniversary compares the day and month, which a custom field that is asked for them in
// UTC has in its text.
func (r *renderer) anniversary(c anniversary, want bool) string {
	days := r.bind(anniversaries(r.today), "text[]")
	var day string
	if o, ok := c.date.(operand); ok && o.field != nil && c.zone == time.UTC {
		day = "substr(" + r.text(o) + ", 6, 5)"
	} else {
		day = "to_char(" + r.inYears(c.date) + " AT TIME ZONE " + r.zone(c.zone) + ", 'MM-DD')"
	}
	return day + negated(" = ANY(", " <> ALL(", want) + days + ")"
}
