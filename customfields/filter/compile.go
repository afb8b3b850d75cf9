package filter

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/stratakit/strata/internal/suggest"
)

// Compile parses and checks a filter against a schema. An unknown name, a wrong type and an unknown option are errors with their
// position; so is what is not supported: nothing is approximated. All errors are
// *Error. See the package documentation for the language and its truth table.
func Compile(schema Schema, expr string) (*Filter, error) {
	if len(expr) > MaxFilterBytes {
		return nil, problemAt(Position{1, 1}, "a filter may have at most %d bytes, this one has %d", MaxFilterBytes, len(expr))
	}
	if !storable(expr) {
		return nil, problemAt(Position{1, 1}, "a filter must be valid UTF-8 without NUL")
	}
	names := schema.names()
	env, err := newEnv(schema)
	if err != nil {
		return nil, fmt.Errorf("customfields: make the filter environment: %w", err)
	}
	parsed, issues := env.Parse(expr)
	if issues.Err() != nil {
		return nil, filterError(issues, names)
	}
	if err := checkSize(parsed.NativeRep()); err != nil {
		return nil, err
	}
	intsToDoubles(parsed.NativeRep().Expr())
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, filterError(issues, names)
	}
	b := &builder{ast: checked.NativeRep(), set: schema.Fields, columns: schema.Columns, refs: map[string]bool{}}
	root, err := b.condition(b.ast.Expr())
	if err != nil {
		return nil, err
	}
	program, err := env.Program(checked)
	if err != nil {
		return nil, problemAt(Position{1, 1}, "cannot be evaluated: %s", err)
	}
	return &Filter{source: expr, root: root, program: program, refs: slices.Sorted(maps.Keys(b.refs))}, nil
}

// names are what a filter may mention, for suggestions.
func (s Schema) names() []string {
	names := slices.DeleteFunc(s.Fields.Keys(), func(key string) bool { return !s.Fields.Field(key).Filterable })
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	return names
}

// checkSize bounds what the type check and the renderer have to work through.
func checkSize(a *ast.AST) error {
	nodes := 0
	var walk func(e ast.Expr, depth int) error
	walk = func(e ast.Expr, depth int) error {
		nodes++
		if nodes > maxNodes+maxListItems || depth > maxDepth {
			return problemAt(positionOf(a, e), "the filter is too large: at most %d parts and %d levels", maxNodes, maxDepth)
		}
		switch e.Kind() {
		case ast.ListKind:
			if n := e.AsList().Size(); n > maxListItems {
				return problemAt(positionOf(a, e), "a list may have at most %d items, this one has %d", maxListItems, n)
			}
			// The items of one list of literals cost little: they are counted as one.
			before := nodes
			for _, item := range e.AsList().Elements() {
				if err := walk(item, depth+1); err != nil {
					return err
				}
				if item.Kind() == ast.LiteralKind {
					nodes = before
				}
			}
		case ast.CallKind:
			c := e.AsCall()
			// A chain of && or || is as deep as it is long to the parser, and flat to us.
			next := depth + 1
			if c.FunctionName() == "_&&_" || c.FunctionName() == "_||_" {
				next = depth
			}
			if c.IsMemberFunction() {
				if err := walk(c.Target(), next); err != nil {
					return err
				}
			}
			for _, arg := range c.Args() {
				if err := walk(arg, next); err != nil {
					return err
				}
			}
		case ast.SelectKind:
			return walk(e.AsSelect().Operand(), depth+1)
		case ast.ComprehensionKind, ast.MapKind, ast.StructKind:
			return problemAt(positionOf(a, e), "macros, maps and messages are not supported in a filter")
		case ast.IdentKind, ast.LiteralKind, ast.UnspecifiedExprKind:
		}
		if nodes > maxNodes {
			return problemAt(positionOf(a, e), "the filter is too large: at most %d parts", maxNodes)
		}
		return nil
	}
	return walk(a.Expr(), 0)
}

// intsToDoubles makes fields.size > 50 mean what it says: every number of ours is a
// double, and CEL compares an int literal with a double only where it orders them.
func intsToDoubles(e ast.Expr) {
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.LiteralKind {
			return
		}
		switch n := e.AsLiteral().(type) {
		case types.Int:
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
		case types.Uint:
			e.SetKindCase(factory.NewLiteral(e.ID(), types.Double(n)))
		}
	}))
}

func positionOf(a *ast.AST, e ast.Expr) Position {
	l := a.SourceInfo().GetStartLocation(e.ID())
	return Position{Line: max(l.Line(), 1), Column: max(l.Column(), 0) + 1}
}

var (
	undefinedField = regexp.MustCompile(`undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`undeclared reference to '([^']*)'`)
	noOverload     = regexp.MustCompile(`found no matching overload for '([^']*)' applied to '([^']*)'`)
	typeNames      = strings.NewReplacer("wrapper(", "(", "google.protobuf.Timestamp", "date", "timestamp", "date", "string", "text", "double", "number",
		"bool", "boolean", fieldsType, "fields")
)

// filterError turns cel-go's issues into ours: in the words of the fields, with what
// was probably meant.
func filterError(issues *cel.Issues, names []string) error {
	out := &Error{}
	for _, e := range issues.Errors() {
		p := Problem{Position: Position{Line: max(e.Location.Line(), 1), Column: max(e.Location.Column(), 0) + 1}, Message: e.Message}
		if m := undefinedField.FindStringSubmatch(e.Message); m != nil {
			p.Message, p.Suggestion = fmt.Sprintf("the workspace has no field %q that can be filtered", m[1]), suggest.Closest(m[1], names)
		} else if m := undeclared.FindStringSubmatch(e.Message); m != nil {
			p.Message, p.Suggestion = fmt.Sprintf("there is no column or function %q", m[1]), suggest.Closest(m[1], names)
			if slices.Contains(names, m[1]) {
				p.Suggestion = "fields." + m[1]
			}
		} else if m := noOverload.FindStringSubmatch(e.Message); m != nil {
			p.Message = fmt.Sprintf("%s cannot be applied to %s", strings.Trim(m[1], "_"), typeNames.Replace(m[2]))
		}
		out.Problems = append(out.Problems, p)
	}
	if len(out.Problems) == 0 {
		return errors.New("customfields: cel reported no reason")
	}
	return out
}

func clipText(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}

// storable reports whether PostgreSQL can keep s: valid UTF-8 without NUL.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// quoteSome lists a few of the options.
func quoteSome(options []string) string {
	const most = 10
	parts := make([]string, 0, most+1)
	for i, o := range options {
		if i == most {
			parts = append(parts, fmt.Sprintf("… (%d in all)", len(options)))
			break
		}
		parts = append(parts, strconv.Quote(o))
	}
	return strings.Join(parts, ", ")
}
