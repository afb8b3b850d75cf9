package filter

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// ToRule returns a filter as a rule that means the same: [FromRule] of it is a filter with
// the same answer for every record, in a spelling of its own. What comes out is in normal
// form: lists of all and any have no list of their own kind and never one rule only, has()
// and comparisons with null are set and unset, a value stands behind the operator, and what
// a rule has a form for is not CEL. FromRule and ToRule change nothing in a normal form.
//
// What is no filter is an *[Error] with its positions. No schema is needed.
func ToRule(expr string) (*Rule, error) {
	s, err := parse(expr)
	if err != nil {
		return nil, err
	}
	p := &printer{parsed: s}
	r := (&ruleReader{p}).rule(s.Expr(), 0)
	if p.err != nil {
		return nil, p.err
	}
	return &r, nil
}

// ruleReader makes rules from parts of a parsed filter.
type ruleReader struct{ *printer }

func (rr *ruleReader) rule(e ast.Expr, depth int) Rule {
	if depth < maxDepth {
		if r, ok := rr.chain(e, depth); ok {
			return r
		}
		if r, ok := conditionOf(e); ok {
			if _, err := writeRule(&r); err == nil { // it may have a duration that is none
				return r
			}
		}
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalNot {
			r := rr.rule(e.AsCall().Args()[0], depth+1)
			return Rule{Not: &r}
		}
	}
	text, _ := rr.print(e)
	return Rule{CEL: text}
}

// chain reads &&, ||, true and false.
func (rr *ruleReader) chain(e ast.Expr, depth int) (Rule, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok && bool(b) {
			return Rule{All: []Rule{}}, true
		} else if ok {
			return Rule{Any: []Rule{}}, true
		}
	case ast.CallKind:
		name := e.AsCall().FunctionName()
		if name != operators.LogicalAnd && name != operators.LogicalOr {
			return Rule{}, false
		}
		var rules []Rule
		for _, t := range terms(e) {
			r := rr.rule(t, depth+1)
			if n := len(rules); n > 0 && name == operators.LogicalAnd && setAsWell(rules[n-1], r) {
				r.Set = true
				rules = rules[:n-1]
			}
			rules = append(rules, r)
		}
		switch {
		case len(rules) == 1:
			return rules[0], true
		case name == operators.LogicalAnd:
			return Rule{All: rules}, true
		}
		return Rule{Any: rules}, true
	case ast.IdentKind, ast.SelectKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return Rule{}, false
}

// setAsWell says that two rules are has(f) and f != v: one of a builder's conditions.
func setAsWell(a, b Rule) bool {
	return a.Op == "set" && a.Field == b.Field && (b.Op == "!=" || b.Op == "notIn") && !b.Set
}

// conditionOf reads what is a condition of its own.
func conditionOf(e ast.Expr) (Rule, bool) {
	if name, ok := reference(e); ok {
		return Rule{Field: name, Op: "isTrue"}, true
	}
	if e.Kind() != ast.CallKind {
		return Rule{}, false
	}
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	if c.IsMemberFunction() {
		field, ok := reference(c.Target())
		if !ok || len(args) != 1 || opForms[name].mid != "."+name+"(" {
			return Rule{}, false
		}
		text, ok := textOf(args[0])
		return Rule{Field: field, Op: name, Value: text}, ok
	}
	switch {
	case name == operators.LogicalNot:
		return negatedCondition(args[0])
	case len(args) == 2 && infix[name].prec == precRelation:
		return relation(infix[name].sign, args[0], args[1])
	case name == "has" && len(args) == 1 && args[0].Kind() == ast.SelectKind:
		field, ok := reference(args[0])
		return Rule{Field: field, Op: "set"}, ok
	}
	form, ok := opForms[name]
	if !ok || form.before != name+"(" || len(args) == 0 {
		return Rule{}, false
	}
	field, ok := reference(args[0])
	if !ok {
		return Rule{}, false
	}
	r := Rule{Field: field, Op: name}
	switch {
	case form.takes == takesNothing && len(args) == 1:
		return r, true
	case form.takes == takesDuration && len(args) == 2:
		r.Value, ok = durationOf(args[1])
		return r, ok
	case form.takes == takesRange && len(args) == 3:
		r.Value, ok = valuesOf(args[1:])
		return r, ok
	case form.takes == takesTexts && len(args) == 2 && args[1].Kind() == ast.ListKind:
		r.Value, ok = valuesOf(args[1].AsList().Elements())
		return r, ok
	}
	return Rule{}, false
}

// negatedCondition reads what has an operator for its opposite.
func negatedCondition(e ast.Expr) (Rule, bool) {
	if e.Kind() != ast.CallKind {
		return Rule{}, false
	}
	r, ok := conditionOf(e)
	switch {
	case ok && r.Op == "in":
		r.Op = "notIn"
		return r, true
	case ok && e.AsCall().FunctionName() == "has":
		r.Op = "unset"
		return r, true
	}
	return Rule{}, false
}

// opposite is what an operator is when its sides change places.
var opposite = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// relation reads ==, !=, <, <=, >, >= and in.
func relation(op string, x, y ast.Expr) (Rule, bool) {
	if op == "in" {
		if field, ok := reference(x); ok && y.Kind() == ast.ListKind {
			list, ok := valuesOf(y.AsList().Elements())
			return Rule{Field: field, Op: op, Value: list}, ok
		}
		field, ok := reference(y)
		text, isText := textOf(x)
		return Rule{Field: field, Op: "includes", Value: text}, ok && isText
	}
	if r, ok := eventCount(op, x, y); ok {
		return r, true
	}
	if r, ok := eventCount(opposite[op], y, x); ok {
		return r, true
	}
	field, ok := reference(x)
	if !ok {
		x, y, op = y, x, opposite[op]
		if field, ok = reference(x); !ok {
			return Rule{}, false
		}
	}
	if isNullLiteral(y) && (op == "==" || op == "!=") {
		return Rule{Field: field, Op: map[string]string{"==": "unset", "!=": "set"}[op]}, true
	}
	value, ok := valueOf(y)
	return Rule{Field: field, Op: op, Value: value}, ok
}

func isNullLiteral(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// eventCount reads events("kind").eventCount(days(7)) >= 2.
func eventCount(op string, x, y ast.Expr) (Rule, bool) {
	c, ok := called(x, "count", 1)
	if !ok || !c.IsMemberFunction() {
		return Rule{}, false
	}
	of, ok := called(c.Target(), "events", 1)
	if !ok || of.IsMemberFunction() {
		return Rule{}, false
	}
	kind, isText := textOf(of.Args()[0])
	within, isDuration := durationOf(c.Args()[0])
	n, isNumber := numberOf(y)
	return Rule{Event: kind, Within: within, Op: op, Value: n}, isText && isDuration && isNumber
}

func called(e ast.Expr, name string, args int) (ast.CallExpr, bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != name || len(e.AsCall().Args()) != args {
		return nil, false
	}
	return e.AsCall(), true
}

// reference returns the name of a column or field. Conditions stand outside of all macros,
// so no variable can be in the way.
func reference(e ast.Expr) (string, bool) {
	var none variables
	switch e.Kind() {
	case ast.IdentKind:
		name, _ := none.name(e)
		return name, name != "now" && name != "today" && name != "fields"
	case ast.SelectKind:
		name, ok := none.name(e.AsSelect().Operand())
		return name + "." + e.AsSelect().FieldName(), ok
	case ast.CallKind, ast.LiteralKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return "", false
}

// valuesOf returns the items of a list, all of which must be values.
func valuesOf(items []ast.Expr) ([]any, bool) {
	out := make([]any, len(items))
	for i, e := range items {
		var ok bool
		if out[i], ok = valueOf(e); !ok {
			return nil, false
		}
	}
	return out, true
}

// valueOf returns the value of a literal, a date, a moment or another field.
func valueOf(e ast.Expr) (any, bool) {
	if text, ok := textOf(e); ok {
		return text, true
	}
	if n, ok := numberOf(e); ok {
		return n, true
	}
	if name, ok := reference(e); ok {
		return map[string]any{"field": name}, true
	}
	switch e.Kind() {
	case ast.LiteralKind:
		b, ok := e.AsLiteral().(types.Bool)
		return bool(b), ok
	case ast.IdentKind:
		name, _ := variables(nil).name(e)
		return map[string]any{name: noOffset}, name != "fields"
	case ast.CallKind:
		c := e.AsCall()
		if name := c.FunctionName(); (name == "date" || name == "timestamp") && !c.IsMemberFunction() && len(c.Args()) == 1 {
			text, ok := textOf(c.Args()[0])
			return map[string]any{name: text}, ok
		}
		return momentOf(c)
	case ast.SelectKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return nil, false
}

// momentOf reads now - days(30) and its like.
func momentOf(c ast.CallExpr) (any, bool) {
	sign := map[string]string{operators.Add: "+", operators.Subtract: "-"}[c.FunctionName()]
	if sign == "" || c.Args()[0].Kind() != ast.IdentKind {
		return nil, false
	}
	name, _ := variables(nil).name(c.Args()[0])
	offset, ok := durationOf(c.Args()[1])
	return map[string]any{name: sign + offset}, ok && slices.Contains([]string{"now", "today"}, name)
}

// durationOf returns a duration as a rule has it.
func durationOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.CallKind || e.AsCall().IsMemberFunction() || len(e.AsCall().Args()) != 1 {
		return "", false
	}
	arg := e.AsCall().Args()[0]
	switch e.AsCall().FunctionName() {
	case "days":
		n, ok := numberOf(arg)
		return daysText(n), ok
	case "duration":
		return textOf(arg)
	}
	return "", false
}

// numberOf returns the value of a number that is exact as a float64.
func numberOf(e ast.Expr) (float64, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	switch n := e.AsLiteral().(type) {
	case types.Int:
		return float64(n), n <= maxExact && n >= -maxExact
	case types.Uint:
		return float64(n), n <= maxExact
	case types.Double:
		return float64(n) + 0, true // and no -0
	}
	return 0, false
}
