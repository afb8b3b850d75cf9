package filter

import (
	"regexp/syntax"
	"slices"
	"time"

	"github.com/stratakit/strata/customfields"
)

// A filter is a tree of conditions over values. A condition is true, false or unknown, as
// in CEL (where unknown is an error) and SQL (where it is NULL).
type condition interface{ condition() }

type (
	and   struct{ terms []condition }
	or    struct{ terms []condition }
	not   struct{ term condition }
	truth struct{ value bool } // true, false
	// either is test ? yes : no: unknown when test is.
	either struct{ test, yes, no condition }

	// isSet is has(fields.x): never unknown.
	isSet struct{ ref operand }
	// flag is a boolean on its own: unknown when not set.
	flag struct{ ref operand }
	// equal is ref == literal, which is not null: never unknown.
	equal struct {
		ref   operand
		value any
	}
	// same is a == b: unknown when a value that is computed is.
	same struct{ a, b value }
	// sameTruth is ref == condition: unknown when the condition is.
	sameTruth struct {
		ref  operand
		term condition
	}
	// among is value in [literals]: never unknown for a reference.
	among struct {
		value  value
		values []any
	}
	// overlap is hasAny(ref, values), hasAll or "option" in ref: never unknown.
	overlap struct {
		ref    operand
		values []string
		all    bool
	}
	// member is value in ref, a multi_select.
	member struct {
		value value
		ref   operand
	}
	// compare is a < b and its kin: unknown when either is null.
	compare struct {
		a  value
		op string
		b  value
	}
	// match is startsWith, endsWith and contains: unknown when either is null.
	match struct {
		value value
		how   matchKind
		text  value
	}
	// pattern is matches() and what does without regard to case.
	pattern struct {
		value value
		re    *syntax.Regexp
		size  int // of what PostgreSQL gets, in units of measure
	}
	// quantified is ref.exists(x, ...) and its kin over a multi_select.
	quantified struct {
		ref  operand
		how  quantifier
		elem element
		term condition
	}
	// exactlyOne is [literals].exists_one(x, ...): unknown when any term is.
	exactlyOne struct{ terms []condition }
	// anniversary asks whether a date has the day and month of today.
	anniversary struct {
		date value
		zone *time.Location
	}
)

func (and) condition()         {}
func (or) condition()          {}
func (not) condition()         {}
func (truth) condition()       {}
func (either) condition()      {}
func (isSet) condition()       {}
func (flag) condition()        {}
func (equal) condition()       {}
func (same) condition()        {}
func (sameTruth) condition()   {}
func (among) condition()       {}
func (overlap) condition()     {}
func (member) condition()      {}
func (compare) condition()     {}
func (match) condition()       {}
func (pattern) condition()     {}
func (quantified) condition()  {}
func (exactlyOne) condition()  {}
func (anniversary) condition() {}

type matchKind int

const (
	startsWith matchKind = iota
	endsWith
	contains
)

type quantifier int

const (
	exists quantifier = iota
	all
	existsOne
)

// kind decides how values are compared.
type kind int

const (
	textKind kind = iota
	numberKind
	booleanKind
	dateKind
	durationKind
	listKind
)

func (k kind) String() string {
	return [...]string{"text", "number", "boolean", "date", "duration", "multi_select"}[k]
}

// value is what a condition is about. Where a column or field has none it is null, to which
// == has an answer; where a computed one has none it is an error, which spreads.
type value interface{ kind() kind }

type (
	// operand is a column or a custom field; one of the two is set.
	operand struct {
		name   string // as the filter has it
		column *Column
		field  *customfields.Field
	}
	// literal is nil, string, float64 or bool.
	literal struct{ value any }
	// moment is a time that is known when the filter is run.
	moment struct {
		from   clock
		at     time.Time // for fixed
		offset time.Duration
	}
	// span is a duration literal.
	span struct{ length time.Duration }
	// element is the variable of a macro: a text, never null.
	element struct {
		depth int
		of    operand
	}
	// truthOf is a condition as a value.
	truthOf struct{ term condition }
	// choice is test ? yes : no. Whatever takes a value takes it apart: none is rendered.
	choice struct {
		test    condition
		yes, no value
	}

	arithmetic struct { // + - *
		op   string
		a, b value
	}
	negative struct{ of value }
	size     struct{ of value } // of text or a multi_select
	ascii    struct {           // lowerAscii, upperAscii
		of    value
		upper bool
	}
	concat struct{ a, b value }
	shift  struct { // date + duration
		date value
		by   time.Duration
	}
	difference struct{ a, b value } // date - date
	part       struct {             // getFullYear() and its kin
		of    value
		which string
		zone  *time.Location
	}
	count struct { // events(kind).count(window)
		kindOf string
		window time.Duration
	}
)

type clock int

const (
	fixed clock = iota
	now
	today
)

func (o operand) kind() kind { return kindOfType(o.declared()) }
func (l literal) kind() kind {
	switch l.value.(type) {
	case float64:
		return numberKind
	case bool:
		return booleanKind
	}
	return textKind
}
func (moment) kind() kind     { return dateKind }
func (span) kind() kind       { return durationKind }
func (element) kind() kind    { return textKind }
func (truthOf) kind() kind    { return booleanKind }
func (c choice) kind() kind   { return c.yes.kind() }
func (arithmetic) kind() kind { return numberKind }
func (negative) kind() kind   { return numberKind }
func (size) kind() kind       { return numberKind }
func (ascii) kind() kind      { return textKind }
func (concat) kind() kind     { return textKind }
func (shift) kind() kind      { return dateKind }
func (difference) kind() kind { return durationKind }
func (part) kind() kind       { return numberKind }
func (count) kind() kind      { return numberKind }

// definite reports whether a NULL for v is a null and no error.
func definite(v value) bool {
	switch v.(type) {
	case operand, literal, moment, span, element:
		return true
	}
	return false
}

// declared is the type of the column or field.
func (o operand) declared() customfields.Type {
	if o.column != nil {
		return o.column.Type
	}
	return o.field.Type
}

func kindOfType(t customfields.Type) kind {
	switch t {
	case customfields.Number:
		return numberKind
	case customfields.Date:
		return dateKind
	case customfields.Boolean:
		return booleanKind
	case customfields.MultiSelect:
		return listKind
	case customfields.Text, customfields.Select, customfields.URL, customfields.Email:
	}
	return textKind
}

func (o operand) options() []string {
	if o.column != nil {
		return o.column.Options
	}
	return append(slices.Clone(o.field.Options), o.field.ArchivedOptions...)
}

// slot is the key under which the values of a custom field are stored.
func slot(f *customfields.Field) string { return f.Slot }

// dateOnly reports whether the values of a date field are days.
func dateOnly(f *customfields.Field) bool { return f.DateOnly }
