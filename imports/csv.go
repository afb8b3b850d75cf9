package imports

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stratakit/strata/internal/formula"
)

// The limits of a file's parts.
const (
	maxRecordBytes = 1 << 20 // an unclosed quote must not swallow the file
	maxColumns     = 1000
	maxHeaderRunes = 300
	sniffBytes     = 64 << 10
)

const delimiters = ",;\t|"

// format is how a file is written, found by looking at its beginning.
type format struct {
	Delimiter string   `json:"delimiter"`
	CROnly    bool     `json:"crOnly,omitempty"` // lines end in CR alone, as old Macs wrote them
	Header    []string `json:"header"`
	Row       int      `json:"row"`    // of the header: 1 unless there are blank lines before it
	Offset    int64    `json:"offset"` // of the first record after the header
}

const saveAsCSV = "save it as CSV (UTF-8) and import that"

// sniff looks at the beginning of a file and returns how it is written, or a *FileError
// that says why it cannot be imported. whole says that there is no more than that.
func sniff(beginning []byte, whole bool, delimiter string) (format, error) {
	complete := beginning
	if !whole {
		complete = completeRunes(beginning)
	}
	if err := checkText(complete); err != nil {
		return format{}, err
	}
	text := bytes.TrimPrefix(beginning, utf8BOM)
	f := format{Delimiter: delimiter, CROnly: crOnly(text)}
	if f.CROnly {
		text = bytes.ReplaceAll(text, []byte{'\r'}, []byte{'\n'})
	}
	if f.Delimiter == "" {
		f.Delimiter = guessDelimiter(text)
	}
	if len(f.Delimiter) != 1 || !strings.Contains(delimiters, f.Delimiter) {
		return f, &FileError{"bad_delimiter", "the delimiter must be a comma, a semicolon, a tab or a vertical bar"}
	}
	r := newCSV(bytes.NewReader(text), f.Delimiter)
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return f, &FileError{"empty_file", "the file holds blank lines only: it needs a header and rows"}
	case err != nil:
		return f, &FileError{"bad_header", "the first line is not a CSV header: " + reason(err)}
	case !whole && r.InputOffset() == int64(len(text)):
		return f, &FileError{"bad_header", fmt.Sprintf("the header is longer than %d bytes: is the first line one?", sniffBytes)}
	}
	f.Row, _ = r.FieldPos(0)
	f.Offset = int64(len(beginning)-len(text)) + r.InputOffset()
	if f.Header, err = checkHeader(header); err != nil {
		return f, err
	}
	if _, err := r.Read(); whole && errors.Is(err, io.EOF) {
		return f, &FileError{"no_rows", "the file has a header and no rows: add one row per recipient"}
	}
	return f, nil
}

var utf8BOM = []byte{0xEF, 0xBB, 0xBF}

// checkText refuses what is not UTF-8 text as a whole. A file that has a bad byte here
// and there passes: those rows are reported, the others imported.
func checkText(b []byte) error {
	if len(b) == 0 {
		return &FileError{"empty_file", "the file is empty: it needs a header and rows"}
	}
	for prefix, what := range map[string]string{
		"PK\x03\x04": "an Excel or zip file", "\xD0\xCF\x11\xE0": "an old Excel file", "%PDF-": "a PDF file", "\x1F\x8B": "a gzip file",
		"\x89PNG": "an image", "\xFF\xD8\xFF": "an image", "{\\rtf": "a Word file",
	} {
		if bytes.HasPrefix(b, []byte(prefix)) {
			return &FileError{"not_csv", "this is " + what + ": " + saveAsCSV}
		}
	}
	if bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}) {
		return &FileError{"not_utf8", "the file is UTF-16: " + saveAsCSV}
	}
	text := bytes.TrimPrefix(b, utf8BOM)
	lines, notUTF8 := 0, 0
	var first []byte
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) { // CR alone may end them
		if lines++; lines == 1 {
			first = line
		}
		if !utf8.Valid(line) {
			notUTF8++
		}
	}
	switch nul := bytes.Count(text, []byte{0}); {
	case bytes.IndexByte(first, 0) >= 0 || nul > len(text)/20:
		return &FileError{"not_csv", "the file holds NUL bytes: it is UTF-16, or no text at all; " + saveAsCSV}
	case !utf8.Valid(first):
		return &FileError{"not_utf8", "the first line is not UTF-8: " + saveAsCSV}
	case notUTF8 > 3 && notUTF8 > lines/2:
		return &FileError{"not_utf8", "most lines of the file are not UTF-8: " + saveAsCSV}
	}
	return nil
}

// completeRunes leaves out the part of a character that b may end in.
func completeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// crOnly reports whether the first line that ends outside quotes ends in CR alone.
func crOnly(text []byte) bool {
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			return false
		case c == '\r':
			return i+1 == len(text) || text[i+1] != '\n'
		}
	}
	return false
}

func newCSV(r io.Reader, delimiter string) *csv.Reader {
	c := csv.NewReader(r)
	c.Comma = rune(delimiter[0])
	c.FieldsPerRecord = -1 // ragged rows are reported one by one
	c.ReuseRecord = true
	return c
}

// guessDelimiter takes the candidate that the first line has most of, outside quotes.
func guessDelimiter(text []byte) string {
	counts, quoted := [len(delimiters)]int{}, false
	text = bytes.TrimLeft(text, "\r\n")
	for _, c := range text {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if i := strings.IndexByte(delimiters, c); i >= 0 && !quoted {
			counts[i]++
		}
	}
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	return delimiters[best : best+1]
}

// checkHeader trims the names, undoes what an error report did to them, and refuses what
// cannot be mapped.
func checkHeader(header []string) ([]string, error) {
	if len(header) > maxColumns {
		return nil, &FileError{"too_many_columns", fmt.Sprintf("the file has %d columns, at most %d are read", len(header), maxColumns)}
	}
	out := make([]string, len(header))
	for i, name := range header {
		out[i] = strings.TrimSpace(name)
	}
	if isReport(out) {
		for i, name := range out {
			out[i] = formula.Unescape(name)
		}
	}
	seen := map[string]int{}
	for i, name := range out {
		switch {
		case !storable(name):
			return nil, &FileError{"not_utf8", fmt.Sprintf("the name of column %d is not UTF-8 text: %s", i+1, saveAsCSV)}
		case utf8.RuneCountInString(name) > maxHeaderRunes:
			return nil, &FileError{"bad_header", fmt.Sprintf("the name of column %d is longer than %d characters: is the first line a header?", i+1, maxHeaderRunes)}
		case name == "":
			return nil, &FileError{"empty_column", fmt.Sprintf("column %d of %d has no name: name it or remove it", i+1, len(header))}
		}
		if before, ok := seen[strings.ToLower(name)]; ok {
			return nil, &FileError{"duplicate_column", fmt.Sprintf("columns %d and %d are both called %q: rename or remove one", before, i+1, name)}
		}
		seen[strings.ToLower(name)] = i + 1
	}
	return out, nil
}

// storable reports whether PostgreSQL can hold s.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// reason is a csv error in a person's words, without the parser's line numbers.
func reason(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return "a quote inside a quoted cell must be doubled, and a quoted cell must end with its quote"
	case errors.Is(err, csv.ErrBareQuote):
		return "a cell with a quote in it must be quoted as a whole, with the quote doubled"
	case errors.Is(err, errRecordTooLong):
		return errRecordTooLong.Error()
	}
	return err.Error()
}

var errRecordTooLong = fmt.Errorf("longer than %d bytes: probably a quote that is never closed", maxRecordBytes)
