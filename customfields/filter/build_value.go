package filter

import (
	"math"
	"slices"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/internal/suggest"
)

func (b *builder) values(exprs ...ast.Expr) ([]value, error) {
	out := make([]value, len(exprs))
	for i, e := range exprs {
		var err error
		if out[i], err = b.value(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// value builds an expression that is compared or matched.
func (b *builder) value(e ast.Expr) (value, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return b.literal(e)
	case ast.IdentKind, ast.SelectKind:
		if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
			t, err := b.has(e)
			return truthOf{t}, err
		}
		return b.ref(e)
	case ast.CallKind:
		if e.AsCall().FunctionName() == operators.Conditional {
			return b.choice(e)
		}
		if b.ast.GetType(e.ID()).Kind() == types.BoolKind {
			t, err := b.condition(e)
			return truthOf{t}, err
		}
		return b.compute(e)
	case ast.ComprehensionKind:
		t, err := b.macro(e)
		return truthOf{t}, err
	case ast.ListKind:
		return nil, b.errorf(e, "a list stands behind in, or in hasAny(), hasAll() and hasNone(), or before exists() and all()")
	case ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
	return nil, b.errorf(e, "is not supported in a filter")
}

func (b *builder) choice(e ast.Expr) (value, error) {
	args := e.AsCall().Args()
	test, err := b.condition(args[0])
	if err != nil {
		return nil, err
	}
	values, err := b.values(args[1], args[2])
	if err != nil {
		return nil, err
	}
	if isNull(values[0]) { // so that the choice has the kind of the other
		return choice{not{test}, values[1], values[0]}, nil
	}
	return choice{test, values[0], values[1]}, nil
}

// literal is nil, text, a number or a boolean.
func (b *builder) literal(e ast.Expr) (value, error) {
	switch v := e.AsLiteral().(type) {
	case types.Null:
		return literal{nil}, nil
	case types.String:
		if !storable(string(v)) {
			return nil, b.errorf(e, "text must be valid UTF-8 without NUL")
		}
		return literal{string(v)}, nil
	case types.Double:
		return literal{float64(v)}, nil
	case types.Bool:
		return literal{bool(v)}, nil
	}
	return nil, b.errorf(e, "is not supported in a filter: literals are text, numbers, true, false and null")
}

// ref resolves a variable, a column, fields.key, or the column of an extension.
func (b *builder) ref(e ast.Expr) (value, error) {
	if e.Kind() == ast.SelectKind {
		if o, ok := b.field(e.AsSelect().Operand(), e.AsSelect().FieldName()); ok {
			return o, nil
		}
		return nil, b.errorf(e, "must be a column or fields.<key>")
	}
	name := e.AsIdent()
	if v, ok := b.vars[name]; ok {
		return v, nil
	}
	switch name {
	case "now":
		b.timed = true
		return moment{from: now}, nil
	case "today":
		b.timed = true
		return moment{from: today}, nil
	}
	if c := b.schema.column(name); c != nil {
		b.refs[name] = true
		return operand{name: name, column: c}, nil
	}
	for i := range b.schema.Extensions {
		x := &b.schema.Extensions[i]
		for j := range x.Columns {
			if c := x.Columns[j]; x.Name+"."+c.Name == name {
				b.refs[name], b.joins[x.Name] = true, true
				c.Nullable = true
				return operand{name: name, column: &c}, nil
			}
		}
	}
	return nil, b.errorf(e, "must be a column or fields.<key>")
}

// field resolves fields.key.
func (b *builder) field(of ast.Expr, key string) (operand, bool) {
	if of.Kind() != ast.IdentKind || of.AsIdent() != "fields" || b.vars["fields"] != nil {
		return operand{}, false
	}
	f := b.schema.field(key)
	if f == nil {
		return operand{}, false
	}
	b.refs["fields."+key] = true
	return operand{name: "fields." + key, field: f}, true
}

// liftValue is lift for what is a value itself.
func (b *builder) liftValue(e ast.Expr, values []value, build func(values []value) (value, error)) (value, error) {
	for i, v := range values {
		c, ok := v.(choice)
		if !ok {
			continue
		}
		with := func(v value) (value, error) {
			other := slices.Clone(values)
			other[i] = v
			return b.liftValue(e, other, build)
		}
		yes, err := with(c.yes)
		if err != nil {
			return nil, err
		}
		no, err := with(c.no)
		return choice{c.test, yes, no}, err
	}
	if b.made++; b.made > maxUnfolded {
		return nil, b.errorf(e, "the filter is too large: its choices make more than %d values", maxUnfolded)
	}
	return build(values)
}

// compute builds a call whose result is no boolean.
func (b *builder) compute(e ast.Expr) (value, error) {
	c := e.AsCall()
	switch name := c.FunctionName(); name {
	case operandFn:
		return b.value(c.Args()[0])
	case "timestamp", "date", "duration", "days":
		return b.constant(e)
	case countFn:
		return b.count(e)
	default:
		args := c.Args()
		if c.IsMemberFunction() {
			args = append([]ast.Expr{c.Target()}, args...)
		}
		values, err := b.values(args...)
		if err != nil {
			return nil, err
		}
		return b.liftValue(e, values, func(v []value) (value, error) {
			b.cost += 2
			return b.apply(e, name, args, v)
		})
	}
}

func (b *builder) apply(e ast.Expr, name string, args []ast.Expr, v []value) (value, error) {
	for _, side := range v {
		if o, ok := side.(operand); ok {
			b.used(o, UseOther, 0)
		}
		if isNull(side) {
			return nil, b.errorf(e, "nothing can be computed from null")
		}
	}
	switch name {
	case operators.Add, operators.Subtract, operators.Multiply:
		return b.binary(e, functionName(name), args, v[0], v[1])
	case operators.Negate:
		return b.bounded(args, v, negative{v[0]})
	case "size":
		return size{v[0]}, nil
	case "lowerAscii", "upperAscii":
		return ascii{v[0], name == "upperAscii"}, nil
	}
	if _, ok := parts[name]; ok {
		zone := time.UTC
		if len(v) == 2 {
			l, isLiteral := v[1].(literal)
			s, isText := l.value.(string)
			if !isLiteral || !isText {
				return nil, b.errorf(args[1], "the time zone must be a literal")
			}
			var err error
			if zone, err = zoneOf(s); err != nil {
				return nil, b.errorf(args[1], "%s", err)
			}
		}
		return part{v[0], name, zone}, nil
	}
	return nil, b.errorf(e, "%s is not supported in a filter", functionName(name))
}

func (b *builder) binary(e ast.Expr, op string, args []ast.Expr, x, y value) (value, error) {
	switch {
	case x.kind() == numberKind:
		return b.bounded(args, []value{x, y}, arithmetic{op, x, y})
	case x.kind() == textKind:
		return concat{x, y}, nil
	case x.kind() == dateKind && y.kind() == dateKind:
		return difference{x, y}, nil
	case x.kind() == durationKind: // duration + date
		x, y = y, x
	}
	by, ok := y.(span)
	if !ok {
		return nil, b.errorf(e, "what is added to a date must be a literal duration such as duration(\"36h\") or days(3)")
	}
	if op == "-" {
		by.length = -by.length
	}
	if m, ok := x.(moment); ok {
		sum := m.offset + by.length
		if (m.offset > 0) == (by.length > 0) && (sum > 0) != (by.length > 0) && sum != 0 {
			return nil, b.errorf(e, "the durations are too long: at most 292 years")
		}
		m.offset = sum
		if m.from == fixed && !inYears(m.at.Add(m.offset)) {
			return nil, b.errorf(e, "%s", errYears)
		}
		return m, nil
	}
	if s, ok := x.(shift); ok { // one way, what is between is in range when the end is
		sum := s.by + by.length
		if (s.by > 0) != (by.length > 0) || (sum > 0) != (s.by > 0) {
			return nil, b.errorf(e, "add one duration to a date, or several that all go one way, of at most 292 years")
		}
		return shift{s.date, sum}, nil
	}
	return shift{x, by.length}, nil
}

// bounded refuses arithmetic that could leave the range of a float64, where PostgreSQL
// raises and CEL does not.
func (b *builder) bounded(args []ast.Expr, v []value, result value) (value, error) {
	for i, side := range v {
		if l, ok := side.(literal); ok {
			if n, _ := l.value.(float64); !inArithmetic(n) {
				return nil, b.errorf(args[i], "a number in arithmetic must be 0, or between 1e-15 and 1e15 either way")
			}
		}
	}
	if least, most := magnitude(result); most > 1e220 || least < 1e-220 {
		return nil, b.errorf(args[0], "this is too much arithmetic: at most seven numbers may be multiplied")
	}
	return result, nil
}

// magnitude bounds the absolute value of a number that is not zero. From below it is a number
// that all there are of this one are multiples of, which adding does not change: the last of
// the 53 bits of the smallest operand.
func magnitude(v value) (least, most float64) {
	const lastBit = 1.0 / (1 << 53)
	switch v := v.(type) {
	case literal:
		n, _ := v.value.(float64)
		if n == 0 {
			return 1, 1
		}
		return math.Abs(n) * lastBit, math.Abs(n)
	case negative:
		return magnitude(v.of)
	case arithmetic:
		least, most = magnitude(v.a)
		least2, most2 := magnitude(v.b)
		if v.op == "*" {
			return least * least2, most * most2
		}
		return min(least, least2), most + most2
	case size, part, count:
		return 1, maxOperand
	}
	return minOperand * lastBit, maxOperand
}

// constant is a literal time or duration.
func (b *builder) constant(e ast.Expr) (value, error) {
	c := e.AsCall()
	name := c.FunctionName()
	arg, err := b.value(c.Args()[0])
	if err != nil {
		return nil, err
	}
	l, ok := arg.(literal)
	if !ok {
		return nil, b.errorf(e, "%s() takes a literal", name)
	}
	s, _ := l.value.(string)
	switch name {
	case "timestamp":
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || !inYears(t) {
			return nil, b.errorf(e, "timestamp() takes an RFC 3339 time such as timestamp(\"2026-01-31T00:00:00Z\")")
		}
		if t.Nanosecond()%1000 != 0 {
			return nil, b.errorf(e, "times are kept to the microsecond")
		}
		return moment{at: t.UTC()}, nil
	case "date":
		t, err := time.Parse(time.DateOnly, s)
		if err != nil || !inYears(t) {
			return nil, b.errorf(e, "date() takes a day such as date(\"2026-01-31\")")
		}
		return moment{at: t}, nil
	case "days":
		n, _ := l.value.(float64)
		if math.Abs(n) > maxDays {
			return nil, b.errorf(e, "days() takes a number between -%d and %d", maxDays, maxDays)
		}
		return span{days(n)}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, b.errorf(e, "duration() takes a duration such as duration(\"36h\") or duration(\"1h30m\")")
	}
	if d%time.Microsecond != 0 {
		return nil, b.errorf(e, "durations are kept to the microsecond")
	}
	return span{d}, nil
}

// count is events(kind).count(window).
func (b *builder) count(e ast.Expr) (value, error) {
	args := e.AsCall().Args()
	values, err := b.values(args[0], args[1])
	if err != nil {
		return nil, err
	}
	l, _ := values[0].(literal)
	name, isText := l.value.(string)
	window, isSpan := values[1].(span)
	switch {
	case b.schema.Events == nil:
		return nil, b.errorf(e, "there are no events to ask for")
	case !isText || name == "":
		return nil, b.errorf(args[0], "events() takes the kind of the events as a literal")
	case !isSpan || window.length <= 0:
		return nil, b.errorf(args[1], "count() takes how far back to look, such as days(7) or duration(\"12h\")")
	}
	if kinds := b.schema.Events.Kinds; kinds != nil && !slices.Contains(kinds, name) {
		err := problemAt(positionOf(b.ast, args[0]), "there are no events of the kind %q", clipText(name, 80))
		err.Problems[0].Suggestion = suggest.Closest(name, kinds)
		return nil, err
	}
	b.refs["events."+name], b.timed = true, true
	b.cost += 100
	return count{name, window.length}, nil
}

// normalAddress is an address in the form in which they are stored.
func (b *builder) normalAddress(at ast.Expr, s string) string {
	norm, err := emailaddr.Normalize(s)
	if err != nil {
		return s
	}
	if at.Kind() == ast.LiteralKind {
		at.SetKindCase(ast.NewExprFactory().NewLiteral(at.ID(), types.String(norm)))
	}
	return norm
}

// checkOption refuses a literal that a select can never have.
func (b *builder) checkOption(at ast.Expr, of interface{ options() []string }, value any) error {
	s, isText := value.(string)
	if options := of.options(); isText && len(options) > 0 && !slices.Contains(options, s) {
		err := problemAt(positionOf(b.ast, at), "%q is none of the options %s", clipText(s, 80), suggest.Quoted(options))
		err.Problems[0].Suggestion = suggest.Closest(s, options)
		return err
	}
	return nil
}
