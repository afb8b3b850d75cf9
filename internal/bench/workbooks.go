package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/sampledata"
	"github.com/stratakit/strata/internal/xlsx"
)

// wide is how many columns the files of measureWorkbooks have: those of the sample, and others
// that nothing is made of.
const wide = 20

// measureWorkbooks compares our reader of workbooks with that of excelize on one file, and
// imports the same rows from CSV and from the workbook, with the most heap that was in use.
func measureWorkbooks(ctx context.Context, w *world, o options) (table []row, err error) {
	var plain bytes.Buffer
	if err := sampledata.CSV(&plain, o.rows, bad); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "strata-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	text, book := dir+"/wide.csv", dir+"/wide.xlsx"
	if err := writeWide(&plain, text, book); err != nil {
		return nil, err
	}
	plain = bytes.Buffer{}
	s, f, err := compare(ctx, o.repeat,
		timed(func(context.Context) error { return readOurs(book, o.rows+1) }),
		timed(func(context.Context) error { return readExcelize(book, o.rows+1) }))
	if err != nil {
		return nil, err
	}
	table = append(table, row{
		work: fmt.Sprintf("reading a workbook of %d rows x %d columns, against Rows of excelize", o.rows, wide), strata: s, floor: f,
		note: fmt.Sprintf("%.0f and %.0f rows/s", float64(o.rows)/s.Seconds(), float64(o.rows)/f.Seconds()),
	})
	for _, file := range []string{text, book} {
		peak := watchHeap()
		process, commit, size, err := importFile(ctx, w, file, o.rows)
		heap := peak()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		table = append(table, row{
			work: fmt.Sprintf("import of %d rows x %d columns from %s", o.rows, wide, file[len(dir)+len("/wide."):]), strata: process + commit,
			note: fmt.Sprintf("to the preview %s, commit %s, %.0f rows/s, %d MB, at most %d MB of heap in use", short(process), short(commit), float64(o.rows)/(process+commit).Seconds(), size>>20, heap>>20),
		})
	}
	return table, nil
}

// writeWide writes a sample with more columns, as CSV and as a workbook.
func writeWide(sample io.Reader, text, book string) (err error) {
	out, err := os.Create(text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	f := excelize.NewFile()
	defer func() { err = errors.Join(err, f.Close()) }()
	sheet, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		return err
	}
	lines := csv.NewWriter(out)
	in := csv.NewReader(sample)
	for n := 1; ; n++ {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i := len(record); i < wide; i++ {
			record = append(record, fmt.Sprintf("column %d of %d", i, n%1000))
		}
		if err := lines.Write(record); err != nil {
			return err
		}
		cells := make([]any, len(record))
		for i, c := range record {
			cells[i] = c
		}
		if err := sheet.SetRow(fmt.Sprintf("A%d", n), cells); err != nil {
			return err
		}
	}
	if lines.Flush(); lines.Error() != nil {
		return lines.Error()
	}
	if err := sheet.Flush(); err != nil {
		return err
	}
	return f.SaveAs(book)
}

func readOurs(book string, want int) error {
	z, err := zip.OpenReader(book)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	w, err := xlsx.Open(func(name string) (io.Reader, error) {
		r, err := z.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fs.ErrNotExist
		}
		return r, err
	})
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	rows, err := w.Rows(0)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) && n == want {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d of %d rows: %w", n, want, err)
		}
		if len(row.Cells) != wide {
			return fmt.Errorf("row %d has %d cells", row.Number, len(row.Cells))
		}
	}
}

func readExcelize(book string, want int) (err error) {
	f, err := excelize.OpenFile(book, excelize.Options{RawCellValue: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rows, err := f.Rows("Sheet1")
	if err != nil {
		return err
	}
	n := 0
	for ; rows.Next(); n++ {
		if _, err := rows.Columns(); err != nil {
			return err
		}
	}
	if n != want {
		return fmt.Errorf("%d of %d rows", n, want)
	}
	return errors.Join(rows.Error(), rows.Close())
}

// importFile imports a file into an empty table.
func importFile(ctx context.Context, w *world, name string, rows int) (process, commit time.Duration, size int64, err error) {
	if err := w.exec(ctx, `TRUNCATE strata.recipients, strata.recipient_counts, strata.imports, strata.import_rows CASCADE`, `CHECKPOINT`); err != nil {
		return 0, 0, 0, err
	}
	ctx, _, err = w.company(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { _ = f.Close() }()
	process, commit, err = importRows(ctx, w, f, rows)
	info, statErr := f.Stat()
	if statErr != nil {
		return 0, 0, 0, errors.Join(err, statErr)
	}
	return process, commit, info.Size(), err
}

// importRows imports a file of the sample.
func importRows(ctx context.Context, w *world, file io.Reader, rows int) (process, commit time.Duration, err error) {
	im := w.strata.Imports
	start := time.Now()
	imp, err := im.CreateFromReader(ctx, "bench", file)
	if err != nil {
		return 0, 0, err
	}
	if _, err = im.Process(ctx, imp.ID, imports.ProcessOptions{}); err != nil {
		return 0, 0, err
	}
	if err = w.await(ctx, bulk.RunID(imp.ID)); err != nil {
		return 0, 0, err
	}
	process = time.Since(start)
	start = time.Now()
	if _, err = im.Commit(ctx, imp.ID); err != nil {
		return 0, 0, err
	}
	if err = w.await(ctx, bulk.RunID(imp.ID)); err != nil {
		return 0, 0, err
	}
	commit = time.Since(start)
	if imp, err = im.Get(ctx, imp.ID); err == nil && (imp.Status != imports.Done || imp.Inserted+imp.Updated != valid(rows)) {
		err = fmt.Errorf("the import is %s and wrote %d of %d rows: %s", imp.Status, imp.Inserted+imp.Updated, valid(rows), imp.Error)
	}
	return process, commit, err
}
