package filter_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// canaries are what no template of SQL has: parts of text, of numbers, of days, of dates, of
// the names of zones and of their offsets.
var canaries = []string{"canary", "Canary", "731001", "3137", "2031", "Ushuaia", "13:37", "41017"}

// cage replaces every literal of an expression by a canary.
type cage struct {
	factory ast.ExprFactory
	n       int
}

func (c *cage) text() string {
	c.n++
	return fmt.Sprintf("canary%d", c.n%200) + []string{`' OR 1=1 --`, `$1`, `?`, "\n--", `\'`, `%_`, `*/`, `"`, `::jsonb`, ``}[c.n%10]
}

func (c *cage) put(e ast.Expr, literal string) {
	e.SetKindCase(c.factory.NewLiteral(e.ID(), types.String(literal)))
}

func (c *cage) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		switch e.AsLiteral().(type) {
		case types.String:
			c.put(e, c.text())
		case types.Int, types.Double:
			c.n++
			e.SetKindCase(c.factory.NewLiteral(e.ID(), types.Double(float64(731001_000+c.n)+0.5)))
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			c.walk(call.Target())
		}
		name := call.FunctionName()
		for _, arg := range call.Args() {
			switch {
			case arg.Kind() != ast.LiteralKind:
				c.walk(arg)
			case name == "timestamp":
				c.put(arg, instant.AddDate(7, 0, c.n%365).Add(time.Duration(c.n)*time.Microsecond).Format(time.RFC3339Nano))
			case name == "date":
				c.put(arg, instant.AddDate(7, 0, c.n%365).Format(time.DateOnly))
			case name == "duration":
				c.put(arg, "41017s")
			case name == "days":
				arg.SetKindCase(c.factory.NewLiteral(arg.ID(), types.Int(3137)))
			case strings.HasPrefix(name, "get"):
				c.put(arg, []string{"America/Argentina/Ushuaia", "+13:37", "-13:37"}[c.n%3])
			case name == "matches":
				c.put(arg, fmt.Sprintf("canary%d.*(canary|Canary)", c.n))
			default:
				c.walk(arg)
			}
			c.n++
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			c.walk(item)
		}
	case ast.ComprehensionKind, ast.IdentKind, ast.MapKind, ast.SelectKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
}

// canarySchema is the one of the differential test, with canaries for options.
func canarySchema(t *testing.T) filter.Schema {
	t.Helper()
	s := proofSchema(t)
	options := make([]string, 0, 200)
	c := &cage{}
	for range cap(options) {
		options = append(options, strings.TrimSpace(c.text()))
	}
	fields := append([]customfields.Field{}, s.Fields.Fields...)
	for i := range fields {
		if len(fields[i].Options) > 0 {
			fields[i].Options, fields[i].ArchivedOptions = options, nil
		}
	}
	var err error
	s.Fields, err = customfields.NewSet(1, fields)
	require.NoError(t, err)
	s.Columns = append([]filter.Column{}, s.Columns...)
	for i := range s.Columns {
		s.Columns[i].Options = nil
	}
	return s
}

// No byte of a literal reaches the SQL text, wherever in the language it stands: text,
// patterns, numbers, dates, durations, zones, items of lists and kinds of events.
func TestNoLiteralOfARandomFilterReachesTheSQL(t *testing.T) {
	t.Parallel()
	s := canarySchema(t)
	env, err := cel.NewEnv(cel.ClearMacros())
	require.NoError(t, err)
	g := &generator{Rand: rand.New(rand.NewPCG(3, 5))}
	const filters = 3000
	bound := 0
	for range filters {
		parsed, issues := env.Parse(g.condition(4).String())
		require.NoError(t, issues.Err())
		(&cage{factory: ast.NewExprFactory()}).walk(parsed.NativeRep().Expr())
		expr, err := cel.AstToString(parsed)
		require.NoError(t, err)
		f, err := filter.Compile(s, expr)
		if err != nil && refusable.MatchString(err.Error()) {
			continue
		}
		require.NoError(t, err, expr)
		for _, want := range []bool{true, false} {
			sql, args := f.Where(filter.Options{At: instant}, want)
			for _, canary := range canaries {
				require.NotContains(t, sql, canary, expr)
				if strings.Contains(fmt.Sprint(args...), canary) {
					bound++
				}
			}
			require.NotContains(t, sql, "--")
			require.NotContains(t, sql, "/*")
			require.NotContains(t, sql, "?", "which bun takes for a placeholder")
		}
	}
	require.Greater(t, bound, filters, "literals are parameters")
}

// A key reaches the SQL as a literal, so its form must leave nothing to escape.
func TestKeysThatNeedEscapingCannotBeDefined(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", "a-b", "a b", "é", "A", "1a", "_a", "a'b", `a"b`, `a\`, "a`", "a;", "a--", "a/*", "a$1", "a?", "a.b", "a\n", "a\x00", "ª", "a٣", "ｓ",
		strings.Repeat("a", 64), strings.Repeat("a", 200), "true", "false", "null", "in",
	} {
		_, err := customfields.NewSet(1, []customfields.Field{{Key: key, Type: customfields.Text, Filterable: true}})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, "%q", key)
		require.Equal(t, "key", v.Fields[0].Field, "%q", key)
	}
}

// Words of SQL, of CEL and of the templates are keys like any other, at every length.
func TestKeysThatAreWordsOfSQLAreFiltered(t *testing.T) {
	t.Parallel()
	pool := loadRows(t, nil)
	for _, key := range []string{"order", "user", "when", "select", "r", "end", "current_user", "fields", "now", "x", "id", strings.Repeat("k", 63)} {
		set, err := customfields.NewSet(1, []customfields.Field{{Key: key, Type: customfields.Text, Filterable: true}})
		require.NoError(t, err, key)
		for _, form := range []string{`fields.%s == "a"`, `!has(fields.%s)`, `fields.%s < "a"`, `fields.%s.contains("a")`, `fields.%s in ["a", "b"]`} {
			f, err := filter.Compile(filter.Schema{Fields: set}, fmt.Sprintf(form, key))
			require.NoError(t, err, form, key)
			where, args := f.Where(filter.Options{}, true)
			_, err = pool.Exec(t.Context(), `SELECT FROM rows r WHERE `+where, args...)
			require.NoError(t, err, where)
		}
	}
}
