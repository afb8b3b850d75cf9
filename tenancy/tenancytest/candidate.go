package tenancytest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stratakit/strata/tenancy"
)

const (
	roleApp   = tenancy.RoleApp
	roleQuery = tenancy.RoleQuery
)

// candidate is a value that a column may accept, as PostgreSQL reads it. Its zero value
// leaves the column out: the default, or NULL.
type candidate struct {
	value func() string
}

func fixed(s string) candidate { return candidate{func() string { return s }} }

var (
	quoted = regexp.MustCompile(`'((?:[^']|'')*)'::`)
	number = regexp.MustCompile(`\b\d{1,9}\b`)
)

// candidatesOf lists what to try for a column, most likely first.
func (p *proof) candidatesOf(t *table, c *column) []candidate {
	var all []candidate
	if c.HasDefault || !c.NotNull {
		all = append(all, candidate{})
	}
	for _, label := range c.Labels {
		all = append(all, fixed(label))
	}
	definitions := c.Checks
	for _, k := range t.Checks {
		for _, name := range k.Columns {
			if name == c.Name {
				definitions = append(definitions, k.Definition)
			}
		}
	}
	var literals []candidate
	var numbers []int
	patterns := false
	for _, d := range definitions {
		for _, m := range quoted.FindAllStringSubmatch(d, -1) {
			literal := strings.ReplaceAll(m[1], "''", "'")
			if strings.HasPrefix(c.Base, "json") && !json.Valid([]byte(literal)) {
				continue // such as the 'object' of jsonb_typeof
			}
			literals = append(literals, fixed(literal))
		}
		patterns = patterns || strings.Contains(d, "~")
		for _, n := range number.FindAllString(quoted.ReplaceAllString(d, ""), -1) {
			if i, err := strconv.Atoi(n); err == nil {
				numbers = append(numbers, i)
			}
		}
	}
	usual := p.usual(c, numbers)
	if patterns { // then a literal is a pattern, more likely than a value
		return append(append(all, usual...), literals...)
	}
	return append(append(all, literals...), usual...)
}

// usual lists values of a column's type. numbers stand in its CHECKs: bounds and lengths.
func (p *proof) usual(c *column, numbers []int) []candidate {
	switch {
	case c.Base == "uuid":
		return []candidate{{func() string { return tenancy.NewID[tenancy.Domain]().String() }}}
	case c.Category == "N" && c.Base != "money":
		return p.numbers(c, numbers)
	case c.Category == "S":
		return texts(c, numbers)
	case c.Base == "bytea":
		all := []candidate{}
		for _, n := range append(numbers, 16, 32, 20, 64, 1) {
			if n <= 1<<16 {
				all = append(all, candidate{func() string { return `\x` + hex.EncodeToString(random(n)) }})
			}
		}
		return all
	case c.Category == "A":
		return []candidate{fixed(`{}`), fixed(`{a}`), fixed(`{1}`), fixed(`{01900000-0000-7000-8000-000000000001}`)}
	case c.Kind == "r" || c.Kind == "m":
		return []candidate{fixed(`empty`), fixed(`[1,2)`), fixed(`[2030-01-01,2030-01-02)`), fixed(`{}`)}
	}
	return constants(c.Base)
}

// constants are values of types that have little to choose from.
func constants(base string) (all []candidate) {
	var values []string
	switch base {
	case "bool":
		values = []string{"true", "false"}
	case "json", "jsonb":
		values = []string{`{}`, `[]`, `null`, `1`, `"a"`}
	case "date", "timestamp":
		values = []string{"2030-01-01", "2000-01-01"}
	case "timestamptz":
		values = []string{"2030-01-01 00:00Z", "2000-01-01 00:00Z"}
	case "time", "timetz":
		values = []string{"12:00Z"}
	case "interval":
		values = []string{"1 day", "0"}
	case "inet", "cidr":
		values = []string{"192.0.2.1", "2001:db8::1"}
	case "macaddr":
		values = []string{"02:00:00:00:00:01"}
	case "point":
		values = []string{"(1,1)"}
	case "xml":
		values = []string{"<a/>"}
	case "hstore":
		values = []string{""}
	case "money", "bit", "varbit":
		values = []string{"1"}
	case "tsvector", "tsquery", "ltree":
		values = []string{"a"}
	}
	for _, v := range values {
		all = append(all, fixed(v))
	}
	return all
}

func (p *proof) numbers(c *column, bounds []int) []candidate {
	var all []candidate
	for _, s := range []string{"1", "0", "2", "10", "100", "-1"} {
		all = append(all, fixed(s))
	}
	for _, n := range bounds {
		all = append(all, fixed(strconv.Itoa(n)), fixed(strconv.Itoa(n+1)), fixed(strconv.Itoa(n-1)))
	}
	fresh := candidate{func() string { p.serial++; return strconv.Itoa(p.serial) }}
	if c.Unique {
		return append([]candidate{fresh}, all...)
	}
	return append(all, fresh)
}

func texts(c *column, lengths []int) []candidate {
	word := func(n int) string {
		if c.Length > 0 {
			n = min(n, c.Length)
		}
		return ("p" + strings.ToLower(strings.Repeat(rand.Text(), n/26+1)))[:n]
	}
	all := []candidate{{func() string { return word(12) }}}
	for _, n := range lengths {
		if n > 0 && n <= 4096 {
			all = append(all, candidate{func() string { return word(n) }}, candidate{func() string { return strings.ToUpper(word(n)) }})
		}
	}
	for _, form := range []string{"%s@example.com", "https://%s.example.com/", "%s.example.com"} {
		all = append(all, candidate{func() string { return fmt.Sprintf(form, word(12)) }})
	}
	for _, s := range []string{"EUR", "DE", "de", "en-GB", "+15550100", "2030-01-01", "2030-01", "12:00", "UTC", "1", "1.0.0", "192.0.2.1", "#00ff00", "/a", "a", ""} {
		all = append(all, fixed(s))
	}
	return append(all, candidate{func() string { return tenancy.NewID[tenancy.Domain]().String() }},
		candidate{func() string { return hex.EncodeToString(random(32)) }}, candidate{func() string { return strings.ToUpper(word(12)) }})
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
