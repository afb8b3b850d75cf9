package imports

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/internal/xlsx"
	"github.com/stratakit/strata/tenancy"
)

// The kinds of files.
const (
	kindCSV  = "csv"
	kindXLSX = "xlsx"
)

// partTimes is how many times as large as the largest file a part of a workbook, and the text of a
// sheet, may be: XML takes so much more than CSV to say the same.
const partTimes = 4

// contentTypes is the part that every Office file has.
const contentTypes = "[content_types].xml"

// parts returns the files of a zip file by their names in lower case, as Office files are read.
func parts(z *zip.Reader) (map[string]*zip.File, error) {
	out := make(map[string]*zip.File, len(z.File))
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(f.Name, `\`, "/"), "/"))
		if _, twice := out[name]; twice && !strings.HasSuffix(name, "/") {
			return nil, &FileError{"damaged_file", fmt.Sprintf("the file holds %q twice: save it again in a spreadsheet program", shortened(f.Name))}
		}
		out[name] = f
	}
	return out, nil
}

// workbook opens the file as a workbook, or returns nil when it is another zip file.
func (s *source) workbook(limit int64) (*xlsx.Workbook, error) {
	z, err := s.openZip()
	if err != nil {
		return nil, err
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		if strings.EqualFold(f.Name, contentTypes) {
			if files, err = parts(z); err != nil {
				return nil, err
			}
		}
		if f.Name == "mimetype" && f.UncompressedSize64 < 100 {
			return nil, &FileError{"not_csv", "this is an OpenDocument file: save it as XLSX or CSV (UTF-8) and import that"}
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	w, err := xlsx.Open(func(name string) (io.Reader, error) {
		f := files[strings.ToLower(name)]
		if f == nil {
			return nil, fs.ErrNotExist
		}
		r, err := openEntry(f)
		if err != nil {
			return nil, err
		}
		return &bounded{r: r, limit: partTimes * limit, packed: int64(f.CompressedSize64)}, nil
	})
	if errors.Is(err, xlsx.ErrNoWorkbook) {
		return nil, &FileError{"not_csv", "this is an Office file, and no workbook with sheets in XML: save the list as XLSX or CSV (UTF-8) and import that"}
	}
	if err == nil {
		s.close = w.Close
	}
	return w, err
}

// inspectWorkbook finds the sheet to read.
func inspectWorkbook(w *xlsx.Workbook, o ProcessOptions) (layout, error) {
	l := layout{Kind: kindXLSX}
	var v tenancy.ValidationError
	for field, value := range map[string]string{"options.encoding": o.Encoding, "options.delimiter": o.Delimiter} {
		if value != "" {
			v.Add(field, "not_supported", "must be empty: the file is a workbook, which has none")
		}
	}
	if err := v.OrNil(); err != nil {
		return l, err
	}
	sheets := w.Sheets()
	for _, s := range sheets {
		l.Sheets = append(l.Sheets, s.Name)
	}
	if o.Sheet != "" {
		at := slices.IndexFunc(l.Sheets, func(name string) bool { return name == o.Sheet })
		if at < 0 {
			at = slices.IndexFunc(l.Sheets, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(o.Sheet)) })
		}
		if at < 0 {
			return l, &tenancy.ValidationError{Fields: []tenancy.FieldError{{
				Field: "options.sheet", Value: o.Sheet, Code: "unknown_sheet", Message: "the workbook has no such sheet, but " + suggest.Quoted(l.Sheets), Suggestion: suggest.Closest(o.Sheet, l.Sheets),
			}}}
		}
		l.Sheet = l.Sheets[at]
		return l, nil
	}
	for i, s := range sheets {
		if s.Hidden {
			continue
		}
		rows, err := w.Rows(i)
		if err == nil {
			_, err = rows.Next()
		}
		switch {
		case err == nil:
			l.Sheet = s.Name
			return l, nil
		case !errors.Is(err, io.EOF):
			return l, err
		}
	}
	return l, &FileError{"empty_file", "no sheet of the workbook that is not hidden has rows: say with options.sheet which one to read"}
}

// What stands in the text for cells that have no value that could be imported. No text has
// NUL: such a row cannot be taken for a good one, whoever reads it.
const (
	cellFailed   = "\x00#"
	cellNoResult = "\x00="
	cellTooLong  = "\x00>"
)

// cellProblem says what is wrong with a cell, if there stands one of these; ignored cells may.
func cellProblem(name, cell string) *tenancy.FieldError {
	switch {
	case strings.HasPrefix(cell, cellFailed):
		return &tenancy.FieldError{Field: name, Value: cell[1:], Code: "cell_error", Message: fmt.Sprintf("the cell has the error %.40s", cell[1:])}
	case cell == cellNoResult:
		return &tenancy.FieldError{Field: name, Code: "formula_without_result", Message: "the file has a formula here and not its result: open it in a spreadsheet program, and save it"}
	case cell == cellTooLong:
		return &tenancy.FieldError{Field: name, Code: "cell_too_long", Message: fmt.Sprintf("has more than %d bytes of text", maxRecordBytes)}
	}
	return nil
}

// cellNumber stands before a number with a fraction: in a column of texts such as 1.234,56 it is
// none of those.
const cellNumber = "\x00."

// numbersIn takes cellNumber off, and returns which cells had it; nil when none had.
func numbersIn(cells []string) (numbers []bool) {
	for i, cell := range cells {
		if rest, ok := strings.CutPrefix(cell, cellNumber); ok {
			if numbers == nil {
				numbers = make([]bool, len(cells))
			}
			cells[i], numbers[i] = rest, true
		}
	}
	return numbers
}

// sheetText is a sheet as CSV. A row is in the line of its number, blank lines counted and
// those in cells not; rows after the header have a cell for each column.
type sheetText struct {
	rows   *xlsx.Rows
	header int // the row, once it is known
	width  int // its cells
	last   int // row
	held   []byte
	pos    int
	err    error
}

func (t *sheetText) Read(p []byte) (int, error) {
	for t.pos == len(t.held) {
		if t.err != nil {
			return 0, t.err
		}
		t.held, t.pos = t.held[:0], 0
		for len(t.held) < 32<<10 && t.err == nil {
			t.err = t.line()
		}
	}
	n := copy(p, t.held[t.pos:])
	t.pos += n
	return n, nil
}

// line appends the next row.
func (t *sheetText) line() error {
	row, err := t.rows.Next()
	if err != nil {
		return err
	}
	for ; t.last < row.Number-1; t.last++ {
		t.held = append(t.held, '\n')
	}
	t.last = row.Number
	from := len(t.held)
	for i, c := range row.Cells {
		if i > 0 {
			t.held = append(t.held, ',')
		}
		switch c.Kind {
		case xlsx.Number:
			if bytes.IndexByte(c.Text, '.') >= 0 {
				t.held = append(t.held, cellNumber...)
			}
			t.held = append(t.held, c.Text...)
		case xlsx.Value:
			t.held = quoted(t.held, c.Text)
		case xlsx.Failed:
			t.held = quoted(t.held, append([]byte(cellFailed), bytes.TrimPrefix(c.Text, []byte("#"))...))
		case xlsx.NoResult:
			t.held = append(t.held, cellNoResult...)
		case xlsx.TooLong:
			t.held = append(t.held, cellTooLong...)
		}
	}
	if t.header > 0 && row.Number > t.header {
		for range t.width - len(row.Cells) {
			t.held = append(t.held, ',')
		}
	}
	if len(t.held)-from >= maxRecordBytes { // its lines would be taken for rows
		t.held = append(t.held[:from], cellTooLong...)
	}
	t.held = append(t.held, '\n')
	return nil
}

// quoted appends a cell.
func quoted(dst, cell []byte) []byte {
	if !bytes.ContainsAny(cell, ",\"\r\n") {
		return append(dst, cell...)
	}
	dst = append(dst, '"')
	for _, c := range cell {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
