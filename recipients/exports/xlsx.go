package exports

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/recipients"
)

// The limits of a sheet.
const (
	maxSheetRows = 1<<20 - 1 // beside the header
	maxCell      = 32_767    // UTF-16 units
)

const sheet = "Recipients"

// workbook writes one sheet. Its rows are collected in a file of TempDir, and packed into the
// workbook at the end: a zip file has to know what comes first.
type workbook struct {
	file      *excelize.File
	rows      *excelize.StreamWriter
	out       io.Writer
	columns   []column
	cells     []any
	n         int
	date, day int // styles
}

func newXLSX(w *bufio.Writer, columns []column, tempDir string) (_ *workbook, err error) {
	if err := os.MkdirAll(tempDir, 0o700); err != nil {
		return nil, fmt.Errorf("exports: the directory for temporary files: %w", err)
	}
	b := &workbook{file: excelize.NewFile(excelize.Options{TmpDir: tempDir}), out: w, columns: columns, cells: make([]any, len(columns))}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err := b.file.SetSheetName("Sheet1", sheet); err != nil {
		return nil, err
	}
	for format, style := range map[string]*int{"yyyy-mm-dd hh:mm:ss": &b.date, "yyyy-mm-dd": &b.day} {
		if *style, err = b.file.NewStyle(&excelize.Style{CustomNumFmt: &format}); err != nil {
			return nil, err
		}
	}
	if b.rows, err = b.file.NewStreamWriter(sheet); err != nil {
		return nil, err
	}
	for i, c := range columns {
		b.cells[i] = c.name
	}
	return b, b.write()
}

// write writes the cells as the next row.
func (b *workbook) write() error {
	b.n++
	return b.rows.SetRow(fmt.Sprintf("A%d", b.n), b.cells)
}

func (b *workbook) row(r *recipients.Recipient) error {
	if b.n > maxSheetRows {
		return ErrTooManyRows
	}
	for i, c := range b.columns {
		var err error
		if b.cells[i], err = b.cell(c.value(r)); err != nil {
			return fmt.Errorf("column %s of recipient %s: %w", c.name, r.ID, err)
		}
	}
	return b.write()
}

// epoch is the first day from which on spreadsheets agree about dates: before it some count a
// day that never was.
var epoch = time.Date(1900, time.March, 1, 0, 0, 0, 0, time.UTC)

// cell returns a value as a cell of its type. A text is one whatever it begins with.
func (b *workbook) cell(value any) (any, error) {
	style, at := b.date, value
	switch v := value.(type) {
	case string:
		if v == "" {
			return nil, nil
		}
		if len(v) > maxCell && units(v) > maxCell {
			return nil, ErrLongCell
		}
		return v, nil
	case json.Number:
		if n, err := v.Float64(); err == nil {
			return n, nil
		}
		return v.String(), nil
	case int64:
		if v > 1<<53 || v < -1<<53 { // a spreadsheet's numbers end here
			return cellText(v), nil
		}
		return v, nil
	case day:
		style, at = b.day, time.Time(v)
	}
	if t, ok := at.(time.Time); ok {
		if t.Before(epoch) {
			return cellText(value), nil
		}
		return excelize.Cell{StyleID: style, Value: t.UTC()}, nil
	}
	return value, nil
}

// units counts the UTF-16 units of s.
func units(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// end packs the workbook straight into the file: excelize would put it together in memory.
func (b *workbook) end() error {
	if err := b.rows.Flush(); err != nil {
		return err
	}
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return zip.NewWriter(b.out) })
	return b.file.Write(io.Discard)
}

func (b *workbook) close() { _ = b.file.Close() } // deletes what it has in TempDir
