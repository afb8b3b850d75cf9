package filter

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// FromRule writes a rule as a filter: on one line, in one spelling, with no more
// parentheses than it needs. What is wrong with the rule is a *[RuleError] that has all of
// it; what is wrong with the filter, such as a field that there is not, is for [Compile] to
// find, and for [Rule.Locate] to find the place of in the rule.
func FromRule(r *Rule) (string, error) {
	p, err := writeRule(r)
	return string(p.text), err
}

// Locate turns the error of a filter that FromRule has written into one of the rule: an
// *[Error] becomes a *[RuleError] with the paths of the problems. Other errors, and nil,
// come back as they are.
func (r *Rule) Locate(err error) error {
	var wrong *Error
	if !errors.As(err, &wrong) {
		return err
	}
	p, writeErr := writeRule(r)
	if writeErr != nil {
		return writeErr
	}
	out := &RuleError{}
	for _, problem := range wrong.Problems {
		out.Problems = append(out.Problems, RuleProblem{p.at(problem.Column - 1), problem.Message, problem.Suggestion})
	}
	return out
}

// piece is a part of a filter that is being written.
type piece struct {
	text  []byte
	n     int // code points of text
	prec  int
	parts []place // the part of the rule that each part of the text is from
}

// place is where a part of a rule is in a text, in code points.
type place struct {
	stretch
	path string
}

// at is the path of the smallest part at an offset.
func (p piece) at(offset int) string {
	best, size := "", math.MaxInt
	for _, q := range p.parts {
		if q.start <= offset && offset < q.end && q.end-q.start < size {
			best, size = q.path, q.end-q.start
		}
	}
	return best
}

// add adds a text of the writer's own.
func (p *piece) add(text string) {
	p.text = append(p.text, text...)
	p.n += utf8.RuneCountInString(text)
}

// write adds a text, and the part of the rule that it is from.
func (p *piece) write(text, path string) {
	start := p.n
	p.add(text)
	p.parts = append(p.parts, place{stretch{start, p.n}, path})
}

// writePiece adds a piece, in parentheses if it holds together less tightly than prec.
func (p *piece) writePiece(q piece, prec int) {
	open, end := "", ""
	if q.prec < prec {
		open, end = "(", ")"
	}
	p.add(open)
	for _, moved := range q.parts {
		moved.start += p.n
		moved.end += p.n
		p.parts = append(p.parts, moved)
	}
	p.add(string(q.text))
	p.add(end)
}

func writeRule(r *Rule) (piece, error) {
	w := &ruleWriter{}
	p := w.rule(r, "", 0)
	w.bytes = 0 // signs and parentheses count too
	w.tooLarge(len(p.text), "")
	if err := w.orNil(); err != nil {
		return piece{}, err
	}
	return p, nil
}

// ruleWriter writes rules and collects what is wrong with them.
type ruleWriter struct {
	RuleError
	bytes int // of the conditions so far
}

// tooLarge says once that a rule that has so many bytes as a filter is too large.
func (w *ruleWriter) tooLarge(bytes int, path string) bool {
	if w.bytes+bytes <= MaxFilterBytes {
		return false
	}
	if len(w.Problems) == 0 {
		w.add(path, "the rule is too large: as a filter it may have at most %d bytes", MaxFilterBytes)
	}
	return true
}

func (w *ruleWriter) rule(r *Rule, path string, depth int) piece {
	if w.tooLarge(0, path) || len(w.Problems) == maxRuleProblems {
		return piece{}
	}
	if depth > maxDepth {
		w.add(path, "the rule is too large: at most %d levels", maxDepth)
		return piece{}
	}
	kinds := r.kinds()
	if len(kinds) != 1 {
		w.add(path, "must have one of all, any, not, field, event and cel")
		return piece{}
	}
	if surplus := r.surplus(kinds[0]); surplus != "" {
		w.add(below(path, surplus), "is not for a rule with %s", kinds[0])
		return piece{}
	}
	var p piece
	switch kinds[0] {
	case "all":
		p = w.chain(r.All, below(path, "all"), chainForm{" && ", "true", precAnd}, depth)
	case "any":
		p = w.chain(r.Any, below(path, "any"), chainForm{" || ", "false", precOr}, depth)
	case "not":
		p.prec = precUnary
		p.add("!")
		p.writePiece(w.rule(r.Not, below(path, "not"), depth+1), precPrimary)
	case "field":
		p = w.condition(r, path)
	case "event":
		p = w.event(r, path)
	case "cel":
		p = w.cel(r.CEL, below(path, "cel"))
	}
	p.parts = append(p.parts, place{stretch{0, p.n}, path})
	return p
}

// kinds are what a rule says it is.
func (r *Rule) kinds() []string {
	var out []string
	for _, kind := range []struct {
		name string
		is   bool
	}{{"all", r.All != nil}, {"any", r.Any != nil}, {"not", r.Not != nil}, {"field", r.Field != ""}, {"event", r.Event != ""}, {"cel", r.CEL != ""}} {
		if kind.is {
			out = append(out, kind.name)
		}
	}
	return out
}

// surplus is a member that a rule of its kind does not have.
func (r *Rule) surplus(kind string) string {
	switch {
	case r.Within != "" && kind != "event":
		return "within"
	case r.Op != "" && kind != "event" && kind != "field":
		return "op"
	case r.Value != nil && kind != "event" && kind != "field":
		return "value"
	case r.Set && kind != "field":
		return "set"
	}
	return ""
}

// chainForm is how all, or any, is written.
type chainForm struct {
	sign, empty string
	prec        int
}

func (w *ruleWriter) chain(rules []Rule, path string, form chainForm, depth int) piece {
	if len(rules) == 0 {
		out := piece{prec: precPrimary}
		out.add(form.empty)
		w.bytes += len(out.text)
		return out
	}
	if len(rules) == 1 {
		return w.rule(&rules[0], item(path, 0), depth+1)
	}
	out := piece{prec: form.prec}
	for i := range rules {
		if i > 0 {
			out.add(form.sign)
		}
		out.writePiece(w.rule(&rules[i], item(path, i), depth+1), form.prec)
	}
	return out
}

// cel is written as the parser has understood it, so that no comment or line break of its
// own gets between it and its neighbours.
func (w *ruleWriter) cel(expr, path string) piece {
	s, err := parse(expr)
	if err == nil {
		p := &printer{parsed: s}
		text, prec := p.print(s.Expr())
		if err = p.err; err == nil {
			w.bytes += len(text)
			out := piece{prec: prec}
			out.write(text, path)
			return out
		}
	}
	var wrong *Error
	if !errors.As(err, &wrong) {
		w.add(path, "%s", err)
		return piece{}
	}
	for _, problem := range wrong.Problems {
		w.add(path, "%d:%d: %s", problem.Line, problem.Column, problem.Message)
	}
	return piece{}
}

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// notVariables are the words that CEL keeps from variables, after
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax.
var notVariables = []string{
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "package", "namespace", "null",
	"return", "true", "var", "void", "while",
}

// name writes the name of a column or field.
func (w *ruleWriter) name(p *piece, name, path string) {
	first, second, _ := strings.Cut(name, ".")
	if !nameForm.MatchString(name) || slices.Contains(notVariables, first) || slices.Contains(wordsOfCEL, second) {
		w.add(path, `must be a column or a field, such as "email" or "fields.tier"`)
	}
	p.write(name, path)
}

// duration writes a duration such as "7d" or "90m".
func (w *ruleWriter) duration(p *piece, text, path string) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && !strings.HasPrefix(days, "-") && n <= maxDaysText && daysText(n) == text {
			p.write("days("+jsonNumber(n)+")", path)
			return
		}
	} else if _, err := time.ParseDuration(text); err == nil && text[0] != '-' && text[0] != '+' && utf8.ValidString(text) {
		p.write("duration("+quote(text)+")", path)
		return
	}
	w.add(path, `must be a duration, such as "7d" or "1h30m"`)
	p.write("", path)
}

// maxDaysText is up to where numbers of days are written without an exponent.
const maxDaysText = 1e6

func daysText(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) + "d" }

// plain is a value as encoding/json reads it.
func plain(value any) any {
	switch value.(type) {
	case string, float64, bool, []any, map[string]any, nil:
		return value
	}
	data, err := json.Marshal(value)
	if err != nil {
		return value
	}
	var out any
	if json.Unmarshal(data, &out) != nil {
		return value
	}
	return out
}
