package fault

import (
	"strings"
	"unicode/utf8"
)

// maxKept is the longest text of an error, in bytes, that is kept.
const maxKept = 2048

// Kept is what long work keeps of an error in a row of its own: a text that PostgreSQL can
// hold, and a code. With the code "internal" the text is for operators only: what anybody
// may read of it is Public.
func Kept(err error) (text, code string) {
	if KindOf(err) == Internal {
		text, code = err.Error(), string(Internal)
	} else {
		text, code = MessageOf(err), CodeOf(err)
	}
	text = Storable(text)
	if len(text) <= maxKept {
		return text, code
	}
	n := maxKept
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n], code
}

// Public is what anybody may read of what Kept has kept.
func Public(text, code string) string {
	if code == string(Internal) {
		return "internal error"
	}
	return text
}

// Storable makes s what PostgreSQL can hold: valid UTF-8 without NUL.
func Storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// maxShown is how many characters Shown leaves.
const maxShown = 80

// Shown is what an error shows of a text that was given: the beginning, as Storable makes it.
func Shown(s string) string {
	s = Storable(s)
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return s
}
