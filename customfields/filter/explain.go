package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"
)

// Verdict is the answer of a filter, or a part of one, for a record.
type Verdict string

// The verdicts. Unknown is no match, and stays none under a negation.
const (
	True    Verdict = "true"
	False   Verdict = "false"
	Unknown Verdict = "unknown"
)

// Explanation says what a part of a filter came to for a record, and why.
type Explanation struct {
	// Text is the part, in CEL.
	Text string `json:"text"`
	// Position is where it is: for a comparison where its operator is.
	Position Position `json:"position"`
	Verdict  Verdict  `json:"verdict"`
	// Reason names the values that a comparison looked at, and what is not set.
	Reason string `json:"reason,omitempty"`
	// Terms are the parts of what &&, ||, ! and ?: combine. All have their own verdict,
	// also those that the verdict of the whole did not need.
	Terms []Explanation `json:"terms,omitempty"`
}

// Explain evaluates the filter in process like Match and says what each of its parts came
// to. Its verdict is True exactly where Match is true.
func (f *Filter) Explain(r Record, at time.Time) (Explanation, error) {
	f.explainer.once.Do(f.explainer.prepare(f))
	if f.explainer.err != nil {
		return Explanation{}, f.explainer.err
	}
	_, details, err := f.explainer.program.Eval(newActivation(f, r, at))
	if details == nil {
		return Explanation{}, fmt.Errorf("filter: explain: %w", err)
	}
	x := &explanation{filter: f, state: details.State(), record: newActivation(f, r, at), root: f.explainer.parsed}
	return x.explain(x.root.Expr()), nil
}

func (e *explainer) prepare(f *Filter) func() {
	return func() {
		e.program, e.err = f.env.Program(f.checked, cel.EvalOptions(cel.OptExhaustiveEval))
		if e.err != nil {
			return
		}
		// The expression as it was written: its parts have the ids of those that they
		// became.
		parsed, issues := f.env.Parse(f.source)
		if e.err = issues.Err(); e.err == nil {
			e.parsed = parsed.NativeRep()
		}
	}
}

type explanation struct {
	filter *Filter
	state  interpreter.EvalState
	record *activation
	root   *ast.AST
}

func (x *explanation) explain(e ast.Expr) Explanation {
	out := Explanation{Position: positionOf(x.root, e), Verdict: Unknown, Text: x.text(e)}
	if v, ok := x.state.Value(e.ID()); ok {
		switch v {
		case types.True:
			out.Verdict = True
		case types.False:
			out.Verdict = False
		}
	} else if b, ok := constant(e); ok {
		out.Verdict = b
	}
	if e.Kind() == ast.CallKind {
		switch c := e.AsCall(); c.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, arg := range flatArgs(c, c.FunctionName()) {
				out.Terms = append(out.Terms, x.explain(arg))
			}
			return out
		}
	}
	out.Reason = x.reason(e)
	return out
}

func constant(e ast.Expr) (Verdict, bool) {
	if e.Kind() == ast.LiteralKind {
		switch e.AsLiteral() {
		case types.True:
			return True, true
		case types.False:
			return False, true
		}
	}
	return Unknown, false
}

// flatArgs are the terms of a chain of && or ||, which the parser makes a tree of.
func flatArgs(c ast.CallExpr, name string) []ast.Expr {
	if name != operators.LogicalAnd && name != operators.LogicalOr {
		return c.Args()
	}
	var out []ast.Expr
	for _, arg := range c.Args() {
		if arg.Kind() == ast.CallKind && arg.AsCall().FunctionName() == name {
			out = append(out, flatArgs(arg.AsCall(), name)...)
		} else {
			out = append(out, arg)
		}
	}
	return out
}

func (x *explanation) text(e ast.Expr) string {
	s, err := parser.Unparse(e, x.root.SourceInfo())
	if err != nil { // every parsed expression can be written
		return ""
	}
	return s
}

// reason names the values of what a comparison reads.
func (x *explanation) reason(e ast.Expr) string {
	var parts []string
	seen := map[string]bool{}
	note := func(name string, value any) {
		if seen[name] {
			return
		}
		seen[name] = true
		if value == nil {
			parts = append(parts, name+" is not set")
			return
		}
		if t, ok := value.(time.Time); ok {
			parts = append(parts, name+" is "+t.UTC().Format(time.RFC3339Nano))
			return
		}
		if b, err := json.Marshal(value); err == nil {
			parts = append(parts, name+" is "+clipText(string(b), 200))
		}
	}
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			if x.filter.schema.column(e.AsIdent()) != nil {
				note(e.AsIdent(), x.record.record.Columns[e.AsIdent()])
			}
		case ast.SelectKind:
			x.noteSelection(e.AsSelect(), note)
		case ast.CallKind, ast.ComprehensionKind, ast.ListKind, ast.LiteralKind, ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
		}
	}))
	return strings.Join(parts, ", ")
}

func (x *explanation) noteSelection(s ast.SelectExpr, note func(name string, value any)) {
	if s.Operand().Kind() != ast.IdentKind {
		return
	}
	of := s.Operand().AsIdent()
	if f := x.filter.schema.field(s.FieldName()); of == "fields" && f != nil {
		note("fields."+f.Key, native(f.Type, x.record.record.Fields[slot(f)]))
		return
	}
	if x.filter.schema.extension(of) != nil {
		note(of+"."+s.FieldName(), x.record.record.Extensions[of][s.FieldName()])
	}
}
