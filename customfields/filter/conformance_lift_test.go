package filter_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// lifted is a row that has the literals of an expression.
type lifted struct {
	columns, fields map[string]any
	definitions     []customfields.Field
	described       []filter.Column
}

func (l lifted) schema(t *testing.T) filter.Schema {
	t.Helper()
	set, err := customfields.NewSet(1, l.definitions)
	require.NoError(t, err)
	return filter.Schema{Fields: set, Columns: l.described}
}

// from is the row as r of a statement, and the arguments it has.
func (l lifted) from() (string, []any) {
	stored, err := json.Marshal(l.fields)
	if l.fields == nil || err != nil {
		stored = []byte("{}")
	}
	sql, args := "(SELECT $1::jsonb AS custom_fields", []any{string(stored)}
	for _, c := range l.described {
		args = append(args, l.columns[c.Name])
		sql += fmt.Sprintf(", $%d::%s AS %s", len(args), map[customfields.Type]string{
			customfields.Text: "text", customfields.Number: "float8", customfields.Boolean: "boolean", customfields.Date: "timestamptz",
		}[c.Type], c.Name)
	}
	return sql + ") r", args
}

// lifter replaces the literals of an expression by columns and fields.
type lifter struct {
	lifted

	factory ast.ExprFactory
	form    string // fields: all into fields. columns: every other into a column. lists: as fields, lists of text as a whole
	n       int
}

// lift returns condition with its literals in a row; ok is false when it has none of those
// that form is about.
func lift(t *testing.T, condition, form string) (row lifted, source string, ok bool) {
	t.Helper()
	env, err := cel.NewEnv(cel.ClearMacros()) // a macro that is left as a call can be written out again
	require.NoError(t, err)
	parsed, issues := env.Parse(condition)
	if issues.Err() != nil {
		return lifted{}, "", false
	}
	l := &lifter{lifted: lifted{columns: map[string]any{}, fields: map[string]any{}}, factory: ast.NewExprFactory(), form: form}
	l.walk(parsed.NativeRep().Expr())
	if l.n == 0 || form == "columns" && l.n < 2 {
		return lifted{}, "", false
	}
	source, err = cel.AstToString(parsed)
	require.NoError(t, err, condition)
	lists := false
	for _, v := range l.fields {
		_, isList := v.([]string)
		lists = lists || isList
	}
	return l.lifted, source, lists == (form == "lists")
}

func (l *lifter) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.LiteralKind:
		switch v := e.AsLiteral().(type) {
		case types.String:
			if !strings.Contains(string(v), "\x00") { // which PostgreSQL cannot store
				l.replace(e, customfields.Text, string(v))
			}
		case types.Bool:
			l.replace(e, customfields.Boolean, bool(v))
		case types.Int:
			l.replace(e, customfields.Number, float64(v))
		case types.Uint:
			l.replace(e, customfields.Number, float64(v))
		case types.Double:
			l.replace(e, customfields.Number, float64(v))
		}
	case ast.CallKind:
		l.call(e, e.AsCall())
	case ast.ListKind:
		if texts, all := textsOf(e.AsList()); all && l.form == "lists" {
			l.replace(e, customfields.MultiSelect, texts)
			return
		}
		for _, item := range e.AsList().Elements() {
			l.walk(item)
		}
	case ast.ComprehensionKind, ast.IdentKind, ast.MapKind, ast.SelectKind, ast.StructKind, ast.UnspecifiedExprKind:
	}
}

func (l *lifter) call(e ast.Expr, c ast.CallExpr) {
	name := c.FunctionName()
	if name == "timestamp" && len(c.Args()) == 1 && c.Args()[0].Kind() == ast.LiteralKind {
		s, _ := c.Args()[0].AsLiteral().(types.String)
		if at, err := time.Parse(time.RFC3339Nano, string(s)); err == nil && at.UTC().Year() > 0 && at.UTC().Year() < 10000 && at.Nanosecond()%1000 == 0 {
			l.replace(e, customfields.Date, at.UTC())
		}
		return
	}
	if c.IsMemberFunction() {
		l.walk(c.Target())
	}
	// What has to be a literal: a pattern, a zone, a duration, an index.
	if name == "duration" || name == "timestamp" || name == "_[_]" || name == "matches" || strings.HasPrefix(name, "get") {
		if name == "matches" && !c.IsMemberFunction() {
			l.walk(c.Args()[0])
		}
		return
	}
	for _, arg := range c.Args() {
		l.walk(arg)
	}
}

func (l *lifter) replace(e ast.Expr, t customfields.Type, value any) {
	l.n++
	name := "x" + strconv.Itoa(l.n)
	if l.form == "columns" && l.n%2 == 0 {
		l.described = append(l.described, filter.Column{Name: name, Type: t, SQL: "r." + name, Nullable: l.n%4 == 0})
		l.columns[name] = value
		e.SetKindCase(l.factory.NewIdent(e.ID(), name))
		return
	}
	f := customfields.Field{Key: name, Type: t, Filterable: true}
	if texts, isList := value.([]string); isList {
		f.Options = append([]string{"none of them"}, unique(texts)...)
	}
	if at, isTime := value.(time.Time); isTime {
		value = at.Format(customfields.DateLayout)
	}
	l.definitions = append(l.definitions, f)
	l.fields[name] = value
	e.SetKindCase(l.factory.NewSelect(e.ID(), l.factory.NewIdent(e.ID(), "fields"), name))
}

// textsOf returns the items of a list of text literals.
func textsOf(list ast.ListExpr) (texts []string, all bool) {
	texts = []string{}
	for _, item := range list.Elements() {
		if item.Kind() != ast.LiteralKind {
			return nil, false
		}
		s, isText := item.AsLiteral().(types.String)
		if !isText {
			return nil, false
		}
		texts = append(texts, string(s))
	}
	return texts, true
}

// unique returns the texts that an option can be, each once.
func unique(texts []string) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, s := range texts {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
