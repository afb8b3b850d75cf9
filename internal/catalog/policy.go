package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Policy is one that strata_app is subject to.
type Policy struct {
	Name       string
	Public     bool // it is for every role
	Permissive bool
	Command    string  // "*" all, "r" select, "a" insert, "w" update, "d" delete
	Using      *string // as PostgreSQL prints it
	Check      *string
}

// Expressions returns those that let rows through.
func (p Policy) Expressions() []string {
	var all []string
	for _, e := range []*string{p.Using, p.Check} {
		if e != nil {
			all = append(all, *e)
		}
	}
	return all
}

// Parts of a policy as PostgreSQL prints it, without its parentheses. A column of a domain over
// uuid is printed with a cast.
const (
	column = `"?(?P<column>\w+)"?`
	value  = `current_setting'strata\.(?P<setting>\w+)'::text`
	alias  = `(?: AS "?\w+"?)?`
	scope  = `(?:SELECT )?NULLIF` + value + `, true, ''::text::uuid` + alias + `(?: WHERE NULLIFcurrent_setting'strata\.\w+'::text, true, ''::text IS NULL)?`
)

// right is `column = (SELECT nullif(current_setting('strata.column', true), ”)::uuid)`, or the
// other way round. The SELECT may be missing: where an index is used it makes no difference. It
// may have a WHERE that a deeper setting is empty: then only a scope of that level itself sees
// the row.
var right = []*regexp.Regexp{
	regexp.MustCompile(`^` + column + `(?:::uuid)? = ` + scope + `$`),
	regexp.MustCompile(`^` + scope + ` = ` + column + `(?:::uuid)?$`),
}

// lesser keep tenants apart as well, but cost the index, or fail without a scope instead of
// finding nothing.
var lesser = []*regexp.Regexp{
	regexp.MustCompile(`^` + column + `::text = (?:SELECT )?(?:NULLIF)?` + value + `(?:, true)?(?:, ''::text)?` + alias + `$`),
	regexp.MustCompile(`^` + column + `(?:::uuid)? = (?:SELECT )?` + value + `(?:, true)?::uuid` + alias + `$`),
}

// platform is the company of rows that belong to the platform, which is no company.
const platform = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"

// OfNobody reports whether an expression lets through only rows that belong to no tenant:
// those of the platform, or without an owner.
func (t *Table) OfNobody(expression string) bool {
	return expression == "("+t.Column+" IS NULL)" || expression == "("+t.Column+" = "+platform+")"
}

// Tells reports whether a column tells whose a row is, at a level: the tenant column does,
// and one that PostgreSQL makes of tenant columns.
func (t *Table) Tells(column string, level int) bool {
	return LevelOf(column) == level || column == t.Column && level == t.Level || slices.Contains(t.derived[column], tenantColumns[level-1])
}

var coalesced = regexp.MustCompile(`^COALESCE\(([a-z_, ]+)\)$`)

// derive notes a generated column that is the deepest of the tenant columns that are set.
func (t *Table) derive(column, expression string) {
	m := coalesced.FindStringSubmatch(expression)
	if m == nil {
		return
	}
	of := strings.Split(m[1], ", ")
	if slices.ContainsFunc(of, func(c string) bool { return LevelOf(c) == 0 }) {
		return
	}
	if t.derived == nil {
		t.derived = map[string][]string{}
	}
	t.derived[column] = of
}

// Compared returns the column that expression compares with the setting of the scope of
// that level, when it does so in every case: it is that comparison, or it and more.
func Compared(expression string) (column string, level int, ok bool) {
	return compared(right, expression)
}

// ComparedPoorly is Compared for comparisons that keep tenants apart too, but not as they should.
func ComparedPoorly(expression string) (column string, level int, ok bool) {
	return compared(lesser, expression)
}

func compared(forms []*regexp.Regexp, expression string) (column string, level int, ok bool) {
	for _, term := range conjuncts(expression) {
		bare := strings.Join(strings.Fields(strings.NewReplacer("(", "", ")", "").Replace(term)), " ")
		for _, form := range forms {
			m := form.FindStringSubmatch(bare)
			if m == nil {
				continue
			}
			if level := LevelOf(m[form.SubexpIndex("setting")]); level > 0 {
				return m[form.SubexpIndex("column")], level, true
			}
		}
	}
	return "", 0, false
}

// conjuncts splits `((a) AND (b))` into its terms, and returns anything else as it is.
func conjuncts(e string) []string {
	e = strings.TrimSpace(e)
	for strings.HasPrefix(e, "(") && closing(e, 0) == len(e)-1 {
		e = strings.TrimSpace(e[1 : len(e)-1])
	}
	const and = " AND "
	var terms []string
	start := 0
	for i := 0; i < len(e); i++ {
		switch {
		case e[i] == '(':
			i = closing(e, i)
		case e[i] == '\'' || e[i] == '"':
			i = endOfQuote(e, i)
		case strings.HasPrefix(e[i:], " OR "), strings.HasPrefix(e[i:], " BETWEEN "):
			return []string{e}
		case strings.HasPrefix(e[i:], and):
			terms = append(terms, e[start:i])
			i += len(and) - 1
			start = i + 1
		}
	}
	return append(terms, e[start:])
}

// closing returns where the parenthesis at i is closed.
func closing(e string, i int) int {
	depth := 0
	for ; i < len(e); i++ {
		switch e[i] {
		case '\'', '"':
			i = endOfQuote(e, i)
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(e)
}

// endOfQuote returns where the quote at i ends. A doubled quote inside begins another.
func endOfQuote(e string, i int) int {
	if end := strings.IndexByte(e[i+1:], e[i]); end >= 0 {
		return i + 1 + end
	}
	return len(e)
}

// WantPolicy is the statement that makes the policy that t should have.
func (t *Table) WantPolicy() string {
	expression := fmt.Sprintf("(%s = (SELECT nullif(current_setting('%s', true), '')::uuid))", t.Column, t.Setting())
	return fmt.Sprintf("CREATE POLICY tenant ON %s TO strata_app USING %s WITH CHECK %s", t.SQL(), expression, expression)
}
