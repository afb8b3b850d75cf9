package filter

import (
	"math"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/stratakit/strata/internal/suggest"
)

// expander changes a parsed expression, before its types are checked, into one that says
// the same in fewer terms: what CEL and SQL then both work from.
type expander struct {
	ast     *ast.AST
	schema  Schema
	factory ast.ExprFactory
	next    int64 // the last id of a part
	most    int64
	err     *Error
}

func expand(a *ast.AST, s Schema) error {
	x := &expander{ast: a, schema: s, factory: ast.NewExprFactory(), next: ast.MaxID(a)}
	x.most = x.next + maxUnfolded
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(x.visit))
	if x.err != nil {
		return x.err
	}
	return nil
}

func (x *expander) problem(e ast.Expr, format string, args ...any) {
	p := problemAt(positionOf(x.ast, e), format, args...)
	if x.err == nil {
		x.err = p
		return
	}
	x.err.Problems = append(x.err.Problems, p.Problems...)
}

// id makes the id of a new part in the place of another.
func (x *expander) id(at ast.Expr) int64 {
	x.next++
	if r, ok := x.ast.SourceInfo().GetOffsetRange(at.ID()); ok {
		x.ast.SourceInfo().SetOffsetRange(x.next, r)
	}
	return x.next
}

// again is a copy of a part, with ids of its own: the type of each is found anew. Copies of
// copies double.
func (x *expander) again(e ast.Expr) ast.Expr {
	if x.next > x.most {
		x.problem(e, "the filter is too large: what between(), withinLast() and withinNext() ask about has more of them in it than can be checked")
		return e
	}
	out := x.factory.CopyExpr(e)
	out.RenumberIDs(func(id int64) int64 {
		if id == 0 {
			return 0
		}
		x.next++
		if r, ok := x.ast.SourceInfo().GetOffsetRange(id); ok {
			x.ast.SourceInfo().SetOffsetRange(x.next, r)
		}
		return x.next
	})
	return out
}

func (x *expander) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		x.number(e)
	case ast.SelectKind:
		x.selection(e)
	case ast.CallKind:
		x.call(e)
	case ast.IdentKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
}

// number makes fields.size > 50 mean what it says: every number of ours is a double, and
// CEL compares an int literal with a double only where it orders them.
func (x *expander) number(e ast.Expr) {
	const exact = 1 << 53
	switch n := e.AsLiteral().(type) {
	case types.Int:
		if n > exact || n < -exact {
			x.problem(e, "whole numbers are exact up to %d only", int64(exact))
		}
		e.SetKindCase(x.factory.NewLiteral(e.ID(), types.Double(n)))
	case types.Uint:
		if n > exact {
			x.problem(e, "whole numbers are exact up to %d only", int64(exact))
		}
		e.SetKindCase(x.factory.NewLiteral(e.ID(), types.Double(n)))
	case types.Double:
		if math.IsInf(float64(n), 0) {
			x.problem(e, "must be a finite number")
		}
	}
}

// selection looks after sms.phone, which is one variable to CEL, and has(sms.phone), which
// CEL has for messages only.
func (x *expander) selection(e ast.Expr) {
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind {
		return
	}
	extension := x.schema.extension(globalName(s.Operand()))
	if extension == nil {
		return
	}
	if findColumn(extension.Columns, s.FieldName()) == nil {
		names := make([]string, len(extension.Columns))
		for i, c := range extension.Columns {
			names[i] = c.Name
		}
		x.problem(e, "%s has no column %q", extension.Name, clipText(s.FieldName(), 80))
		x.err.Problems[len(x.err.Problems)-1].Suggestion = suggest.Closest(s.FieldName(), names)
		return
	}
	if s.IsTestOnly() {
		column := x.factory.NewSelect(x.id(e), s.Operand(), s.FieldName())
		e.SetKindCase(x.factory.NewCall(e.ID(), operators.NotEquals, column, x.factory.NewLiteral(x.id(e), types.NullValue)))
	}
}

func (x *expander) call(e ast.Expr) {
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Negate:
		operands := make([]ast.Expr, len(args))
		for i, arg := range args {
			operands[i] = x.operand(arg)
		}
		e.SetKindCase(x.factory.NewCall(e.ID(), c.FunctionName(), operands...))
	case "between":
		if len(args) == 3 && !c.IsMemberFunction() {
			x.within(e, operators.GreaterEquals, args[0], args[1], args[2])
		}
	case "withinLast":
		if len(args) == 2 && !c.IsMemberFunction() {
			x.within(e, operators.Greater, args[0], x.factory.NewCall(x.id(e), operators.Subtract, x.clock(e, args[0]), args[1]), x.clock(e, args[0]))
		}
	case "withinNext":
		if len(args) == 2 && !c.IsMemberFunction() {
			x.within(e, operators.GreaterEquals, args[0], x.clock(e, args[0]), x.factory.NewCall(x.id(e), operators.Add, x.clock(e, args[0]), args[1]))
		}
	case "anniversary":
		if len(args) == 1 && !c.IsMemberFunction() {
			zone := x.schema.location().String()
			if x.dateOnly(args[0]) {
				zone = "UTC" // a day is kept as its midnight UTC
			}
			e.SetKindCase(x.factory.NewCall(e.ID(), anniversaryFn, args[0], x.factory.NewIdent(x.id(e), "today"), x.factory.NewLiteral(x.id(e), types.String(zone))))
		}
	case "count":
		if c.IsMemberFunction() && len(args) == 1 && c.Target().Kind() == ast.CallKind && c.Target().AsCall().FunctionName() == "events" && len(c.Target().AsCall().Args()) == 1 {
			e.SetKindCase(x.factory.NewCall(e.ID(), countFn, c.Target().AsCall().Args()[0], args[0], x.factory.NewIdent(x.id(e), recordName)))
		}
	}
}

// operand has what is stored checked before it is computed with, also where it is chosen.
func (x *expander) operand(e ast.Expr) ast.Expr {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		return x.factory.NewCall(x.id(e), operandFn, e)
	case ast.CallKind:
		if c := e.AsCall(); c.FunctionName() == operators.Conditional {
			args := c.Args()
			return x.factory.NewCall(x.id(e), operators.Conditional, args[0], x.operand(args[1]), x.operand(args[2]))
		}
	case ast.LiteralKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return e
}

// within is low <= what && what <= high, or low < what.
func (x *expander) within(e ast.Expr, after string, what, low, high ast.Expr) {
	e.SetKindCase(x.factory.NewCall(e.ID(), operators.LogicalAnd,
		x.factory.NewCall(x.id(e), after, what, low),
		x.factory.NewCall(x.id(e), operators.LessEquals, x.again(what), high)))
}

// clock is what a date is compared with: today for a day, now for a time.
func (x *expander) clock(at, date ast.Expr) ast.Expr {
	if x.dateOnly(date) {
		return x.factory.NewIdent(x.id(at), "today")
	}
	return x.factory.NewIdent(x.id(at), "now")
}

func (x *expander) dateOnly(e ast.Expr) bool {
	if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.IdentKind || globalName(e.AsSelect().Operand()) != "fields" {
		return false
	}
	f := x.schema.field(e.AsSelect().FieldName())
	return f != nil && dateOnly(f)
}

// globalName is the name of a variable: a leading dot is CEL's way past those of macros.
func globalName(e ast.Expr) string { return strings.TrimPrefix(e.AsIdent(), ".") }
