package imports

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The limits of a file's parts.
const (
	maxRecordBytes = 1 << 20 // an unclosed quote must not swallow the file
	maxColumns     = 1000
	maxHeaderRunes = 300
	sniffBytes     = 64 << 10
)

// format is how a file is written, found by looking at its beginning.
type format struct {
	Delimiter string   `json:"delimiter"`
	CROnly    bool     `json:"crOnly,omitempty"` // lines end in CR alone, as old Macs wrote them
	Header    []string `json:"header"`
	Offset    int64    `json:"offset"` // of the first record after the header
}

// sniff looks at the beginning of a file and returns how it is written, or a *FileError
// that says why it cannot be imported.
func sniff(beginning []byte, delimiter string) (format, error) {
	bom := 0
	switch {
	case len(beginning) == 0:
		return format{}, &FileError{"empty_file", "the file is empty"}
	case bytes.HasPrefix(beginning, []byte("PK\x03\x04")):
		return format{}, &FileError{"not_csv", "this is an Excel or zip file: save it as CSV (UTF-8) and upload that"}
	case bytes.HasPrefix(beginning, []byte{0xFF, 0xFE}), bytes.HasPrefix(beginning, []byte{0xFE, 0xFF}):
		return format{}, &FileError{"not_utf8", "the file is UTF-16: save it as CSV (UTF-8) and upload that"}
	case bytes.IndexByte(beginning, 0) >= 0:
		return format{}, &FileError{"not_csv", "the file holds NUL bytes: it is not text, or UTF-16; save it as CSV (UTF-8) and upload that"}
	case bytes.HasPrefix(beginning, []byte{0xEF, 0xBB, 0xBF}):
		bom = 3
	}
	text := beginning[bom:]
	f := format{Delimiter: delimiter, CROnly: bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') >= 0}
	if f.CROnly {
		text = bytes.ReplaceAll(text, []byte{'\r'}, []byte{'\n'})
	}
	if f.Delimiter == "" {
		f.Delimiter = guessDelimiter(text)
	}
	if len(f.Delimiter) != 1 || !strings.Contains(",;\t|", f.Delimiter) {
		return f, &FileError{"bad_delimiter", "the delimiter must be a comma, a semicolon, a tab or a vertical bar"}
	}
	r := newCSV(bytes.NewReader(text), f.Delimiter)
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return f, &FileError{"empty_file", "the file holds blank lines only"}
	case err != nil:
		return f, &FileError{"bad_header", fmt.Sprintf("the first line is not a CSV header: %s", reason(err))}
	}
	f.Offset = int64(bom) + r.InputOffset()
	f.Header, err = checkHeader(header)
	return f, err
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
	best, most := ",", 0
	for _, d := range []string{",", ";", "\t", "|"} {
		n, quoted := 0, false
		for _, c := range text {
			if c == '"' {
				quoted = !quoted
			}
			if c == '\n' && !quoted && n > 0 {
				break
			}
			if c == d[0] && !quoted {
				n++
			}
		}
		if n > most {
			best, most = d, n
		}
	}
	return best
}

// checkHeader trims the names and refuses what cannot be mapped.
func checkHeader(header []string) ([]string, error) {
	if len(header) > maxColumns {
		return nil, &FileError{"too_many_columns", fmt.Sprintf("the file has %d columns, at most %d are read", len(header), maxColumns)}
	}
	out := make([]string, len(header))
	seen := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		out[i] = name
		switch {
		case !utf8.ValidString(name):
			return nil, &FileError{"not_utf8", fmt.Sprintf("the name of column %d is not UTF-8: save the file as CSV (UTF-8) and upload that", i+1)}
		case utf8.RuneCountInString(name) > maxHeaderRunes:
			return nil, &FileError{"bad_header", fmt.Sprintf("the name of column %d is longer than %d characters: is the first line a header?", i+1, maxHeaderRunes)}
		case name == "":
			continue // such a column cannot be mapped, and is not missed
		}
		if before, ok := seen[strings.ToLower(name)]; ok {
			return nil, &FileError{"duplicate_column", fmt.Sprintf("columns %d and %d are both called %q: rename or remove one", before, i+1, name)}
		}
		seen[strings.ToLower(name)] = i + 1
	}
	return out, nil
}

// reason is a csv error in a person's words, without the parser's line numbers.
func reason(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return "a quote inside a quoted cell must be doubled, and a quoted cell must end with its quote"
	case errors.Is(err, csv.ErrBareQuote):
		return "a cell with a quote in it must be quoted as a whole, with the quote doubled"
	case errors.Is(err, errRecordTooLong):
		return fmt.Sprintf("longer than %d bytes: probably a quote that is never closed", maxRecordBytes)
	}
	return err.Error()
}

var errRecordTooLong = errors.New("record too long")

// record is one record of a file. Cells are valid until the next read.
type record struct {
	row   int // as a spreadsheet counts: the header is 1, blank lines count, line breaks in cells do not
	cells []string
	err   error // what keeps this record, and only this one, from being read
}

// recordReader reads records one after the other. A bad one costs itself only, and
// reading can start again at any offset that it returned.
type recordReader struct {
	open   func(offset int64) (io.ReadCloser, error)
	format format

	source  io.ReadCloser
	limit   *limitedReader
	csv     *csv.Reader
	base    int64 // offset of the file at which csv started
	row     int   // of the last record
	endLine int   // line, as csv counts, on which the last record ended
}

// newRecordReader reads from offset on, whose first record comes after row.
func newRecordReader(open func(offset int64) (io.ReadCloser, error), f format, offset int64, row int) (*recordReader, error) {
	r := &recordReader{open: open, format: f, row: row}
	return r, r.restart(offset, 0)
}

// restart begins again at offset, passing over the first skip lines; firstRecord stands
// for all up to and including the first that is not blank.
func (r *recordReader) restart(offset int64, skip int) error {
	if r.source != nil {
		_ = r.source.Close()
	}
	source, err := r.open(offset)
	if err != nil {
		return err
	}
	r.source = source
	var in io.Reader = source
	if r.format.CROnly {
		in = crToLF{in}
	}
	if skip > 0 {
		b := bufio.NewReaderSize(in, 1<<16)
		for ; skip > 0; skip-- {
			n, blank, err := skipLine(b)
			offset += n
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if skip == firstRecord && blank && err == nil {
				skip++ // not this one yet
			} else if skip == firstRecord {
				break
			}
		}
		in = b
	}
	r.base, r.endLine = offset, 0
	r.limit = &limitedReader{in: in, left: maxRecordBytes}
	r.csv = newCSV(r.limit, r.format.Delimiter)
	return nil
}

const firstRecord = 1 << 30

func skipLine(b *bufio.Reader) (n int64, blank bool, err error) {
	blank = true
	for {
		line, err := b.ReadSlice('\n')
		n += int64(len(line))
		blank = blank && len(bytes.TrimRight(line, "\r\n")) == 0
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, blank, err
		}
	}
}

// offset is where the next record begins.
func (r *recordReader) offset() int64 { return r.base + r.csv.InputOffset() }

// next returns the next record, or io.EOF. Any other error is the source's.
func (r *recordReader) next() (record, error) {
	start := r.offset()
	r.limit.left = maxRecordBytes
	cells, err := r.csv.Read()
	var parse *csv.ParseError
	switch {
	case err == nil:
		first, _ := r.csv.FieldPos(0)
		last, _ := r.csv.FieldPos(len(cells) - 1)
		r.row += first - r.endLine
		r.endLine = last + strings.Count(cells[len(cells)-1], "\n")
		return record{row: r.row, cells: cells}, nil
	case errors.Is(err, errRecordTooLong):
		r.row++
		rec := record{row: r.row, err: err}
		return rec, r.restart(start, firstRecord)
	case errors.As(err, &parse):
		r.row += max(parse.StartLine-r.endLine, 1)
		rec := record{row: r.row, err: parse.Err}
		if parse.Line == parse.StartLine {
			r.endLine = parse.Line
			return rec, nil
		}
		// An error inside quotes has eaten lines that may be records of their own:
		// begin again on the line after the bad record's first.
		return rec, r.restart(start, max(parse.StartLine-r.endLine, 1))
	default:
		return record{}, err
	}
}

func (r *recordReader) close() error { return r.source.Close() }

// limitedReader fails when one record takes more than it may.
type limitedReader struct {
	in   io.Reader
	left int
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := l.in.Read(p)
	l.left -= n
	return n, err
}

// crToLF turns CR into LF, byte for byte, so that offsets stay true.
type crToLF struct{ in io.Reader }

func (c crToLF) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}
