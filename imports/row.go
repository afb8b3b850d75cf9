package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/formula"
	"github.com/stratakit/strata/tenancy"
)

// judge turns records into staged rows by a plan.
type judge struct {
	columns []string // what errors call the columns
	taken   []bool   // by column: something is made of it
	inputs  []input
	noText  string // what is said of a cell that is none
	report  *reportColumns
	enroll  []enroller
}

// newJudge returns ErrFieldsChanged for a plan that has a field which set has not, and
// recipients.ErrElsewhere for one with an extension that this process has not.
func newJudge(p plan, set *customfields.Set, of products) (*judge, error) {
	width := len(p.Format.Header)
	j := &judge{columns: make([]string, width), taken: make([]bool, width), noText: noText(p.Format.Encoding), report: p.Report}
	for i, t := range p.Targets {
		in, err := newInput(p, i, set, of)
		if err != nil {
			return nil, err
		}
		switch {
		case i >= width && in.more.Constant != "":
		case i >= width:
			j.taken[in.more.Column] = true
		case t == "":
			j.columns[i] = p.Format.Header[i]
		default:
			j.columns[i], j.taken[i] = in.name, true
		}
		if joined := p.Join[t]; t != "" && (len(joined) == 0 || joined[0] == i) {
			j.inputs = append(j.inputs, in)
		}
	}
	j.enroll = enrollersOf(j.inputs)
	return j, nil
}

// row returns the values of stagedColumns for a record. What is wrong with it is part of
// the row: nothing about one record is ever an error of the import. Cells that were kept from
// being formulas, as exports and error reports do it, are as they were before. An error is one of
// the check of an extension that is about no row.
func (j *judge) row(ctx context.Context, rec record) ([]any, error) {
	if j.report == nil {
		return j.judged(ctx, rec)
	}
	rec, corrects := j.report.original(rec)
	row, err := j.judged(ctx, rec)
	if err != nil {
		return nil, err
	}
	raw, lost := j.raw(rec.cells)
	return append(row[:len(row)-3], lost, raw, corrects), nil
}

func (j *judge) judged(ctx context.Context, rec record) ([]any, error) {
	if rec.err != nil {
		return j.invalid(rec, []tenancy.FieldError{{Field: "row", Code: codeBadCSV, Message: reason(rec.err)}}), nil
	}
	unescape(rec.cells)
	if len(rec.cells) == 1 && rec.cells[0] == cellTooLong && len(j.columns) > 1 { // all of a row of a sheet
		return j.invalid(rec, []tenancy.FieldError{{Field: "row", Code: codeBadCSV, Message: fmt.Sprintf("longer than %d bytes", maxRecordBytes)}}), nil
	}
	if have, want := len(rec.cells), len(j.columns); have != want {
		code, hint := codeMissingColumns, "a cell or a delimiter is missing"
		if have > want {
			code, hint = codeExtraColumns, "a cell with the delimiter in it must be quoted"
		}
		return j.invalid(rec, []tenancy.FieldError{{Field: "row", Code: code, Message: fmt.Sprintf("has %d cells, the header has %d: %s", have, want, hint)}}), nil
	}
	var wrong problems
	for i, cell := range rec.cells {
		if !storable(cell) && cellProblem("", cell) == nil { // also in a column that is ignored: the file is not what it seems
			wrong.add(tenancy.FieldError{Field: j.columns[i], Code: "invalid_text", Message: j.noText})
		}
	}
	row := staged{fields: append(make([]byte, 0, 256), '{')}
	for i := range j.inputs {
		in := &j.inputs[i]
		if problem := in.unreadable(rec.cells); problem != nil {
			wrong.add(*problem)
			continue
		}
		if len(wrong.first) > 0 && !in.storable(rec.cells) { // which has been said
			continue
		}
		if problem := in.put(&row, rec); problem != nil {
			wrong.add(*problem)
		}
	}
	products, err := j.products(ctx, &row, &wrong)
	if err != nil {
		return nil, err
	}
	if len(wrong.first) > 0 {
		return j.invalid(rec, wrong.all()), nil
	}
	return []any{rec.row, row.email, row.norm, row.name, row.status, append(row.fields, '}'), products, nil, nil, nil, nil}, nil
}

// The errors of rows that have not the cells of the header.
const (
	codeBadCSV         = "bad_csv"
	codeMissingColumns = "missing_columns"
	codeExtraColumns   = "extra_columns"
)

func unescape(cells []string) {
	for i, cell := range cells {
		cells[i] = formula.Unescape(cell)
	}
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

// maxRawCell is how many bytes are kept of a cell of a row that cannot be imported: no more than a
// spreadsheet program takes.
const maxRawCell = 32_000

// cutOff stands for what is not kept of a cell.
const cutOff = "…"

// invalid is a staged row that holds its original cells and its errors.
func (j *judge) invalid(rec record, errs []tenancy.FieldError) []any {
	data, err := json.Marshal(errs)
	if err != nil { // strings only
		data = []byte(`[]`)
	}
	raw, lost := j.raw(rec.cells)
	return []any{rec.row, nil, nil, nil, nil, nil, nil, data, lost, raw, nil}
}

// raw is cells as a report shows them, and the columns, the first being 1, of those that it cannot
// show as they are. What nothing is made of may have errors of a workbook in it.
func (j *judge) raw(cells []string) (raw []string, lost []int32) {
	raw = make([]string, len(cells))
	for i, cell := range cells {
		raw[i] = shown(cell)
		if raw[i] != cell && (i < len(j.taken) && j.taken[i] || !storable(cell) && cellProblem("", cell) == nil) {
			lost = append(lost, int32(i+1))
		}
	}
	return raw, lost
}

// shown is a cell as text that can be stored.
func shown(cell string) string {
	switch {
	case strings.HasPrefix(cell, cellFailed):
		return cell[1:] // what a sheet shows
	case cell == cellNoResult:
		return "=?"
	case cell == cellTooLong:
		return cutOff
	}
	cell = strings.ReplaceAll(strings.ToValidUTF8(cell, "\uFFFD"), "\x00", "\uFFFD")
	if len(cell) > maxRawCell {
		cell = strings.ToValidUTF8(cell[:maxRawCell-len(cutOff)], "") + cutOff
	}
	return cell
}
