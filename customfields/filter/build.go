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
	ast     *ast.AST
	set     *customfields.Set
	columns []Column
	refs    map[string]bool
}

func (b *builder) errorf(e ast.Expr, format string, args ...any) error {
	return problemAt(positionOf(b.ast, e), format, args...)
}

// condition builds a boolean expression.
func (b *builder) condition(e ast.Expr) (node, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Bool); ok {
			return truth{bool(v)}, nil
		}
	case ast.IdentKind, ast.SelectKind:
		if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
			r, err := b.has(e)
			if err != nil {
				return nil, err
			}
			return isSet{r}, nil
		}
		r, err := b.ref(e)
		if err != nil {
			return nil, err
		}
		if r.kind() == customfields.Boolean {
			return flag{r}, nil
		}
	case ast.CallKind:
		return b.call(e)
	case ast.ComprehensionKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
	return nil, b.errorf(e, "must be a condition that is true or false")
}

func (b *builder) call(e ast.Expr) (node, error) {
	c := e.AsCall()
	name := c.FunctionName()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		var terms []node
		for _, arg := range c.Args() {
			t, err := b.condition(arg)
			if err != nil {
				return nil, err
			}
			terms = append(terms, t)
		}
		if name == operators.LogicalAnd {
			return and{terms}, nil
		}
		return or{terms}, nil
	case operators.LogicalNot:
		t, err := b.condition(c.Args()[0])
		return not{t}, err
	case operators.Equals, operators.NotEquals:
		n, err := b.equality(e, c.Args()[0], c.Args()[1])
		if err == nil && name == operators.NotEquals {
			n = not{n}
		}
		return n, err
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return b.comparison(e, name, c.Args()[0], c.Args()[1])
	case operators.In:
		return b.in(e, c.Args()[0], c.Args()[1])
	case "startsWith":
		return b.match(c, startsWith)
	case "endsWith":
		return b.match(c, endsWith)
	case "contains":
		return b.match(c, contains)
	}
	return nil, b.errorf(e, "%s is not supported in a filter", strings.Trim(name, "_@"))
}

func (b *builder) isRef(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind || e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly()
}

// ref resolves a column or fields.key.
func (b *builder) ref(e ast.Expr) (operand, error) {
	switch e.Kind() {
	case ast.IdentKind:
		if i := slices.IndexFunc(b.columns, func(c Column) bool { return c.Name == e.AsIdent() }); i >= 0 {
			b.refs[e.AsIdent()] = true
			return operand{column: &b.columns[i]}, nil
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "fields" {
			if f := b.set.Field(s.FieldName()); f != nil {
				b.refs["fields."+f.Key] = true
				return operand{field: f}, nil
			}
		}
	case ast.CallKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return operand{}, b.errorf(e, "must be a column or fields.<key>")
}

func (b *builder) has(e ast.Expr) (operand, error) {
	s := e.AsSelect()
	if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "fields" {
		if f := b.set.Field(s.FieldName()); f != nil {
			b.refs["fields."+f.Key] = true
			return operand{field: f}, nil
		}
	}
	return operand{}, b.errorf(e, "has() asks for fields.<key>")
}

// sides sorts the two operands of a comparison into a reference and the rest.
func (b *builder) sides(e, x, y ast.Expr) (left operand, right ast.Expr, swapped bool, err error) {
	switch {
	case b.isRef(x):
		left, err = b.ref(x)
		return left, y, false, err
	case b.isRef(y):
		left, err = b.ref(y)
		return left, x, true, err
	}
	return operand{}, nil, false, b.errorf(e, "one side must be a column or fields.<key>")
}

func (b *builder) equality(e, x, y ast.Expr) (node, error) {
	r, other, _, err := b.sides(e, x, y)
	if err != nil {
		return nil, err
	}
	if r.kind() == customfields.MultiSelect {
		return nil, b.errorf(e, "a multi_select is asked with \"option\" in fields.<key>, or has()")
	}
	if b.isRef(other) {
		o, err := b.ref(other)
		if err != nil {
			return nil, err
		}
		return same{r, o}, nil
	}
	value, ok, err := b.literal(other)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, b.errorf(other, "must be a literal, a column or fields.<key>")
	}
	value = b.address(other, r, value)
	return equal{r, value}, b.checkOption(other, r, value)
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}

func (b *builder) comparison(e ast.Expr, name string, x, y ast.Expr) (node, error) {
	op := strings.Trim(name, "_")
	r, other, swapped, err := b.sides(e, x, y)
	if err != nil {
		return nil, err
	}
	if r.kind() == customfields.Boolean || r.kind() == customfields.MultiSelect {
		return nil, b.errorf(e, "%s has no order: use ==, != or in", r.kind())
	}
	if b.isRef(other) {
		o, err := b.ref(other)
		return order{r, op, o}, err
	}
	if swapped {
		op = mirrored[op]
	}
	value, ok, err := b.literal(other)
	if err != nil {
		return nil, err
	}
	if !ok || value == nil {
		return nil, b.errorf(other, "must be a literal, a column or fields.<key>")
	}
	return compare{r, op, value}, nil
}

func (b *builder) in(e, x, y ast.Expr) (node, error) {
	if b.isRef(y) { // "vip" in fields.tags
		r, err := b.ref(y)
		if err != nil {
			return nil, err
		}
		value, _, err := b.literal(x)
		if err != nil {
			return nil, err
		}
		s, isText := value.(string)
		if !isText || r.kind() != customfields.MultiSelect {
			return nil, b.errorf(x, "must be the text of an option")
		}
		return member{r, s}, b.checkOption(x, r, s)
	}
	if !b.isRef(x) || y.Kind() != ast.ListKind {
		return nil, b.errorf(e, "in takes a column or fields.<key> and a list of literals, or an option and a multi_select")
	}
	r, err := b.ref(x)
	if err != nil {
		return nil, err
	}
	if r.kind() == customfields.MultiSelect {
		return nil, b.errorf(e, "a multi_select is asked with \"option\" in fields.<key>")
	}
	values := make([]any, 0, y.AsList().Size())
	for _, item := range y.AsList().Elements() {
		value, ok, err := b.literal(item)
		if err != nil {
			return nil, err
		}
		switch {
		case !ok:
			return nil, b.errorf(item, "must be a literal")
		case value == nil:
			return nil, b.errorf(item, "null cannot be in a list: use == null")
		case kindOf(value) != r.kind(): // a list of several types is one of any type to CEL
			return nil, b.errorf(item, "must be a %s literal", r.kind())
		}
		value = b.address(item, r, value)
		if err := b.checkOption(item, r, value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return among{r, values}, nil
}

func (b *builder) match(c ast.CallExpr, how matchKind) (node, error) {
	r, err := b.ref(c.Target())
	if err != nil {
		return nil, err
	}
	value, _, err := b.literal(c.Args()[0])
	if err != nil {
		return nil, err
	}
	s, isText := value.(string)
	if !isText || r.kind() != customfields.Text {
		return nil, b.errorf(c.Args()[0], "must be a text literal")
	}
	return match{r, how, s}, nil
}
