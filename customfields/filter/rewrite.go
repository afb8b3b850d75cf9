package filter

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// nameable is what CEL reads as a name after a dot, words of its own aside.
var nameable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// wordsOfCEL are the words that CEL's lexer knows, so that they cannot follow a dot.
var wordsOfCEL = []string{"true", "false", "null", "in"}

// RenameField returns the filter with fields.<to> wherever it had fields.<from>. Nothing
// else of the text changes: comments, spacing and the words inside literals stay as their
// author wrote them. No schema is needed, so a filter whose workspace has moved on can be
// rewritten too; that no field <to> is there already is the caller's to know.
//
// What is no filter is an *Error with its positions, and so is a filter that would get
// longer than [MaxFilterBytes].
func RenameField(expr, from, to string) (string, error) {
	if !nameable.MatchString(to) || slices.Contains(wordsOfCEL, to) {
		return "", fmt.Errorf("filter: rename a field to %q: a filter cannot name that", to)
	}
	s, err := parse(expr)
	if err != nil {
		return "", err
	}
	var found []replacement
	walk(s.Expr(), nil, func(e ast.Expr, in variables) {
		if key, ok := in.field(e); ok && key == from {
			found = append(found, replacement{s.selected(e), to})
		}
	})
	return s.rewrite(found)
}

// ReplaceOption returns the filter with the option to wherever it compared fields.<key>
// with the option from: with ==, !=, in, iequals, hasAny, hasAll, hasNone, and with == and
// the others on the items of fields.<key> inside exists, all and exists_one. What looks
// into the text of an option (startsWith, contains, size, <) stays as it is, and so does
// everything RenameField leaves alone. An empty to is an error: what a removed option means
// to a filter is not for a rewrite to guess.
func ReplaceOption(expr, key, from, to string) (string, error) {
	if to == "" {
		return "", errors.New("filter: an option cannot be replaced by none")
	}
	if !storable(to) {
		return "", errors.New("filter: an option must be valid UTF-8 without NUL")
	}
	s, err := parse(expr)
	if err != nil {
		return "", err
	}
	var found []replacement
	walk(s.Expr(), nil, func(e ast.Expr, in variables) {
		if e.Kind() != ast.CallKind || !comparesOptions(e.AsCall().FunctionName()) {
			return
		}
		c := e.AsCall()
		operands := slices.Clone(c.Args())
		if c.IsMemberFunction() {
			operands = append(operands, c.Target())
		}
		if !slices.ContainsFunc(operands, func(o ast.Expr) bool { return in.isField(o, key) }) {
			return
		}
		same := func(s string) bool { return s == from }
		if c.FunctionName() == "iequals" {
			same = func(s string) bool { return strings.EqualFold(s, from) }
		}
		for _, o := range operands {
			eachText(o, func(literal ast.Expr, text string) {
				if same(text) {
					found = append(found, replacement{s.literal(literal), quote(to)})
				}
			})
		}
	})
	return s.rewrite(found)
}

// comparesOptions says that a call compares whole texts.
func comparesOptions(function string) bool {
	return slices.Contains([]string{operators.Equals, operators.NotEquals, operators.In, operators.OldIn, "iequals", "hasAny", "hasAll", "hasNone"}, function)
}

// isField says that a part is fields.<key>, or the variable of a macro over it.
func (in variables) isField(e ast.Expr, key string) bool {
	if k, ok := in.field(e); ok {
		return k == key
	}
	if e.Kind() != ast.IdentKind {
		return false
	}
	return key != "" && in[e.AsIdent()] == key
}

// eachText calls found with every text literal a part can have the value of: itself, the
// items of a list, the branches of a choice.
func eachText(e ast.Expr, found func(literal ast.Expr, text string)) {
	if text, ok := textOf(e); ok {
		found(e, text)
		return
	}
	switch e.Kind() {
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			eachText(item, found)
		}
	case ast.CallKind:
		if c := e.AsCall(); c.FunctionName() == operators.Conditional {
			eachText(c.Args()[1], found)
			eachText(c.Args()[2], found)
		}
	case ast.IdentKind, ast.SelectKind, ast.LiteralKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
	}
}

// Mentions returns the names a filter mentions, as [Filter.References] has them: columns
// ("email"), fields ("fields.tier"), columns of extensions ("sms.phone") and kinds of
// events ("events.email.opened"), sorted. No schema is needed, so it also answers for a
// filter that no longer compiles. What is no filter is an *Error with its positions.
func Mentions(expr string) ([]string, error) {
	s, err := parse(expr)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	halves := map[int64]bool{} // identifiers that are the first half of a name
	walk(s.Expr(), nil, func(e ast.Expr, in variables) {
		switch e.Kind() {
		case ast.IdentKind:
			if name, ok := in.name(e); ok && !halves[e.ID()] && name != "now" && name != "today" {
				names[name] = true
			}
		case ast.SelectKind:
			if name, ok := in.name(e.AsSelect().Operand()); ok {
				halves[e.AsSelect().Operand().ID()] = true
				names[name+"."+e.AsSelect().FieldName()] = true
			}
		case ast.CallKind:
			if c := e.AsCall(); c.FunctionName() == "events" && len(c.Args()) == 1 {
				if kind, ok := textOf(c.Args()[0]); ok {
					names["events."+kind] = true
				}
			}
		case ast.LiteralKind, ast.ListKind, ast.MapKind, ast.StructKind, ast.ComprehensionKind, ast.UnspecifiedExprKind:
		}
	})
	return slices.Sorted(maps.Keys(names)), nil
}
