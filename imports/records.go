package imports

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// record is one record of a file. Cells are valid until the next read.
type record struct {
	row     int // as a spreadsheet counts: the file's first is 1, blank lines count, line breaks in cells do not
	cells   []string
	numbers []bool // by cell: it is a number of a workbook, with a fraction; nil when none is
	err     error  // what keeps this record, and only this one, from being read; cells is its text as it is, in one
}

// recordReader reads the records of a file with the strict rules of encoding/csv. A bad
// record costs itself only, none takes more than maxRecordBytes of memory, and reading
// can begin at any offset that it returned.
//
// Blank lines are passed over. A record that cannot be parsed ends where its first line
// does when the trouble is a quoted cell that does not end as it should: what its quote
// swallowed are most likely records of their own.
type recordReader struct {
	window *window
	buffer *bufio.Reader
	comma  string
	sheet  bool // of a workbook
	csv    *csv.Reader
	base   int64 // offset in the file at which csv began
	row    int   // of the last record
	line   int   // on which the last record ended, as csv counts
}

// newRecordReader reads from source, which begins at offset of a file; row is that of
// the record before. It does not close source.
func newRecordReader(source io.Reader, f format, offset int64, row int) *recordReader {
	w := &window{source: source, offset: offset, crOnly: f.CROnly}
	r := &recordReader{window: w, buffer: bufio.NewReader(w), comma: f.Delimiter, sheet: f.Kind == kindXLSX, row: row}
	r.begin(offset)
	return r
}

// begin lets csv begin anew at an offset that is in the window.
func (r *recordReader) begin(offset int64) {
	r.window.rewind(offset)
	r.buffer.Reset(r.window)
	r.csv, r.base, r.line = newCSV(r.buffer, r.comma), offset, 0
}

// offset is where the next record begins.
func (r *recordReader) offset() int64 { return r.base + r.csv.InputOffset() }

// next returns the next record, or io.EOF. Any other error is the source's.
func (r *recordReader) next() (record, error) {
	start := r.offset()
	r.window.release(start)
	cells, err := r.csv.Read()
	var parse *csv.ParseError
	// Of what is cut off in the middle csv says what is wrong with the beginning, if anything is.
	if (err == nil || errors.As(err, &parse)) && r.offset()-start > maxRecordBytes {
		err = errRecordTooLong
	}
	switch {
	case err == nil:
		first, _ := r.csv.FieldPos(0)
		last, _ := r.csv.FieldPos(len(cells) - 1)
		r.row += first - r.line
		r.line = last + strings.Count(cells[len(cells)-1], "\n")
		rec := record{row: r.row, cells: cells}
		if r.sheet {
			rec.numbers = numbersIn(cells)
		}
		return rec, nil
	case errors.Is(err, errRecordTooLong):
		return r.skip(start, errRecordTooLong)
	case !errors.As(err, &parse):
		return record{}, err
	case r.window.broken():
		return record{}, r.window.end
	case parse.Line > parse.StartLine && errors.Is(err, csv.ErrQuote):
		return r.skip(start, parse.Err)
	}
	r.row += parse.StartLine - r.line
	r.line = parse.Line
	return record{row: r.row, cells: r.window.text(start, r.offset()), err: parse.Err}, nil
}

// skip gives up the first line from start on that is not blank.
func (r *recordReader) skip(start int64, cause error) (record, error) {
	blanks, at, err := r.window.skipBlank(start)
	if err != nil {
		return record{}, err
	}
	r.row += blanks
	if blanks > 0 && errors.Is(cause, errRecordTooLong) { // they may be all that was too long
		r.begin(at)
		return r.next()
	}
	line, err := r.window.firstLine(at)
	if err != nil {
		return record{}, err
	}
	if at, err = r.window.skipLine(at); err != nil {
		return record{}, err
	}
	r.row++
	r.begin(at)
	return record{row: r.row, cells: line, err: cause}, nil
}

// window holds what was read of a file since the record that is being read began, so
// that the same bytes can be read again.
type window struct {
	source io.Reader
	crOnly bool
	offset int64  // of held[0] in the file
	held   []byte // what was read from source and not released
	start  int    // of held, the first byte of the record
	next   int    // of held, the next byte to give out
	end    error  // what source said at its end
}

const windowChunk = 64 << 10

// Read gives out bytes, as many as the longest record needs.
func (w *window) Read(p []byte) (int, error) {
	if w.next == len(w.held) {
		if w.next-w.start > maxRecordBytes {
			return 0, errRecordTooLong
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.held[w.next:])
	w.next += n
	return n, nil
}

// fill reads at least one byte more, or returns why there is none.
func (w *window) fill() error {
	for w.end == nil {
		from := len(w.held)
		if cap(w.held)-from < windowChunk {
			grown := make([]byte, from, 2*from+windowChunk)
			copy(grown, w.held)
			w.held = grown
		}
		n, err := w.source.Read(w.held[from : from+windowChunk])
		w.held, w.end = w.held[:from+n], err
		if w.crOnly {
			for i := from; i < from+n; i++ { // byte for byte, so that offsets stay true
				if w.held[i] == '\r' {
					w.held[i] = '\n'
				}
			}
		}
		if n > 0 {
			return nil
		}
	}
	return w.end
}

// broken reports whether source failed at what was given out last.
func (w *window) broken() bool {
	return w.next == len(w.held) && w.end != nil && !errors.Is(w.end, io.EOF)
}

// release says that a record begins at offset: what comes before may be forgotten.
func (w *window) release(offset int64) {
	w.start = int(offset - w.offset)
	if w.start >= windowChunk { // else it is not worth moving the rest
		w.forget(w.start)
	}
}

func (w *window) forget(n int) {
	kept := copy(w.held, w.held[n:])
	w.held, w.start, w.next, w.offset = w.held[:kept], w.start-n, w.next-n, w.offset+int64(n)
}

// rewind gives out again what follows offset.
func (w *window) rewind(offset int64) {
	w.next = int(offset - w.offset)
	w.start = w.next
}

// skipBlank returns how many blank lines begin at offset, and where they end.
func (w *window) skipBlank(offset int64) (blanks int, end int64, err error) {
	for {
		rest, err := w.from(offset, 2)
		switch {
		case err != nil:
			return 0, 0, err
		case bytes.HasPrefix(rest, []byte("\n")):
			offset++
		case bytes.HasPrefix(rest, []byte("\r\n")):
			offset += 2
		default:
			return blanks, offset, nil
		}
		blanks++
	}
}

// text is what is held between two offsets, without the line breaks around it.
func (w *window) text(from, to int64) []string {
	return []string{string(bytes.Trim(w.held[from-w.offset:to-w.offset], "\r\n"))}
}

// firstLine is the line that begins at offset, or its beginning when it is long.
func (w *window) firstLine(offset int64) ([]string, error) {
	rest, err := w.from(offset, maxRawCell)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(rest[:min(len(rest), maxRawCell)], []byte("\n"))
	return w.text(offset, offset+int64(len(line))), nil
}

// skipLine returns where the line that begins at offset ends, its end included.
func (w *window) skipLine(offset int64) (end int64, err error) {
	for {
		rest, err := w.from(offset, 1)
		if err != nil || len(rest) == 0 {
			return offset, err
		}
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			return offset + int64(i) + 1, nil
		}
		offset += int64(len(rest))
	}
}

// from returns what is held from offset on, at least n bytes unless source has no more.
// What comes before may be forgotten.
func (w *window) from(offset int64, n int) ([]byte, error) {
	for {
		if rest := w.held[offset-w.offset:]; len(rest) >= n {
			return rest, nil
		}
		if int(offset-w.offset) >= maxRecordBytes {
			w.forget(int(offset - w.offset))
		}
		if err := w.fill(); errors.Is(err, io.EOF) {
			return w.held[offset-w.offset:], nil
		} else if err != nil {
			return nil, err
		}
	}
}
