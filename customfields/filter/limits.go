package filter

import (
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// The limits of a filter. They are checked before the type check, whose cost grows with
// the square of the number of comparisons.
const (
	MaxFilterBytes = 8192
	maxNodes       = 500
	maxDepth       = 30
	maxListItems   = 1000
	maxMacros      = 2 // within each other
	maxUnfolded    = 4 * maxNodes
)

// DefaultMaxCost is what a filter may cost where Schema.MaxCost is not set.
const DefaultMaxCost = 10_000

// checkText bounds what the parser has to work through.
func checkText(expr string) error {
	if len(expr) > MaxFilterBytes {
		return problemAt(Position{1, 1}, "a filter may have at most %d bytes, this one has %d", MaxFilterBytes, len(expr))
	}
	if !storable(expr) {
		return problemAt(Position{1, 1}, "a filter must be valid UTF-8 without NUL")
	}
	// The parser is slow to find out that there is too much: each level takes it several
	// calls of its own.
	depth := 0
	text := []rune(expr)
	for i := skipSpace(text, 0); i < len(text); i = skipSpace(text, tokenEnd(text, i)) {
		switch text[i] {
		case '(', '[', '{':
			if depth++; depth > maxDepth+10 {
				return problemAt(positionIn(text, i), "the filter is too large: at most %d levels", maxDepth)
			}
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return nil
}

// positionIn is the position of an offset in code points.
func positionIn(text []rune, offset int) Position {
	p := Position{1, 1}
	for _, r := range text[:offset] {
		if p.Column++; r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
	}
	return p
}

// storable reports whether PostgreSQL can keep s: valid UTF-8 without NUL.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// sizer bounds what the type check and the renderer have to work through.
type sizer struct {
	ast   *ast.AST
	nodes int
}

func checkSize(a *ast.AST) error { return (&sizer{ast: a}).walk(a.Expr(), 0, 0) }

func (s *sizer) walk(e ast.Expr, depth, macros int) error {
	s.nodes++
	if s.nodes > maxNodes || depth > maxDepth {
		return problemAt(positionOf(s.ast, e), "the filter is too large: at most %d parts and %d levels", maxNodes, maxDepth)
	}
	switch e.Kind() {
	case ast.ListKind:
		return s.list(e, depth, macros)
	case ast.CallKind:
		c := e.AsCall()
		// A chain of && or || is as deep as it is long to the parser, and flat to us.
		next := depth + 1
		if c.FunctionName() == operators.LogicalAnd || c.FunctionName() == operators.LogicalOr {
			next = depth
		}
		if c.IsMemberFunction() {
			if err := s.walk(c.Target(), next, macros); err != nil {
				return err
			}
		}
		for _, arg := range c.Args() {
			if err := s.walk(arg, next, macros); err != nil {
				return err
			}
		}
	case ast.SelectKind:
		return s.walk(e.AsSelect().Operand(), depth+1, macros)
	case ast.ComprehensionKind:
		if macros++; macros > maxMacros {
			return problemAt(positionOf(s.ast, e), "exists, all and exists_one may stand %d deep within each other", maxMacros)
		}
		c := e.AsComprehension()
		if name := c.IterVar(); name == "now" || name == "today" { // expand writes these
			return problemAt(positionOf(s.ast, e), "%q cannot be the name of an item: it is a date", name)
		}
		if err := s.walk(c.IterRange(), depth+1, macros); err != nil {
			return err
		}
		return s.walk(c.LoopStep(), depth+1, macros)
	case ast.MapKind, ast.StructKind:
		return problemAt(positionOf(s.ast, e), "maps and messages are not supported in a filter")
	case ast.IdentKind, ast.LiteralKind, ast.UnspecifiedExprKind:
	}
	return nil
}

// list counts a list. The literals in it cost little: they are counted as one.
func (s *sizer) list(e ast.Expr, depth, macros int) error {
	if n := e.AsList().Size(); n > maxListItems {
		return problemAt(positionOf(s.ast, e), "a list may have at most %d items, this one has %d", maxListItems, n)
	}
	for _, item := range e.AsList().Elements() {
		if item.Kind() == ast.LiteralKind {
			continue
		}
		if err := s.walk(item, depth+1, macros); err != nil {
			return err
		}
	}
	return nil
}

// measure takes the number of conditions and values that rendering c writes from left, and
// reports whether there was enough: some are written twice, and a choice in what is compared
// repeats all of the rest.
func measure(c condition, left *int) bool {
	*left -= 1 + ownSize(c)
	if *left < 0 {
		return false
	}
	once := func(c condition) bool { return measure(c, left) }
	twice := func(c condition) bool { return once(c) && measure(c, left) }
	each := func(terms []condition, measure func(condition) bool) bool {
		for _, t := range terms {
			if !measure(t) {
				return false
			}
		}
		return true
	}
	switch c := c.(type) {
	case and:
		return each(c.terms, once)
	case or:
		return each(c.terms, once)
	case not:
		return once(c.term)
	case either:
		return twice(c.test) && once(c.yes) && once(c.no)
	case sameTruth:
		return twice(c.term)
	case quantified:
		if c.how == existsOne {
			return once(c.term) && twice(c.term)
		}
		return once(c.term)
	case exactlyOne:
		return each(c.terms, twice)
	}
	return true
}

// ownSize is how much a condition writes beside the conditions in it: its values, long texts
// and patterns counted as several.
func ownSize(c condition) int {
	switch c := c.(type) {
	case equal:
		return textSize(c.value)
	case same:
		return valueSize(c.a) + valueSize(c.b)
	case among:
		n := valueSize(c.value)
		for _, v := range c.values {
			n += textSize(v)
		}
		return n + len(c.values)/20
	case overlap:
		return len(c.values) / 20
	case member:
		return valueSize(c.value)
	case compare:
		return valueSize(c.a) + valueSize(c.b)
	case match:
		return valueSize(c.value) + valueSize(c.text)
	case pattern:
		return valueSize(c.value) + c.size
	case anniversary:
		return valueSize(c.date)
	}
	return 0
}

func textSize(literal any) int {
	s, _ := literal.(string)
	return len(s) / 200
}

// valueSize counts what a value adds to the comparison it is in: what is computed.
func valueSize(v value) int {
	switch v := v.(type) {
	case literal:
		return textSize(v.value)
	case arithmetic:
		return 1 + valueSize(v.a) + valueSize(v.b)
	case negative:
		return 1 + valueSize(v.of)
	case size:
		return 1 + valueSize(v.of)
	case ascii:
		return 1 + valueSize(v.of)
	case concat:
		return 1 + valueSize(v.a) + valueSize(v.b)
	case shift: // written twice, as is a difference
		return 2 + 2*valueSize(v.date)
	case difference:
		return 2 + 2*valueSize(v.a) + 2*valueSize(v.b)
	case part:
		return 1 + valueSize(v.of)
	}
	return 0
}
