// Package xlsx reads the rows of workbooks (Office Open XML, ECMA-376 part 1, chapter 18) in
// little memory, and never less than all of them: what is cut off, damaged or not understood is
// an error that says in which sheet and after which row. Cells come as text that says what the
// sheet shows to a person who wants the value: numbers with all of their digits, dates and
// times as ISO 8601 has them.
package xlsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// What a workbook may say of its parts: more than programs write. All of it is kept.
const (
	maxRelations = 10_000 // of a part
	maxSheets    = 1_000
	maxName      = 4_096 // bytes of what names a relation or a sheet
)

// Workbook is an open workbook. It is for one goroutine, and for one Rows at a time.
type Workbook struct {
	part    func(name string) (io.Reader, error)
	sheets  []sheet
	styles  []style
	epoch   epoch
	strings string // the part with the shared strings, if there is one
	shared  *shared
}

// Sheet is a sheet with rows and columns.
type Sheet struct {
	Name   string
	Hidden bool
}

type sheet struct {
	Sheet
	part string
}

// Error says where a workbook is damaged.
type Error struct {
	Part  string // "", or a part of the file
	Sheet string // "", or the name of a sheet
	Row   int    // the last that was read
	Err   error
}

// Error says it to a person.
func (e *Error) Error() string {
	err := e.Err.Error()
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		err = "it is cut off"
	}
	if e.Sheet != "" {
		return fmt.Sprintf("sheet %q after row %d: %s", e.Sheet, e.Row, err)
	}
	return fmt.Sprintf("%s: %s", e.Part, err)
}

// Unwrap returns what it was.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoWorkbook is returned for an Office file that is something else.
var ErrNoWorkbook = errors.New("xlsx: no workbook")

// Open reads what a workbook holds. part opens a part by its name, such as "xl/workbook.xml";
// its error for one that is not there is fs.ErrNotExist. Other errors of part, and of what it
// returns, come in the chain of an *Error, here and later.
func Open(part func(name string) (io.Reader, error)) (*Workbook, error) {
	w := &Workbook{part: part}
	top, err := w.relations("")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoWorkbook
	}
	if err != nil {
		return nil, err
	}
	main := ""
	for _, r := range top {
		if r.is("officeDocument") {
			main = r.target
		}
	}
	if main == "" || strings.HasPrefix(main, "word/") || strings.HasPrefix(main, "ppt/") || strings.HasSuffix(main, ".bin") {
		return nil, ErrNoWorkbook
	}
	relations, err := w.relations(main)
	if err != nil {
		return nil, err
	}
	styles := ""
	for _, r := range relations {
		switch {
		case r.is("sharedStrings"):
			w.strings = r.target
		case r.is("styles"):
			styles = r.target
		}
	}
	if err := w.readMain(main, relations); err != nil {
		return nil, err
	}
	if styles == "" {
		return w, nil
	}
	return w, w.read(styles, w.readStyles)
}

// Sheets returns the sheets that have rows, in their order.
func (w *Workbook) Sheets() []Sheet {
	out := make([]Sheet, len(w.sheets))
	for i, s := range w.sheets {
		out[i] = s.Sheet
	}
	return out
}

// Close gives back what the workbook took. It does not close parts.
func (w *Workbook) Close() error {
	if w.shared == nil {
		return nil
	}
	return w.shared.close()
}

// read lets fn read a part as XML, to its end.
func (w *Workbook) read(part string, fn func(*scanner) error) error {
	r, err := w.part(part)
	if err == nil {
		s := newScanner(r)
		if err = fn(s); err == nil {
			err = s.finish()
		}
	}
	if err != nil {
		return &Error{Part: part, Err: err}
	}
	return nil
}

// finish holds the rest of a document to being one.
func (s *scanner) finish() error {
	for {
		if _, err := s.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// relation is from one part to another (Open Packaging Conventions, ECMA-376 part 2).
type relation struct{ id, kind, target string }

func (r relation) is(kind string) bool { return strings.HasSuffix(r.kind, "/"+kind) }

// relations reads those of a part, or of the package.
func (w *Workbook) relations(of string) (out []relation, err error) {
	dir, file := path.Split(of)
	seen := map[string]bool{}
	err = w.read(dir+"_rels/"+file+".rels", func(s *scanner) error {
		for {
			k, err := s.next()
			if err != nil {
				return untilEOF(err)
			}
			if k != startTag || string(s.name) != "Relationship" || string(s.attr("TargetMode")) == "External" {
				continue
			}
			target := strings.ReplaceAll(string(s.attr("Target")), `\`, "/")
			if !strings.HasPrefix(target, "/") {
				target = dir + target
			}
			r := relation{string(s.attr("Id")), string(s.attr("Type")), strings.TrimPrefix(path.Clean("/"+target), "/")}
			switch {
			case seen[r.id]:
				return fmt.Errorf("two relations have the id %.40q", r.id)
			case len(out) == maxRelations:
				return fmt.Errorf("there are more than %d relations", maxRelations)
			case len(r.id)+len(r.kind)+len(r.target) > maxName:
				return fmt.Errorf("a relation is longer than %d bytes", maxName)
			}
			seen[r.id] = true
			out = append(out, r)
		}
	})
	return out, err
}

func untilEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readMain reads which sheets there are, and from when days are counted.
func (w *Workbook) readMain(main string, relations []relation) error {
	worksheets := map[string]string{} // by the ids of their relations
	for _, r := range relations {
		if r.is("worksheet") {
			worksheets[r.id] = r.target
		}
	}
	return w.read(main, func(s *scanner) error {
		for {
			k, err := s.next()
			if err != nil {
				return untilEOF(err)
			}
			if s.depth() == 1 && k == startTag && string(s.name) != "workbook" {
				return ErrNoWorkbook
			}
			if k != startTag {
				continue
			}
			switch string(s.name) {
			case "workbookPr":
				if v := string(s.attr("date1904")); v == "1" || v == "true" || v == "on" {
					w.epoch = epoch1904
				}
			case "sheet":
				// In a namespace of its own, "id" is the relation; "sheetId" is another attribute.
				part, ok := worksheets[string(s.attr("id"))]
				if !ok {
					continue
				}
				name, state := string(s.attr("name")), string(s.attr("state"))
				if len(name) > maxName {
					return fmt.Errorf("the name of a sheet is longer than %d bytes", maxName)
				}
				if w.sheets = append(w.sheets, sheet{Sheet{name, state == "hidden" || state == "veryHidden"}, part}); len(w.sheets) > maxSheets {
					return fmt.Errorf("there are more than %d sheets", maxSheets)
				}
			}
		}
	})
}
