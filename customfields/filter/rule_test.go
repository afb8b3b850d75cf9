package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/fault"
)

// A rule and the filter that it is, in normal form both.
var rules = []struct{ json, cel string }{
	{`{"all":[]}`, `true`},
	{`{"any":[]}`, `false`},
	{`{"field":"fields.tier","op":"==","value":"gold"}`, `fields.tier == "gold"`},
	{`{"field":"email","op":"!=","value":"a"}`, `email != "a"`},
	{`{"field":"fields.tier","op":"!=","value":"gold","set":true}`, `has(fields.tier) && fields.tier != "gold"`},
	{`{"field":"nickname","op":"!=","value":"gold","set":true}`, `nickname != null && nickname != "gold"`},
	{`{"field":"fields.tier","op":"set"}`, `has(fields.tier)`},
	{`{"field":"fields.tier","op":"unset"}`, `!has(fields.tier)`},
	{`{"field":"sms.phone","op":"set"}`, `has(sms.phone)`},
	{`{"field":"nickname","op":"set"}`, `nickname != null`},
	{`{"field":"nickname","op":"unset"}`, `nickname == null`},
	{`{"field":"fields.tier","op":"in","value":["gold","silver"]}`, `fields.tier in ["gold", "silver"]`},
	{`{"field":"fields.tier","op":"notIn","value":["gold"]}`, `!(fields.tier in ["gold"])`},
	{`{"field":"fields.tier","op":"notIn","value":["gold"],"set":true}`, `has(fields.tier) && !(fields.tier in ["gold"])`},
	{`{"field":"fields.size","op":"in","value":[1,2.5,-3,{"field":"score"}]}`, `fields.size in [1, 2.5, -3, score]`},
	{`{"field":"fields.size","op":">","value":50}`, `fields.size > 50`},
	{`{"field":"fields.size","op":"<=","value":-0.5}`, `fields.size <= -0.5`},
	{`{"field":"fields.size","op":"<=","value":1e+300}`, `fields.size <= 1e+300`},
	{`{"field":"fields.size","op":"==","value":{"field":"score"}}`, `fields.size == score`},
	{`{"field":"fields.size","op":"between","value":[1,10]}`, `between(fields.size, 1, 10)`},
	{`{"field":"fields.vip","op":"isTrue"}`, `fields.vip`},
	{`{"field":"fields.vip","op":"==","value":false}`, `fields.vip == false`},
	{`{"field":"email","op":"contains","value":"@"}`, `email.contains("@")`},
	{`{"field":"email","op":"startsWith","value":"a"}`, `email.startsWith("a")`},
	{`{"field":"email","op":"endsWith","value":".gov"}`, `email.endsWith(".gov")`},
	{`{"field":"email","op":"icontains","value":"A"}`, `email.icontains("A")`},
	{`{"field":"email","op":"istartsWith","value":"A"}`, `email.istartsWith("A")`},
	{`{"field":"email","op":"iendsWith","value":"A"}`, `email.iendsWith("A")`},
	{`{"field":"email","op":"iequals","value":"A"}`, `email.iequals("A")`},
	{`{"field":"email","op":"matches","value":"^a\\.b$"}`, `email.matches("^a\\.b$")`},
	{`{"field":"fields.tags","op":"includes","value":"vip"}`, `"vip" in fields.tags`},
	{`{"field":"fields.tags","op":"hasAny","value":["a","b"]}`, `hasAny(fields.tags, ["a", "b"])`},
	{`{"field":"fields.tags","op":"hasAll","value":["a"]}`, `hasAll(fields.tags, ["a"])`},
	{`{"field":"fields.tags","op":"hasNone","value":["a"]}`, `hasNone(fields.tags, ["a"])`},
	{`{"field":"fields.due","op":"<","value":{"date":"2026-01-31"}}`, `fields.due < date("2026-01-31")`},
	{`{"field":"createdAt","op":">=","value":{"timestamp":"2026-01-31T00:00:00Z"}}`, `createdAt >= timestamp("2026-01-31T00:00:00Z")`},
	{`{"field":"fields.due","op":"<","value":{"now":"-30d"}}`, `fields.due < now - days(30)`},
	{`{"field":"fields.due","op":"<","value":{"now":"0d"}}`, `fields.due < now`},
	{`{"field":"fields.due","op":"==","value":{"today":"+1.5d"}}`, `fields.due == today + days(1.5)`},
	{`{"field":"fields.due","op":"between","value":[{"today":"-90m"},{"date":"2026-01-31"}]}`, `between(fields.due, today - duration("90m"), date("2026-01-31"))`},
	{`{"field":"fields.due","op":"withinLast","value":"7d"}`, `withinLast(fields.due, days(7))`},
	{`{"field":"fields.due","op":"withinNext","value":"1h30m"}`, `withinNext(fields.due, duration("1h30m"))`},
	{`{"field":"fields.due","op":"anniversary"}`, `anniversary(fields.due)`},
	{`{"event":"email.opened","within":"7d","op":">=","value":2}`, `events("email.opened").count(days(7)) >= 2`},
	{`{"not":{"field":"email","op":"contains","value":"@"}}`, `!email.contains("@")`},
	{`{"not":{"field":"fields.vip","op":"isTrue"}}`, `!fields.vip`},
	{`{"not":{"not":{"field":"fields.vip","op":"isTrue"}}}`, `!(!fields.vip)`},
	{`{"not":{"field":"nickname","op":"unset"}}`, `!(nickname == null)`},
	{`{"not":{"field":"fields.tier","op":"!=","value":"x","set":true}}`, `!(has(fields.tier) && fields.tier != "x")`},
	{
		`{"all":[{"field":"status","op":"==","value":"a"},{"any":[{"field":"fields.vip","op":"isTrue"},{"all":[{"field":"email","op":"==","value":"b"},{"cel":"size(email) > 3.0"}]}]}]}`,
		`status == "a" && (fields.vip || email == "b" && size(email) > 3.0)`,
	},
	{
		`{"all":[{"field":"fields.a","op":"set"},{"field":"fields.a","op":"!=","value":"x","set":true},{"field":"fields.b","op":"!=","value":"x"}]}`,
		`has(fields.a) && has(fields.a) && fields.a != "x" && fields.b != "x"`,
	},
	{`{"any":[{"cel":"email.size() > 3"},{"cel":"fields.vip ? fields.a : fields.b"}]}`, `email.size() > 3 || (fields.vip ? fields.a : fields.b)`},
	{`{"cel":"fields.tags.exists(t, t == \"a\" || t.startsWith(\"b\"))"}`, `fields.tags.exists(t, t == "a" || t.startsWith("b"))`},
	{`{"not":{"cel":"a.b.c == 1"}}`, `!(a.b.c == 1)`},
	{`{"cel":"withinLast(fields.due, duration(\"rubbish\"))"}`, `withinLast(fields.due, duration("rubbish"))`},
	{`{"cel":"fields.due < now - days(-1)"}`, `fields.due < now - days(-1)`},
	{`{"cel":"fields.tier in []"}`, `fields.tier in []`},
	{`{"cel":"fields.size == 9007199254740993"}`, `fields.size == 9007199254740993`},
	{`{"cel":"now > today"}`, `now > today`},
	{`{"field":"fields.note","op":"==","value":"\"日本\\\n\u0085"}`, `fields.note == "\"日本\\\n\u0085"`},
}

func TestRulesAreFilters(t *testing.T) {
	t.Parallel()
	for _, c := range rules {
		r, err := filter.ParseRule([]byte(c.json))
		require.NoError(t, err, c.json)
		expr, err := filter.FromRule(r)
		require.NoError(t, err, c.json)
		require.Equal(t, c.cel, expr)
		back, err := filter.ToRule(expr)
		require.NoError(t, err, expr)
		require.Equal(t, r, back, expr)
		text, err := json.Marshal(back)
		require.NoError(t, err)
		require.JSONEq(t, c.json, string(text))
	}
}

// What people write in other ways has the rule of the usual one.
func TestRulesHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`"gold" == fields . tier // the tier`:              `fields.tier == "gold"`,
		`50 < fields.size && 0x10>=fields.size`:            `fields.size > 50 && fields.size <= 16`,
		`a == 1 && (b == 2 && (c == 3 && true))`:           `a == 1 && b == 2 && c == 3 && true`,
		`((a == 1)) || (b == 2 || c == 3)`:                 `a == 1 || b == 2 || c == 3`,
		`null != fields.a || fields.a == null`:             `has(fields.a) || !has(fields.a)`,
		`!(has(fields.a))`:                                 `!has(fields.a)`,
		`!!fields.vip`:                                     `fields.vip`,
		`.fields.a == 'x'`:                                 `fields.a == "x"`,
		`fields.a == 5.0 || fields.a == 5u`:                `fields.a == 5 || fields.a == 5`,
		`fields.a == -0.0`:                                 `fields.a == 0`,
		`2 <= events('x').count(duration("1h"))`:           `events("x").count(duration("1h")) >= 2`,
		`a == ((1))`:                                       `a == 1`,
		`(a + b) * c == 1.5 - (x - y) - z % 2`:             `(a + b) * c == 1.5 - (x - y) - z % 2`,
		`-(-a) < -(1) && -(a + b) < --c`:                   `-(-a) < -(1) && -(a + b) < c`,
		`(a ? b : c) ? (d ? e : f) : (g ? h : (i ? j:k))`:  `(a ? b : c) ? (d ? e : f) : g ? h : i ? j : k`,
		`(a == b) == (c || d) && (a < b) in [true]`:        `a == b == (c || d) && a < b in [true]`,
		`a == (b == c)`:                                    `a == (b == c)`,
		`(a + "x").startsWith("y") && (-a).foo(-1, [1,2])`: `(a + "x").startsWith("y") && (-a).foo(-1, [1, 2])`,
		`[a, b][0] == (x.y)[1u]`:                           `[a, b][0] == x.y[1u]`,
		`(-1).foo() == 1.0e2`:                              `(-1).foo() == 100.0`,
		`fields.includes("x")`:                             `fields.includes("x")`,
	} {
		r, err := filter.ToRule(expr)
		require.NoError(t, err, expr)
		got, err := filter.FromRule(r)
		require.NoError(t, err, expr)
		require.Equal(t, want, got)
	}
}

func TestToRuleRefusesWhatIsNoFilter(t *testing.T) {
	t.Parallel()
	for expr, part := range map[string]string{
		`a ==`:               "1:5: Syntax error",
		`a == 1 && {"a": 1}`: "maps and messages",
		`a == b.c{d: 1}`:     "maps and messages",
		`!(a == b"x")`:       "1:8: bytes",
		``:                   "Syntax error",
	} {
		_, err := filter.ToRule(expr)
		requireProblem(t, err, part)
	}
	deep := strings.Repeat("!(", 35) + "a" + strings.Repeat(")", 35)
	r, err := filter.ToRule(deep)
	require.NoError(t, err)
	expr, err := filter.FromRule(r)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("!(", 34)+"!a"+strings.Repeat(")", 34), expr)
}

func TestBadRulesSayWhere(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`{`, ": must be an object"},
		{`[]`, ": must be an object"},
		{`null`, ": must be an object"},
		{`{"any":[{"all":[]},{"feild":"email"}]}`, "any[1].feild: is no member of a rule"},
		{`{"all":{}}`, "all: must be a list of rules"},
		{`{"all":null}`, "all: must not be null: leave it out"},
		{`{"all":[1]}`, "all[0]: must be an object"},
		{`{"not":[]}`, "not: must be an object"},
		{`{"field":1,"op":"","set":1}`, "field: must be a text that is not empty; op: must be a text that is not empty; set: must be true or false"},
		{`{}`, ": must have one of all, any, not, field, event and cel"},
		{`{"all":[],"any":[]}`, ": must have one of all, any, not, field, event and cel"},
		{`{"all":[{"field":"email","op":"hasAny","value":"a"}]}`, "all[0].value: must be a list of text, with 1 to 1000 items"},
		{`{"all":[{"field":"email","op":"hasAny","value":["a",1]}]}`, "all[0].value[1]: must be a text"},
		{`{"field":"email","op":"in","value":[]}`, "value: must be a list of values, with 1 to 1000 items"},
		{`{"field":"email","op":"in","value":["a",{"x":"y"}]}`, "value[1]: must be a text, a number, true or false, or an object with date, timestamp, now, today or field"},
		{`{"not":{"field":"email","op":"in","value":[["a"]]}}`, "not.value[0]: must be a text, a number, true or false, or an object with date, timestamp, now, today or field"},
		{`{"field":"email","op":"<","value":true}`, "value: must be a text, a number, or an object with date, timestamp, now, today or field"},
		{`{"field":"email","op":"between","value":[1]}`, "value: must be a list of two: from and to"},
		{`{"field":"email","op":"between","value":[1,true]}`, "value[1]: must be a text, a number, or an object with date, timestamp, now, today or field"},
		{`{"field":"email","op":"=="}`, "value: must be a text, a number, true or false, or an object with date, timestamp, now, today or field"},
		{`{"field":"email","op":"contains","value":1}`, "value: must be a text"},
		{`{"field":"email","op":"withinLast","value":7}`, `value: must be a duration, such as "7d" or "1h30m"`},
		{`{"field":"email","op":"withinLast","value":"-7d"}`, `value: must be a duration, such as "7d" or "1h30m"`},
		{`{"field":"email","op":"withinLast","value":"a week"}`, `value: must be a duration, such as "7d" or "1h30m"`},
		{`{"field":"email","op":"==","value":{"now":"7d"}}`, `value.now: must be "0d", or a duration with a sign such as "-30d" or "+1h"`},
		{`{"field":"email","op":"==","value":{"now":"--7d"}}`, `value.now: must be a duration, such as "7d" or "1h30m"`},
		{`{"field":"email","op":"==","value":{"field":"a.b.c"}}`, `value.field: must be a column or a field, such as "email" or "fields.tier"`},
		{`{"field":"e mail","op":"set"}`, `field: must be a column or a field, such as "email" or "fields.tier"`},
		{`{"field":"true","op":"isTrue"}`, `field: must be a column or a field, such as "email" or "fields.tier"`},
		{`{"field":"fields.in","op":"set"}`, `field: must be a column or a field, such as "email" or "fields.tier"`},
		{`{"field":"email","op":"set","value":1}`, "value: is not for set"},
		{`{"field":"email","op":"==","value":1,"set":true}`, "set: is for != and notIn"},
		{`{"field":"email","op":"==","value":1,"within":"7d"}`, "within: is not for a rule with field"},
		{`{"all":[],"op":"=="}`, "op: is not for a rule with all"},
		{`{"cel":"true","value":1}`, "value: is not for a rule with cel"},
		{`{"event":"x","within":"7d","op":"==","value":1,"set":true}`, "set: is not for a rule with event"},
		{`{"event":"x","op":"in","value":"1"}`, `within: must be a duration, such as "7d" or "1h30m"; op: must be one of ==, !=, <, <=, >, >=; value: must be a number`},
		{`{"all":[{"cel":"true"},{"cel":"a == "}]}`, "all[1].cel: 1:6: Syntax error"},
		{`{"cel":"{}"}`, "cel: 1:1: maps and messages are not supported in a filter"},
		{`{"any":[{"field":"email","op":"containz","value":"x"}]}`, "any[0].op: must be one of !=, <,"},
	} {
		r, err := filter.ParseRule([]byte(c[0]))
		if err == nil {
			_, err = filter.FromRule(r)
		}
		var wrong *filter.RuleError
		require.ErrorAs(t, err, &wrong, c[0])
		require.True(t, strings.HasPrefix(err.Error(), strings.ReplaceAll("invalid rule: "+c[1], ": : ", ": ")), "%s: %s", c[0], err)
		require.Equal(t, fault.Invalid, fault.KindOf(err))
	}
	r, err := filter.ParseRule([]byte(`{"field":"email","op":"containz","value":"x"}`))
	require.NoError(t, err)
	_, err = filter.FromRule(r)
	require.ErrorContains(t, err, `(did you mean "contains"?)`)
}

func TestValuesOfGo(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]any{
		`a in ["x", "y"]`: []string{"x", "y"}, `a in [1, 2]`: []int{1, 2}, `a in [date("2026-01-01")]`: []map[string]string{{"date": "2026-01-01"}},
	} {
		got, err := filter.FromRule(&filter.Rule{Field: "a", Op: "in", Value: value})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, value := range []any{math.Inf(1), math.NaN(), "\xff", "a\x00", func() {}, []any{math.NaN()}} {
		_, err := filter.FromRule(&filter.Rule{Field: "a", Op: "==", Value: value})
		require.ErrorContains(t, err, "value: must be")
	}
}

func TestRulesHaveLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"not":`, 40) + `{"cel":"true"}` + strings.Repeat(`}`, 40)
	_, err := filter.ParseRule([]byte(deep))
	require.ErrorContains(t, err, "at most 30 levels")
	r := &filter.Rule{CEL: "true"}
	for range 40 {
		r = &filter.Rule{Not: r}
	}
	_, err = filter.FromRule(r)
	require.ErrorContains(t, err, "at most 30 levels")

	_, err = filter.ParseRule([]byte(`{"all":[` + strings.Repeat(`{"all":[]},`, 90_000) + `{"all":[]}]}`))
	require.EqualError(t, err, "invalid rule: all[499]: the rule is too large: at most 500 rules")
	for _, many := range []filter.Rule{
		{All: make([]filter.Rule, 100_000)},
		{Field: "email", Op: "in", Value: slices.Repeat([]string{"0123456789"}, 900)},
		{Field: "email", Op: "==", Value: strings.Repeat(`x`, 100_000)},
	} {
		for i := range many.All {
			many.All[i].Any = []filter.Rule{}
		}
		_, err = filter.FromRule(&many)
		require.ErrorContains(t, err, "the rule is too large: as a filter it may have at most")
	}
	r, err = filter.ParseRule([]byte(`{"field":"email","op":"in","value":[` + strings.Repeat(`1,`, 1000) + `1]}`))
	require.NoError(t, err)
	_, err = filter.FromRule(r)
	require.ErrorContains(t, err, "with 1 to 1000 items")

	_, err = filter.ParseRule([]byte(`{"all":[` + strings.Repeat(`1,`, 100_000) + `1]}`))
	var wrong *filter.RuleError
	require.ErrorAs(t, err, &wrong)
	require.Len(t, wrong.Problems, 20)
}

// A problem of the filter is told with the part of the rule it belongs to.
func TestLocate(t *testing.T) {
	t.Parallel()
	s := whole(t)
	for _, c := range []struct{ rule, want, suggestion string }{
		{`{"all":[{"field":"email","op":"==","value":"日本"},{"field":"fields.teir","op":"==","value":"gold"}]}`, "all[1].field", "tier"},
		{`{"not":{"any":[{"field":"fields.tier","op":"==","value":"glod"}]}}`, "not.any[0].value", "gold"},
		{`{"all":[{"field":"fields.tier","op":"in","value":["gold","日本","silber"]}]}`, "all[0].value[1]", ""},
		{`{"any":[{"field":"email","op":"==","value":"日本😀"},{"field":"fields.size","op":">","value":"x"},{"field":"fields.vip","op":"isTrue"}]}`, "any[1]", ""},
		{`{"field":"emial","op":"set"}`, "field", "email"},
		{`{"field":"fields.tags","op":"hasAny","value":["vip","vipp"]}`, "value[1]", "vip"},
		{`{"field":"fields.size","op":"contains","value":"x"}`, "", ""},
		{`{"field":"fields.note","op":"matches","value":"(("}`, "value", ""},
		{`{"all":[{"cel":"true"},{"cel":"fields.tier.foo() == 1"}]}`, "all[1].cel", ""},
		{`{"field":"fields.due","op":"<","value":{"date":"2026-02-31"}}`, "value.date", ""},
		{`{"field":"fields.due","op":"<","value":{"field":"fields.duo"}}`, "value.field", "due"},
	} {
		r, err := filter.ParseRule([]byte(c.rule))
		require.NoError(t, err, c.rule)
		expr, err := filter.FromRule(r)
		require.NoError(t, err, c.rule)
		_, err = filter.Compile(s, expr)
		require.Error(t, err, expr)
		var wrong *filter.RuleError
		require.ErrorAs(t, r.Locate(err), &wrong)
		require.Equal(t, []string{c.want, c.suggestion}, []string{wrong.Problems[0].Path, wrong.Problems[0].Suggestion}, "%s: %v", expr, err)
	}
	r := &filter.Rule{CEL: "true"}
	require.NoError(t, r.Locate(nil))
	other := errors.New("other")
	require.Equal(t, other, r.Locate(other))
	require.ErrorContains(t, (&filter.Rule{}).Locate(&filter.Error{}), "must have one of")
}

func TestEndOfPosition(t *testing.T) {
	t.Parallel()
	expr := "fields.tier == '日本' &&\n  fields.teir in [\"x\"] && 12.5e-3 >= - 5 || r'''a''' == b // 😀"
	for at, want := range map[string]string{
		"1:1": "1:7", "1:7": "1:12", "1:13": "1:15", "1:16": "1:20", "1:21": "1:23", "2:3": "2:9", "2:9": "2:14", "2:15": "2:17", "2:18": "2:19", "2:19": "2:22",
		"2:27": "2:34", "2:35": "2:37", "2:38": "2:39", "2:45": "2:53", "9:9": "9:9", "2:500": "2:500",
	} {
		var p filter.Position
		_, err := fmt.Sscanf(at, "%d:%d", &p.Line, &p.Column)
		require.NoError(t, err)
		end := p.End(expr)
		require.Equal(t, want, fmt.Sprintf("%d:%d", end.Line, end.Column), at)
	}
	for _, broken := range []string{"'", "'\\", "'''", "r'\n", "'a\nb", ".", "."} {
		require.GreaterOrEqual(t, filter.Position{Line: 1, Column: 1}.End(broken).Column, 1, "what is no token yet has an end as well")
	}
}
