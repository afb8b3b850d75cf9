package filter

import (
	"math"
	"slices"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/internal/suggest"
)

// literal returns the Go value of a literal: nil, string, float64, bool, or time.Time
// for timestamp("...").
func (b *builder) literal(e ast.Expr) (value any, ok bool, err error) {
	switch e.Kind() {
	case ast.LiteralKind:
		switch v := e.AsLiteral().(type) {
		case types.Null:
			return nil, true, nil
		case types.String:
			if !storable(string(v)) {
				return nil, true, b.errorf(e, "text must be valid UTF-8 without NUL")
			}
			return string(v), true, nil
		case types.Double:
			if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
				return nil, true, b.errorf(e, "must be a finite number")
			}
			return float64(v), true, nil
		case types.Bool:
			return bool(v), true, nil
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != "timestamp" || len(c.Args()) != 1 || c.Args()[0].Kind() != ast.LiteralKind {
			return nil, false, nil
		}
		s, isText := c.Args()[0].AsLiteral().(types.String)
		if !isText {
			return nil, false, nil
		}
		t, parseErr := time.Parse(time.RFC3339Nano, string(s))
		if parseErr != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
			return nil, true, b.errorf(e, "timestamp() takes an RFC 3339 time such as timestamp(\"2026-01-31T00:00:00Z\")")
		}
		if t.Nanosecond()%1000 != 0 {
			return nil, true, b.errorf(e, "times are kept to the microsecond")
		}
		return t.UTC(), true, nil
	case ast.IdentKind, ast.SelectKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
	return nil, false, nil
}

// kindOf is the kind that a literal can be compared with.
func kindOf(literal any) customfields.Type {
	switch literal.(type) {
	case float64:
		return customfields.Number
	case bool:
		return customfields.Boolean
	case time.Time:
		return customfields.Date
	}
	return customfields.Text
}

// address puts a literal that is compared with addresses into their form, and into the
// expression too, which Match evaluates. What is no address equals none as it is.
func (b *builder) address(e ast.Expr, r operand, value any) any {
	s, isText := value.(string)
	if !isText || r.declared() != customfields.Email {
		return value
	}
	norm, err := emailaddr.Normalize(s)
	if err != nil {
		return value
	}
	e.SetKindCase(ast.NewExprFactory().NewLiteral(e.ID(), types.String(norm)))
	return norm
}

// checkOption refuses a literal that a select can never have.
func (b *builder) checkOption(e ast.Expr, r operand, value any) error {
	s, isText := value.(string)
	if options := r.options(); isText && len(options) > 0 && !slices.Contains(options, s) {
		err := problemAt(positionOf(b.ast, e), "%q is none of the options %s", clipText(s, 80), quoteSome(options))
		err.Problems[0].Suggestion = suggest.Closest(s, options)
		return err
	}
	return nil
}
