package filter_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
)

// respell changes a part into the spelling that rules have, where that is not the author's:
// numbers are doubles, chains flat, references on the left, has() for what is not null.
func respell(e ast.Expr) {
	factory := ast.NewExprFactory()
	switch e.Kind() {
	case ast.IdentKind:
		e.SetKindCase(factory.NewIdent(e.ID(), strings.TrimPrefix(e.AsIdent(), ".")))
	case ast.LiteralKind:
		switch n := e.AsLiteral().(type) {
		case types.Int:
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
		case types.Uint:
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
		}
	case ast.CallKind:
		e.SetKindCase(respellCall(e, factory))
	}
}

func respellCall(e ast.Expr, factory ast.ExprFactory) ast.Expr {
	c := e.AsCall()
	args := c.Args()
	isRef := func(e ast.Expr) bool {
		return e.Kind() == ast.IdentKind || e.Kind() == ast.SelectKind
	}
	null := func(i int) bool { return args[i].Kind() == ast.LiteralKind && args[i].AsLiteral() == types.NullValue }
	mirrored := map[string]string{"_==_": "_==_", "_!=_": "_!=_", "_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
	name := c.FunctionName()
	if m, ok := mirrored[name]; ok && !isRef(args[0]) && isRef(args[1]) {
		return respellCall(factory.NewCall(e.ID(), m, args[1], args[0]), factory)
	}
	if name == "_&&_" || name == "_||_" {
		var terms []ast.Expr
		for _, arg := range args {
			if arg.Kind() == ast.CallKind && arg.AsCall().FunctionName() == name {
				terms = append(terms, arg.AsCall().Args()...)
				continue
			}
			terms = append(terms, arg)
		}
		return factory.NewCall(e.ID(), name, terms...)
	}
	if (name == "_==_" || name == "_!=_") && args[0].Kind() == ast.SelectKind && null(1) {
		has := factory.NewCall(e.ID(), "has", args[0])
		if name == "_!=_" {
			return has
		}
		return factory.NewCall(e.ID(), "!_", has)
	}
	return e
}

// A rule is a filter with the same tree, but for the usual spelling.
func TestRulesKeepTheTree(t *testing.T) {
	t.Parallel()
	s := sentence{rand.New(rand.NewPCG(7, 7))}
	asRules := 0
	for range 500 {
		expr := s.expr(s.IntN(4))
		r, err := filter.ToRule(expr)
		if err != nil {
			require.Contains(t, err.Error(), "not supported in a filter", expr) // maps, bytes
			continue
		}
		written, err := filter.FromRule(r)
		require.NoError(t, err, expr)
		require.Equal(t, tree(t, expr, respell), tree(t, written, respell), "%s\n%s", expr, written)
		if r.CEL == "" {
			asRules++
		}
		requireNormal(t, written)
	}
	require.Greater(t, asRules, 50)
}

func requireNormal(t *testing.T, written string) {
	t.Helper()
	r, err := filter.ToRule(written)
	require.NoError(t, err, written)
	again, err := filter.FromRule(r)
	require.NoError(t, err, written)
	require.Equal(t, written, again)
	data, err := json.Marshal(r)
	require.NoError(t, err)
	parsed, err := filter.ParseRule(data)
	require.NoError(t, err, string(data))
	require.Equal(t, r, parsed, written)
}

// randomRule is a rule over allTypes and columns, not always in normal form.
func randomRule(r *rand.Rand, depth int) filter.Rule {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	some := func(n int, of func() any) []any {
		out := make([]any, 1+r.IntN(n))
		for i := range out {
			out[i] = of()
		}
		return out
	}
	list := func() []filter.Rule {
		out := make([]filter.Rule, r.IntN(4))
		for i := range out {
			out[i] = randomRule(r, depth-1)
		}
		return out
	}
	text := func() any { return pick(texts...) }
	size := func() any { return float64(r.IntN(50)) / 2 }
	compare := func() string { return pick("<", "<=", ">", ">=", "==", "!=") }
	if depth > 0 {
		switch r.IntN(4) {
		case 0:
			return filter.Rule{All: list()}
		case 1:
			return filter.Rule{Any: list()}
		case 2:
			inner := randomRule(r, depth-1)
			return filter.Rule{Not: &inner}
		}
	}
	when := func() any {
		return map[string]any{pick("now", "today"): pick("0d", "-1d", "+2d", "-36h")}
	}
	switch r.IntN(16) {
	case 0:
		return filter.Rule{Field: pick("fields.note", "fields.tier", "fields.tags", "sms.phone", "fields.size", "fields.due", "nickname", "score", "opted"), Op: pick("set", "unset")}
	case 1:
		return filter.Rule{Field: pick("fields.note", "nickname", "email"), Op: compare(), Value: text()}
	case 2:
		if field := pick("fields.note", "nickname"); r.IntN(2) == 0 {
			return filter.Rule{Field: field, Op: "!=", Value: text(), Set: true}
		} else {
			return filter.Rule{Field: field, Op: "notIn", Value: some(3, text), Set: true}
		}
	case 3:
		return filter.Rule{Field: pick("fields.size", "score"), Op: compare(), Value: size()}
	case 4:
		return filter.Rule{Field: "fields.tier", Op: pick("in", "notIn"), Value: some(3, func() any { return pick("gold", "silver", "bronze") })}
	case 5:
		return filter.Rule{Field: "fields.tags", Op: "includes", Value: pick("vip", "beta", "new")}
	case 6:
		return filter.Rule{Field: pick("email", "fields.note", "nickname"), Op: pick("contains", "startsWith", "endsWith"), Value: text()}
	case 7:
		return filter.Rule{Field: pick("fields.vip", "opted"), Op: "isTrue"}
	case 8:
		return filter.Rule{Field: pick("fields.due", "createdAt"), Op: compare(), Value: map[string]any{"timestamp": pick("2024-01-01T00:00:00Z", "2024-01-02T01:00:00+01:00")}}
	case 9:
		return filter.Rule{Field: pick("fields.due", "createdAt"), Op: compare(), Value: when()}
	case 10:
		return filter.Rule{Field: "fields.tags", Op: pick("hasAny", "hasAll", "hasNone"), Value: some(2, func() any { return pick("vip", "beta", "new") })}
	case 11:
		return filter.Rule{Field: pick("email", "fields.note", "sms.phone"), Op: pick("iequals", "icontains", "istartsWith", "iendsWith", "matches"), Value: pick("a", "É", "B$", "gold")}
	case 12:
		return filter.Rule{Field: pick("fields.due", "createdAt"), Op: pick("withinLast", "withinNext"), Value: pick("1d", "2.5d", "30h")}
	case 13:
		return filter.Rule{Event: "email.opened", Within: "7d", Op: compare(), Value: float64(r.IntN(4))}
	case 14:
		if r.IntN(2) == 0 {
			return filter.Rule{Field: pick("fields.due", "createdAt"), Op: "anniversary"}
		}
		return filter.Rule{Field: pick("fields.size", "score"), Op: "between", Value: []any{size(), map[string]any{"field": "score"}}}
	}
	return filter.Rule{CEL: fmt.Sprintf(`fields.size < %d || fields.vip`, r.IntN(50))}
}

// holds is what a rule says of a record, by the documented meaning of rules: yes, no, or
// nothing.
func holds(t *testing.T, r *filter.Rule, rec record) (known, value bool) {
	t.Helper()
	switch {
	case r.All != nil:
		known = true
		for i := range r.All {
			k, v := holds(t, &r.All[i], rec)
			if k && !v {
				return true, false
			}
			known = known && k
		}
		return known, known
	case r.Any != nil:
		known = true
		for i := range r.Any {
			k, v := holds(t, &r.Any[i], rec)
			if k && v {
				return true, true
			}
			known = known && k
		}
		return known, false
	case r.Not != nil:
		k, v := holds(t, r.Not, rec)
		return k, k && !v
	case r.CEL != "":
		return evaluate(t, r.CEL, rec)
	case r.Set:
		set := filter.Rule{Field: r.Field, Op: "set"}
		plain := *r
		plain.Set = false
		return holds(t, &filter.Rule{All: []filter.Rule{set, plain}}, rec)
	}
	expr, err := filter.FromRule(r) // a single condition: TestRulesAreFilters has them all
	require.NoError(t, err)
	return evaluate(t, expr, rec)
}

func evaluate(t *testing.T, expr string, rec record) (known, value bool) {
	t.Helper()
	s := whole(t)
	f, err := filter.Compile(s, expr)
	require.NoError(t, err, expr)
	no, err := filter.Compile(s, "!("+expr+")")
	require.NoError(t, err, expr)
	at := time.Date(2024, 1, 3, 12, 0, 0, 0, time.UTC)
	of := filter.Record{
		Columns: rec.columns, Fields: rec.fields, Extensions: map[string]map[string]any{"sms": {"phone": rec.columns["nickname"]}},
		Events: func(string, time.Time) (int64, error) { return 2, nil },
	}
	yes := f.Match(of, at)
	return yes || no.Match(of, at), yes
}

// The filter of a rule has the answers of the rule, and so has the rule of that filter.
func TestRulesKeepTheMeaning(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 3))
	records := randomRecords(random, 12)
	answers := map[[2]bool]int{}
	for range 120 {
		r := randomRule(random, 3)
		expr, err := filter.FromRule(&r)
		require.NoError(t, err)
		requireNormal(t, expr)
		for _, rec := range records {
			known, value := holds(t, &r, rec)
			gotKnown, got := evaluate(t, expr, rec)
			require.Equal(t, [2]bool{known, value}, [2]bool{gotKnown, got}, expr)
			answers[[2]bool{known, value}]++
		}
	}
	require.Greater(t, min(answers[[2]bool{true, true}], answers[[2]bool{true, false}], answers[[2]bool{false, false}]), 20, "%v", answers)
}

func FuzzRule(f *testing.F) {
	for _, c := range rules {
		f.Add(c.json, c.cel)
	}
	s := sentence{rand.New(rand.NewPCG(2, 1))}
	for range 30 {
		f.Add(`{"cel":"true"}`, s.expr(2))
	}
	f.Fuzz(func(t *testing.T, data, expr string) {
		if r, err := filter.ParseRule([]byte(data)); err == nil {
			if written, err := filter.FromRule(r); err == nil {
				require.NotEmpty(t, tree(t, written, unchanged), "%q is no expression", written)
				requireNormalOrTooLong(t, written)
			}
		}
		if r, err := filter.ToRule(expr); err == nil {
			if written, err := filter.FromRule(r); err == nil {
				requireNormalOrTooLong(t, written)
			} else {
				require.ErrorContains(t, err, "too large")
			}
		}
	})
}

func requireNormalOrTooLong(t *testing.T, written string) {
	t.Helper()
	r, err := filter.ToRule(written)
	require.NoError(t, err, written)
	again, err := filter.FromRule(r)
	if err != nil {
		require.ErrorContains(t, err, "too large")
		return
	}
	requireNormal(t, again)
}
