// Package emailaddr decides what is an email address and when two of them are the same
// one. It is deliberately narrower than RFC 5321: what a mailing product can reach.
package emailaddr

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// The limits of RFC 5321 section 4.5.3.1, in bytes of the normal form.
const (
	MaxLength      = 254
	MaxLocalLength = 64
)

// maxTyped is the most that is looked at, in bytes without surrounding space: what is
// spelled with more than its normal form still fits, and the cost of punycode, which
// grows with the square of the input, stays small.
const maxTyped = 320

// What can be wrong with an address. Each message says what would be right.
var (
	ErrEmpty   = errors.New("must not be empty")
	ErrForm    = errors.New("must be one address of the form name@example.com")
	ErrDisplay = errors.New("must be the address alone, without a display name or angle brackets")
	ErrLocal   = errors.New("the part before the @ may have letters, digits and !#$%&'*+/=?^_`{|}~- with single dots between them")
	ErrDomain  = errors.New("the part after the @ must be a DNS name with a dot, such as example.com")
	ErrTooLong = errors.New("must have at most 254 bytes, and at most 64 before the @")
)

// dnsName is the lookup profile of IDNA (RFC 5891 section 5) with the length limits of DNS.
var dnsName = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// Fold returns s composed (NFC, as RFC 6532 section 3.1 asks) and in lower case: what
// Normalize does to the part before the @, and to what somebody searches by.
func Fold(s string) string {
	// Go makes a plain i of İ, and somebody else's address of this one. The Unicode standard
	// keeps the dot, and has no other letter of which lower case makes two (SpecialCasing.txt).
	s = strings.ReplaceAll(norm.NFC.String(s), "\u0130", "i\u0307")
	return norm.NFC.String(strings.ToLower(s))
}

// Normalize returns the form in which two spellings of one address are equal: without
// surrounding space, the part before the @ as of Fold, the domain as punycode. Dots and +tags are kept: only some providers
// ignore them. The error is one of the package's.
func Normalize(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", ErrEmpty
	}
	if len(s) > maxTyped {
		return "", ErrTooLong
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", ErrForm
	}
	if strings.ContainsAny(s, "<>") {
		return "", ErrDisplay
	}
	local, domain := s[:at], s[at+1:]
	if strings.IndexByte(local, '@') >= 0 {
		return "", ErrForm
	}
	ascii, err := checkLocal(local)
	if err != nil {
		return "", err
	}
	if !ascii || !plainDomain(domain) {
		if local, err = normalLocal(local); err != nil {
			return "", err
		}
		if domain, err = normalDomain(domain); err != nil {
			return "", err
		}
		s = local + "@" + domain
	}
	if len(s) > MaxLength || len(local) > MaxLocalLength {
		return "", ErrTooLong
	}
	s = strings.ToLower(s)
	if !strings.ContainsAny(s[strings.LastIndexByte(s, '.')+1:], "abcdefghijklmnopqrstuvwxyz") {
		return "", ErrDomain // the address of a computer: no top-level domain is all digits (RFC 3696 section 2)
	}
	return s, nil
}

// checkLocal accepts a dot-atom (RFC 5322 section 3.2.3), with letters beyond ASCII as
// in RFC 6531. Quoted forms are legal there and a mistake in practice.
func checkLocal(s string) (ascii bool, err error) {
	ascii = true
	dot := true // a dot may not come first
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if dot {
				return ascii, ErrLocal
			}
			dot = true
			continue
		case c >= utf8.RuneSelf:
			ascii = false
		case !atext(c):
			return ascii, ErrLocal
		}
		dot = false
	}
	if dot {
		return ascii, ErrLocal
	}
	return ascii, nil
}

func atext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+/=?^_`{|}~-", c) >= 0
}

// normalLocal folds s. Composing can yield ASCII, which has to be checked again.
func normalLocal(s string) (string, error) {
	if !visible(s) {
		return "", ErrLocal
	}
	s = Fold(s)
	_, err := checkLocal(s)
	return s, err
}

// visible reports whether s has nothing that cannot be seen: control and format
// characters, spaces, private use, what fonts ignore, invalid UTF-8.
func visible(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r) ||
			unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return false
		}
	}
	return true
}

// normalDomain returns the punycode of an internationalised domain. IDNA drops what
// cannot be seen, and the address as it was typed would keep it: that is refused. What it
// makes of odd input is not always something it would itself accept: that is refused too.
func normalDomain(s string) (string, error) {
	if !visible(s) {
		return "", ErrDomain
	}
	ascii, err := dnsName.ToASCII(s)
	if err != nil || !strings.Contains(ascii, ".") || strings.HasSuffix(ascii, ".") {
		return "", ErrDomain
	}
	if again, err := dnsName.ToASCII(ascii); err != nil || again != ascii {
		return "", ErrDomain
	}
	return ascii, nil
}

// plainDomain reports whether s is an ASCII domain that IDNA would only lower-case, the
// form of nearly every address: labels of letters, digits and inner hyphens.
func plainDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	dots, label := 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			dots++
			label = 0
			continue
		case c == '-':
			// the third and fourth place mark punycode, which IDNA has to check
			if label == 0 || label == 2 || label == 3 {
				return false
			}
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return dots > 0 && label > 0 && s[len(s)-1] != '-'
}
