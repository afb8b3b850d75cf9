package imports

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratakit/strata/internal/charset"
	"github.com/stratakit/strata/tenancy"
)

const delimiters = ",;\t|"

// format is how a file is written, found by looking at its beginning.
type format struct {
	layout
	Delimiter string   `json:"delimiter"`
	CROnly    bool     `json:"crOnly,omitempty"` // lines end in CR alone, as old Macs wrote them
	Header    []string `json:"header"`
	Row       int      `json:"row"`    // of the header
	Offset    int64    `json:"offset"` // in the text, of the first record after the header
}

// public is what is told of a format.
func (f format) public() *Format {
	if f.Kind == kindXLSX {
		return &Format{Kind: kindXLSX, Sheet: f.Sheet, Sheets: f.Sheets, HeaderRow: f.Row}
	}
	return &Format{Kind: kindCSV, Encoding: cmp.Or(f.Encoding, charset.UTF8), Delimiter: f.Delimiter, Compression: f.Compression, HeaderRow: f.Row}
}

// looked is how many records are looked at to find the delimiter and the header.
const looked = 50

// sniff looks at the beginning of a text and returns how it is written, or a *FileError
// that says why it cannot be imported. whole says that there is no more than that.
func sniff(beginning []byte, whole bool, l layout, o ProcessOptions) (format, error) {
	if l.Kind == kindXLSX {
		o.Delimiter = ","
	} else if err := checkText(beginning); err != nil {
		return format{}, err
	}
	text := bytes.TrimPrefix(beginning, utf8BOM)
	f := format{layout: l, Delimiter: o.Delimiter, CROnly: crOnly(text)}
	if f.CROnly {
		text = bytes.ReplaceAll(text, []byte{'\r'}, []byte{'\n'})
	}
	if l.Kind != kindXLSX {
		var said string
		text, said = cutSep(text)
		f.Delimiter = cmp.Or(f.Delimiter, said)
	}
	f.Offset = int64(len(beginning) - len(text))
	if f.Delimiter == "" {
		f.Delimiter = guessDelimiter(text, whole)
	}
	if len(f.Delimiter) != 1 || !strings.Contains(delimiters, f.Delimiter) {
		return f, &FileError{"bad_delimiter", "the delimiter must be a comma, a semicolon, a tab or a vertical bar"}
	}
	records, more := first(text, whole, f, max(looked, o.HeaderRow))
	at, err := findHeader(records, whole && !more, o.HeaderRow)
	if err != nil {
		return f, err
	}
	header := records[at]
	f.Row, f.Offset = header.row, header.end
	if header.err != nil {
		return f, &FileError{"bad_header", fmt.Sprintf("row %d is not a CSV header: %s", header.row, reason(header.err))}
	}
	if f.Header, err = checkHeader(header.cells, l.Encoding); err != nil {
		return f, err
	}
	if whole && !more && at == len(records)-1 {
		return f, &FileError{"no_rows", "the file has a header and no rows: add one row per recipient"}
	}
	return f, nil
}

// looker is a record with its place.
type looker struct {
	record
	end int64 // in the file
}

// first returns the first n records of a text that begins at f.Offset, without one that may be
// cut off, and whether there are more.
func first(text []byte, whole bool, f format, n int) (records []looker, more bool) {
	r := newRecordReader(bytes.NewReader(text), f, f.Offset, 0)
	for {
		rec, err := r.next()
		switch {
		case err != nil: // io.EOF: memory does not break
			return records, false
		case len(records) == n, !whole && r.offset() == f.Offset+int64(len(text)):
			return records, true
		}
		rec.cells = slices.Clone(rec.cells)
		records = append(records, looker{rec, r.offset()})
	}
}

// cutSep takes off a first line such as sep=; by which Excel is told the delimiter. As there,
// it is no row.
func cutSep(text []byte) (rest []byte, delimiter string) {
	line, _, _ := bytes.Cut(text[:min(len(text), 100)], []byte{'\n'})
	said := strings.Trim(strings.TrimSuffix(string(line), "\r"), `"`)
	if len(said) != len("sep=;") || !strings.EqualFold(said[:4], "sep=") {
		return text, ""
	}
	return text[min(len(text), len(line)+1):], said[4:]
}

// guessDelimiter takes the candidate that gives most of the first records the same number of
// cells, and at least two; of several the one that gives more. When none does so to most of
// them, it is the one that the first line has most of.
func guessDelimiter(text []byte, whole bool) string {
	best, bestShare, bestWidth := "", 0.5, 0
	for _, d := range strings.Split(delimiters, "") {
		records, _ := first(text, whole, format{Delimiter: d}, looked)
		width, share := usualWidth(records)
		if width > 1 && (share > bestShare || share == bestShare && width > bestWidth) {
			best, bestShare, bestWidth = d, share, width
		}
	}
	if best != "" {
		return best
	}
	line, _, _ := bytes.Cut(bytes.TrimLeft(text, "\r\n"), []byte{'\n'})
	counts := map[string]int{}
	for i, part := range bytes.Split(line, []byte{'"'}) {
		for _, c := range part {
			if i%2 == 0 { // outside quotes
				counts[string(c)]++
			}
		}
	}
	best = delimiters[:1]
	for _, d := range strings.Split(delimiters, "") {
		if counts[d] > counts[best] {
			best = d
		}
	}
	return best
}

// usualWidth returns how many cells most records have, the greater number of two that are as
// frequent, and which part of the records that is.
func usualWidth(records []looker) (width int, share float64) {
	widths := map[int]int{}
	for _, r := range records {
		if r.err == nil {
			widths[len(r.cells)]++
		}
	}
	for w, n := range widths {
		if n > widths[width] || n == widths[width] && w > width {
			width = w
		}
	}
	return width, float64(widths[width]) / float64(max(1, len(records)))
}

// findHeader returns which record is the header: the one in the row that is asked for, else the
// first. But where that has fewer cells than most records, and none of several speaks of email,
// it is a title: then the header is the next record that has as many, all with a name of its own
// and none that is an address or a number. Where there is no such record it is the first after all.
func findHeader(records []looker, whole bool, asked int) (int, error) {
	if asked != 0 {
		at := slices.IndexFunc(records, func(r looker) bool { return r.row == asked })
		if at < 0 {
			return 0, &tenancy.ValidationError{Fields: []tenancy.FieldError{{
				Field: "options.headerRow", Value: strconv.Itoa(asked), Code: "out_of_range", Message: "must be a row of the file that is not blank, near its beginning; the first is 1",
			}}}
		}
		return at, nil
	}
	if len(records) == 0 {
		if whole {
			return 0, &FileError{"empty_file", "the file holds blank lines only: it needs a header and rows"}
		}
		return 0, &FileError{"bad_header", fmt.Sprintf("the header is longer than %d bytes: is the first line one?", sniffBytes)}
	}
	width, _ := usualWidth(records)
	if title := records[0]; title.err == nil {
		n := filled(title.cells)
		if n >= width || n > 1 && slices.ContainsFunc(title.cells, speaksOfEmail) {
			return 0, nil
		}
	}
	for i, r := range records {
		if r.err == nil && filled(r.cells) >= width && width > 1 && couldName(r.cells[:filled(r.cells)]) {
			return i, nil
		}
	}
	return 0, nil
}

// filled is the number of cells without the empty ones at the end.
func filled(cells []string) int {
	n := len(cells)
	for n > 0 && strings.TrimSpace(cells[n-1]) == "" {
		n--
	}
	return n
}

// couldName reports whether cells could be the names of columns.
func couldName(cells []string) bool {
	seen := map[string]bool{}
	for _, c := range cells {
		c = strings.ToLower(strings.TrimSpace(c))
		_, err := strconv.ParseFloat(c, 64)
		if c == "" || seen[c] || strings.Contains(c, "@") || err == nil {
			return false
		}
		seen[c] = true
	}
	return true
}
