package filter_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
)

// bombs are filters that would cost much to check, to render or to run.
func bombs() map[string]string {
	repeat := func(s, joiner string, n int) string {
		return strings.TrimSuffix(strings.Repeat(s+joiner, n), joiner)
	}
	nested := `"x" == "x"`
	for i := range 8 {
		nested = fmt.Sprintf(`fields.tags.exists(v%d, %s)`, i, nested)
	}
	ternaries := `"a"`
	for range 40 {
		ternaries = `(active ? ` + ternaries + ` : fields.note)`
	}
	doubling := `fields.note`
	for range 8 {
		doubling = `(active ? ` + doubling + ` : ` + doubling + `)`
	}
	tests, truths, dates, between := "active", "active", "fields.due", "active"
	for i := range 9 {
		tests = `(` + tests + ` ? opted : fields.vip)`
		truths = fmt.Sprintf("((level > %d) == (%s ? opted : active))", i, truths)
		between = `between(` + between + ` ? level : score, 1, 2)`
		dates = fmt.Sprintf("(level > %d ? %s : fields.when)", i, dates)
	}
	pattern := `name.matches("` + strings.Repeat(`[\\pL]`, 6) + `")`
	for range 9 {
		pattern = `fields.vip == (` + pattern + `)`
	}
	sums, choices := "fields.size", "fields.size"
	for range 6 {
		sums = `(` + sums + ` + ` + sums + `)`
	}
	for range 4 {
		choices = `(active ? ` + choices + ` : ` + choices + `)`
	}
	for range 5 {
		between = `between(` + between + ` ? level : score, 1, 2)`
	}
	return map[string]string{
		"between of between":              between,
		"a pattern in comparisons":        pattern,
		"a long sum with each choice":     choices + ` + ` + sums + ` == ` + choices,
		"4,000 comparisons":               repeat(`name == "a"`, " || ", 4000),
		"240 comparisons":                 repeat(`fields.size==1`, "||", 240),
		"1 MB of text":                    `name == "` + strings.Repeat("a", 1<<20) + `"`,
		"1 MB of spaces":                  `active` + strings.Repeat(" ", 1<<20),
		"10,000 items":                    `fields.size in [` + repeat("1", ",", 10_000) + `]`,
		"1,500 items":                     `fields.size in [` + repeat("1", ",", 1500) + `]`,
		"500 parentheses":                 strings.Repeat("(", 500) + "active" + strings.Repeat(")", 500),
		"2,000 parentheses":               strings.Repeat("(", 2000) + "active" + strings.Repeat(")", 2000),
		"100,000 parentheses":             strings.Repeat("(", 100_000),
		"1,000 negations":                 strings.Repeat("!", 1000) + "active",
		"1,000 minuses":                   `level == ` + strings.Repeat("- ", 1000) + "level",
		"40 ternaries in one another":     ternaries + ` == "a"`,
		"8 ternaries of two each":         doubling + ` == ` + doubling,
		"ternaries as tests":              `(` + tests + ` ? ` + tests + ` : ` + tests + `) && (` + tests + ` || ` + tests + `)`,
		"comparisons of conditions":       truths,
		"chosen dates":                    dates + ` < ` + dates,
		"200 ternaries in a row":          repeat("active ? opted ", ": ", 200) + ": active",
		"8 macros in one another":         nested,
		"a repeat of a repeat":            `name.matches("(a{255}){255}")`,
		"a repeat of a repeat of a class": `name.matches("((\\pL{0,99}){0,99}){0,99}")`,
		"1,900 alternatives":              `name.matches("` + repeat("a", "|", 1900) + `")`,
		"10,000 alternatives":             `name.matches("` + repeat("ab", "|", 10_000) + `")`,
		"500 groups in one another":       `name.matches("` + strings.Repeat("(", 500) + "a" + strings.Repeat(")", 500) + `")`,
		"100 sums":                        repeat("level", "*", 100) + " > 1",
		"300 sums":                        repeat("level", "+", 300) + " > 1",
		"selections":                      "fields" + strings.Repeat(".note", 1000),
		"indexes":                         "fields" + strings.Repeat("[0]", 1000),
		"a list of lists":                 strings.Repeat("[", 200) + strings.Repeat("]", 200) + " == []",
		"a map of maps":                   strings.Repeat("{1:", 200) + "1" + strings.Repeat("}", 200) + " == 1",
		"calls":                           strings.Repeat("f(", 300) + strings.Repeat(")", 300),
		"macros in a row":                 repeat(`fields.tags.all(v, v.matches("a"))`, "&&", 110),
	}
}

// Whatever is too much is refused, with an error that says so, or it is cheap: see
// BenchmarkBombs for how long each takes.
func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	s := proofSchema(t)
	cheap := []string{"1,000 negations", "1,000 minuses", "1,900 alternatives", "chosen dates"} // the parsers take the first three together
	for name, expr := range bombs() {
		f, err := filter.Compile(s, expr)
		if err == nil {
			assert.Contains(t, cheap, name)
			sql, args := f.SQL(filter.Options{})
			assert.Less(t, len(sql), 64<<10, name)
			assert.Less(t, len(args), 2000, name)
			continue
		}
		var e *filter.Error
		require.ErrorAs(t, err, &e, name)
		require.Less(t, len(e.Error()), 1000, "%s: what is wrong is said briefly", name)
		require.NotContains(t, cheap, name)
	}
}

// go test ./customfields/filter -run xxx -bench Bombs -benchtime 20x
//
// Each takes less than 10 ms.
func BenchmarkBombs(b *testing.B) {
	s := proofSchema(b)
	for name, expr := range bombs() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for range b.N {
				if f, err := filter.Compile(s, expr); err == nil {
					f.SQL(filter.Options{})
				}
			}
		})
	}
}

// FuzzCompileIsPlanned holds any bytes to an *Error, or to SQL that PostgreSQL can plan and
// run.
func FuzzCompileIsPlanned(f *testing.F) {
	s := proofSchema(f)
	for i := range uint64(50) {
		g := &generator{Rand: rand.New(rand.NewPCG(i, 7))}
		f.Add(g.condition(3).String())
	}
	for _, expr := range bombs() {
		if len(expr) < filter.MaxFilterBytes {
			f.Add(expr)
		}
	}
	for _, expr := range []string{"", "\x00", "\xff", `name == "\x00"`, `name == "\ud800"`, `name.matches("[")`, `a.b.c(1)[2]`, `[{}]`, `fields`, `events("x")`, `now`, `days(1e300)`, `duration("x")`, `1/0`} {
		f.Add(expr)
	}
	d := &differ{schema: s, at: instant, rows: proofRows(f, rand.New(rand.NewPCG(11, 13)), 20)}
	d.pool = loadRows(f, d.rows)
	f.Fuzz(func(t *testing.T, expr string) {
		compiled, err := filter.Compile(s, expr)
		if err != nil {
			var e *filter.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Problems)
			return
		}
		_, err = d.ask(t.Context(), []*filter.Filter{compiled})
		require.NoError(t, err)
		for _, row := range d.rows {
			d.match(compiled, row)
		}
	})
}
