package filter

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/stratakit/strata/customfields"
)

// Filter is a compiled expression. It does not change and is safe for concurrent use.
type Filter struct {
	source  string
	schema  Schema
	root    condition
	env     *cel.Env
	checked *cel.Ast
	program cel.Program
	refs    []string
	uses    []Use
	joins   []string
	timed   bool
	cost    int

	explainer explainer
}

// explainer is the program that keeps what it found on the way, made when it is asked for.
type explainer struct {
	once    sync.Once
	program cel.Program
	parsed  *ast.AST // as it was written
	err     error
}

// Use is a way in which a filter uses a custom field: what an index could help with.
type Use struct {
	Slot string // the key under which the values are stored
	Type customfields.Type
	Form UseForm
}

// UseForm is what a filter, or an order, does with a field.
type UseForm string

// The forms of use.
const (
	UseEqual  UseForm = "equal"  // ==, in, hasAny, hasAll: what the containment index answers
	UseRange  UseForm = "range"  // <, <=, >, >=, between, withinLast, withinNext
	UsePrefix UseForm = "prefix" // startsWith
	UseSort   UseForm = "sort"   // an order of a list
	UseOther  UseForm = "other"  // what needs each value looked at
)

func (u Use) compare(v Use) int {
	return cmp.Or(strings.Compare(u.Slot, v.Slot), strings.Compare(string(u.Form), string(v.Form)))
}

// String returns the filter as it was written.
func (f *Filter) String() string { return f.source }

// References returns the names of the columns, fields and events the filter reads
// ("status", "fields.tier", "sms.phone", "events.email.opened"), sorted.
func (f *Filter) References() []string { return slices.Clone(f.refs) }

// Uses returns how the filter uses custom fields, sorted.
func (f *Filter) Uses() []Use { return slices.Clone(f.uses) }

// Joins returns the joins of the extensions that the filter reads; a statement needs them
// behind the table r.
func (f *Filter) Joins() []string { return slices.Clone(f.joins) }

// TimeDependent reports whether the answer for a record can change while the record does
// not, because time goes by.
func (f *Filter) TimeDependent() bool { return f.timed }

// Cost is an estimate, in comparisons, of the work for one record where no index helps.
func (f *Filter) Cost() int { return f.cost }

func (f *Filter) checkCost(limit int) error {
	if limit = cmp.Or(limit, DefaultMaxCost); f.cost > limit {
		return problemAt(Position{1, 1}, "the filter costs %d, at most %d are allowed: ask less of text, lists and events", f.cost, limit)
	}
	return nil
}

// Options are what SQL needs to know beside the filter.
type Options struct {
	// First is the number of the first parameter. Default 1.
	First int
	// At is what the filter calls now. Default time.Now().
	At time.Time
	// Ready reports whether there is an expression index on a custom field: see
	// IndexExpression. Nil stands for none.
	Ready func(slot string, t customfields.Type) bool
}

// SQL returns the filter as a condition in parentheses over the table r, with its
// parameters numbered from o.First, and their values. No part of the filter's text is in
// the condition: every literal is a parameter, and everything else comes from a fixed
// set of templates. The condition is TRUE exactly for the records that match.
func (f *Filter) SQL(o Options) (string, []any) {
	r := newRenderer(f.schema, o)
	sql := r.render(f.root, true)
	return sql, r.args
}
