package filter

import (
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/common/ast"
)

// match is startsWith, endsWith and contains.
func (b *builder) match(c ast.CallExpr) (condition, error) {
	values, err := b.values(c.Target(), c.Args()[0])
	if err != nil {
		return nil, err
	}
	how := map[string]matchKind{"startsWith": startsWith, "endsWith": endsWith, "contains": contains}[c.FunctionName()]
	return b.lift(c.Target(), values, func(v []value) (condition, error) {
		for i, side := range v {
			if isNull(side) {
				return nil, b.errorf([]ast.Expr{c.Target(), c.Args()[0]}[i], "must be text, not null")
			}
		}
		form := UseOther
		if _, ok := v[1].(literal); ok && how == startsWith {
			form = UsePrefix
		}
		if o, ok := v[0].(operand); ok {
			b.used(o, form, 3)
		}
		b.cost += 3
		return match{v[0], how, v[1]}, nil
	})
}

// pattern is matches(), and the comparisons that letters' case does not change: they are
// patterns under (?i), whose folding is the same in Go and in what PostgreSQL gets.
func (b *builder) pattern(c ast.CallExpr) (condition, error) {
	args := c.Args()
	target := c.Target()
	if !c.IsMemberFunction() {
		target, args = args[0], args[1:]
	}
	values, err := b.values(target, args[0])
	if err != nil {
		return nil, err
	}
	l, _ := values[1].(literal)
	text, isText := l.value.(string)
	if !isText {
		return nil, b.errorf(args[0], "must be a literal")
	}
	source := regexp.QuoteMeta(text)
	switch c.FunctionName() {
	case "matches":
		source = text
	case "iequals":
		source = `(?is)\A` + source + `\z`
	case "istartsWith":
		source = `(?is)\A` + source
	case "iendsWith":
		source = `(?is)` + source + `\z`
	case "icontains":
		source = `(?is)` + source
	}
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, b.errorf(args[0], "is no regular expression in the syntax of RE2: %s", err)
	}
	cost, size, err := checkPattern(re)
	if err != nil {
		return nil, b.errorf(args[0], "%s", err)
	}
	return b.lift(target, values[:1], func(v []value) (condition, error) {
		if isNull(v[0]) {
			return nil, b.errorf(target, "must be text, not null")
		}
		if o, ok := v[0].(operand); ok {
			b.used(o, UseOther, 0)
		}
		b.cost += cost
		return pattern{v[0], re, size}, nil
	})
}
