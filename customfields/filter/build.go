package filter

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/stratakit/strata/customfields"
)

// builder makes the tree from a checked expression. What it does not know it refuses.
type builder struct {
	ast    *ast.AST
	schema Schema
	vars   map[string]value // the variables of the macros around
	depth  int              // of macros over fields
	made   int              // conditions, which choices multiply

	refs, joins map[string]bool
	uses        map[Use]bool
	timed       bool
	cost        int
}

func (b *builder) errorf(e ast.Expr, format string, args ...any) error {
	return problemAt(positionOf(b.ast, e), format, args...)
}

// condition builds a boolean expression.
func (b *builder) condition(e ast.Expr) (condition, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Bool); ok {
			return truth{bool(v)}, nil
		}
	case ast.IdentKind, ast.SelectKind:
		if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
			return b.has(e)
		}
		v, err := b.value(e)
		if err != nil {
			return nil, err
		}
		if o, ok := v.(operand); ok && o.kind() == booleanKind {
			b.used(o, UseEqual, 1)
			return flag{o}, nil
		}
	case ast.CallKind:
		return b.call(e)
	case ast.ComprehensionKind:
		return b.macro(e)
	case ast.ListKind, ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
	return nil, b.errorf(e, "must be a condition that is true or false")
}

func (b *builder) conditions(args []ast.Expr) ([]condition, error) {
	terms := make([]condition, len(args))
	for i, arg := range args {
		var err error
		if terms[i], err = b.condition(arg); err != nil {
			return nil, err
		}
	}
	return terms, nil
}

func (b *builder) call(e ast.Expr) (condition, error) {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
		terms, err := b.conditions(args)
		if err != nil {
			return nil, err
		}
		switch name {
		case operators.LogicalAnd:
			return and{terms}, nil
		case operators.LogicalOr:
			return or{terms}, nil
		case operators.LogicalNot:
			return not{terms[0]}, nil
		}
		return either{terms[0], terms[1], terms[2]}, nil
	case operators.Equals, operators.NotEquals:
		t, err := b.equality(e, args[0], args[1])
		if err == nil && name == operators.NotEquals {
			t = not{t}
		}
		return t, err
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return b.comparison(e, strings.Trim(name, "_"), args[0], args[1])
	case operators.In:
		return b.in(e, args[0], args[1])
	case "startsWith", "endsWith", "contains":
		return b.match(c)
	case "matches", "iequals", "icontains", "istartsWith", "iendsWith":
		return b.pattern(c)
	case "hasAny", "hasAll", "hasNone":
		return b.lists(e)
	case anniversaryFn:
		return b.anniversary(e)
	}
	return nil, b.errorf(e, "%s is not supported as a condition", functionName(name))
}

// lift calls build for every combination of values that a choice leads to.
func (b *builder) lift(e ast.Expr, values []value, build func(values []value) (condition, error)) (condition, error) {
	for i, v := range values {
		c, ok := v.(choice)
		if !ok {
			continue
		}
		with := func(v value) (condition, error) {
			other := slices.Clone(values)
			other[i] = v
			return b.lift(e, other, build)
		}
		yes, err := with(c.yes)
		if err != nil {
			return nil, err
		}
		no, err := with(c.no)
		return either{c.test, yes, no}, err
	}
	if b.made++; b.made > maxUnfolded {
		return nil, b.errorf(e, "the filter is too large: its choices make more than %d comparisons", maxUnfolded)
	}
	return build(values)
}

func (b *builder) has(e ast.Expr) (condition, error) {
	s := e.AsSelect()
	if o, ok := b.field(s.Operand(), s.FieldName()); ok {
		b.used(o, UseOther, 1)
		return isSet{o}, nil
	}
	return nil, b.errorf(e, "has() asks for fields.<key>, or for a column of an extension")
}

const noListEquality = "a multi_select is asked with \"option\" in fields.<key>, hasAny(), hasAll(), hasNone() or has()"

func (b *builder) equality(e, x, y ast.Expr) (condition, error) {
	if x.Kind() == ast.ListKind || y.Kind() == ast.ListKind {
		return nil, b.errorf(e, noListEquality)
	}
	values, err := b.values(x, y)
	if err != nil {
		return nil, err
	}
	return b.lift(e, values, func(v []value) (condition, error) { return b.equal(e, x, y, v[0], v[1]) })
}

func (b *builder) equal(e, x, y ast.Expr, a, c value) (condition, error) {
	if a.kind() == listKind || c.kind() == listKind {
		return nil, b.errorf(e, noListEquality)
	}
	first, isLiteral := a.(literal)
	second, alsoLiteral := c.(literal)
	switch {
	case isLiteral && alsoLiteral:
		return truth{first.value == second.value}, nil
	case isLiteral:
		return b.equalLiteral(x, c, first)
	case alsoLiteral:
		return b.equalLiteral(y, a, second)
	}
	o, isRef := a.(operand)
	p, alsoRef := c.(operand)
	if isRef {
		b.used(o, UseOther, 2)
	}
	if alsoRef {
		b.used(p, UseOther, 2)
	}
	if t, ok := a.(truthOf); ok {
		if alsoRef {
			return sameTruth{p, t.term}, nil
		}
		u, _ := c.(truthOf)
		return or{[]condition{and{[]condition{t.term, u.term}}, and{[]condition{not(t), not(u)}}}}, nil
	}
	if u, ok := c.(truthOf); ok {
		return sameTruth{o, u.term}, nil
	}
	if m, ok := c.(moment); ok && isRef {
		b.used(o, UseEqual, 0)
		return equal{o, m}, nil
	}
	if m, ok := a.(moment); ok && alsoRef {
		b.used(p, UseEqual, 0)
		return equal{p, m}, nil
	}
	b.cost += 2
	return same{a, c}, nil
}

// equalLiteral is v == l.
func (b *builder) equalLiteral(at ast.Expr, v value, l literal) (condition, error) {
	switch v := v.(type) {
	case operand:
		if l.value == nil {
			b.used(v, UseOther, 1)
			return not{isSet{v}}, nil
		}
		b.used(v, UseEqual, 1)
		value := b.address(at, v.declared(), l.value)
		return equal{v, value}, b.checkOption(at, v, value)
	case truthOf:
		if want, ok := l.value.(bool); ok {
			if want {
				return v.term, nil
			}
			return not(v), nil
		}
	case moment, span:
		if l.value == nil {
			return truth{false}, nil
		}
	case element:
		if l.value == nil {
			return truth{false}, nil
		}
		b.cost++
		return same{v, l}, b.checkOption(at, v.of, l.value)
	}
	if l.value == nil {
		return nil, b.errorf(at, "what is computed is never null")
	}
	b.cost++
	return same{v, l}, nil
}

func (b *builder) comparison(e ast.Expr, op string, x, y ast.Expr) (condition, error) {
	values, err := b.values(x, y)
	if err != nil {
		return nil, err
	}
	return b.lift(e, values, func(v []value) (condition, error) {
		a, c := v[0], v[1]
		if a.kind() == booleanKind || a.kind() == listKind {
			return nil, b.errorf(e, "%s has no order: use ==, != or in", a.kind())
		}
		if isNull(a) || isNull(c) { // only a choice gets past the types
			return nil, b.errorf(e, "null has no order: use == null or != null")
		}
		if l, ok := a.(literal); ok {
			if o, isRef := c.(operand); isRef { // an index is asked from the side of the field
				b.used(o, UseRange, 2)
				return compare{o, mirrored[op], l}, nil
			}
		}
		if m, ok := a.(moment); ok {
			if o, isRef := c.(operand); isRef {
				b.used(o, UseRange, 2)
				return compare{o, mirrored[op], m}, nil
			}
		}
		form := UseOther
		switch c.(type) {
		case literal, moment:
			form = UseRange
		}
		for _, side := range v {
			if o, ok := side.(operand); ok {
				b.used(o, form, 2)
			}
		}
		return compare{a, op, c}, nil
	})
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}

// in is "option" in fields.tags, or a value in a list.
func (b *builder) in(e, x, y ast.Expr) (condition, error) {
	if y.Kind() == ast.ListKind {
		return b.inList(e, x, y)
	}
	values, err := b.values(x, y)
	if err != nil {
		return nil, err
	}
	return b.lift(e, values, func(v []value) (condition, error) {
		list, ok := v[1].(operand)
		if !ok || list.kind() != listKind {
			return nil, b.errorf(y, "must be a list or a multi_select")
		}
		if l, ok := v[0].(literal); ok {
			s, isText := l.value.(string)
			if !isText {
				return nil, b.errorf(x, "must be the text of an option")
			}
			b.used(list, UseEqual, 1)
			return overlap{list, []string{s}, true}, b.checkOption(x, &list, s)
		}
		b.used(list, UseOther, 3)
		return member{v[0], list}, nil
	})
}

func (b *builder) inList(e, x, y ast.Expr) (condition, error) {
	v, err := b.value(x)
	if err != nil {
		return nil, err
	}
	return b.lift(e, []value{v}, func(v []value) (condition, error) { return b.valueInList(e, x, v[0], y.AsList().Elements()) })
}

// valueInList compares with literals at once, and with columns and fields one by one.
func (b *builder) valueInList(e, x ast.Expr, v value, items []ast.Expr) (condition, error) {
	if v.kind() == listKind {
		return nil, b.errorf(e, noListEquality)
	}
	o, isRef := v.(operand)
	var literals []any
	var terms []condition
	for _, item := range items {
		w, err := b.value(item)
		if err != nil {
			return nil, err
		}
		switch l, isLiteral := w.(literal); {
		case isLiteral && l.value == nil:
			return nil, b.errorf(item, "null cannot be in a list: use == null")
		case w.kind() != v.kind() && !isNull(v): // a list of several types is one of any type to CEL
			return nil, b.errorf(item, "must be a %s, as what is looked for is", v.kind())
		case !definite(w):
			return nil, b.errorf(item, "must be a literal, a column or fields.<key>")
		case isLiteral && isRef && o.kind() != booleanKind:
			value := b.address(item, o.declared(), l.value)
			if err := b.checkOption(item, o, value); err != nil {
				return nil, err
			}
			literals = append(literals, value)
			continue
		case isLiteral && v.kind() != booleanKind:
			if _, alsoLiteral := v.(literal); !alsoLiteral {
				literals = append(literals, l.value)
				continue
			}
		}
		term, err := b.equal(e, x, item, v, w)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	if len(literals) > 0 {
		if isRef {
			b.used(o, UseEqual, 1)
		}
		b.cost++
		terms = append(terms, among{v, literals})
	}
	switch {
	case len(terms) == 1:
		return terms[0], nil
	case len(terms) == 0 && !definite(v): // unknown where the value is
		return among{v, nil}, nil
	}
	return or{terms}, nil
}

func isNull(v value) bool { l, ok := v.(literal); return ok && l.value == nil }

// used notes that a filter reads a column or field, and how.
func (b *builder) used(o operand, form UseForm, cost int) {
	b.cost += cost
	if o.field != nil {
		b.uses[Use{Slot: slot(o.field), Type: o.field.Type, Form: form}] = true
	}
}

// address puts a literal that is compared with addresses into their form, and into the
// expression too, which Match evaluates. What is no address equals none as it is.
func (b *builder) address(at ast.Expr, t customfields.Type, value any) any {
	s, isText := value.(string)
	if !isText || t != customfields.Email {
		return value
	}
	return b.normalAddress(at, s)
}
