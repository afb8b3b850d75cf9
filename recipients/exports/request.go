package exports

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Format is what a file is written as.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // RFC 4180 in UTF-8, with a header
	XLSX  Format = "xlsx"  // one sheet with a header; numbers, dates and booleans are such
	JSONL Format = "jsonl" // one recipient a line, as the API shows it
)

func (f Format) contentType() string {
	switch f {
	case XLSX:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case JSONL:
		return "application/x-ndjson"
	case CSV:
	}
	return "text/csv; charset=utf-8"
}

// Request asks for an export. The zero Request, with a Format, is all recipients.
type Request struct {
	// Filter, Search, Deleted and With are those of recipients.Query.
	Filter  string   `json:"filter,omitempty"`
	Search  string   `json:"search,omitempty"`
	Deleted bool     `json:"deleted,omitempty"`
	With    []string `json:"with,omitempty"`
	// Columns are the columns of CSV and XLSX, in their order: "email", "name", "status" and
	// the others of a recipient as JSON names them, "fields.<key>" and, of the extensions in
	// With, "<extension>.<column>" and "<extension>.enrolled". Default: all of them, the
	// fields by their keys. JSON lines are whole recipients always.
	Columns []string `json:"columns,omitempty"`
	Format  Format   `json:"format"`
	// BOM puts a byte order mark before CSV, without which Excel takes it for text in the
	// code page of its computer.
	BOM bool `json:"bom,omitempty"`
}

func (r Request) query() recipients.Query {
	return recipients.Query{Filter: r.Filter, Search: r.Search, Deleted: r.Deleted, With: r.With}
}

// plan is a Request that can be done: with the columns that there are.
type plan struct {
	Request

	columns []column
}

// plan checks a Request against what there is now. What is wrong comes back all at once as a
// *tenancy.ValidationError, and what is wrong with the filter as a *filter.Error.
func (e *Exporter) plan(ctx context.Context, r Request) (plan, error) {
	p := plan{Request: r}
	var v tenancy.ValidationError
	if !slices.Contains([]Format{CSV, XLSX, JSONL}, r.Format) {
		v.Fields = append(v.Fields, tenancy.FieldError{Field: "format", Value: fault.Shown(string(r.Format)), Code: "unknown_format", Message: "must be csv, xlsx or jsonl"})
	}
	for field, text := range map[string]string{"filter": r.Filter, "search": r.Search} {
		if text != fault.Storable(text) {
			v.Add(field, "invalid_text", "must be UTF-8 text without NUL")
		}
	}
	if r.Format == JSONL && len(r.Columns) > 0 {
		v.Add("columns", "not_allowed", "must be empty: the lines of jsonl are whole recipients")
	}
	if r.BOM && r.Format != CSV {
		v.Add("bom", "not_allowed", "must be false: only csv has a byte order mark")
	}
	if err := v.OrNil(); err != nil {
		return p, err
	}
	if strings.TrimSpace(r.Filter) != "" {
		if _, err := e.store.Filter(ctx, r.Filter); err != nil {
			return p, err
		}
	}
	set, err := e.store.Fields(ctx)
	if err != nil {
		return p, err
	}
	all, err := e.columns(ctx, set, r)
	if err != nil {
		return p, err
	}
	p.columns, err = choose(all, r.Columns, set)
	return p, err
}

// choose returns the columns of names, or all.
func choose(all []column, names []string, set *customfields.Set) ([]column, error) {
	if len(names) == 0 {
		return all, nil
	}
	var v tenancy.ValidationError
	chosen := make([]column, 0, len(names))
	known := make([]string, len(all))
	for i, c := range all {
		known[i] = c.name
	}
	for i, name := range names {
		at := slices.Index(known, name)
		field := fmt.Sprintf("columns[%d]", i)
		switch {
		case at < 0:
			message := "there is no such column"
			if key, ok := strings.CutPrefix(name, fieldPrefix); ok && slices.Contains(set.Archived, key) {
				message = "the field is archived"
			} else if x, _, ok := strings.Cut(name, "."); ok && !strings.HasPrefix(name, fieldPrefix) {
				message = fmt.Sprintf("there is no such column; those of an extension need it in with: [%q]", fault.Shown(x))
			}
			v.Fields = append(v.Fields, tenancy.FieldError{Field: field, Value: fault.Shown(name), Code: "unknown_column", Message: message, Suggestion: suggest.Closest(name, known)})
		case slices.Contains(names[:i], name):
			v.Fields = append(v.Fields, tenancy.FieldError{Field: field, Value: fault.Shown(name), Code: "duplicate", Message: "must be there once"})
		default:
			chosen = append(chosen, all[at])
		}
		if len(v.Fields) >= maxProblems {
			break
		}
	}
	return chosen, v.OrNil()
}

// maxProblems is how many wrong columns are named.
const maxProblems = 20
