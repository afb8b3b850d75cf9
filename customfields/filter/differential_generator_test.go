package filter_test

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
)

// generator writes random filters over the whole language. What it writes compiles, but for
// what refusable lists.
type generator struct {
	*rand.Rand
	vars int // of macros, that are in scope: v1, v2 …
}

func (g *generator) of(list ...string) string { return list[g.IntN(len(list))] }

func quoteCEL(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// condition is a boolean of at most some depth.
func (g *generator) condition(depth int) *term {
	if depth <= 0 {
		return g.plainCondition()
	}
	switch g.IntN(29) {
	case 0, 1:
		return node(cond, "(%s && %s)", g.condition(depth-1), g.condition(depth-1))
	case 2, 3:
		return node(cond, "(%s || %s)", g.condition(depth-1), g.condition(depth-1))
	case 4, 5:
		return node(cond, "!(%s)", g.condition(depth-1))
	case 6, 7:
		return node(cond, "(%s ? %s : %s)", g.condition(depth-1), g.condition(depth-1), g.condition(depth-1))
	case 8:
		return node(cond, "((%s) "+g.of("==", "!=")+" (%s))", g.condition(depth-1), g.condition(depth-1))
	case 9, 10, 11:
		k := pick(g.Rand, []kind{text, number, date})
		return node(cond, "(%s "+g.of("==", "!=", "<", "<=", ">", ">=")+" %s)", g.value(k, depth-1), g.value(k, depth-1))
	case 12:
		return node(cond, "(%s "+g.of("<", "<=", ">", ">=", "==", "!=")+" %s)", g.value(span, depth-1), g.value(span, depth-1))
	case 13:
		k := pick(g.Rand, []kind{text, number, date})
		return node(cond, "(%s in [%s, %s, %s])", g.value(k, depth-1), g.value(k, 0), g.literal(k), g.value(k, 0))
	case 14:
		return node(cond, "%s."+g.of("startsWith", "endsWith", "contains")+"(%s)", g.value(text, depth-1), g.value(text, g.IntN(2)*(depth-1)))
	case 15:
		return node(cond, "%s."+g.of("iequals", "istartsWith", "iendsWith", "icontains")+"(%s)", g.value(text, depth-1), g.literal(text))
	case 16:
		return node(cond, "%s.matches(%s)", g.value(text, depth-1), leaf(pattern, g.pattern()))
	case 17, 18:
		return g.macro(depth)
	case 19:
		k := pick(g.Rand, []kind{number, date, text})
		return node(cond, "between(%s, %s, %s)", g.value(k, depth-1), g.value(k, depth-2), g.value(k, 0))
	case 20:
		return node(cond, "(%s in %s)", g.value(text, depth-1), g.value(list, depth-1))
	case 21:
		return g.unrolled(depth)
	case 22:
		k := pick(g.Rand, []kind{text, number, date})
		return node(cond, "((%s ? "+g.nullable(k)+" : null) "+g.of("==", "!=")+" %s)", g.condition(depth-1), g.value(k, 0))
	case 23:
		return g.chain()
	case 24:
		return node(cond, g.of("hasAny", "hasAll", "hasNone")+"(%s, ["+quoteCEL(g.of("vip", "beta", "É", "a_"))+", "+quoteCEL(g.of("new", "vip"))+"])", g.value(list, depth-1))
	case 26:
		return g.merged()
	case 25:
		return node(cond, "matches(%s, %s)", g.value(text, depth-1), leaf(pattern, g.pattern()))
	}
	return g.plainCondition()
}

// unrolled is a macro over a list of literals and references.
func (g *generator) unrolled(depth int) *term {
	k := pick(g.Rand, []kind{text, number, date})
	over := node(list, "[%s, %s, %s]", g.value(k, 0), g.literal(k), g.value(k, 0))
	body := node(cond, "%s."+g.of("contains", "startsWith", "endsWith")+"(e)", g.value(text, depth-2))
	if k != text || g.IntN(2) == 0 {
		body = node(cond, "(%s "+g.of("==", "!=", "<", ">=")+" e)", g.value(k, depth-2))
	}
	if g.IntN(2) == 0 {
		body = node(cond, "("+g.of("%s && %s", "%s || %s", "%s ? %s : opted")+")", body, g.condition(depth-2))
	}
	return node(cond, "%s."+g.of("exists", "all", "exists_one")+"(e, %s)", over, body)
}

// merged is a conjunction of equalities, some with one field, of which the renderer makes one
// containment.
func (g *generator) merged() *term {
	one := func() *term {
		switch g.IntN(5) {
		case 0:
			return leaf(cond, "fields.vip"+g.of("", " == true", " == false"))
		case 1:
			return leaf(cond, quoteCEL(g.of("vip", "beta", "É"))+" in fields.tags")
		case 2:
			return leaf(cond, "hasAll(fields.tags, ["+quoteCEL(g.of("vip", "new"))+", "+quoteCEL(g.of("vip", "beta"))+"])")
		case 3:
			return leaf(cond, "fields.tier == "+quoteCEL(g.of(tierOptions...)))
		}
		return leaf(cond, "fields.user == "+g.of("0", "1", "1e15"))
	}
	return node(cond, "(%s && %s && %s)", one(), node(cond, "(%s && %s)", one(), one()), one())
}

// chain is as much arithmetic as is allowed, on the largest and the smallest numbers.
func (g *generator) chain() *term {
	out := g.value(number, 0)
	for range 2 + g.IntN(6) {
		out = node(number, "(%s "+g.of("*", "*", "*", "+", "-")+" %s)", out, g.value(number, 0))
	}
	return node(cond, "(%s "+g.of("<", ">=", "==")+" %s)", out, g.value(number, 0))
}

// macro is exists, all or exists_one over a multi_select.
func (g *generator) macro(depth int) *term {
	over := g.value(list, depth-2)
	g.vars++
	v := "v" + strconv.Itoa(g.vars)
	body := g.condition(depth - 2)
	switch g.IntN(4) {
	case 0:
		body = node(cond, "("+v+" "+g.of("==", "!=", "<", ">=")+" %s)", g.value(text, depth-2))
	case 1:
		of := g.of(v, v, "v1") // which may be the variable of a macro around this one
		body = leaf(cond, "("+of+" "+g.of("==", "!=", "<", ">=")+" "+quoteCEL(g.of(tagOptions...))+")")
	case 2:
		body = node(cond, "("+v+"."+g.of("contains", "icontains")+"("+quoteCEL(g.of("v", "E", "é", "_"))+") "+g.of("&&", "||")+" %s)", body)
	}
	g.vars--
	return node(cond, "%s."+g.of("exists", "all", "exists_one")+"("+v+", %s)", over, body)
}

// plainCondition is one that a person would write: it keeps expressions telling.
func (g *generator) plainCondition() *term {
	equality, order := g.of("==", "!="), g.of("<", "<=", ">", ">=")
	switch g.IntN(21) {
	case 0:
		return leaf(cond, g.of("active", "opted", "fields.vip", "fields.paid", "(opted in [true])", "(fields.vip in [false, opted])", "(phone.verified in [true, false])", "(active in [])"))
	case 1:
		return leaf(cond, g.of("active", "opted", "fields.vip", "fields.paid")+" "+equality+" "+g.of("true", "false", "fields.paid", "opted"))
	case 2:
		return leaf(cond, "has("+g.of("fields.note", "fields.order", "fields.size", "fields.due", "fields.when", "fields.tier", "fields.tags", "fields.vip", "fields.mail", "phone.phone")+")")
	case 3:
		return leaf(cond, g.of("nickname", "score", "seenAt", "opted", "fields.note", "fields.size", "fields.due", "fields.vip", "fields.tier", "null", "createdAt", "now")+" "+equality+" null")
	case 4:
		if g.IntN(8) == 0 {
			return leaf(cond, "(fields.tier == "+quoteCEL(g.of(tierOptions...))+" && fields.tier == "+quoteCEL(g.of(tierOptions...))+")")
		}
		return leaf(cond, "fields.tier "+equality+" "+quoteCEL(g.of(tierOptions...)))
	case 5:
		return leaf(cond, "fields.tier in ["+quoteCEL(g.of(tierOptions...))+", "+quoteCEL(g.of(tierOptions...))+"]")
	case 6:
		return leaf(cond, quoteCEL(g.of(tagOptions...))+" in fields."+g.of("tags", "groups"))
	case 7:
		return leaf(cond, g.of("hasAny", "hasAll", "hasNone")+"(fields."+g.of("tags", "groups")+", ["+quoteCEL(g.of(tagOptions...))+", "+quoteCEL(g.of(tagOptions...))+"])")
	case 8:
		return leaf(cond, "status "+equality+" "+quoteCEL(g.of(statusOptions...)))
	case 9:
		return leaf(cond, g.of("email", "fields.mail")+" "+equality+" "+quoteCEL(g.of("Ada@Example.com", "bo@example.org", "no address")))
	case 10:
		return node(cond, "(%s "+order+" %s)", leaf(date, g.ref(date)), g.value(date, 1))
	case 11:
		return leaf(cond, g.of("withinLast", "withinNext")+"("+g.ref(date)+", "+g.span()+")")
	case 12:
		return leaf(cond, "anniversary("+g.ref(date)+")")
	case 13:
		return leaf(cond, "events("+quoteCEL(g.of(eventKinds...))+").count("+g.of("days(1)", "days(7)", "days(500)", `duration("1s")`, `duration("90m")`, `duration("0.000001s")`, `duration("48h")`)+") "+g.of(">=", ">", "==", "<", "!=", "<=")+" "+g.of("0", "1", "2", "3"))
	case 14:
		return node(cond, "(%s "+g.of(equality, order)+" %s)", leaf(number, g.ref(number)), g.literal(number))
	case 15:
		return node(cond, "(%s "+g.of(equality, order)+" %s)", leaf(text, g.ref(text)), g.literal(text))
	case 16:
		return leaf(cond, "phone."+g.of("verified", "verified == true", "verified != true", "phone == null", "phone != null", "calls > 1", `phone.startsWith("+4")`, "calledAt < now"))
	case 17:
		return node(cond, "(%s "+equality+" %s)", g.dateField(), g.literal(number))
	case 18:
		k := pick(g.Rand, []kind{text, number, date})
		return node(cond, "("+g.ref(k)+" in [%s, %s])", g.literal(k), g.literal(k))
	case 19:
		return node(cond, "("+g.ref(text)+"."+g.of("startsWith", "endsWith", "contains", "iequals", "icontains", "istartsWith", "iendsWith")+"(%s))", g.literal(text))
	}
	return node(cond, "("+g.ref(text)+".matches(%s))", leaf(pattern, g.pattern()))
}

// nullable is a ref that may be null to CEL too, which has no choice between text and null.
func (g *generator) nullable(k kind) string {
	for {
		if r := g.ref(k); strings.Contains(r, ".") {
			return r
		}
	}
}

// ref is a column or field of a kind.
func (g *generator) ref(k kind) string {
	switch k {
	case text:
		return g.of("name", "nickname", "fields.note", "fields.order", "fields.note", "phone.phone", "email", "fields.mail", "fields.site")
	case number:
		return g.of("level", "score", "fields.size", "fields.user", "phone.calls")
	case date:
		return g.of("createdAt", "seenAt", "fields.due", "fields.when", "fields.born", "phone.calledAt")
	case cond, span, pattern:
	case list:
		return g.of("fields.tags", "fields.groups")
	}
	return g.of("opted", "active", "fields.vip", "fields.paid", "phone.verified")
}

// value is a term of a kind, computed when there is depth left.
func (g *generator) value(k kind, depth int) *term {
	switch {
	case k == list && depth > 0 && g.IntN(3) == 0:
		return node(list, "(%s ? %s : %s)", g.condition(depth-1), g.value(list, 0), g.value(list, 0))
	case k == list:
		return leaf(list, g.ref(list))
	case k == span && (depth <= 0 || g.IntN(3) == 0):
		return leaf(span, g.span())
	case k == span:
		return node(span, "(%s - %s)", g.value(date, depth-1), g.value(date, depth-1))
	case depth <= 0 || g.IntN(3) == 0:
		if k == text && g.vars > 0 && g.IntN(2) == 0 {
			return leaf(text, "v"+strconv.Itoa(1+g.IntN(g.vars)))
		}
		if g.IntN(3) == 0 {
			return g.literal(k)
		}
		return leaf(k, g.ref(k))
	case g.IntN(6) == 0:
		return node(k, "(%s ? %s : %s)", g.condition(depth-1), g.value(k, depth-1), g.value(k, depth-1))
	}
	switch k {
	case text:
		if g.IntN(2) == 0 {
			return node(text, "(%s + %s)", g.value(text, depth-1), g.value(text, depth-1))
		}
		return node(text, "%s."+g.of("lowerAscii", "upperAscii")+"()", g.value(text, depth-1))
	case number:
		return g.number(depth)
	case date:
		return node(date, "(%s "+g.of("+", "-")+" "+g.span()+")", g.value(date, depth-1))
	case cond, span, list, pattern:
	}
	panic("no such value")
}

func (g *generator) number(depth int) *term {
	switch g.IntN(7) {
	case 0:
		return node(number, "-(%s)", g.value(number, depth-1))
	case 1:
		return node(number, g.of("size(%s)", "%s.size()"), g.value(text, depth-1))
	case 2:
		return node(number, g.of("size(%s)", "%s.size()"), g.value(list, 0))
	case 3:
		return g.getter(g.value(date, depth-1))
	}
	return node(number, "(%s "+g.of("+", "-", "*")+" %s)", g.value(number, depth-1), g.value(number, depth-1))
}

// dateField is a part of a date that has few values, so that comparing it tells something.
func (g *generator) dateField() *term { return g.getter(leaf(date, g.ref(date))) }

func (g *generator) getter(d *term) *term {
	zone := ""
	if g.IntN(2) == 0 {
		zone = quoteCEL(g.of("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "+02:00", "-05:30", "+14:00", "02:00"))
	}
	return node(number, "%s."+g.of("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds")+
		"("+zone+")", d)
}
