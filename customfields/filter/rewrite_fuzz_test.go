package filter_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/debug"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
)

// tree is what cel-go makes of an expression, macros left as calls, or "" for what is
// none, after change was applied to every part.
func tree(t *testing.T, expr string, change func(ast.Expr)) string {
	t.Helper()
	p, err := parser.NewParser(parser.MaxRecursionDepth(240), parser.EnableVariadicOperatorASTs(true))
	require.NoError(t, err)
	parsed, errs := p.Parse(common.NewTextSource(expr))
	if len(errs.GetErrors()) > 0 {
		return ""
	}
	ast.PostOrderVisit(parsed.Expr(), ast.NewExprVisitor(change))
	return debug.ToDebugString(parsed.Expr())
}

func unchanged(ast.Expr) {}

// sentence writes random filters, most of which mean nothing: in all spellings of CEL.
type sentence struct{ *rand.Rand }

func (s sentence) one(of ...string) string { return of[s.IntN(len(of))] }

func (s sentence) space() string {
	return s.one("", "", "", " ", "  ", "\n", "\t", "\r\n", " // fields.a 日本 \"\n", "// 'fields.b' 😀\n")
}

func (s sentence) field() string {
	sp := s.space
	return s.one("fields", ".fields", "(fields)") + sp() + "." + sp() + s.one("a", "b", "tier", "a_b")
}

func (s sentence) literal() string {
	return s.one(`"gold"`, `'gold'`, `r"gold"`, `R'go\ld'`, `"""gold"""`, `'''go'l"d'''`, `"\x67old"`, `"日本"`, `"😀"`, `"fields.a"`, `"\"fields.a"`, `"go\\"`, "null", "true",
		"1", "-1", "1.5", ".5e3", "0x1F", "1u", `b"gold"`, "r'''go\nld'''", `""`, `''`, "\"\"\"a\"\" \\\"\"\"\"", "email")
}

func (s sentence) expr(depth int) string {
	sp := s.space
	if depth == 0 {
		return s.one(s.field(), s.field(), s.literal())
	}
	sub := func() string { return sp() + s.expr(depth-1) + sp() }
	list := func() string { return "[" + sp() + s.literal() + "," + s.literal() + sp() + "]" }
	switch s.IntN(12) {
	case 0:
		return "(" + sub() + s.one("&&", "||") + sub() + s.one("&&", "||") + sub() + ")"
	case 1:
		return "(" + sub() + s.one("==", "!=", "<", "+", "*") + sub() + ")"
	case 2:
		return "(" + s.one(s.field(), s.literal()) + " in " + s.one(s.field(), list()) + ")"
	case 3:
		return "!(" + sub() + ")"
	case 4:
		return "has(" + s.field() + sp() + ")"
	case 5:
		return s.field() + "." + sp() + s.one("startsWith", "contains", "iequals") + sp() + "(" + sub() + ")"
	case 6:
		return s.one("hasAny", "hasAll", "hasNone") + "(" + s.field() + "," + sp() + list() + ")"
	case 7:
		v := s.one("t", "a", "email")
		return s.field() + s.one(".exists(", ".all(", ".exists_one(") + v + "," + sp() + v + s.one(" == ", "!=") + s.literal() + " || " + sub() + ")"
	case 8:
		return "(" + sub() + "?" + sub() + ":" + sub() + ")"
	case 9:
		return fmt.Sprintf(`events(%s).count(days(%d)) >= %s`, s.literal(), s.IntN(9), s.field())
	case 10:
		return "{" + s.literal() + ":" + sub() + "}"
	}
	return s.field()
}

func requireRenamed(t *testing.T, expr string) {
	t.Helper()
	before := tree(t, expr, unchanged)
	renamed, err := filter.RenameField(expr, "a", "zebra_9")
	if err != nil {
		return
	}
	require.NotEmpty(t, before, "%q is no expression", expr)
	want := tree(t, expr, func(e ast.Expr) {
		if e.Kind() != ast.SelectKind || e.AsSelect().FieldName() != "a" || e.AsSelect().Operand().Kind() != ast.IdentKind {
			return
		}
		if operand := e.AsSelect().Operand(); strings.TrimPrefix(operand.AsIdent(), ".") == "fields" {
			e.SetKindCase(ast.NewExprFactory().NewSelect(e.ID(), operand, "zebra_9"))
		}
	})
	require.Equal(t, want, tree(t, renamed, unchanged), "%q became %q", expr, renamed)
	back, err := filter.RenameField(renamed, "zebra_9", "a")
	if !strings.Contains(expr, "zebra_9") {
		require.NoError(t, err)
		require.Equal(t, expr, back)
	}
}

// No literal in these sentences is a text that only ReplaceOption should not touch, apart
// from those that are not compared with the field: so the trees say enough.
func requireReplaced(t *testing.T, expr string) {
	t.Helper()
	replaced, err := filter.ReplaceOption(expr, "a", "gold", "z\"é\\")
	if err != nil {
		return
	}
	all := func(from, to string) func(ast.Expr) {
		return func(e ast.Expr) {
			if e.Kind() == ast.LiteralKind && e.AsLiteral() == types.String(from) {
				e.SetKindCase(ast.NewExprFactory().NewLiteral(e.ID(), types.String(to)))
			}
		}
	}
	require.Equal(t, tree(t, expr, all("gold", "z\"é\\")), tree(t, replaced, all("gold", "z\"é\\")), "%q became %q", expr, replaced)
	if !strings.Contains(expr, "é") {
		back, err := filter.ReplaceOption(replaced, "a", "z\"é\\", "gold")
		require.NoError(t, err)
		require.Equal(t, tree(t, expr, unchanged), tree(t, back, unchanged), "%q became %q", expr, replaced)
	}
}

// A rewritten filter has the tree of the old one, but for what was asked for.
func TestRewritesHaveTheExpectedTree(t *testing.T) {
	t.Parallel()
	s := sentence{rand.New(rand.NewPCG(4, 2))}
	touched := 0
	for range 500 {
		expr := s.space() + s.expr(s.IntN(4)) + s.space()
		require.NotEmpty(t, tree(t, expr, unchanged), expr)
		requireRenamed(t, expr)
		requireReplaced(t, expr)
		if replaced, err := filter.ReplaceOption(expr, "a", "gold", "x"); err == nil && replaced != expr {
			touched++
		}
	}
	require.Greater(t, touched, 5, "the sentences must compare fields.a with the option")
}

func FuzzRename(f *testing.F) {
	s := sentence{rand.New(rand.NewPCG(1, 1))}
	for range 50 {
		f.Add(s.expr(2))
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if strings.Contains(strings.ReplaceAll(expr, " ", ""), "(fields,") { // a variable called fields
			t.Skip()
		}
		requireRenamed(t, expr)
		requireReplaced(t, expr)
	})
}
