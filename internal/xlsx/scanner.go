package xlsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// The kinds of token. Text comes in one piece, between two tags.
type kind int

const (
	startTag kind = iota
	endTag        // also after a start tag that is empty
	text
)

const (
	chunk   = 64 << 10
	maxTag  = 1 << 20 // bytes of a tag, a comment or the like
	maxText = 1 << 20 // of a text: what is longer is cut, and known to be
	maxDeep = 256     // elements in one another
	maxAttr = 256     // attributes of a tag, each of which is held against the others
)

// scanner reads the XML of a workbook's parts: strictly, as far as losing something is
// concerned (every element ends, and what cannot be understood is an error), and several times
// faster than encoding/xml, which knows namespaces and allocates for every token. Names are
// known without their prefix. There is no document type, and so no entity of one's own.
type scanner struct {
	r     io.Reader
	held  []byte // read and not yet passed
	pos   int    // of the next byte in held
	end   error  // what r said at its end
	begun bool

	name   []byte // of the last tag, without prefix
	attrs  []attr // of the last start tag
	text   []byte // of the last text
	long   bool   // the text was cut
	empty  bool   // the end of an empty tag comes next
	root   bool   // it was seen
	open   []byte // the names of open elements, one after the other
	lens   []int  // and their lengths
	decode []byte
}

type attr struct{ name, value []byte }

func newScanner(r io.Reader) *scanner { return &scanner{r: r, held: make([]byte, 0, 2*chunk)} }

// depth is how many elements are open. At a start tag its own is one of them, at an end tag it
// is not.
func (s *scanner) depth() int { return len(s.lens) }

// fill reads more, or returns why there is no more.
func (s *scanner) fill() error {
	if s.end != nil {
		return s.end
	}
	if s.pos > 0 {
		s.held = s.held[:copy(s.held, s.held[s.pos:])]
		s.pos = 0
	}
	if cap(s.held)-len(s.held) < chunk {
		s.held = append(make([]byte, 0, 2*cap(s.held)+chunk), s.held...)
	}
	n, err := s.r.Read(s.held[len(s.held) : len(s.held)+chunk])
	s.held = s.held[:len(s.held)+n]
	if s.end = err; n > 0 || err == nil {
		return nil
	}
	return err
}

var (
	errDoctype = errors.New("it has a document type definition, which workbooks have not")
	errSyntax  = errors.New("it is not well-formed XML")
)

func (s *scanner) bad(what string) error { return fmt.Errorf("%w: %s", errSyntax, what) }

// next returns the next token, or io.EOF when the root element has ended and nothing follows.
// An end before that is io.ErrUnexpectedEOF.
func (s *scanner) next() (kind, error) {
	if s.empty {
		s.empty = false
		s.pop()
		return endTag, nil
	}
	if !s.begun {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	for {
		if s.pos == len(s.held) {
			if err := s.fill(); err != nil {
				return 0, s.over(err)
			}
			continue
		}
		if s.held[s.pos] != '<' {
			if err := s.readText(false); err != nil {
				return 0, err
			}
			if len(s.lens) > 0 {
				return text, nil
			}
			if len(bytes.TrimSpace(s.text)) > 0 {
				return 0, s.bad("there is text outside of it")
			}
			continue
		}
		tag, err := s.tag()
		if err != nil {
			return 0, err
		}
		switch tag[1] {
		case '?':
			if err := s.declared(tag); err != nil {
				return 0, err
			}
		case '!':
			switch {
			case bytes.HasPrefix(tag, []byte("<!--")):
			case bytes.HasPrefix(tag, []byte("<![CDATA[")) && len(s.lens) > 0:
				s.text, s.long = tag[9:len(tag)-3], false
				return text, nil
			case bytes.HasPrefix(tag, []byte("<!DOCTYPE")):
				return 0, errDoctype
			default:
				return 0, s.bad("there is a <! that is no comment")
			}
		case '/':
			return endTag, s.endTag(tag)
		default:
			return startTag, s.startTag(tag)
		}
	}
}

// over is what the end of the reading means.
func (s *scanner) over(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case len(s.lens) > 0 || !s.root:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

func (s *scanner) begin() error {
	s.begun = true
	for len(s.held) < 4 {
		if err := s.fill(); err != nil {
			return s.over(err)
		}
	}
	s.held = bytes.TrimPrefix(s.held, []byte("\xEF\xBB\xBF"))
	if bytes.IndexByte(s.held[:min(4, len(s.held))], 0) >= 0 || s.held[0] >= 0xFE {
		return errors.New("its XML is not UTF-8, which is not supported")
	}
	return nil
}

// declared refuses a declaration of another encoding.
func (s *scanner) declared(tag []byte) error {
	if !bytes.HasPrefix(tag, []byte("<?xml ")) {
		return nil
	}
	_, said, ok := bytes.Cut(bytes.ToLower(tag), []byte("encoding"))
	said = bytes.Trim(said, " \t\r\n=?>")
	if ok && len(said) > 1 {
		name, _, _ := bytes.Cut(said[1:], said[:1])
		if n := string(name); n != "utf-8" && n != "us-ascii" {
			return fmt.Errorf("its XML is in %q, which is not supported", n)
		}
	}
	return nil
}

// tag returns what begins at the next byte, a <, up to its end.
func (s *scanner) tag() ([]byte, error) {
	for from := 0; ; {
		b := s.held[s.pos:]
		n := 0
		switch {
		case len(b) < 9: // too little to know what it is
			n = bytes.IndexByte(b, '>') + 1
			if n > 0 && b[1] == '!' {
				n = 0
			}
		case bytes.HasPrefix(b, []byte("<!--")):
			n = after(b, from, 4, "-->")
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			n = after(b, from, 9, "]]>")
		case b[1] == '?':
			n = after(b, from, 2, "?>")
		default:
			n = tagEnd(b)
		}
		if n > 1 {
			s.pos += n
			return b[:n], nil
		}
		if len(b) > maxTag {
			return nil, s.bad("a tag is too long")
		}
		from = max(0, len(b)-3)
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// after returns where the end is over in b, of which nothing before from has it, or 0.
func after(b []byte, from, least int, end string) int {
	from = max(from, least)
	if i := bytes.Index(b[min(from, len(b)):], []byte(end)); i >= 0 {
		return from + i + len(end)
	}
	return 0
}

// tagEnd returns where a tag is over: its > is in no attribute.
func tagEnd(b []byte) int {
	n := bytes.IndexByte(b, '>')
	if n < 0 {
		return 0
	}
	if bytes.IndexByte(b[:n], '"') < 0 && bytes.IndexByte(b[:n], '\'') < 0 {
		return n + 1
	}
	quote := byte(0)
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return 0
}

func (s *scanner) endTag(tag []byte) error {
	name := bytes.TrimRight(tag[2:len(tag)-1], " \t\r\n")
	if len(s.lens) == 0 {
		return s.bad("an element ends that has not begun")
	}
	n := s.lens[len(s.lens)-1]
	if open := s.open[len(s.open)-n:]; !bytes.Equal(open, name) {
		return s.bad(fmt.Sprintf("<%s> is ended by </%.40s>", open, name))
	}
	s.pop()
	return nil
}

// pop ends the element that was opened last.
func (s *scanner) pop() {
	n := s.lens[len(s.lens)-1]
	s.lens = s.lens[:len(s.lens)-1]
	name := s.open[len(s.open)-n:]
	s.open = s.open[:len(s.open)-n]
	s.name = local(name)
}

func local(name []byte) []byte {
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}

func (s *scanner) startTag(tag []byte) error {
	b := tag[1 : len(tag)-1]
	if s.empty = len(b) > 0 && b[len(b)-1] == '/'; s.empty {
		b = b[:len(b)-1]
	}
	n := nameEnd(b)
	if n == 0 {
		return s.bad(fmt.Sprintf("%.40q is no tag", tag))
	}
	if len(s.lens) == 0 && s.root {
		return s.bad("there is a second element outside of it")
	}
	if len(s.lens) == maxDeep {
		return s.bad("its elements are too deep in one another")
	}
	s.root = true
	s.open, s.lens = append(s.open, b[:n]...), append(s.lens, n)
	s.name = local(b[:n])
	s.attrs = s.attrs[:0]
	for b = b[n:]; ; {
		rest := skipSpace(b)
		if len(rest) == 0 {
			return nil
		}
		if n = nameEnd(rest); n == 0 || len(rest) == len(b) {
			return s.bad(fmt.Sprintf("%.40q is no tag", tag))
		}
		name := rest[:n]
		rest = skipSpace(rest[n:])
		if len(rest) == 0 || rest[0] != '=' {
			return s.bad(fmt.Sprintf("%.40q has an attribute without a value", tag))
		}
		if rest = skipSpace(rest[1:]); len(rest) < 2 || rest[0] != '"' && rest[0] != '\'' {
			return s.bad(fmt.Sprintf("%.40q has an attribute without quotes", tag))
		}
		end := bytes.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return s.bad(fmt.Sprintf("%.40q has an attribute without an end", tag))
		}
		value := rest[1 : end+1]
		b = rest[end+2:]
		if bytes.IndexByte(value, '<') >= 0 {
			return s.bad("there is a < in an attribute")
		}
		if bytes.IndexByte(value, '&') >= 0 {
			var err error
			if value, err = s.unescape(nil, value); err != nil {
				return err
			}
		}
		if len(s.attrs) == maxAttr {
			return s.bad(fmt.Sprintf("a tag has more than %d attributes", maxAttr))
		}
		for _, a := range s.attrs {
			if bytes.Equal(a.name, name) {
				return s.bad(fmt.Sprintf("the attribute %.40s is there twice", name))
			}
		}
		s.attrs = append(s.attrs, attr{name, value})
	}
}

// attr returns an attribute of the last start tag by its name without prefix, or nil.
func (s *scanner) attr(name string) []byte {
	for _, a := range s.attrs {
		if string(local(a.name)) == name {
			return a.value
		}
	}
	return nil
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

func nameEnd(b []byte) int {
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':', c >= utf8.RuneSelf:
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return i
		}
	}
	return len(b)
}

// readText reads up to the next tag. With more it goes on after what it has.
func (s *scanner) readText(more bool) error {
	if !more {
		s.long = false
		// Most often all of it is there, and is what it says.
		if n := bytes.IndexByte(s.held[s.pos:], '<'); n >= 0 {
			t := s.held[s.pos : s.pos+n]
			if bytes.IndexByte(t, '&') < 0 && bytes.IndexByte(t, '\r') < 0 && n <= maxText {
				s.text, s.pos = t, s.pos+n
				return nil
			}
		}
		s.decode = s.decode[:0]
	}
	for {
		b := s.held[s.pos:]
		n := bytes.IndexByte(b, '<')
		last := n >= 0
		if !last {
			n = len(b)
			if i := bytes.LastIndexByte(b, '&'); i >= 0 && n-i < 16 && bytes.IndexByte(b[i:], ';') < 0 {
				n = i // an entity may go on
			} else if n > 0 && b[n-1] == '\r' {
				n--
			}
		}
		if len(s.decode) < maxText {
			var err error
			if s.decode, err = s.unescape(s.decode, b[:n]); err != nil {
				return err
			}
		} else if n > 0 {
			s.long = true
		}
		s.pos += n
		if last {
			break
		}
		if err := s.fill(); errors.Is(err, io.EOF) {
			if s.pos < len(s.held) {
				s.decode = append(s.decode, s.held[s.pos:]...)
				s.pos = len(s.held)
			}
			break
		} else if err != nil {
			return err
		}
	}
	if len(s.decode) > maxText {
		s.long = true
		s.decode = s.decode[:maxText]
	}
	s.text = s.decode
	return nil
}

// unescape appends what b says to dst. The end of a line is a line feed.
func (s *scanner) unescape(dst, b []byte) ([]byte, error) {
	for {
		i := bytes.IndexAny(b, "&\r")
		if i < 0 {
			return append(dst, b...), nil
		}
		dst, b = append(dst, b[:i]...), b[i:]
		if b[0] == '\r' {
			dst = append(dst, '\n')
			if b = b[1:]; len(b) > 0 && b[0] == '\n' {
				b = b[1:]
			}
			continue
		}
		end := bytes.IndexByte(b, ';')
		if end < 0 {
			return nil, s.bad("there is an & without a ;")
		}
		r, ok := entity(b[1:end])
		if !ok {
			return nil, s.bad(fmt.Sprintf("%.40s is not known", b[:end+1]))
		}
		dst, b = utf8.AppendRune(dst, r), b[end+1:]
	}
}

func entity(name []byte) (rune, bool) {
	switch string(name) {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	number, base := name[1:], 10
	if number[0] == 'x' {
		number, base = number[1:], 16
	}
	n, err := strconv.ParseUint(string(number), base, 21)
	return rune(n), err == nil && utf8.ValidRune(rune(n))
}

// skip passes over the rest of the element whose start tag came last.
func (s *scanner) skip() error {
	for at := s.depth(); s.depth() >= at; {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	return nil
}
