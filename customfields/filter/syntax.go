package filter

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"
)

// parsed is a filter as it was written: parsed without a schema, macros left as the calls
// they are, and a chain of && or of || as one call. It knows the place of every part.
type parsed struct {
	source string
	text   []rune // offsets of cel-go count code points
	*ast.AST
}

// parse reads an expression that is syntactically in order, whatever it mentions.
func parse(expr string) (*parsed, error) {
	if err := checkText(expr); err != nil {
		return nil, err
	}
	// A parser cannot be built wrongly from these options.
	p, err := parser.NewParser(parser.EnableVariadicOperatorASTs(true), parser.MaxRecursionDepth(8*maxDepth), parser.ExpressionSizeCodePointLimit(MaxFilterBytes))
	if err != nil {
		return nil, fmt.Errorf("filter: make a parser: %w", err)
	}
	tree, errs := p.Parse(common.NewTextSource(expr))
	if len(errs.GetErrors()) > 0 {
		out := &Error{}
		for _, e := range cel.NewIssues(errs).Errors() {
			at := Position{Line: max(e.Location.Line(), 1), Column: max(e.Location.Column(), 0) + 1}
			out.Problems = append(out.Problems, Problem{Position: at, Message: e.Message})
		}
		return nil, out
	}
	return &parsed{expr, []rune(expr), tree}, nil
}

// start is the offset of the token that cel-go names as the place of a part: the first of
// a literal, the dot of a selection, the parenthesis of a call.
func (s *parsed) start(e ast.Expr) int {
	at, _ := s.SourceInfo().GetOffsetRange(e.ID())
	return int(at.Start)
}

// selected returns where the name after the dot of a selection is.
func (s *parsed) selected(e ast.Expr) stretch {
	at := skipSpace(s.text, s.start(e)+1)
	return stretch{at, tokenEnd(s.text, at)}
}

// literal returns where a literal is.
func (s *parsed) literal(e ast.Expr) stretch {
	at := s.start(e)
	return stretch{at, tokenEnd(s.text, at)}
}

// End returns where the part of a filter that begins at a position ends: the column behind
// the last character of a literal, a name or an operator, and of the name behind a dot. For a position
// that the text does not have it is the position itself.
func (p Position) End(expr string) Position {
	text := []rune(expr)
	at, line := 0, 1
	for ; line < p.Line && at < len(text); at++ {
		if text[at] == '\n' {
			line++
		}
	}
	at += p.Column - 1
	if line != p.Line || p.Column < 1 || at >= len(text) {
		return p
	}
	end := tokenEnd(text, at)
	if text[at] == '.' {
		end = tokenEnd(text, skipSpace(text, end))
	}
	for _, r := range text[at:end] {
		if p.Column++; r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
	}
	return p
}

// stretch is a piece of a text, in code points.
type stretch struct{ start, end int }

// skipSpace returns where the white space and the comments at an offset end.
func skipSpace(text []rune, at int) int {
	for at < len(text) {
		switch {
		case strings.ContainsRune(" \t\r\n\f", text[at]):
			at++
		case text[at] == '/' && at+1 < len(text) && text[at+1] == '/':
			for at < len(text) && text[at] != '\n' {
				at++
			}
		default:
			return at
		}
	}
	return at
}

// tokenEnd returns where the token that begins at an offset ends. In a text that the
// parser has not accepted it may be no token at all.
func tokenEnd(text []rune, at int) int {
	if at >= len(text) {
		return at
	}
	end := at
	for end < len(text) && isWord(text[end]) {
		end++
	}
	switch {
	case end > at && isDigit(text[at]):
		return numberEnd(text, end)
	case end < len(text) && (text[end] == '"' || text[end] == '\''):
		if prefix := strings.ToLower(string(text[at:end])); strings.Trim(prefix, "rb") == "" { // r"…", rb"…"
			return stringEnd(text, end, strings.Contains(prefix, "r"))
		}
	case end == at:
		if slices.Contains([]string{"==", "!=", "<=", ">=", "&&", "||"}, string(text[at:min(at+2, len(text))])) {
			return at + 2
		}
		return at + 1
	}
	return end
}

// numberEnd returns where a number ends of which one part, up to an offset, has no dot and
// no sign: 12.5e-3 has three.
func numberEnd(text []rune, end int) int {
	for end < len(text) {
		exponent := strings.ContainsRune("eE", text[end-1]) && strings.ContainsRune("+-", text[end])
		if !isWord(text[end]) && text[end] != '.' && !exponent {
			break
		}
		end++
	}
	return end
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isWord(r rune) bool {
	return r == '_' || isDigit(r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// stringEnd returns where the string whose first quote is at an offset ends.
func stringEnd(text []rune, at int, raw bool) int {
	quote := string(text[at])
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(string(text[at:min(at+3, len(text))]), triple) {
		quote = triple
	}
	n := len(quote) // quotes are one byte each
	for at += n; at < len(text); at++ {
		switch {
		case text[at] == '\\' && !raw:
			at++
		case string(text[at:min(at+n, len(text))]) == quote:
			return at + n
		}
	}
	return len(text)
}

// quote writes a string literal. What strconv would write for a text that is no valid
// UTF-8 means something else in CEL, but a filter never has such a text.
func quote(s string) string { return fmt.Sprintf("%q", s) }

// textOf returns the text of a string literal.
func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// variables holds the variables of the macros around a part, each with the key of the field
// whose items it stands for, or with none.
type variables map[string]string

// walk visits every part, before those it is made of.
func walk(e ast.Expr, in variables, visit func(ast.Expr, variables)) {
	visit(e, in)
	switch e.Kind() {
	case ast.SelectKind:
		walk(e.AsSelect().Operand(), in, visit)
	case ast.CallKind:
		c := e.AsCall()
		args := c.Args()
		if c.IsMemberFunction() {
			walk(c.Target(), in, visit)
			if name, ok := macroVariable(c); ok {
				in = in.with(name, c.Target())
				args = args[1:]
			}
		}
		for _, arg := range args {
			walk(arg, in, visit)
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			walk(item, in, visit)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			walk(entry.AsMapEntry().Key(), in, visit)
			walk(entry.AsMapEntry().Value(), in, visit)
		}
	case ast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			walk(field.AsStructField().Value(), in, visit)
		}
	case ast.IdentKind, ast.LiteralKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
}

// macros are the calls whose first argument is a new name for the items of a list.
var macros = []string{"all", "exists", "exists_one", "existsOne", "filter", "map"}

func macroVariable(c ast.CallExpr) (string, bool) {
	if len(c.Args()) < 2 || c.Args()[0].Kind() != ast.IdentKind || !slices.Contains(macros, c.FunctionName()) {
		return "", false
	}
	return c.Args()[0].AsIdent(), true
}

func (in variables) with(variable string, list ast.Expr) variables {
	key, _ := in.field(list)
	out := variables{variable: key}
	for name, key := range in {
		if name != variable {
			out[name] = key
		}
	}
	return out
}

// name returns the name of a column, an extension or "fields". A leading dot is CEL's way
// past the variables of macros.
func (in variables) name(e ast.Expr) (string, bool) {
	if e.Kind() != ast.IdentKind {
		return "", false
	}
	name, global := strings.CutPrefix(e.AsIdent(), ".")
	_, bound := in[name]
	return name, global || !bound
}

// field returns the key of fields.<key>.
func (in variables) field(e ast.Expr) (string, bool) {
	if e.Kind() != ast.SelectKind {
		return "", false
	}
	name, ok := in.name(e.AsSelect().Operand())
	return e.AsSelect().FieldName(), ok && name == "fields"
}

// replacement is a new text for a piece of the old one.
type replacement struct {
	stretch
	text string
}

// rewrite returns the text with all replacements made; everything else stays as it is.
func (s *parsed) rewrite(replacements []replacement) (string, error) {
	slices.SortFunc(replacements, func(a, b replacement) int { return a.start - b.start })
	var out strings.Builder
	done := 0
	for _, r := range replacements {
		out.WriteString(string(s.text[done:r.start]))
		out.WriteString(r.text)
		done = r.end
	}
	out.WriteString(string(s.text[done:]))
	if out.Len() > MaxFilterBytes {
		return "", problemAt(Position{1, 1}, "a filter may have at most %d bytes, this one would have %d", MaxFilterBytes, out.Len())
	}
	return out.String(), nil
}
