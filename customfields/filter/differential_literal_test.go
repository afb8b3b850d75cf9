package filter_test

import (
	"fmt"
	"regexp/syntax"
	"strconv"
	"time"
)

// literal is a literal of a kind, one that rows have, so that equality finds something.
func (g *generator) literal(k kind) *term {
	switch k {
	case text:
		return leaf(text, quoteCEL(pick(g.Rand, hostileTexts)))
	case number:
		n := pick(g.Rand, hostileNumbers)
		if g.IntN(10) == 0 {
			n = pick(g.Rand, wildNumbers)
		}
		if g.IntN(3) == 0 {
			n = float64(g.IntN(60))
		}
		s := strconv.FormatFloat(n, 'g', -1, 64)
		if s == "-0" {
			s = "-0.0" // a whole number has no -0
		}
		return leaf(number, s)
	case date:
		switch g.IntN(5) {
		case 0:
			return leaf(date, "now")
		case 1:
			return leaf(date, "today")
		case 2:
			return leaf(date, `date("`+randomDate(g.Rand).Format(time.DateOnly)+`")`)
		}
		return leaf(date, `timestamp("`+randomDate(g.Rand).Format(time.RFC3339Nano)+`")`)
	case span:
		return leaf(span, g.span())
	case list:
		return leaf(list, "["+quoteCEL(g.of(tagOptions...))+"]")
	case cond, pattern:
	}
	return leaf(cond, g.of("true", "false"))
}

func (g *generator) span() string {
	if g.IntN(2) == 0 {
		return fmt.Sprintf("days(%d)", pick(g.Rand, []int{0, 1, 2, 7, 30, 365, 36500, -3}))
	}
	return `duration("` + g.of("0s", "-36h", "1ms", "90m", "12h", "24h", "1.5h", "720h", "1s", "0.000001s") + `")`
}

// pattern is a regular expression that RE2 has and PostgreSQL must be told in other words.
func (g *generator) pattern() string {
	for {
		p := g.piece(3)
		if _, err := syntax.Parse(p, syntax.Perl); err == nil {
			return quoteCEL(p)
		}
	}
}

func (g *generator) piece(depth int) string {
	if depth == 0 {
		return g.of("a", "b", "B", ".", "é", "É", "s", "k", `\.`, `\\`, "%", "_", `\d`, `\w`, `\W`, `\s`, `\S`, `\D`, "[ab]", "[^a]", "[a-z]", "[^a-z]", `[\w]`, `[^\w]`, `[[:alpha:]]`, "[É-ß]", `\pL`, `\p{Lu}`,
			`\PL`, "^", "$", `\A`, `\z`, `\n`, "\n", "😀", "'", `[\]]`, `[.\-]`, `\x41`, `\x{1F600}`, "i", "K", "ſ", "ß", `\t`, "()", `\Qa.b\E`, "(?:)", "1", "gold", `[\s\S]`, `[\\]`, `\$`, "[$]", "[[]", "#", " ")
	}
	switch g.IntN(8) {
	case 0:
		return g.piece(depth-1) + "|" + g.piece(depth-1)
	case 1:
		return "(" + g.piece(depth-1) + ")" + g.of("", "*", "+", "?", "*?", "{2}", "{1,2}", "{0}", "{1,}")
	case 2:
		return "(?:" + g.piece(depth-1) + ")" + g.of("*", "+", "?", "+?", "{0,3}")
	case 3:
		return g.of("(?i:", "(?s:", "(?-s:", "(?U:", "(?P<x>") + g.piece(depth-1) + ")"
	case 4:
		return g.of("^", "(?i)", "(?s)", "") + g.piece(depth-1) + g.of("$", "", "")
	}
	return g.piece(depth-1) + g.piece(depth-1)
}
