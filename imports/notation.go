package imports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratakit/strata/customfields"
)

// notation is a way of writing dates or numbers, which a column has throughout. Its name is a
// sample of it: "DD/MM/YYYY", "1.234,56 €".
type notation interface {
	name() string
	// read returns what a cell says as customfields.Field.Text reads it.
	read(cell string) (text string, ok bool)
	// write is the other way round, from the stored form of a value.
	write(stored any) string
}

// The notations that nothing has to be said about: those of customfields.Field.Text.
const (
	isoDate     = "YYYY-MM-DD"
	plainNumber = "1234.56"
)

// dateNotation is three numbers with a separator, and perhaps a time of day after a space,
// such as 14:30, 14:30:05 or 2:30 PM. It is read as UTC.
type dateNotation struct {
	order string // of the parts, such as "DMY"
	sep   string
	short bool // years have two digits: 69 to 99 are those of 1900, as POSIX has it
}

func (d dateNotation) name() string {
	if d == (dateNotation{order: "YMD", sep: "-"}) {
		return isoDate
	}
	parts := map[rune]string{'D': "DD", 'M': "MM", 'Y': "YYYY"}
	if d.short {
		parts['Y'] = "YY"
	}
	named := make([]string, 0, 3)
	for _, part := range d.order {
		named = append(named, parts[part])
	}
	return strings.Join(named, d.sep)
}

func (d dateNotation) read(cell string) (string, bool) {
	day, clock, hasClock := strings.Cut(strings.TrimSpace(cell), " ")
	var n [3]int // year, month, day
	for i, part := range d.order {
		text := day
		if i < 2 {
			var ok bool
			if text, day, ok = strings.Cut(day, d.sep); !ok {
				return "", false
			}
		}
		at, digits, exact := strings.IndexRune("YMD", part), 2, false
		if part == 'Y' {
			exact = true
			if !d.short {
				digits = 4
			}
		}
		if len(text) == 0 || len(text) > digits || exact && len(text) != digits || !onlyDigits(text) {
			return "", false
		}
		n[at], _ = strconv.Atoi(text)
	}
	if d.short {
		if n[0] += 1900; n[0] < 1969 {
			n[0] += 100
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], 0, 0, 0, 0, time.UTC)
	if n[0] < 1 || t.Month() != time.Month(n[1]) || t.Day() != n[2] {
		return "", false
	}
	if !hasClock {
		return t.Format(time.DateOnly), true
	}
	clock = strings.ToUpper(strings.TrimSpace(clock))
	for _, layout := range []string{"15:04", "15:04:05", "3:04 PM", "3:04:05 PM", "3:04PM", "3:04:05PM"} {
		if c, err := time.Parse(layout, clock); err == nil {
			return t.Format(time.DateOnly) + c.Format("T15:04:05.999999"), true
		}
	}
	return "", false
}

// ambiguous reports whether a spreadsheet takes some of its days for others where months and days
// are written the other way round.
func (d dateNotation) ambiguous() bool { return d.order[0] != 'Y' && d.sep != "." }

func (d dateNotation) write(stored any) string {
	text, _ := stored.(string)
	t, err := time.Parse(customfields.DateLayout, text)
	if err != nil {
		return text
	}
	layout := strings.NewReplacer("DD", "02", "MM", "01", "YYYY", "2006", "YY", "06").Replace(d.name())
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(layout)
	}
	return t.Format(layout + " 15:04:05.999999")
}

// isoNotation is what Field.Text reads of a date by itself.
type isoNotation struct{}

func (isoNotation) name() string { return isoDate }

func (isoNotation) read(cell string) (string, bool) {
	v, problem := isoField.Text(cell)
	return cell, problem == nil && v != nil
}

func (isoNotation) write(stored any) string {
	return strings.TrimSuffix(cellText(stored), "T00:00:00.000000Z")
}

// orISO also reads what a workbook has for a day, beside texts or where a spreadsheet has made days
// of those of a report.
type orISO struct{ notation }

func (n orISO) read(cell string) (string, bool) {
	if text, ok := n.notation.read(cell); ok {
		return text, true
	}
	return isoNotation{}.read(cell)
}

// Fields that read what any field of their type does.
var isoField, linkField = anyField(customfields.Date), anyField(customfields.URL)

func anyField(kind customfields.Type) *customfields.Field {
	set, err := customfields.NewSet(1, []customfields.Field{{Key: "any", Type: kind}})
	if err != nil {
		panic(err) // a definition that is here
	}
	return set.Field("any")
}

// numberNotation is digits, in groups of three or not, with an optional fraction, sign and unit.
type numberNotation struct {
	thousands string // "" for none, " " for any space
	decimal   string
	unit      string // "" for none, "%", or the sign of a currency, which a cell may leave out
}

func (n numberNotation) name() string {
	name := "1" + n.thousands + "234" + n.decimal + "56"
	if n.unit != "" {
		name += " " + n.unit
	}
	return name
}

// anySpace are the spaces that stand between digits.
var anySpace = strings.NewReplacer("\u00a0", " ", "\u202f", " ", "\u2009", " ")

func (n numberNotation) read(cell string) (string, bool) {
	cell = strings.TrimSpace(anySpace.Replace(cell))
	sign := ""
	takeSign := func() {
		if sign == "" && cell != "" && (cell[0] == '-' || cell[0] == '+') {
			sign, cell = cell[:1], strings.TrimSpace(cell[1:])
		}
	}
	takeSign()
	if n.unit != "" {
		before := cell
		if n.unit != "%" {
			cell = strings.TrimPrefix(cell, n.unit)
		}
		if cell == before {
			cell = strings.TrimSuffix(cell, n.unit)
		}
		if cell == before && n.unit == "%" {
			return "", false
		}
		cell = strings.TrimSpace(cell)
		takeSign()
	}
	if n.thousands == "" && n.decimal == "." {
		_, err := strconv.ParseFloat(cell, 64)
		return sign + cell, err == nil && cell[0] != '-' && cell[0] != '+' && !strings.ContainsAny(cell, "xXpP_nN")
	}
	whole, fraction, hasFraction := strings.Cut(cell, n.decimal)
	if hasFraction && !onlyDigits(fraction) {
		return "", false
	}
	if n.thousands != "" && strings.Contains(whole, n.thousands) {
		for i, group := range strings.Split(whole, n.thousands) {
			if !onlyDigits(group) || len(group) > 3 || i > 0 && len(group) != 3 || i == 0 && group[0] == '0' {
				return "", false
			}
		}
		whole = strings.ReplaceAll(whole, n.thousands, "")
	}
	if !onlyDigits(whole) {
		return "", false
	}
	if hasFraction {
		whole += "." + fraction
	}
	return sign + whole, true
}

func (n numberNotation) write(stored any) string {
	text := strings.Replace(cellText(stored), ".", n.decimal, 1)
	if n.unit == "%" {
		text += n.unit
	}
	return text
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// dateNotations are those of dates, the likeliest first: where cells can be read in several
// ways, and nothing in the column decides, it is by the first.
var dateNotations = func() []notation {
	all := []notation{isoNotation{}}
	for _, short := range []bool{false, true} {
		for _, order := range []string{"DMY", "MDY", "YMD"} {
			for _, sep := range []string{"/", ".", "-"} {
				if d := (dateNotation{order, sep, short}); d.name() != isoDate {
					all = append(all, d)
				}
			}
		}
	}
	return all
}()

// units are the signs that may stand beside a number.
var units = []string{"€", "$", "£", "¥", "%"}

// numberNotations are those of numbers with a unit or "", the likeliest first.
func numberNotations(unit string) []notation {
	var all []notation
	for _, form := range []numberNotation{{"", ".", ""}, {",", ".", ""}, {".", ",", ""}, {" ", ",", ""}, {"'", ".", ""}, {" ", ".", ""}, {"", ",", ""}} {
		form.unit = unit
		all = append(all, form)
	}
	return all
}

// notationsOf are those that a column for values of a type can have, the default first; none
// for types that are written in one way only.
func notationsOf(kind customfields.Type) (all []notation) {
	switch kind { //nolint:exhaustive // the others have none
	case customfields.Date:
		return dateNotations
	case customfields.Number:
		for _, unit := range append([]string{""}, units...) {
			all = append(all, numberNotations(unit)...)
		}
	}
	return all
}

func namesOf(all []notation) []string {
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.name()
	}
	return names
}

// notationNamed returns the notation of a name that a plan has, nil for "".
func notationNamed(kind customfields.Type, name string) notation {
	for _, n := range notationsOf(kind) {
		if n.name() == name {
			return n
		}
	}
	return nil
}

// chosen is the notation of a column, and others that fit it as well: when one of them reads some
// cell otherwise nothing in the column decides.
type chosen struct {
	notation notation
	others   []notation
	rival    notation // of the others
	cell     string   // that it reads differently
}

// choose looks which notation most of the cells are written in.
func choose(kind customfields.Type, cells []string) chosen {
	candidates := notationsOf(kind)
	if kind == customfields.Number {
		candidates = numberNotations(unitOf(cells))
	}
	fits := make([]int, len(candidates))
	best := 0
	for i, n := range candidates {
		for _, cell := range cells {
			if reads(n, cell) {
				fits[i]++
			}
		}
		if fits[i] > fits[best] {
			best = i
		}
	}
	c := chosen{notation: candidates[best]}
	for i, n := range candidates {
		if i == best || fits[i] < fits[best] {
			continue
		}
		c.others = append(c.others, n)
		for _, cell := range cells {
			one, ok := c.notation.read(cell)
			if other, fitsToo := n.read(cell); ok && fitsToo && one != other {
				c.rival, c.cell = n, cell
				return c
			}
		}
	}
	return c
}

func reads(n notation, cell string) bool {
	_, ok := n.read(cell)
	return ok
}

// unitOf is the sign that cells have beside their numbers, "" where they have none or several:
// amounts in two currencies are no numbers of one kind.
func unitOf(cells []string) (unit string) {
	for _, u := range units {
		for _, cell := range cells {
			if strings.Contains(cell, u) {
				if unit != "" {
					return ""
				}
				unit = u
				break
			}
		}
	}
	return unit
}

// otherwise is what a cell that n does not read would be in it, if another notation reads it in
// one way only.
func otherwise(n notation, kind customfields.Type, cell string) string {
	var found []string
	candidates := dateNotations
	if kind == customfields.Number {
		candidates = numberNotations(unitOf([]string{cell}))
	}
	for _, other := range candidates {
		if text, ok := other.read(cell); ok && !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	if len(found) != 1 {
		return ""
	}
	if kind == customfields.Number {
		f, err := strconv.ParseFloat(found[0], 64)
		if err != nil {
			return ""
		}
		return n.write(f)
	}
	v, problem := isoField.Text(found[0])
	if problem != nil {
		return ""
	}
	return n.write(v)
}

// ambiguous is the warning of a column that could be read in two ways.
func (c chosen) ambiguous(column string) Warning {
	one, _ := c.notation.read(c.cell)
	other, _ := c.rival.read(c.cell)
	return Warning{Code: "ambiguous_format", Column: column, Message: fmt.Sprintf(
		"nothing decides how the column is written: %q is read as %s (%s), and would be %s as %s; say which with options.formats", c.cell, one, c.notation.name(), other, c.rival.name())}
}
