package imports

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// CorrectOptions say how to read a corrected report. The zero value finds out by itself. They
// are those of ProcessOptions.
type CorrectOptions struct {
	Delimiter string
	Encoding  string
	Sheet     string
	HeaderRow int
}

// Correct takes the uploaded file of an import for the error report of another one, of, with its
// rows corrected, and merges it into that one. A run reads it and judges its rows as those of the
// corrected import were, by the same mapping, formats and policy; its last transaction replaces
// the rows of the corrected import, all of the report or none. Rows that are still wrong are in
// the next report, with their new cells; rows that the report has not stay as they are.
//
// A row that had too few or too many cells is corrected when one of its cells is another than the
// report had.
//
// The report may be written in any way that a file can be, with its rows in any order. It needs
// the columns of the file, in their order, and __row. Corrected can be rows that are invalid, and
// of a committed import also those that the commit skipped because their recipient was gone or a
// value was taken.
//
// The corrected import must be Previewed or Done. One that is Previewed stays so. One that is Done
// is Previewed again when there is something to write: for a commit of the corrected rows alone,
// whose numbers add to those of the first. Its rows are then checked by the custom fields as they
// are now. The import with the report becomes Merged, and its counters say what became of its rows.
//
// What is wrong with the report as a whole is returned as a *FileError, or is the error of the
// import that failed when it shows in a row: a __row that is missing, not a row of the file, there
// twice, or one that is not to be corrected. Errors also: ErrNotFound, ErrNotUploaded,
// ErrFileChanged, ErrTooLarge, ErrSwept, ErrNotCorrectable, *FieldsChangedError,
// *tenancy.ValidationError, *StateError of either import.
func (im *Importer) Correct(ctx context.Context, id, of ID, o CorrectOptions) (Import, error) {
	imp, s, err := im.read(ctx, id)
	if err != nil {
		return imp, err
	}
	corrected, its, err := im.read(ctx, of)
	switch {
	case err != nil:
		return imp, err
	case !mayProcess(imp):
		return imp, &StateError{id, imp.Status, "processed"}
	case id == of:
		return imp, &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "corrects", Code: "not_allowed", Message: "must be another import: upload the corrected report as a file of its own"}}}
	}
	set, err := im.fields.Current(ctx)
	if err != nil {
		return imp, err
	}
	if err := im.mayCorrect(corrected, its, set); err != nil {
		return imp, err
	}
	attrs, err := im.uploaded(ctx, imp, s)
	if err != nil {
		return imp, err
	}
	begun, err := im.source(ctx, s.objectKey, attrs.Size, sniffBytes+1).
		begin(ProcessOptions{Delimiter: o.Delimiter, Encoding: o.Encoding, Sheet: o.Sheet, HeaderRow: o.HeaderRow}, im.cfg.MaxFileSize)
	if err != nil {
		return imp, err
	}
	p, err := its.plan.corrected(of, begun.format, set)
	if err != nil {
		return imp, err
	}
	return im.begin(ctx, id, p, set.Version, attrs, of)
}

// mayCorrect says what keeps an import from being corrected with the fields of set.
func (im *Importer) mayCorrect(i Import, s stored, set *customfields.Set) error {
	const instead = "upload the report as a file of its own"
	switch {
	case i.Status != Previewed && i.Status != Done:
		return &StateError{i.ID, i.Status, "corrected"}
	case s.objectKey == "":
		return fmt.Errorf("%w: its rows have been deleted after their time; %s", ErrNotCorrectable, instead)
	case i.Status == Previewed:
		return s.checkFields(set)
	case !im.mayUndo(s): // a second commit could not be undone with the first
		return fmt.Errorf("%w: it was committed too long ago; %s", ErrNotCorrectable, instead)
	case set.Layout > s.fieldsVersion:
		return fmt.Errorf("%w: values of custom fields are stored otherwise than when it was committed; %s", ErrNotCorrectable, instead)
	}
	for _, f := range set.Fields {
		if target := fieldPrefix + f.Key; f.Required && f.Default == nil && !slices.Contains(s.plan.Targets, target) {
			return fmt.Errorf("%w: its file has no column for the field %q, which is required now; %s", ErrNotCorrectable, f.Key, instead)
		}
	}
	for _, target := range s.plan.Targets {
		if key, isField := strings.CutPrefix(target, fieldPrefix); isField && set.Field(key) == nil {
			return fmt.Errorf("%w: there is no field %q any more; %s", ErrNotCorrectable, key, instead)
		}
	}
	return nil
}

// corrected is the plan for a report, in a format, of the import that p is the plan of.
func (p plan) corrected(of ID, f format, set *customfields.Set) (plan, error) {
	report, err := p.reportIn(f.Header)
	if err != nil {
		return plan{}, err
	}
	report.Reading = p.reading(of)
	if f.Kind == kindXLSX {
		for i, name := range p.Format.Header {
			switch n := p.notation(i).(type) {
			case numberNotation:
				if n.name() != plainNumber {
					return plan{}, &FileError{"workbook_numbers", fmt.Sprintf("the numbers of the column %q are written as %s, as those of a workbook are not: save the report as CSV and upload that", name, n.name())}
				}
			case dateNotation:
				if n.ambiguous() {
					return plan{}, &FileError{"workbook_dates", fmt.Sprintf("the dates of the column %q are written as %s, which a spreadsheet program may have taken for another day: save the report as CSV and upload that", name, n.name())}
				}
			}
		}
	}
	f.Header = p.Format.Header
	p.Format, p.Report = f, report
	p.Definitions, p.Defaults = definitionsOf(set), set.Defaults()
	p.Suggestions, p.Warnings, p.Created, p.Facts = nil, nil, nil, facts{}
	p.Slots, err = slotsOf(p.Targets, set)
	return p, err
}

// sameRules reports whether two plans take the same cells for the same row.
func (p plan) sameRules(as plan) bool {
	return slices.Equal(p.Format.Header, as.Format.Header) && slices.Equal(p.Targets, as.Targets) && slices.Equal(p.Notations, as.Notations) &&
		slices.Equal(p.More, as.More) && p.Conflict == as.Conflict && maps.EqualFunc(p.Join, as.Join, slices.Equal[[]int])
}

// reportColumns is where a report has the columns of its file.
type reportColumns struct {
	Row     int    `json:"row"`     // the column __row
	Import  int    `json:"import"`  // the column __import, or -1
	Reading string `json:"reading"` // what that has to say
	Own     []int  `json:"own"`     // by column of the file, -1 for one that a report leaves out
	Width   int    `json:"width"`   // how many columns the report has
}

// reportIn finds the columns of the file of p in the header of a report.
func (p plan) reportIn(header []string) (*reportColumns, error) {
	r := &reportColumns{Row: slices.Index(header, reportRow), Import: slices.Index(header, reportImport), Own: make([]int, len(p.Format.Header)), Width: len(header)}
	if r.Row < 0 {
		return nil, &FileError{"no_row_column", "the report needs its column __row, which says which row of the file each row is: correct the report as it was downloaded, with all of its columns"}
	}
	const want = "a corrected report has the columns of the file, in their order"
	own := ownColumns(header)
	n := 0
	for i, name := range p.Format.Header {
		switch {
		case isReportColumn(name): // the file was a report itself
			r.Own[i] = -1
			continue
		case n == len(own):
			return nil, &FileError{"other_columns", fmt.Sprintf("the column %q is missing: %s", name, want)}
		case header[own[n]] != name:
			return nil, &FileError{"other_columns", fmt.Sprintf("column %d is %q, where the file has %q: %s", own[n]+1, header[own[n]], name, want)}
		}
		r.Own[i] = own[n]
		n++
	}
	if n < len(own) {
		return nil, &FileError{"other_columns", fmt.Sprintf("the file has no column %q: %s", header[own[n]], want)}
	}
	return r, nil
}

// shown are the columns of the file that the report has, the first being 1.
func (r *reportColumns) shown() []int32 {
	out := make([]int32, 0, len(r.Own))
	for i, at := range r.Own {
		if at >= 0 {
			out = append(out, int32(i+1))
		}
	}
	return out
}

// foreign is the number of a row of another import, or of another sheet.
const foreign = 0

// original returns a record of a report as one of the file, and which row of that it says it is:
// nil when it does not say that, and foreign.
func (r *reportColumns) original(rec record) (record, any) {
	if rec.err != nil || len(rec.cells) != r.Width {
		return rec, nil
	}
	var corrects any
	if n, err := strconv.Atoi(strings.TrimSpace(rec.cells[r.Row])); err == nil && n > 0 && n <= math.MaxInt32 {
		corrects = n
	}
	if r.Import >= 0 {
		if says := strings.TrimSpace(rec.cells[r.Import]); says != "" && says != strings.TrimSpace(r.Reading) {
			corrects = foreign
		}
	}
	cells := make([]string, len(r.Own))
	for i, c := range r.Own {
		if c >= 0 {
			cells[i] = rec.cells[c]
		}
	}
	if rec.numbers != nil {
		numbers := make([]bool, len(r.Own))
		for i, c := range r.Own {
			numbers[i] = c >= 0 && rec.numbers[c]
		}
		rec.numbers = numbers
	}
	rec.cells = cells
	return rec, corrects
}
