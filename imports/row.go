package imports

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/formula"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// judge turns records into staged rows by a plan.
type judge struct {
	targets []target
	header  []string
	noText  string // what is said of a cell that is none
}

// target is what one column is for.
type target struct {
	name  string              // in errors
	core  string              // "email", "name" or "status"
	field *customfields.Field // or this; with neither the column is ignored
	json  []byte              // `"slot":` of the field
}

func newJudge(p plan, set *customfields.Set) (*judge, error) {
	j := &judge{header: p.Format.Header, targets: make([]target, len(p.Targets)), noText: noText(p.Format.Encoding)}
	for i, t := range p.Targets {
		fieldKey, isField := strings.CutPrefix(t, fieldPrefix)
		switch {
		case t == "":
			j.targets[i].name = j.header[i]
		case !isField:
			j.targets[i].name, j.targets[i].core = t, t
		default:
			f := set.Field(fieldKey)
			if f == nil {
				return nil, ErrFieldsChanged
			}
			j.targets[i] = target{name: "customFields." + fieldKey, field: f, json: append(customfields.AppendValue(nil, f.Slot), ':')}
		}
	}
	return j, nil
}

// row returns the values of stagedColumns for a record. What is wrong with it is part of
// the row: nothing about one record is ever an error of the import. Cells that were kept from
// being formulas, as exports and error reports do it, are as they were before.
func (j *judge) row(rec record) []any {
	if rec.err != nil {
		return invalid(rec, []tenancy.FieldError{{Field: "row", Code: "bad_csv", Message: reason(rec.err)}})
	}
	for i, cell := range rec.cells {
		rec.cells[i] = formula.Unescape(cell)
	}
	if have, want := len(rec.cells), len(j.targets); have != want {
		code, hint := "missing_columns", "a cell or a delimiter is missing"
		if have > want {
			code, hint = "extra_columns", "a cell with the delimiter in it must be quoted"
		}
		return invalid(rec, []tenancy.FieldError{{Field: "row", Code: code, Message: fmt.Sprintf("has %d cells, the header has %d: %s", have, want, hint)}})
	}
	var wrong problems
	var email, norm string
	var name, status any // nil: the file says nothing, so an existing recipient keeps its own
	fields := make([]byte, 0, 256)
	fields = append(fields, '{')
	for i := range j.targets {
		t, cell := &j.targets[i], rec.cells[i]
		if problem := cellProblem(t.name, cell); problem != nil {
			if t.core != "" || t.field != nil {
				wrong.add(*problem)
			}
			continue
		}
		if !storable(cell) { // also in a column that is ignored: the file is not what it seems
			wrong.add(tenancy.FieldError{Field: t.name, Code: "invalid_text", Message: j.noText})
			continue
		}
		var problem *tenancy.FieldError
		switch t.core {
		case "email":
			email = strings.TrimSpace(cell)
			norm, problem = recipients.NormalizeEmail(cell)
		case "name":
			var s string
			if s, problem = recipients.NormalizeName(cell); s != "" {
				name = s
			}
		case "status":
			if strings.TrimSpace(cell) != "" {
				var s recipients.Status
				s, problem = recipients.NormalizeStatus(cell)
				status = string(s)
			}
		default:
			if t.field == nil {
				continue
			}
			var value any
			if value, problem = t.field.Text(cell); problem == nil && value == nil && t.field.Required && t.field.Default == nil {
				problem = &tenancy.FieldError{Field: t.name, Code: "required", Message: "must have a value"}
			}
			if value != nil {
				if len(fields) > 1 {
					fields = append(fields, ',')
				}
				fields = customfields.AppendValue(append(fields, t.json...), value)
			}
		}
		if problem != nil {
			wrong.add(*problem)
		}
	}
	if len(wrong.first) > 0 {
		return invalid(rec, wrong.all())
	}
	return []any{rec.row, email, norm, name, status, append(fields, '}'), nil, nil}
}

// problems collects what is wrong with a row: the first of them, and how many more.
type problems struct {
	first []tenancy.FieldError
	more  int
}

// maxProblems is how many of them a person is told: a row can have a thousand columns.
const maxProblems = 20

func (p *problems) add(e tenancy.FieldError) {
	if len(p.first) < maxProblems {
		p.first = append(p.first, e)
	} else {
		p.more++
	}
}

func (p *problems) all() []tenancy.FieldError {
	if p.more == 0 {
		return p.first
	}
	return append(p.first, tenancy.FieldError{Field: "row", Code: "more_errors", Message: fmt.Sprintf("and %d more", p.more)})
}

// rowBytes is about how much memory a row of staging takes.
func rowBytes(row []any) int {
	const header = 16 // of a string
	n := len(row) * header
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		case []string:
			for _, s := range v {
				n += header + len(s)
			}
		}
	}
	return n
}

// maxRawCell is what is kept of a cell of a row that cannot be imported.
const maxRawCell = 32 << 10

// invalid is a staged row that holds its original cells, made storable, and its errors.
func invalid(rec record, errs []tenancy.FieldError) []any {
	raw := make([]string, len(rec.cells))
	for i, c := range rec.cells {
		if problem := cellProblem("", c); problem != nil {
			c = problem.Value // what a sheet shows
		}
		c = strings.ReplaceAll(strings.ToValidUTF8(c, "\uFFFD"), "\x00", "\uFFFD")
		if len(c) > maxRawCell {
			c = strings.ToValidUTF8(c[:maxRawCell], "")
		}
		raw[i] = c
	}
	data, err := json.Marshal(errs)
	if err != nil { // strings only
		data = []byte(`[]`)
	}
	return []any{rec.row, nil, nil, nil, nil, nil, data, raw}
}
