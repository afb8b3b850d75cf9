package imports

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// invent defines the fields that the file has columns for and the workspace has not: those that
// the mapping names, or without a mapping one for each column that nothing is known of. One that
// may well be a field that there is, is left to a person.
func (c *columns) invent(o ProcessOptions, suggestions []Suggestion, sample [][]string, whole bool) (fields []customfields.Field) {
	taken := append(c.set.Keys(), c.set.Archived...)
	add := func(i int, fieldKey string) {
		name := c.header[i]
		if utf8.RuneCountInString(name) > maxLabel {
			name = string([]rune(name)[:maxLabel])
		}
		f := customfields.Field{Key: fieldKey, Label: name, Filterable: true}
		f.Type, f.Options = infer(name, cellsOf(sample, i), whole)
		fields, taken = append(fields, f), append(taken, fieldKey)
	}
	if o.Mapping != nil {
		for _, name := range slices.Sorted(mapKeys(o.Mapping)) {
			i, target := slices.Index(c.header, strings.TrimSpace(name)), o.Mapping[name]
			if i < 0 || target == nil {
				continue
			}
			if fieldKey, ok := strings.CutPrefix(*target, fieldPrefix); ok && !slices.Contains(taken, fieldKey) {
				add(i, fieldKey)
			}
		}
		return fields
	}
	for i, name := range c.header {
		known := slices.ContainsFunc(suggestions, func(s Suggestion) bool { return s.Column == name })
		if c.free(i) && !known && key(name) != "" && !isReportColumn(name) {
			add(i, freeKey(name, i, taken))
		}
	}
	return fields
}

// maxLabel is how many characters the label of a field may have.
const maxLabel = 200

// freeKey makes a key of a column's name, which no field has.
func freeKey(name string, column int, taken []string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	base := strings.Join(words, "_")
	if base == "" || base[0] < 'a' {
		base = fmt.Sprintf("column_%d", column+1)
	}
	base = base[:min(len(base), 50)]
	out := base
	for n := 2; slices.Contains(taken, out) || slices.Contains([]string{"true", "false", "null", "in"}, out); n++ {
		out = base + "_" + strconv.Itoa(n)
	}
	return out
}

// The limits of what is taken for a select: few options, each of them there several times.
const (
	maxInferred = 10
	perOption   = 5
)

// infer returns the type of a new field for cells: text, unless all of them are of another one
// and nothing is lost by it. Numbers that are names, such as 00123, +49 and what is longer than a
// number keeps exactly, stay text; so does what could be read in two ways. A select is for files
// that were seen as a whole: any other value would be an error.
func infer(name string, cells []string, whole bool) (customfields.Type, []string) {
	if len(cells) == 0 {
		return customfields.Text, nil
	}
	all := func(is func(string) bool) bool {
		return !slices.ContainsFunc(cells, func(cell string) bool { return !is(cell) })
	}
	areAll := func(kind customfields.Type) bool {
		c := choose(kind, cells)
		return c.rival == nil && all(func(cell string) bool { return reads(c.notation, cell) })
	}
	switch {
	case all(isAddress):
		return customfields.Email, nil
	case all(isLink):
		return customfields.URL, nil
	case all(isYesOrNo):
		return customfields.Boolean, nil
	case areAll(customfields.Date):
		return customfields.Date, nil
	case !isNumberedName(name) && all(isQuantity) && areAll(customfields.Number):
		return customfields.Number, nil
	}
	var options []string
	for _, cell := range cells {
		if !slices.Contains(options, cell) {
			if options = append(options, cell); len(options) > maxInferred || utf8.RuneCountInString(cell) > maxLabel {
				return customfields.Text, nil
			}
		}
	}
	if whole && len(options) > 1 && len(cells) >= perOption*len(options) {
		slices.Sort(options)
		return customfields.Select, options
	}
	return customfields.Text, nil
}

func isYesOrNo(cell string) bool {
	return slices.Contains([]string{"true", "false", "yes", "no"}, strings.ToLower(cell))
}

func isLink(cell string) bool {
	_, problem := linkField.Text(cell)
	return problem == nil
}

// isQuantity reports whether a text with digits can be a number without losing anything.
func isQuantity(cell string) bool {
	digits, first := 0, byte(0)
	for i := range len(cell) {
		if c := cell[i]; c >= '0' && c <= '9' {
			if digits++; digits == 1 {
				first = c
			} else if digits == 2 && first == '0' && cell[i-1] == '0' {
				return false
			}
		}
	}
	return cell[0] != '+' && digits > 0 && digits <= 15
}

// isNumberedName reports whether a column is called as one whose digits count nothing.
func isNumberedName(name string) bool {
	for _, word := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < 'a' || r > 'z' }) {
		if slices.Contains([]string{"id", "zip", "zipcode", "postal", "postcode", "plz", "phone", "tel", "telephone", "mobile", "fax", "code", "nr", "no", "number", "account", "iban", "vat", "sku", "ean"}, word) {
			return true
		}
	}
	return false
}

// createFields makes all of the fields or none.
func (im *Importer) createFields(ctx context.Context, fields []customfields.Field) error {
	return im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		for _, f := range fields {
			if _, err := im.fields.CreateTx(ctx, tx, f); err != nil {
				return fmt.Errorf("create the custom field %s: %w", f.Key, err)
			}
		}
		return nil
	})
}
