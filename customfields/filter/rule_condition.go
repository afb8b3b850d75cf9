package filter

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/suggest"
)

// takes says what value an operator has.
type takes int

const (
	takesNothing takes = iota
	takesAny
	takesOrdered
	takesText
	takesDuration
	takesRange
	takesList
	takesTexts
)

// opForm is how a condition with an operator is written, around its field and its value.
type opForm struct {
	takes              takes
	before, mid, after string
	prec               int
}

// opForms are the operators of conditions on a field.
var opForms = map[string]opForm{
	"set": {takes: takesNothing}, "unset": {takes: takesNothing}, // written by isSet
	"==": {takesAny, "", " == ", "", precRelation}, "!=": {takesAny, "", " != ", "", precRelation},
	"<": {takesOrdered, "", " < ", "", precRelation}, "<=": {takesOrdered, "", " <= ", "", precRelation},
	">": {takesOrdered, "", " > ", "", precRelation}, ">=": {takesOrdered, "", " >= ", "", precRelation},
	"between": {takesRange, "between(", ", ", ")", precPrimary},
	"in":      {takesList, "", " in ", "", precRelation}, "notIn": {takesList, "!(", " in ", ")", precUnary},
	"contains": {takesText, "", ".contains(", ")", precPrimary}, "startsWith": {takesText, "", ".startsWith(", ")", precPrimary},
	"endsWith": {takesText, "", ".endsWith(", ")", precPrimary}, "matches": {takesText, "", ".matches(", ")", precPrimary},
	"icontains": {takesText, "", ".icontains(", ")", precPrimary}, "istartsWith": {takesText, "", ".istartsWith(", ")", precPrimary},
	"iendsWith": {takesText, "", ".iendsWith(", ")", precPrimary}, "iequals": {takesText, "", ".iequals(", ")", precPrimary},
	"includes": {takesText, "", "", "", precRelation}, // the value comes first
	"hasAny":   {takesTexts, "hasAny(", ", ", ")", precPrimary}, "hasAll": {takesTexts, "hasAll(", ", ", ")", precPrimary},
	"hasNone":    {takesTexts, "hasNone(", ", ", ")", precPrimary},
	"withinLast": {takesDuration, "withinLast(", ", ", ")", precPrimary}, "withinNext": {takesDuration, "withinNext(", ", ", ")", precPrimary},
	"anniversary": {takesNothing, "anniversary(", "", ")", precPrimary}, "isTrue": {takesNothing, "", "", "", precPrimary},
}

// countOps are the operators of conditions on an event.
var countOps = []string{"==", "!=", "<", "<=", ">", ">="}

func (w *ruleWriter) unknownOp(op, path string, known []string) {
	w.problem(RuleProblem{path, "must be one of " + strings.Join(known, ", "), suggest.Closest(op, known)})
}

// condition writes a condition on a field.
func (w *ruleWriter) condition(r *Rule, path string) piece {
	form, ok := opForms[r.Op]
	if !ok {
		w.unknownOp(r.Op, below(path, "op"), slices.Sorted(maps.Keys(opForms)))
		return piece{}
	}
	if r.Set && r.Op != "!=" && r.Op != "notIn" {
		w.add(below(path, "set"), "is for != and notIn")
	}
	if form.takes == takesNothing && r.Value != nil {
		w.add(below(path, "value"), "is not for %s", r.Op)
	}
	p := piece{prec: form.prec}
	field := func() { w.name(&p, r.Field, below(path, "field")) }
	if r.Set {
		p.prec = precAnd
		w.isSet(&p, r.Field, true, below(path, "field"))
		p.add(" && ")
	}
	switch r.Op {
	case "set", "unset":
		p.prec = w.isSet(&p, r.Field, r.Op == "set", below(path, "field"))
	case "includes":
		w.value(&p, form.takes, r.Value, below(path, "value"))
		p.add(" in ")
		field()
	default:
		p.add(form.before)
		field()
		p.add(form.mid)
		if form.takes != takesNothing {
			w.value(&p, form.takes, r.Value, below(path, "value"))
		}
		p.add(form.after)
	}
	w.bytes += len(p.text)
	return p
}

// isSet writes that a field is set, or that it is not: has() is for what has a dot.
func (w *ruleWriter) isSet(p *piece, name string, set bool, path string) (prec int) {
	start := p.n
	defer func() { p.parts = append(p.parts, place{stretch{start, p.n}, path}) }()
	if !strings.Contains(name, ".") {
		w.name(p, name, path)
		p.add(map[bool]string{true: " != null", false: " == null"}[set])
		return precRelation
	}
	prec = precPrimary
	if !set {
		p.add("!")
		prec = precUnary
	}
	p.add("has(")
	w.name(p, name, path)
	p.add(")")
	return prec
}

// event writes a condition on a number of events.
func (w *ruleWriter) event(r *Rule, path string) piece {
	p := piece{prec: precRelation}
	p.add("events(")
	w.text(&p, r.Event, below(path, "event"))
	p.add(").count(")
	w.duration(&p, r.Within, below(path, "within"))
	p.add(") ")
	if !slices.Contains(countOps, r.Op) {
		w.unknownOp(r.Op, below(path, "op"), countOps)
	}
	p.add(r.Op + " ")
	n, ok := plain(r.Value).(float64)
	if !ok {
		w.add(below(path, "value"), "must be a number")
	}
	w.number(&p, n, below(path, "value"))
	w.bytes += len(p.text)
	return p
}

func (w *ruleWriter) text(p *piece, s, path string) {
	if !storable(s) {
		w.add(path, "must be valid UTF-8 without NUL")
	}
	p.write(quote(s), path)
}

func (w *ruleWriter) number(p *piece, n float64, path string) {
	if math.IsInf(n, 0) || math.IsNaN(n) {
		w.add(path, "must be a finite number")
	}
	p.write(jsonNumber(n), path)
}

// value writes the value of a condition.
func (w *ruleWriter) value(p *piece, kind takes, value any, path string) {
	value = plain(value)
	list, isList := value.([]any)
	text, isText := value.(string)
	start := p.n
	switch kind {
	case takesText:
		if !isText {
			w.add(path, "must be a text")
		}
		w.text(p, text, path)
	case takesDuration:
		if !isText {
			w.add(path, `must be a duration, such as "7d" or "1h30m"`)
			return
		}
		w.duration(p, text, path)
	case takesRange:
		if len(list) != 2 {
			w.add(path, "must be a list of two: from and to")
			return
		}
		w.scalar(p, takesOrdered, list[0], item(path, 0))
		p.add(", ")
		w.scalar(p, takesOrdered, list[1], item(path, 1))
	case takesList, takesTexts:
		if !isList || len(list) == 0 || len(list) > maxListItems {
			w.add(path, "must be a list of %s, with 1 to %d items", map[bool]string{true: "text", false: "values"}[kind == takesTexts], maxListItems)
			return
		}
		p.add("[")
		for i, v := range list {
			if i > 0 {
				p.add(", ")
			}
			if w.tooLarge(len(p.text), path) {
				return
			}
			w.scalar(p, kind, v, item(path, i))
		}
		p.add("]")
	case takesAny, takesOrdered, takesNothing:
		w.scalar(p, kind, value, path)
	}
	p.parts = append(p.parts, place{stretch{start, p.n}, path})
}

// scalar writes one value. The items of a list of text are text only.
func (w *ruleWriter) scalar(p *piece, kind takes, value any, path string) {
	text, isText := value.(string)
	switch {
	case isText:
		w.text(p, text, path)
		return
	case kind == takesTexts:
		w.add(path, "must be a text")
		return
	}
	switch v := value.(type) {
	case float64:
		w.number(p, v, path)
		return
	case bool:
		if kind != takesOrdered {
			p.write(map[bool]string{true: "true", false: "false"}[v], path)
			return
		}
	case map[string]any:
		if w.object(p, v, path) {
			return
		}
	}
	if kind == takesOrdered {
		w.add(path, "must be a text, a number, or an object with date, timestamp, now, today or field")
		return
	}
	w.add(path, "must be a text, a number, true or false, or an object with date, timestamp, now, today or field")
}

// object writes a value that is an object with one member.
func (w *ruleWriter) object(p *piece, object map[string]any, path string) bool {
	if len(object) != 1 {
		return false
	}
	for name, v := range object {
		text, isText := v.(string)
		if !isText {
			return false
		}
		path = below(path, name)
		switch name {
		case "date", "timestamp":
			if !storable(text) {
				w.add(path, "must be valid UTF-8 without NUL")
			}
			p.write(name+"("+quote(text)+")", path)
			return true
		case "field":
			w.name(p, text, path)
			return true
		case "now", "today":
			w.moment(p, name, text, path)
			return true
		}
	}
	return false
}

// noOffset stands for the moment itself.
const noOffset = "0d"

// moment writes now or today, and how far from it.
func (w *ruleWriter) moment(p *piece, name, offset, path string) {
	start := p.n
	p.add(name)
	switch {
	case offset == noOffset:
	case strings.HasPrefix(offset, "-"), strings.HasPrefix(offset, "+"):
		p.add(" " + offset[:1] + " ")
		w.duration(p, offset[1:], path)
	default:
		w.add(path, `must be "0d", or a duration with a sign such as "-30d" or "+1h"`)
	}
	p.parts = append(p.parts, place{stretch{start, p.n}, path})
}
