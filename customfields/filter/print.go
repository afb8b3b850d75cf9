package filter

import (
	"math"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// How tightly the parts of an expression hold together, in CEL's order.
const (
	precChoice = iota
	precOr
	precAnd
	precRelation
	precSum
	precProduct
	precUnary
	precPrimary
)

// infix are the operators between two operands; all of them group from the left.
var infix = map[string]struct {
	sign string
	prec int
}{
	operators.Equals: {"==", precRelation}, operators.NotEquals: {"!=", precRelation}, operators.In: {"in", precRelation},
	operators.Less: {"<", precRelation}, operators.LessEquals: {"<=", precRelation},
	operators.Greater: {">", precRelation}, operators.GreaterEquals: {">=", precRelation},
	operators.Add: {"+", precSum}, operators.Subtract: {"-", precSum},
	operators.Multiply: {"*", precProduct}, operators.Divide: {"/", precProduct}, operators.Modulo: {"%", precProduct},
}

// printer writes parsed expressions on one line, with no more parentheses than they need.
type printer struct {
	*parsed
	err error
}

// print returns an expression and how tightly it holds together.
func (p *printer) print(e ast.Expr) (string, int) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), precPrimary
	case ast.SelectKind:
		return p.within(precPrimary, e.AsSelect().Operand()) + "." + e.AsSelect().FieldName(), precPrimary
	case ast.LiteralKind:
		return p.literalText(e)
	case ast.ListKind:
		return "[" + p.list(e.AsList().Elements()) + "]", precPrimary
	case ast.CallKind:
		return p.call(e)
	case ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	p.refuse(e, "maps and messages are not supported in a filter")
	return "", precPrimary
}

func (p *printer) refuse(e ast.Expr, message string) {
	if p.err == nil {
		p.err = problemAt(positionOf(p.AST, e), "%s", message)
	}
}

// within returns an expression with parentheses if it holds together less tightly.
func (p *printer) within(prec int, e ast.Expr) string {
	text, own := p.print(e)
	if own < prec {
		return "(" + text + ")"
	}
	return text
}

func (p *printer) list(items []ast.Expr) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i], _ = p.print(item)
	}
	return strings.Join(texts, ", ")
}

func (p *printer) literalText(e ast.Expr) (string, int) {
	switch v := e.AsLiteral().(type) {
	case types.String:
		return quote(string(v)), precPrimary
	case types.Double:
		return signed(doubleText(float64(v)))
	case types.Int:
		return signed(strconv.FormatInt(int64(v), 10))
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10) + "u", precPrimary
	case types.Bool:
		return strconv.FormatBool(bool(v)), precPrimary
	case types.Null:
		return "null", precPrimary
	}
	p.refuse(e, "bytes are not supported in a filter")
	return "", precPrimary
}

// signed is a number, which with a sign holds together like a negation.
func signed(text string) (string, int) {
	if strings.HasPrefix(text, "-") {
		return text, precUnary
	}
	return text, precPrimary
}

func doubleText(n float64) string {
	text := strconv.FormatFloat(n, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// maxExact is up to where every whole number is a float64.
const maxExact = 1 << 53

// jsonNumber writes a number of JSON: without a fraction where it has none.
func jsonNumber(n float64) string {
	switch {
	case n == 0:
		return "0" // and not -0
	case n == math.Trunc(n) && math.Abs(n) <= maxExact:
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return doubleText(n)
}

func (p *printer) call(e ast.Expr) (string, int) {
	c := e.AsCall()
	name, args := c.FunctionName(), c.Args()
	if op, ok := infix[name]; ok && len(args) == 2 {
		return p.within(op.prec, args[0]) + " " + op.sign + " " + p.within(op.prec+1, args[1]), op.prec
	}
	switch name {
	case operators.LogicalAnd:
		return p.chain(e, " && ", precAnd), precAnd
	case operators.LogicalOr:
		return p.chain(e, " || ", precOr), precOr
	case operators.LogicalNot:
		return "!" + p.within(precPrimary, args[0]), precUnary
	case operators.Negate:
		if args[0].Kind() == ast.LiteralKind { // -(1) is no literal
			text, _ := p.print(args[0])
			return "-(" + text + ")", precUnary
		}
		return "-" + p.within(precPrimary, args[0]), precUnary
	case operators.Conditional:
		last, _ := p.print(args[2])
		return p.within(precOr, args[0]) + " ? " + p.within(precOr, args[1]) + " : " + last, precChoice
	case operators.Index:
		index, _ := p.print(args[1])
		return p.within(precPrimary, args[0]) + "[" + index + "]", precPrimary
	}
	if c.IsMemberFunction() {
		name = p.within(precPrimary, c.Target()) + "." + name
	}
	return name + "(" + p.list(args) + ")", precPrimary
}

// chain writes the terms of && or of ||, in however many parentheses they were.
func (p *printer) chain(e ast.Expr, sign string, prec int) string {
	all := terms(e)
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = p.within(prec, t)
	}
	return strings.Join(texts, sign)
}

// terms are those of a chain of && or of ||.
func terms(e ast.Expr) []ast.Expr {
	var out []ast.Expr
	for _, arg := range e.AsCall().Args() {
		if arg.Kind() == ast.CallKind && arg.AsCall().FunctionName() == e.AsCall().FunctionName() {
			out = append(out, terms(arg)...)
			continue
		}
		out = append(out, arg)
	}
	return out
}
