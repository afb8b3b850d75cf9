package charset

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/wlynxg/chardet"
)

// marks are the byte order marks; a longer one comes before one that it begins with.
var marks = []struct{ mark, name string }{
	{"\xEF\xBB\xBF", UTF8},
	{"\xFF\xFE\x00\x00", "utf-32le"},
	{"\x00\x00\xFE\xFF", "utf-32be"},
	{"\xFF\xFE", "utf-16le"},
	{"\xFE\xFF", "utf-16be"},
	{"\x84\x31\x95\x33", "gb18030"},
}

// Detect returns the encoding that the beginning of a text is most likely in: that of its byte
// order mark; UTF-16 when every other byte is often zero; UTF-8 when it is that, but for a bad
// byte here and there; or a guess by how often letters are found in languages. The last
// character may be cut off. Of a text that has no letters but those of ASCII, it is UTF-8.
func Detect(beginning []byte) string {
	for _, m := range marks {
		if bytes.HasPrefix(beginning, []byte(m.mark)) {
			return m.name
		}
	}
	if name := zeros(beginning); name != "" {
		return name
	}
	if bytes.Contains(beginning, []byte("\x1B$B")) || bytes.Contains(beginning, []byte("\x1B$@")) {
		return "iso-2022-jp"
	}
	if isUTF8(beginning) {
		return UTF8
	}
	return guess(beginning)
}

// fewest is how many zero bytes may be an accident.
const fewest = 3

// zeros recognises UTF-16 and UTF-32 without a mark: a text in any language has line ends and
// delimiters, of which most bytes are zero, and always the same ones.
func zeros(b []byte) string {
	b = b[:len(b)&^3]
	var at [4]int
	for i, c := range b {
		if c == 0 {
			at[i&3]++
		}
	}
	quarter := len(b) / 4
	even, odd := at[0]+at[2], at[1]+at[3]
	switch {
	case quarter == 0:
	case at[3] == quarter && at[2] > quarter*9/10 && at[0] < quarter/2:
		return "utf-32le"
	case at[0] == quarter && at[1] > quarter*9/10 && at[3] < quarter/2:
		return "utf-32be"
	case odd > quarter/20+fewest && even < odd/4: // a character such as U+4E00 has its zero elsewhere
		return "utf-16le"
	case even > quarter/20+fewest && odd < even/4:
		return "utf-16be"
	}
	return ""
}

// few is how many lines that are not UTF-8 may be accidents.
const few = 3

// isUTF8 reports whether b is UTF-8. Where some lines are not, because files were put together
// or a line was damaged, it is when there are few of them, or more that are: that take more
// than ASCII and are right.
func isUTF8(b []byte) bool {
	b = completeRunes(b)
	if utf8.Valid(b) {
		return true
	}
	lines, wrong, right := 0, 0, 0
	for line := range bytes.FieldsFuncSeq(b, func(r rune) bool { return r == '\n' || r == '\r' }) {
		lines++
		switch {
		case !utf8.Valid(line):
			if wrong++; lines == 1 {
				wrong += few // it names the columns
			}
		case len(line) != utf8.RuneCount(line):
			right++
		}
	}
	return wrong <= few && wrong <= lines/2 || wrong < right
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

// guessBytes is how much of the lines that are not UTF-8 a guess takes: more makes it no
// better, and slow.
const guessBytes = 64 << 10

// guess lets chardet say which script it is. What it knows of the letters of Latin scripts is
// little: it takes Polish for French. So of encodings of one byte a letter, alphabet says which.
func guess(b []byte) string {
	var sample []byte
	for line := range bytes.FieldsFuncSeq(b, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !utf8.Valid(line) {
			sample = append(append(sample, line...), '\n')
		}
		if len(sample) > guessBytes {
			break
		}
	}
	if name, sure := alphabet(sample); sure {
		return name
	}
	name, ok := Lookup(chardet.Detect(sample).Charset)
	if !ok || strings.HasPrefix(name, "utf") || bytes.Count(Decode(sample, name), []byte{0xFF}) > len(sample)/100 {
		name, _ = alphabet(sample)
	}
	return name
}
