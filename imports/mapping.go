package imports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

const fieldPrefix = "fields."

// coreNames are the spellings of the core columns that are recognised, as key makes them.
var coreNames = map[string][]string{
	"email":  {"email", "emailaddress", "mail", "emailid", "contactemail"},
	"name":   {"name", "fullname", "displayname", "contactname"},
	"status": {"status", "recipientstatus"},
}

// key reduces a name to its lower-case letters and digits.
func key(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 0x80:
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}

// columns is what the columns of a file become, while that is being decided.
type columns struct {
	header   []string
	set      *customfields.Set
	products products
	known    []string // what a column can be mapped to
	targets  []string // by column, "" for one that is free or ignored
	apart    []bool   // by column: it is split
	passed   []bool   // by column: it was ignored in the last such file
	join     map[string][]int
	more     []more
	taken    map[string]bool   // targets
	habits   map[string]string // by column: how it was written in the last such file
	wrong    tenancy.ValidationError
}

// more is a target that no column has for itself: a constant, or a word of a column.
type more struct {
	Target   string `json:"target"`
	Constant string `json:"constant,omitempty"` // not empty, or else:
	Column   int    `json:"column,omitempty"`
	Word     int    `json:"word,omitempty"` // of the column, counted from 0
	Last     bool   `json:"last,omitempty"` // and all words that follow
}

func newColumns(header []string, set *customfields.Set, p products) *columns {
	return &columns{
		header: header, set: set, products: p, known: targetNames(set, p), targets: make([]string, len(header)), apart: make([]bool, len(header)), passed: make([]bool, len(header)),
		join: map[string][]int{}, taken: map[string]bool{},
	}
}

// free reports whether nothing is decided yet of a column.
func (c *columns) free(i int) bool { return c.targets[i] == "" && !c.apart[i] }

func (c *columns) add(field, value, code, message, suggestion string) {
	c.wrong.Fields = append(c.wrong.Fields, tenancy.FieldError{Field: field, Value: fault.Shown(value), Code: code, Message: message, Suggestion: suggestion})
}

// column finds a column by its name, or says that there is none.
func (c *columns) column(field, name string) (int, bool) {
	i := slices.Index(c.header, strings.TrimSpace(name))
	if i < 0 {
		c.add(field, "", "unknown_column", "the file has no such column", suggest.Closest(name, c.header))
	}
	return i, i >= 0
}

// target takes a target, or says why it cannot be had.
func (c *columns) target(field, target string) bool {
	switch {
	case !slices.Contains(c.known, target):
		code, message, suggestion := c.products.refuse(target, c.known)
		c.add(field, target, code, message, suggestion)
	case c.taken[target]:
		c.add(field, target, "duplicate", "two columns cannot be the same thing: a name or a text is made of several with options.join", "")
	default:
		c.taken[target] = true
		return true
	}
	return false
}

const targetForms = "email, name, status, fields.<key>"

// isText reports whether a target has free text, which can be joined and split.
func (c *columns) isText(target string) bool {
	return target == "name" || strings.Contains(target, ".") && c.kind(target) == customfields.Text
}

// given applies what the options say beside the mapping.
func (c *columns) given(o ProcessOptions) {
	for _, target := range slices.Sorted(mapKeys(o.Constants)) {
		field := "options.constants." + target
		switch value := o.Constants[target]; {
		case !c.target(field, target):
		case target == "email":
			c.add(field, value, "not_allowed", "every row needs an address of its own", "")
		case strings.TrimSpace(value) == "":
			c.add(field, "", "required", "must have a value: leave the target out to say nothing", "")
		default:
			c.more = append(c.more, more{Target: target, Constant: value})
		}
	}
	for _, target := range slices.Sorted(mapKeys(o.Join)) {
		c.joined("options.join."+target, target, o.Join[target])
	}
	for _, name := range slices.Sorted(mapKeys(o.Split)) {
		c.split("options.split."+name, name, o.Split[name])
	}
}

func (c *columns) joined(field, target string, names []string) {
	if !c.target(field, target) {
		return
	}
	if !c.isText(target) {
		c.add(field, target, "not_allowed", "only name and texts can be joined of several columns", "")
		return
	}
	if len(names) < 2 {
		c.add(field, "", "out_of_range", "must name the columns to join, two or more", "")
	}
	for _, name := range names {
		switch i, ok := c.column(field, name); {
		case !ok:
		case !c.free(i):
			c.add(field, name, "duplicate", "a column can be one thing only", "")
		default:
			c.targets[i], c.join[target] = target, append(c.join[target], i)
		}
	}
}

func (c *columns) split(field, name string, targets []string) {
	i, ok := c.column(field, name)
	switch {
	case !ok:
		return
	case !c.free(i):
		c.add(field, name, "duplicate", "a column can be one thing only", "")
		return
	case len(targets) < 2:
		c.add(field, "", "out_of_range", "must name what the words become, two targets or more", "")
		return
	}
	c.apart[i] = true
	for word, target := range targets {
		if !c.target(field, target) {
			continue
		}
		if !c.isText(target) {
			c.add(field, target, "not_allowed", "a column can be split into name and texts only", "")
		}
		c.more = append(c.more, more{Target: target, Column: i, Word: word, Last: word == len(targets)-1})
	}
}

// mapped applies a mapping that was given: column name to target, nil to ignore. Columns it does
// not mention are ignored. It may repeat what the other options say.
func (c *columns) mapped(mapping map[string]*string) {
	for _, name := range slices.Sorted(mapKeys(mapping)) {
		field, target := "mapping."+name, mapping[name]
		i, ok := c.column(field, name)
		switch {
		case !ok || target == nil || *target == c.targets[i]:
		case !c.free(i):
			c.add(field, *target, "duplicate", "a column can be one thing only: options say another", "")
		case c.target(field, *target):
			c.targets[i] = *target
		}
	}
	if len(c.wrong.Fields) == 0 && !c.taken["email"] {
		c.wrong.Add("mapping", "no_email_column", "one column must be email")
	}
}

// checkRequired refuses a mapping that leaves out a required field without a default: every
// new row would fail.
func (c *columns) checkRequired() {
	for _, f := range c.set.Fields {
		if target := fieldPrefix + f.Key; f.Required && f.Default == nil && !c.taken[target] {
			c.add("mapping", target, "required", "the field is required: map a column to it", "")
		}
	}
}

// targetNames are what a column can be mapped to.
func targetNames(set *customfields.Set, p products) []string {
	names := []string{"email", "name", "status"}
	for _, key := range set.Keys() {
		names = append(names, fieldPrefix+key)
	}
	return append(names, p.targets...)
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func list(names []string) string {
	const most = 12
	quoted := make([]string, 0, most+1)
	for i, n := range names {
		if i == most {
			quoted = append(quoted, "…")
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return strings.Join(quoted, ", ")
}
