package filter_test

import (
	"fmt"
	"slices"
)

// kind is the type of a term.
type kind int

const (
	cond kind = iota
	text
	number
	date
	span
	list
	pattern
)

// term is a part of a random expression, kept as a tree so that one on which two
// evaluations differ can be made small.
type term struct {
	kind   kind
	format string // with a %s for each of kids, or, without any, the text itself
	kids   []*term
}

func leaf(k kind, text string) *term { return &term{kind: k, format: text} }

func node(k kind, format string, kids ...*term) *term {
	return &term{kind: k, format: format, kids: kids}
}

func (t *term) String() string {
	if len(t.kids) == 0 {
		return t.format
	}
	parts := make([]any, len(t.kids))
	for i, k := range t.kids {
		parts[i] = k.String()
	}
	return fmt.Sprintf(t.format, parts...)
}

func (t *term) size() int {
	n := 1
	for _, k := range t.kids {
		n += k.size()
	}
	return n
}

// smaller calls try with every tree that is t with one part replaced by a part of that part
// of the same kind, or by the plainest of its kind, until try says yes.
func (t *term) smaller(try func(*term) bool) bool {
	if slices.ContainsFunc(t.within(t.kind), try) {
		return true
	}
	if plain := leaf(t.kind, plainest[t.kind]); t.size() > 1 && try(plain) {
		return true
	}
	for i, k := range t.kids {
		if k.smaller(func(s *term) bool {
			kids := slices.Clone(t.kids)
			kids[i] = s
			return try(&term{t.kind, t.format, kids})
		}) {
			return true
		}
	}
	return false
}

var plainest = map[kind]string{cond: "true", text: `"a"`, number: "1.0", date: `timestamp("2024-06-15T10:15:15.25Z")`, span: `duration("1h")`, list: `["vip"]`, pattern: `"a"`}

// within returns the parts of t of a kind, without t, the largest first.
func (t *term) within(k kind) []*term {
	var out []*term
	for _, kid := range t.kids {
		if kid.kind == k {
			out = append(out, kid)
		}
		out = append(out, kid.within(k)...)
	}
	slices.SortStableFunc(out, func(a, b *term) int { return b.size() - a.size() })
	return out
}

// shrink makes t as small as it gets while fails still says yes of it. It gives up after a
// few hundred tries, each of which asks the server.
func (t *term) shrink(fails func(*term) bool) *term {
	tries := 0
	for tries < 400 {
		var next *term
		if !t.smaller(func(s *term) bool {
			if tries++; tries > 400 || s.size() >= t.size() && s.String() == t.String() || !fails(s) {
				return false
			}
			next = s
			return true
		}) {
			break
		}
		t = next
	}
	return t
}
