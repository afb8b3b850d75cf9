package emailaddr_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/emailaddr"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"ada@example.com", "ada@example.com"},
		{"  Ada.Lovelace+news@EXAMPLE.com \t", "ada.lovelace+news@example.com"},
		{"user@bücher.example", "user@xn--bcher-kva.example"},
		{"user@XN--BCHER-KVA.example", "user@xn--bcher-kva.example"},
		{"ЮЗЕР@example.com", "юзер@example.com"},
		{"o'brien@sub.domain.example", "o'brien@sub.domain.example"},
		{"a@1-2.example", "a@1-2.example"},
		{"é@example.com", "\u00e9@example.com"},
		{"e\u0301@example.com", "\u00e9@example.com"}, // composed or not: one address
		{"E\u0301@example.com", "\u00e9@example.com"},
		{"\u212a@example.com", "k@example.com"},       // the kelvin sign is composed to a letter
		{"\u0130@example.com", "i\u0307@example.com"}, // and not i@example.com, which is somebody else
		{"I\u0307@example.com", "i\u0307@example.com"},
		{"a@e\u0301.example", "a@xn--9ca.example"},
		{"a@192.0.2.1a", "a@192.0.2.1a"},
		{strings.Repeat(" ", 1000) + "a@example.com", "a@example.com"},
		{strings.Repeat("a", 64) + "@example.com", strings.Repeat("a", 64) + "@example.com"},
	} {
		got, err := emailaddr.Normalize(c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, got)
		again, err := emailaddr.Normalize(got)
		require.NoError(t, err)
		require.Equal(t, got, again, "the normal form is its own normal form")
	}
	for in, want := range map[string]error{
		"": emailaddr.ErrEmpty, "   ": emailaddr.ErrEmpty, "(blank)": emailaddr.ErrForm, "a@b@example.com": emailaddr.ErrForm,
		"Ada <ada@example.com>": emailaddr.ErrDisplay, `"a b"@example.com`: emailaddr.ErrLocal, "a b@example.com": emailaddr.ErrLocal,
		".a@example.com": emailaddr.ErrLocal, "a.@example.com": emailaddr.ErrLocal, "a..b@example.com": emailaddr.ErrLocal, "@example.com": emailaddr.ErrLocal,
		"a\x00@example.com": emailaddr.ErrLocal, "a\u200b@example.com": emailaddr.ErrLocal, "a\xff@example.com": emailaddr.ErrLocal,
		"a@localhost": emailaddr.ErrDomain, "a@example.com.": emailaddr.ErrDomain, "a@-x.example": emailaddr.ErrDomain, "a@b,example": emailaddr.ErrDomain,
		"a@[192.0.2.1]": emailaddr.ErrDomain, "a@exa mple.com": emailaddr.ErrDomain, "a@": emailaddr.ErrDomain, "a@.example": emailaddr.ErrDomain,
		"a@x..example": emailaddr.ErrDomain, "a@" + strings.Repeat("x", 64) + ".example": emailaddr.ErrDomain,
		"a@192.0.2.1": emailaddr.ErrDomain, "a@b.1": emailaddr.ErrDomain, "a@b.1-1": emailaddr.ErrDomain, "a@é.1": emailaddr.ErrDomain, "a@b.１": emailaddr.ErrDomain,
		"a@exam\u200bple.com": emailaddr.ErrDomain, "a@exam\u00adple.com": emailaddr.ErrDomain, "a@example\ufe0f.com": emailaddr.ErrDomain,
		"a\ufe0f@example.com": emailaddr.ErrLocal, "a\u037e@example.com": emailaddr.ErrLocal, // composed to a semicolon
		strings.Repeat("a", 65) + "@example.com":                                    emailaddr.ErrTooLong,
		"a@" + strings.Repeat(strings.Repeat("x", 62)+".", 4) + "example":           emailaddr.ErrDomain,
		strings.Repeat("a", 64) + "@" + strings.Repeat("abcdefgh.", 22) + "example": emailaddr.ErrTooLong,
	} {
		_, err := emailaddr.Normalize(in)
		require.ErrorIs(t, err, want, "%q", in)
	}
}

// Punycode takes time that grows with the square of what it is given, and a request or a
// record of a file may hold a megabyte.
func TestWhatIsTooLongIsNotLookedAt(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"a@" + strings.Repeat("漢", 107) + ".com", strings.Repeat("a", 309) + "@example.com", "a@example.com" + strings.Repeat(" ", 400) + "x", strings.Repeat("x", 1<<20),
	} {
		_, err := emailaddr.Normalize(s)
		require.ErrorIs(t, err, emailaddr.ErrTooLong)
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		"ada@example.com", "Ä@bücher.example", "a@xn--bcher-kva.example", "a..b@c.d", "\xff@x.y",
		"e\u0301@example.com", "I\u0307@example.com", "\u212a@x.y", "a\u0345\u0301@x.y", "a@192.0.2.1", "a@b.1", "a@exam\u200bple.com", "a@\u2488com", "a@" + strings.Repeat("漢", 100) + ".com",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := emailaddr.Normalize(s)
		if err != nil {
			return
		}
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), emailaddr.MaxLength)
		require.NotContains(t, got, "\x00")
		again, err := emailaddr.Normalize(got)
		require.NoError(t, err, "%q from %q", got, s)
		require.Equal(t, got, again)
	})
}
