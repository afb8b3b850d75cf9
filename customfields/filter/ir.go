package filter

import "github.com/stratakit/strata/customfields"

// A filter is a tree of conditions over references and literals. Each condition is true,
// false or unknown, as in CEL (where unknown is an error) and SQL (where it is NULL).
type node interface{ condition() }

type (
	and   struct{ terms []node }
	or    struct{ terms []node }
	not   struct{ term node }
	truth struct{ value bool } // true, false

	// isSet is has(fields.x): never unknown.
	isSet struct{ ref operand }
	// flag is a boolean on its own: unknown when not set.
	flag struct{ ref operand }
	// equal is ref == literal: never unknown. A nil value asks for "not set".
	equal struct {
		ref   operand
		value any
	}
	// same is ref == ref: never unknown.
	same struct{ a, b operand }
	// among is ref in [literals]: never unknown.
	among struct {
		ref    operand
		values []any
	}
	// member is literal in a multi_select: never unknown.
	member struct {
		ref   operand
		value string
	}
	// compare is ref < literal and its kin: unknown when not set.
	compare struct {
		ref   operand
		op    string
		value any
	}
	// order is ref < ref: unknown when either is not set.
	order struct {
		a  operand
		op string
		b  operand
	}
	// match is startsWith, endsWith and contains: unknown when not set.
	match struct {
		ref  operand
		how  matchKind
		text string
	}
)

func (and) condition()     {}
func (or) condition()      {}
func (not) condition()     {}
func (truth) condition()   {}
func (isSet) condition()   {}
func (flag) condition()    {}
func (equal) condition()   {}
func (same) condition()    {}
func (among) condition()   {}
func (member) condition()  {}
func (compare) condition() {}
func (order) condition()   {}
func (match) condition()   {}

type matchKind int

const (
	startsWith matchKind = iota
	endsWith
	contains
)

// operand is a column or a custom field; one of the two is set.
type operand struct {
	column *Column
	field  *customfields.Field
}

// declared is the type of the column or field.
func (r operand) declared() customfields.Type {
	if r.column != nil {
		return r.column.Type
	}
	return r.field.Type
}

// kind is the type that decides how values are compared.
func (r operand) kind() customfields.Type {
	switch t := r.declared(); t {
	case customfields.Select, customfields.URL, customfields.Email:
		return customfields.Text
	default:
		return t
	}
}

func (r operand) options() []string {
	if r.column != nil {
		return r.column.Options
	}
	return r.field.Options
}
