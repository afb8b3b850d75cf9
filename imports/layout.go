package imports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stratakit/strata/internal/charset"
	"github.com/stratakit/strata/tenancy"
)

// layout is what lies between a file and its text: CSV in UTF-8. Files without anything in
// between are read where they are; of the others a working copy is made first.
type layout struct {
	Kind        string `json:"kind,omitempty"` // "" is kindCSV
	Compression string `json:"compression,omitempty"`
	Encoding    string `json:"encoding,omitempty"` // "" is UTF-8

	// Of a workbook.
	Sheet  string   `json:"sheet,omitempty"`
	Sheets []string `json:"sheets,omitempty"`
	Width  int      `json:"width,omitempty"`  // cells of the header, once it is known
	Titled int      `json:"titled,omitempty"` // the row that it is
}

// plain reports whether the file is its text.
func (l layout) plain() bool {
	return l.Kind != kindXLSX && l.Compression == "" && (l.Encoding == "" || l.Encoding == charset.UTF8)
}

// inspect finds out how a file is written, from its beginning and what is asked for.
func (s *source) inspect(o ProcessOptions, limit int64) (layout, error) {
	head, err := s.head(s.all())
	if err != nil {
		return layout{}, err
	}
	l := layout{}
	switch {
	case len(head) == 0:
		return l, &FileError{"empty_file", "the file is empty: it needs a header and rows"}
	case bytes.HasPrefix(head, magicGzip):
		l.Compression = packedGzip
	case bytes.HasPrefix(head, magicZip):
		w, err := s.workbook(limit)
		if err != nil {
			return l, err
		}
		if w != nil {
			return inspectWorkbook(w, o)
		}
		l.Compression = packedZip
	}
	if o.Sheet != "" {
		v := &tenancy.ValidationError{}
		v.Add("options.sheet", "not_supported", "must be empty: the file is no workbook, and has no sheets")
		return l, v
	}
	if l.Compression != "" {
		r, err := s.unpack(l.Compression, limit)
		if err != nil {
			return l, err
		}
		if head, err = s.head(r); err != nil {
			return l, err
		}
	}
	if err := unreadable(head, l.Compression != ""); err != nil {
		return l, err
	}
	l.Encoding, err = encoding(head, o.Encoding)
	return l, err
}

// head reads what is looked at of a text, and one byte more if there is one.
func (s *source) head(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, sniffBytes+1))
}

// encoding returns the name of the encoding that is asked for, or that a text seems to have.
func encoding(head []byte, asked string) (string, error) {
	if asked == "" {
		return charset.Detect(head), nil
	}
	name, ok := charset.Lookup(asked)
	if !ok {
		return "", &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "options.encoding", Value: asked, Code: "unknown_encoding", Suggestion: charset.Closest(asked),
			Message: "must be the name of an encoding, such as utf-8, windows-1252 or shift_jis; empty to have it recognised",
		}}}
	}
	return name, nil
}

// text returns the text of the file.
func (s *source) text(l layout, limit int64) (io.Reader, error) {
	if l.Kind == kindXLSX {
		w, err := s.workbook(limit)
		if err != nil {
			return nil, err
		}
		rows, err := w.Rows(slices.Index(l.Sheets, l.Sheet))
		if err != nil {
			return nil, err
		}
		// What many cells share stands in a part once, and in the text in each of them.
		return &bounded{r: &sheetText{rows: rows, header: l.Titled, width: l.Width}, limit: partTimes * limit, packed: s.size}, nil
	}
	r, err := s.unpack(l.Compression, limit)
	if err != nil {
		return nil, err
	}
	if l.plain() || l.Encoding == "" {
		return r, nil
	}
	return charset.NewReader(r, l.Encoding), nil
}

// beginning is what is known of a file when it was looked at.
type beginning struct {
	format
	sample [][]string // its first rows
	whole  bool       // they are all
}

// begin looks at the file and returns how it will be read, and its first rows.
func (s *source) begin(o ProcessOptions, limit int64) (beginning, error) {
	defer s.done()
	b, err := s.sniffed(o, limit)
	var v *tenancy.ValidationError
	if errors.As(err, &v) {
		return b, err
	}
	return b, s.damage(err)
}

func (s *source) sniffed(o ProcessOptions, limit int64) (b beginning, err error) {
	l, err := s.inspect(o, limit)
	if err != nil {
		return b, err
	}
	r, err := s.text(l, limit)
	if err != nil {
		return b, err
	}
	head, err := s.head(r)
	if err != nil {
		return b, err
	}
	whole := len(head) <= sniffBytes
	head = head[:min(len(head), sniffBytes)]
	if b.format, err = sniff(head, whole, l, o); err != nil {
		return b, err
	}
	if l.Kind == kindXLSX {
		b.Titled, b.Width = b.Row, len(b.Header)
	}
	b.sample, b.whole = sampled(head, whole, b.format)
	return b, nil
}

// noText says of a cell, or of the name of a column, that it is no text in an encoding.
func noText(encoding string) string {
	if encoding == "" || encoding == charset.UTF8 {
		return "must be UTF-8 text without NUL: say with options.encoding which encoding it is in"
	}
	return fmt.Sprintf("must be text without NUL in %s, which is how the file is read: say with options.encoding if it is in another", encoding)
}
