package xlsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// What a sheet can hold (Excel specifications and limits).
const (
	maxRow    = 1_048_576
	maxColumn = 16_384
)

// Kind is what there is in a cell.
type Kind uint8

// The kinds of cells.
const (
	Value    Kind = iota // Text is what it says; "" is an empty cell
	Number               // and a number is what it says, of no day and no time
	Failed               // a formula came to the error that Text names, such as #N/A
	NoResult             // a formula whose result the file has not
	TooLong              // more text than a cell, or the cells before it in its row, can have: it is not kept
)

// Cell is one cell.
type Cell struct {
	Kind Kind
	Text []byte
}

// Row is a row with at least one cell that is not empty.
type Row struct {
	Number int    // the first of the sheet is 1
	Cells  []Cell // from the first column to the last that is not empty; valid until the next row
}

// Rows reads the rows of a sheet from the first to the last. Of merged cells the first has the
// value, as in the file.
type Rows struct {
	w     *Workbook
	sheet sheet
	scan  *scanner
	inRow int // the depth of rows; 0 before and after
	seen  bool
	row   int
	cells []Cell
	spans []span
	text  []byte
	value []byte
	err   error
}

// span is where the text of a cell is in Rows.text.
type span struct {
	kind     Kind
	from, to int
}

// Rows begins to read a sheet by its place in Sheets.
func (w *Workbook) Rows(i int) (*Rows, error) {
	s := w.sheets[i]
	r, err := w.part(s.part)
	if err != nil {
		return nil, &Error{Part: s.part, Sheet: s.Name, Err: err}
	}
	if w.shared != nil { // what was read of them for another sheet is there
		return &Rows{w: w, sheet: s, scan: newScanner(r)}, nil
	}
	if w.strings != "" {
		r, err := w.part(w.strings)
		if err != nil {
			return nil, &Error{Part: w.strings, Err: err}
		}
		w.shared = newShared(r)
	}
	return &Rows{w: w, sheet: s, scan: newScanner(r)}, nil
}

// Next returns the next row that has something in it, or io.EOF after the last when the sheet
// and the strings it shares with others are whole. Any other error is an *Error, and is returned again.
func (r *Rows) Next() (Row, error) {
	for r.err == nil {
		row, err := r.next()
		if errors.Is(err, io.EOF) && r.w.shared != nil && r.row > 0 {
			if damage := r.w.shared.finish(); damage != nil {
				err = fmt.Errorf("the shared strings: %w", damage)
			}
		}
		if err != nil {
			if r.err = err; !errors.Is(err, io.EOF) {
				r.err = &Error{Part: r.sheet.part, Sheet: r.sheet.Name, Row: r.row, Err: err}
			}
			break
		}
		if len(row.Cells) > 0 {
			return row, nil
		}
	}
	return Row{}, r.err
}

var errNoSheet = errors.New("it is no worksheet")

// next returns the next row, of which all cells may be empty.
func (r *Rows) next() (Row, error) {
	s := r.scan
	for {
		k, err := s.next()
		switch {
		case errors.Is(err, io.EOF) && !r.seen:
			return Row{}, errNoSheet
		case err != nil:
			return Row{}, err
		case k == startTag && s.depth() == 1 && string(s.name) != "worksheet":
			return Row{}, errNoSheet
		case k == startTag && s.depth() == 2 && string(s.name) == "sheetData":
			if r.seen {
				return Row{}, errors.New("it has its rows twice")
			}
			r.seen, r.inRow = true, 3
		case k == endTag && r.inRow > 0 && s.depth() < 2:
			r.inRow = 0
		case k == startTag && s.depth() == r.inRow:
			if string(s.name) == "row" {
				return r.readRow()
			}
			if err := s.skip(); err != nil {
				return Row{}, err
			}
		}
	}
}

func (r *Rows) readRow() (Row, error) {
	s := r.scan
	n := r.row + 1
	if a := s.attr("r"); a != nil {
		var err error
		if n, err = strconv.Atoi(string(a)); err != nil {
			return Row{}, fmt.Errorf("a row has the number %.20q", a)
		}
	}
	if n <= r.row || n > maxRow {
		return Row{}, fmt.Errorf("row %d comes next", n)
	}
	r.text, r.spans, r.cells = r.text[:0], r.spans[:0], r.cells[:0]
	for at := s.depth(); ; {
		k, err := s.next()
		switch {
		case err != nil:
			return Row{}, err
		case k == endTag && s.depth() < at:
			r.row = n
			return Row{Number: n, Cells: r.collect()}, nil
		case k != startTag:
		case string(s.name) == "c":
			if err := r.readCell(); err != nil {
				return Row{}, err
			}
		default:
			if err := s.skip(); err != nil {
				return Row{}, err
			}
		}
	}
}

// collect returns the cells that were read, without empty ones at the end.
func (r *Rows) collect() []Cell {
	n := len(r.spans)
	for n > 0 && r.spans[n-1] == (span{Value, r.spans[n-1].from, r.spans[n-1].from}) {
		n--
	}
	for _, s := range r.spans[:n] {
		r.cells = append(r.cells, Cell{s.kind, r.text[s.from:s.to]})
	}
	return r.cells
}

// column returns which column, the first being 1, a reference such as AB12 is in, or 0.
func column(ref []byte) int {
	n := 0
	for i, c := range ref {
		switch {
		case c >= 'A' && c <= 'Z':
			n = n*26 + int(c-'A') + 1
		case c >= 'a' && c <= 'z':
			n = n*26 + int(c-'a') + 1
		case c >= '0' && c <= '9' && i > 0:
			return n
		default:
			return 0
		}
		if n > maxColumn {
			return 0
		}
	}
	return n
}

// readCell reads the cell whose start tag came last (ECMA-376 part 1, 18.3.1.4).
func (r *Rows) readCell() error {
	s := r.scan
	col := len(r.spans) + 1
	if ref := s.attr("r"); ref != nil {
		if col = column(ref); col <= len(r.spans) {
			return fmt.Errorf("a cell has the place %.20q, where none can be", ref)
		}
	} else if col > maxColumn {
		return fmt.Errorf("a row has more than %d cells", maxColumn)
	}
	for len(r.spans) < col-1 {
		r.spans = append(r.spans, span{Value, len(r.text), len(r.text)})
	}
	var st style
	if a := s.attr("s"); a != nil {
		if i, err := strconv.Atoi(string(a)); err == nil && i >= 0 && i < len(r.w.styles) {
			st = r.w.styles[i]
		}
	}
	kind := kindOf(s.attr("t"))
	from := len(r.text)
	formula, value, long := false, false, false
	r.value = r.value[:0]
	for at := s.depth(); ; {
		k, err := s.next()
		switch {
		case err != nil:
			return err
		case k == endTag && s.depth() < at:
			// Programs that do not calculate, such as openpyxl, write an empty result for one that they have not.
			return r.add(kind, st, from, formula && (!value || len(r.value) == 0 && kind != ofText), long)
		case k != startTag:
		case string(s.name) == "v":
			value = true
			if long, err = r.readValue(); err != nil {
				return err
			}
		case string(s.name) == "is":
			value = true
			if r.text, long, err = r.inline(); err != nil {
				return err
			}
		default:
			formula = formula || string(s.name) == "f"
			if err := s.skip(); err != nil {
				return err
			}
		}
	}
}

// inline appends the text of a cell that has it itself.
func (r *Rows) inline() ([]byte, bool, error) {
	from := len(r.text)
	own, long, err := richText(r.scan, r.value[:0])
	r.value = own
	return append(r.text[:from], own...), long, err
}

// readValue reads the text of <v>.
func (r *Rows) readValue() (long bool, err error) {
	s := r.scan
	for at := s.depth(); ; {
		k, err := s.next()
		switch {
		case err != nil:
			return false, err
		case k == endTag && s.depth() < at:
			return long, nil
		case k == text:
			if long = long || s.long || len(r.value)+len(s.text) > maxText; !long {
				r.value = append(r.value, s.text...)
			}
		}
	}
}

// cellKind is the attribute t of a cell (ECMA-376 part 1, 18.18.11).
type cellKind uint8

const (
	ofNumber cellKind = iota
	ofShared
	ofText // the result of a formula, or inline
	ofBool
	ofError
	ofDate
	ofNothing // that is known
)

func kindOf(t []byte) cellKind {
	switch string(t) {
	case "", "n":
		return ofNumber
	case "s":
		return ofShared
	case "str", "inlineStr":
		return ofText
	case "b":
		return ofBool
	case "e":
		return ofError
	case "d":
		return ofDate
	}
	return ofNothing
}

// add ends a cell: what its value says goes to r.text from there on.
func (r *Rows) add(kind cellKind, st style, from int, noResult, long bool) error {
	is := Value
	v := r.value
	inline := len(r.text) > from
	switch {
	case long || from > maxText: // many cells can share one string
		is, r.text = TooLong, r.text[:from]
	case noResult:
		is = NoResult
	case inline || len(v) == 0:
	case kind == ofNumber:
		v = bytes.TrimSpace(v)
		out, ok := number(r.text, v, st, r.w.epoch)
		if !ok {
			return fmt.Errorf("a cell has the number %.40q", v)
		}
		if r.text = out; !st.day && !st.clock {
			is = Number
		}
	case kind == ofShared:
		i, err := strconv.Atoi(string(bytes.TrimSpace(v)))
		if err != nil || i < 0 || r.w.shared == nil {
			return fmt.Errorf("a cell has the shared string %.40q", v)
		}
		text, cut, err := r.w.shared.get(i)
		if err != nil {
			return err
		}
		if cut {
			is = TooLong
		} else {
			r.text = append(r.text, text...)
		}
	case kind == ofBool:
		switch string(bytes.TrimSpace(v)) {
		case "1", "true":
			r.text = append(r.text, "true"...)
		case "0", "false":
			r.text = append(r.text, "false"...)
		default:
			return fmt.Errorf("a cell has the truth value %.40q", v)
		}
	case kind == ofError:
		is, r.text = Failed, append(r.text, v...)
	case kind == ofText, kind == ofDate:
		r.text = append(r.text, unescapeX(v)...)
	default:
		return errors.New("a cell is of a kind that is not known")
	}
	r.spans = append(r.spans, span{is, from, len(r.text)})
	return nil
}
