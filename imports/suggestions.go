package imports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/recipients"
)

// Confidence says what a Suggestion is worth.
type Confidence string

// The confidences. What is Sure is taken; what is Likely is for a person to confirm.
const (
	Sure   Confidence = "sure"
	Likely Confidence = "likely"
)

// Suggestion is what a column is taken for when no mapping was given.
type Suggestion struct {
	Column     string     `json:"column"`
	Target     string     `json:"target"`
	Confidence Confidence `json:"confidence"`
	Why        string     `json:"why"`
}

// guess finds out what the columns are for that nobody has said it of.
type guess struct {
	*columns
	sample      [][]string
	hinted      map[string]bool // targets that are likely somewhere
	suggestions []Suggestion
}

// guess gives the columns that are free targets that are free: one that is called as a target is,
// as in an export, is that; then a spelling of a core column or of a field's key or label; then
// its values count. What was saved of such a file comes before all that.
func (c *columns) guess(sample [][]string, saved *Decided, all bool) ([]Suggestion, error) {
	g := &guess{columns: c, sample: sample, hinted: map[string]bool{}}
	if g.recall(saved); all { // fields are made of columns that were ignored too
		clear(g.passed)
	}
	g.byName()
	if !c.taken["email"] {
		if err := g.email(); err != nil {
			return nil, err
		}
	}
	g.joinedName()
	g.likely()
	slices.SortStableFunc(g.suggestions, func(a, b Suggestion) int {
		return slices.Index(c.header, a.Column) - slices.Index(c.header, b.Column)
	})
	return g.suggestions, nil
}

// open reports whether there is something to guess of a column.
func (g *guess) open(i int) bool { return g.free(i) && !g.passed[i] }

func (g *guess) sure(i int, target, why string) {
	if g.open(i) && !g.taken[target] {
		g.targets[i], g.taken[target] = target, true
		g.suggestions = append(g.suggestions, Suggestion{g.header[i], target, Sure, why})
	}
}

func (g *guess) byName() {
	for i, name := range g.header {
		if slices.Contains(g.known, name) {
			g.sure(i, name, "it is called so")
		}
	}
	for i, name := range g.header {
		for target, spellings := range coreNames {
			if slices.Contains(spellings, key(name)) {
				g.sure(i, target, "it is called so")
			}
		}
		for _, f := range g.set.Fields {
			if k := key(name); k != "" && (k == key(f.Key) || k == key(f.Label)) {
				g.sure(i, fieldPrefix+f.Key, "it is called as the field "+f.Label)
			}
		}
	}
}

// email finds the address: in the only column that speaks of email and has addresses, else in the
// only one that does the one or the other.
func (g *guess) email() error {
	var named, valued, both []int
	for i, name := range g.header {
		if !g.open(i) {
			continue
		}
		speaks := speaksOfEmail(name)
		has := g.share(i, isAddress) > mostly
		switch {
		case speaks && has:
			both = append(both, i)
			fallthrough
		case speaks:
			named = append(named, i)
		case has:
			valued = append(valued, i)
		}
	}
	switch {
	case len(both) == 1:
		g.sure(both[0], "email", "it speaks of email and has addresses")
		return nil
	case len(both) == 0 && len(valued) == 1:
		g.sure(valued[0], "email", "it is the only column that has email addresses")
		return nil
	case len(both) == 0 && len(valued) == 0 && len(named) == 1:
		g.sure(named[0], "email", "it is the only column that speaks of email")
		return nil
	}
	const do = `call one "email", or say which one is with the mapping {"<column>": "email"}`
	if candidates := append(named, valued...); len(candidates) > 0 {
		return &FileError{"no_email_column", fmt.Sprintf("several columns could be the email address: %s; %s", list(g.names(candidates)), do)}
	}
	return &FileError{"no_email_column", fmt.Sprintf("no column looks like an email address among %s: call it \"email\", or say which one is with the mapping {\"<column>\": \"email\"}", list(g.header))}
}

// The spellings of the parts of a name, in the order in which they are joined, as key makes them.
var nameParts = [][]string{
	{"firstname", "givenname", "forename", "vorname", "prenom", "prénom"},
	{"middlename", "middlenames"},
	{"lastname", "surname", "familyname", "nachname", "nom"},
}

// joinedName makes a name of its parts, where there is a first and a last one and no name.
func (g *guess) joinedName() {
	if g.taken["name"] {
		return
	}
	var parts []int
	found := make([]bool, len(nameParts))
	for p, spellings := range nameParts {
		for i, name := range g.header {
			if g.open(i) && !found[p] && slices.Contains(spellings, key(name)) {
				parts, found[p] = append(parts, i), true
			}
		}
	}
	if !found[0] || !found[len(found)-1] {
		return
	}
	g.taken["name"], g.join["name"] = true, parts
	why := "it is a part of the name: " + strings.Join(g.names(parts), " ")
	for _, i := range parts {
		g.targets[i] = "name"
		g.suggestions = append(g.suggestions, Suggestion{g.header[i], "name", Sure, why})
	}
}

// likely suggests, for columns that nothing is sure of, what is called nearly so, and what
// their values fit.
func (g *guess) likely() {
	for i, name := range g.header {
		if !g.open(i) {
			continue
		}
		if target, why := g.maybe(i, name); target != "" {
			g.hinted[target] = true
			g.suggestions = append(g.suggestions, Suggestion{name, target, Likely, why})
		}
	}
}

func (g *guess) maybe(i int, name string) (target, why string) {
	open := func(t string) bool { return !g.taken[t] && !g.hinted[t] }
	spelled := map[string]string{}
	for _, t := range g.known {
		switch _, _, ok := cutTarget(t); {
		case !open(t):
		case ok: // what a product calls it says little by itself
			spelled[key(t)] = t
		default:
			spelled[key(t[strings.LastIndexByte(t, '.')+1:])] = t
		}
	}
	for _, f := range g.set.Fields {
		if t := fieldPrefix + f.Key; open(t) {
			spelled[key(f.Label)] = t
		}
	}
	if near := suggest.Closest(key(name), slices.Sorted(mapKeys(spelled))); near != "" {
		return spelled[near], "it is called nearly so"
	}
	if t := g.phone(i, name); t != "" && open(t) {
		return t, "it speaks of a phone and has numbers"
	}
	for _, f := range g.set.Fields {
		isOption := func(cell string) bool { return slices.Contains(f.Options, cell) }
		if t := fieldPrefix + f.Key; f.Type == customfields.Select && open(t) && g.share(i, isOption) == 1 {
			return t, "its values are options of the field " + f.Label
		}
	}
	return "", ""
}

// mostly is the share of cells above which a column has values of a kind: files are imported to
// learn which of their addresses are wrong.
const mostly = 0.5

// share is how many of the cells of a column that are not empty are of a kind.
func (g *guess) share(column int, is func(cell string) bool) float64 {
	fits, all := 0, cellsOf(g.sample, column)
	for _, cell := range all {
		if is(cell) {
			fits++
		}
	}
	if len(all) == 0 {
		return 0
	}
	return float64(fits) / float64(len(all))
}

func speaksOfEmail(name string) bool {
	k := key(name)
	return strings.Contains(k, "email") || strings.HasSuffix(k, "mail")
}

func isAddress(cell string) bool {
	_, problem := recipients.NormalizeEmail(cell)
	return problem == nil
}

func (g *guess) names(columns []int) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = g.header[c]
	}
	return out
}

// cellsOf are the cells of a column in a sample, without those that are empty.
func cellsOf(sample [][]string, column int) (cells []string) {
	for _, record := range sample {
		if column < len(record) {
			if cell := strings.TrimSpace(record[column]); cell != "" && storable(cell) {
				cells = append(cells, cell)
			}
		}
	}
	return cells
}
