package filter

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/stratakit/strata/internal/suggest"
)

// Compile parses and checks a filter against a schema. An unknown name, a wrong type and
// an unknown option are errors with their position; so is what is not supported: nothing
// is approximated. What is wrong with the filter is an *Error; another error is about the
// schema. See the package documentation for the language and its truth table.
func Compile(schema Schema, expr string) (*Filter, error) {
	env, err := environment(schema)
	if err != nil {
		return nil, err
	}
	return compile(env, schema, expr)
}

func environment(schema Schema) (*cel.Env, error) {
	if err := schema.check(); err != nil {
		return nil, err
	}
	if _, err := zoneOf(schema.location().String()); err != nil {
		return nil, fmt.Errorf("filter: Location: %w", err)
	}
	env, err := newEnv(schema)
	if err != nil {
		return nil, fmt.Errorf("filter: make the environment: %w", err)
	}
	return env, nil
}

func compile(env *cel.Env, schema Schema, expr string) (*Filter, error) {
	checked, err := check(env, schema, expr)
	if err != nil {
		return nil, err
	}
	b := &builder{ast: checked.NativeRep(), schema: schema, refs: map[string]bool{}, uses: map[Use]bool{}, joins: map[string]bool{}, patterns: map[string]bool{}}
	root, err := b.condition(b.ast.Expr())
	if err != nil {
		return nil, err
	}
	if left := maxUnfolded; !measure(root, &left) {
		return nil, problemAt(Position{1, 1}, "the filter is too large: what its ternaries and comparisons of conditions repeat multiplies")
	}
	f := &Filter{
		source: expr, schema: schema, root: root, checked: checked, env: env,
		refs: slices.Sorted(maps.Keys(b.refs)), uses: slices.SortedFunc(maps.Keys(b.uses), Use.compare), timed: b.timed, cost: b.cost,
	}
	for _, x := range schema.Extensions {
		if b.joins[x.Name] {
			f.joins = append(f.joins, x.Join)
		}
	}
	if err := f.checkCost(schema.MaxCost); err != nil {
		return nil, err
	}
	if f.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize)); err != nil {
		return nil, problemAt(Position{1, 1}, "cannot be evaluated: %s", err)
	}
	return f, nil
}

// check parses an expression and checks its types.
func check(env *cel.Env, schema Schema, expr string) (*cel.Ast, error) {
	if err := checkText(expr); err != nil {
		return nil, err
	}
	parsed, issues := env.Parse(expr)
	if issues.Err() != nil {
		return nil, filterError(issues, schema)
	}
	if err := checkSize(parsed.NativeRep()); err != nil {
		return nil, err
	}
	if err := expand(parsed.NativeRep(), schema); err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, filterError(issues, schema)
	}
	return checked, nil
}

func positionOf(a *ast.AST, e ast.Expr) Position {
	l := a.SourceInfo().GetStartLocation(e.ID())
	return Position{Line: max(l.Line(), 1), Column: max(l.Column(), 0) + 1}
}

var (
	undefinedField = regexp.MustCompile(`undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`undeclared reference to '([^']*)'`)
	noOverload     = regexp.MustCompile(`found no matching overload for '([^']*)' applied to '([^']*)'`)
	typeNames      = strings.NewReplacer("wrapper(", "(", "google.protobuf.Timestamp", "date", "timestamp", "date", "google.protobuf.Duration", "duration",
		"string", "text", "double", "number", "bool", "boolean", fieldsType, "fields")
)

// filterError turns cel-go's issues into ours: in the words of the fields, with what
// was probably meant.
func filterError(issues *cel.Issues, schema Schema) error {
	names := schema.names()
	out := &Error{}
	for _, e := range issues.Errors() {
		p := Problem{Position: Position{Line: max(e.Location.Line(), 1), Column: max(e.Location.Column(), 0) + 1}, Message: e.Message}
		if m := undefinedField.FindStringSubmatch(e.Message); m != nil {
			p.Message, p.Suggestion = fmt.Sprintf("the workspace has no field %q that can be filtered", m[1]), suggest.Closest(m[1], names)
		} else if m := undeclared.FindStringSubmatch(e.Message); m != nil {
			p.Message, p.Suggestion = unknownName(m[1], names)
			if schema.field(m[1]) != nil {
				p.Suggestion = "fields." + m[1]
			}
		} else if m := noOverload.FindStringSubmatch(e.Message); m != nil {
			p.Message = fmt.Sprintf("%s cannot be applied to %s", functionName(m[1]), typeNames.Replace(m[2]))
		}
		out.Problems = append(out.Problems, p)
	}
	if len(out.Problems) == 0 {
		return errors.New("filter: cel reported no reason")
	}
	return out
}

// unsupported are functions of CEL that filters do not have, and why.
var unsupported = map[string]string{
	"_/_": "division is not supported in a filter", "_%_": "% is not supported in a filter",
	"_[_]": "an index is not supported in a filter: a field is written fields.<key>", "filter": "filter() is not supported in a filter: use exists()",
	"map": "map() is not supported in a filter: use exists()",
}

func unknownName(name string, names []string) (message, suggestion string) {
	if reason, ok := unsupported[name]; ok {
		return reason, ""
	}
	if slices.Contains([]string{"int", "uint", "double", "string", "bool", "bytes", "type", "dyn"}, name) {
		return "types cannot be converted in a filter: " + name + "() is not supported", ""
	}
	return fmt.Sprintf("there is no column or function %q", clipText(name, 80)), suggest.Closest(name, append(functionNames(), names...))
}

// functionNames are the functions that people write.
func functionNames() []string {
	names := []string{
		"has", "size", "startsWith", "endsWith", "contains", "matches", "lowerAscii", "upperAscii", "iequals", "icontains", "istartsWith", "iendsWith",
		"exists", "all", "exists_one", "hasAny", "hasAll", "hasNone", "between", "timestamp", "date", "duration", "days", "withinLast", "withinNext", "anniversary", "events", "count",
	}
	return append(names, slices.Sorted(maps.Keys(parts))...)
}

// functionName is how people write a function or operator.
func functionName(name string) string { return strings.Trim(name, "_@") }

func clipText(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}
