package filter

import (
	"maps"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// lists is hasAny, hasAll and hasNone.
func (b *builder) lists(e ast.Expr) (condition, error) {
	c := e.AsCall()
	args := c.Args()
	if args[1].Kind() != ast.ListKind {
		return nil, b.errorf(args[1], "must be a list of options")
	}
	have, err := b.value(args[0])
	if err != nil {
		return nil, err
	}
	return b.lift(e, []value{have}, func(v []value) (condition, error) {
		list, ok := v[0].(operand)
		if !ok || list.kind() != listKind {
			return nil, b.errorf(args[0], "must be a multi_select")
		}
		options := make([]string, 0, args[1].AsList().Size())
		for _, item := range args[1].AsList().Elements() {
			w, err := b.value(item)
			if err != nil {
				return nil, err
			}
			l, _ := w.(literal)
			s, isText := l.value.(string)
			if !isText {
				return nil, b.errorf(item, "must be the text of an option")
			}
			if err := b.checkOption(item, list, s); err != nil {
				return nil, err
			}
			options = append(options, s)
		}
		b.used(list, UseEqual, 1)
		var t condition = overlap{list, options, c.FunctionName() == "hasAll"}
		if c.FunctionName() == "hasNone" {
			t = not{t}
		}
		return t, nil
	})
}

// macro is exists, all and exists_one, which the parser has made loops of.
func (b *builder) macro(e ast.Expr) (condition, error) {
	c := e.AsComprehension()
	var how quantifier
	var predicate ast.Expr
	step := c.LoopStep()
	if step.Kind() != ast.CallKind || c.HasIterVar2() {
		return nil, b.errorf(e, "is not supported in a filter")
	}
	switch step.AsCall().FunctionName() {
	case operators.LogicalOr:
		how, predicate = exists, step.AsCall().Args()[1]
	case operators.LogicalAnd:
		how, predicate = all, step.AsCall().Args()[1]
	case operators.Conditional:
		how, predicate = existsOne, step.AsCall().Args()[0]
	default:
		return nil, b.errorf(e, "is not supported in a filter")
	}
	if c.IterRange().Kind() == ast.ListKind {
		return b.unrolled(c, how, predicate)
	}
	list, err := b.value(c.IterRange())
	if err != nil {
		return nil, err
	}
	return b.lift(e, []value{list}, func(v []value) (condition, error) {
		o, ok := v[0].(operand)
		if !ok || o.kind() != listKind {
			return nil, b.errorf(c.IterRange(), "must be a multi_select or a list")
		}
		b.depth++
		defer func() { b.depth-- }()
		elem := element{b.depth, o}
		before := b.cost
		term, err := b.with(c.IterVar(), elem, predicate)
		if err != nil {
			return nil, err
		}
		if t, ok := asOverlap(elem, how, term); ok {
			b.used(o, UseEqual, 1)
			return t, nil
		}
		b.used(o, UseOther, 10+4*(b.cost-before))
		return quantified{o, how, elem, term}, nil
	})
}

// asOverlap finds what an index can answer: tags.exists(t, t == "a" or t in ["a", "b"]). The
// variable of a macro around this one says nothing about the items of this one.
func asOverlap(elem element, how quantifier, term condition) (condition, bool) {
	if how != exists {
		return nil, false
	}
	var options []string
	switch t := term.(type) {
	case same:
		e, isElement := t.a.(element)
		l, _ := t.b.(literal)
		s, isText := l.value.(string)
		if !isElement || e.depth != elem.depth || !isText {
			return nil, false
		}
		options = []string{s}
	case among:
		if e, ok := t.value.(element); !ok || e.depth != elem.depth {
			return nil, false
		}
		for _, v := range t.values {
			s, ok := v.(string)
			if !ok {
				return nil, false
			}
			options = append(options, s)
		}
	default:
		return nil, false
	}
	return overlap{elem.of, options, false}, true
}

// with builds the predicate of a macro for one value of its variable.
func (b *builder) with(name string, v value, predicate ast.Expr) (condition, error) {
	outer := b.vars
	b.vars = maps.Clone(outer)
	if b.vars == nil {
		b.vars = map[string]value{}
	}
	b.vars[name] = v
	defer func() { b.vars = outer }()
	return b.condition(predicate)
}

// unrolled is a macro over a list of literals and references: its predicate for each.
func (b *builder) unrolled(c ast.ComprehensionExpr, how quantifier, predicate ast.Expr) (condition, error) {
	items := c.IterRange().AsList().Elements()
	terms := make([]condition, len(items))
	var k kind
	for i, item := range items {
		v, err := b.value(item)
		if err != nil {
			return nil, err
		}
		if !definite(v) || isNull(v) {
			return nil, b.errorf(item, "must be a literal, a column or fields.<key>")
		}
		if i == 0 {
			k = v.kind()
		}
		if v.kind() != k { // a list of several types is one of any type to CEL
			return nil, b.errorf(item, "must be a %s, as the others in the list are", k)
		}
		if b.made += 1; b.made > maxUnfolded {
			return nil, b.errorf(item, "the filter is too large: its lists make more than %d comparisons", maxUnfolded)
		}
		if terms[i], err = b.with(c.IterVar(), v, predicate); err != nil {
			return nil, err
		}
	}
	switch how {
	case exists:
		return or{terms}, nil
	case all:
		return and{terms}, nil
	}
	return exactlyOne{terms}, nil
}

func (b *builder) anniversary(e ast.Expr) (condition, error) {
	args := e.AsCall().Args()
	values, err := b.values(args[0], args[2])
	if err != nil {
		return nil, err
	}
	l, _ := values[1].(literal)
	name, _ := l.value.(string)
	zone, err := zoneOf(name)
	if err != nil {
		return nil, b.errorf(e, "%s", err)
	}
	b.timed = true
	return b.lift(e, values[:1], func(v []value) (condition, error) {
		if isNull(v[0]) {
			return nil, b.errorf(args[0], "must be a date, not null")
		}
		if o, ok := v[0].(operand); ok {
			b.used(o, UseOther, 0)
		}
		b.cost += 4
		return anniversary{v[0], zone}, nil
	})
}
