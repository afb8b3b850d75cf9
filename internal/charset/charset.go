// Package charset reads text in any of the encodings of the world as UTF-8, and guesses which
// one a text has. What cannot be decoded is never replaced silently: it becomes the byte 0xFF,
// which no UTF-8 has, so that whoever reads the text finds out where it is.
package charset

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"

	"github.com/stratakit/strata/internal/suggest"
)

// UTF8 is the name of the encoding that needs no decoding.
const UTF8 = "utf-8"

// Names are encodings that files have, as Lookup calls them.
func Names() []string {
	return slices.Clone(names)
}

var names = []string{
	UTF8, "utf-16le", "utf-16be", "utf-32le", "utf-32be",
	"windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258",
	"iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-10", "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16",
	"koi8-r", "koi8-u", "macintosh", "ibm866", "windows-874", "shift_jis", "euc-jp", "iso-2022-jp", "gb18030", "big5", "euc-kr",
}

// Lookup returns the name of the encoding that a label of the WHATWG Encoding Standard, or of
// the IANA registry, is for. As the standard has it, iso-8859-1 and ascii are windows-1252, and
// gbk is gb18030, of which they are parts.
func Lookup(label string) (name string, ok bool) {
	label = strings.ToLower(strings.TrimSpace(label))
	switch label {
	case "utf-32", "utf32", "utf-32le", "ucs-4":
		return "utf-32le", true
	case "utf-32be":
		return "utf-32be", true
	case "utf16", "utf16le":
		return "utf-16le", true
	}
	if e, err := htmlindex.Get(label); err == nil {
		switch name, err = htmlindex.Name(e); {
		case err != nil || name == "replacement" || name == "x-user-defined":
			return "", false
		case name == "gbk":
			name = "gb18030"
		}
		return name, true
	}
	if e, err := ianaindex.IANA.Encoding(label); err == nil && e != nil {
		if name, err = ianaindex.IANA.Name(e); err == nil {
			return strings.ToLower(name), true
		}
	}
	return "", false
}

// Closest returns the name that a mistyped label most likely stands for, or "".
func Closest(label string) string { return suggest.Closest(strings.TrimSpace(label), names) }

// NewReader returns what r has, decoded, without a byte order mark. name is one that Lookup or
// Detect returned. UTF-8 is passed on as it is, mark and all.
func NewReader(r io.Reader, name string) io.Reader {
	if name == UTF8 {
		return r
	}
	return transform.NewReader(r, &decoder{from: transformer(name), strict: strings.HasPrefix(name, "windows-")})
}

// Decode returns b decoded, as NewReader does it.
func Decode(b []byte, name string) []byte {
	out, _ := io.ReadAll(NewReader(bytes.NewReader(b), name)) // no error comes from memory
	return out
}

func transformer(name string) transform.Transformer {
	if u, ok := unicodes[name]; ok {
		return u
	}
	if e, err := codec(name); err == nil {
		return e.NewDecoder()
	}
	return encoding.Replacement.NewDecoder() // of no name that Lookup returns: all of it is bad
}

// Encode returns text in an encoding, as the programs write it whose files are read. It is an
// error when it has a character that the encoding has not.
func Encode(text, name string) ([]byte, error) {
	if u, ok := unicodes[name]; ok {
		var b []byte
		for _, r := range text {
			b = u.append(b, r)
		}
		return b, nil
	}
	e, err := codec(name)
	if err != nil {
		return nil, err
	}
	return e.NewEncoder().Bytes([]byte(text))
}

func codec(name string) (encoding.Encoding, error) {
	if e, err := htmlindex.Get(name); err == nil {
		return e, nil
	}
	e, err := ianaindex.IANA.Encoding(name)
	if err == nil && e == nil {
		err = fmt.Errorf("charset: the encoding %q is not supported", name)
	}
	return e, err
}

// decoder lets another decode, marks what it could not, and leaves out the first byte order
// mark. U+FFFD is what an x/text decoder writes for what it does not know. That gb18030 can
// also write it down is not told apart: it is marked, and so reported, there.
type decoder struct {
	from   transform.Transformer
	strict bool // the places of a code page that are not taken come as U+0080 to U+009F
	begun  bool
}

func (d *decoder) Reset() {
	d.from.Reset()
	d.begun = false
}

func (d *decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = d.from.Transform(dst, src, atEOF)
	_, marked := d.from.(unicodeDecoder) // it has marked them itself
	out := dst[:nDst]
	if !d.begun && nDst > 0 {
		d.begun = true
		if rest, ok := bytes.CutPrefix(out, []byte("\uFEFF")); ok {
			nDst = copy(dst, rest)
			out = dst[:nDst]
		}
	}
	if marked || !slices.ContainsFunc(out, func(b byte) bool { return b == 0xEF || b == 0xC2 }) {
		return nDst, nSrc, err
	}
	to := 0
	for i := 0; i < len(out); {
		switch c := out[i]; {
		case c == 0xEF && bytes.HasPrefix(out[i:], []byte("\uFFFD")):
			out[to] = 0xFF
			i += 3
		case c == 0xC2 && d.strict && out[i+1] < 0xA0:
			out[to] = 0xFF
			i += 2
		default:
			out[to] = c
			i++
		}
		to++
	}
	return to, nSrc, err
}
