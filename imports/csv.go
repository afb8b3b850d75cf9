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
	sniffBytes     = 1 << 20
)

const saveAsCSV = "save it as CSV (UTF-8) and import that"

var utf8BOM = []byte{0xEF, 0xBB, 0xBF}

// checkText refuses what is no text.
func checkText(b []byte) error {
	if len(b) == 0 {
		return &FileError{"empty_file", "the file is empty: it needs a header and rows"}
	}
	first, _, _ := bytes.Cut(bytes.TrimLeft(bytes.ReplaceAll(b[:min(len(b), 4<<10)], []byte{'\r'}, []byte{'\n'}), "\n"), []byte{'\n'})
	if nul := bytes.Count(b, []byte{0}); bytes.IndexByte(first, 0) >= 0 || nul > len(b)/20 {
		return &FileError{"not_csv", "the file holds NUL bytes, which no text does: " + saveAsCSV}
	}
	return nil
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

// checkHeader trims the names, undoes what an error report did to them, and refuses what
// cannot be mapped.
func checkHeader(header []string, encoding string) ([]string, error) {
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
		switch problem := cellProblem("", name); {
		case problem != nil:
			return nil, &FileError{"bad_header", fmt.Sprintf("the name of column %d: %s", i+1, problem.Message)}
		case !storable(name):
			return nil, &FileError{"not_utf8", fmt.Sprintf("the name of column %d %s, or %s", i+1, noText(encoding), saveAsCSV)}
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
