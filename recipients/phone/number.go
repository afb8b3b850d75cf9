package phone

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/stratakit/strata/internal/suggest"
)

// The codes of Error.
const (
	CodeRequired  = "required"
	CodeInvalid   = "invalid_phone"
	CodeExtension = "phone_extension"
	CodeShort     = "phone_short_code"
)

// Error says why a text is no number that a message reaches.
type Error struct {
	Code    string // one of the constants of the package
	Message string // what is wrong and what would be right
	// Suggestion is the number in E.164 form that was most likely meant; empty when there is
	// none.
	Suggestion string
}

// Error returns the message, with the suggestion.
func (e *Error) Error() string {
	if e.Suggestion == "" {
		return e.Message
	}
	return e.Message + ", did you mean " + e.Suggestion
}

const (
	// maxTyped is the most that is looked at, in bytes without surrounding space.
	maxTyped = 100
	// maxDigits is how long a number is with its country code (ITU-T E.164 section 6).
	maxDigits = 15
	// maxShort is the most digits of a short code without a region to look it up in.
	maxShort = 6
)

// Normalize returns a phone number in E.164 form, such as "+493012345678". region is the country
// of numbers without a leading +, as two capital letters of ISO 3166; "" refuses those. The error
// is a *Error. It is safe for concurrent use, and its result is its own normal form in every
// region.
func Normalize(typed, region string) (string, error) {
	s := strings.TrimSpace(strings.Map(visible, typed))
	switch {
	case s == "":
		return "", &Error{Code: CodeRequired, Message: "must have a value"}
	case len(s) > maxTyped || !utf8.ValidString(typed):
		return "", &Error{Code: CodeInvalid, Message: fmt.Sprintf("must be one phone number, at most %d bytes of UTF-8", maxTyped)}
	case strings.ContainsAny(s, "*#") && strings.IndexFunc(s, unicode.IsLetter) < 0 && strings.ContainsAny(s[:1], "*#"):
		return "", &Error{Code: CodeShort, Message: "is a code of a phone network: want a number that is reached from abroad"}
	}
	if shortened.MatchString(s) { // phonenumbers may pass over the E
		return "", &Error{Code: CodeInvalid, Message: "is a number as a spreadsheet shortens it, which has lost its last digits: give the column the format of text, and fill it in again"}
	}
	number, err := phonenumbers.Parse(s, region)
	if err == nil && number.GetExtension() != "" {
		return "", &Error{Code: CodeExtension, Message: "has the extension " + number.GetExtension() + ", which no message reaches: leave it out", Suggestion: e164(number)}
	}
	if strings.IndexFunc(s, foreign) >= 0 {
		e := &Error{Code: CodeInvalid, Message: "must be one phone number of digits, spaces and + - . / ( )"}
		if err == nil {
			e.Suggestion = e164(number)
		}
		return "", e
	}
	if err == nil {
		if out := e164(number); out != "" {
			return out, nil
		}
	}
	return "", refused(s, region, number, err)
}

// shortened is how spreadsheets show a long number.
var shortened = regexp.MustCompile(`^[+-]?[0-9]([.,][0-9]+)?[eE][+-]?[0-9]{1,3}$`)

// visible drops the marks of direction that contacts are copied with.
func visible(r rune) rune {
	if unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// foreign reports what no number is written with.
func foreign(r rune) bool {
	return !unicode.IsDigit(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Pd, r) && !strings.ContainsRune("+＋().（）/", r)
}

// e164 is the number, or "" when nobody can have it.
func e164(number *phonenumbers.PhoneNumber) string {
	if !phonenumbers.IsValidNumber(number) {
		return ""
	}
	if out := phonenumbers.Format(number, phonenumbers.E164); len(out) <= maxDigits+1 {
		return out
	}
	return ""
}

// refused says what is wrong with something that is written as a number is.
func refused(s, region string, number *phonenumbers.PhoneNumber, err error) error {
	digits := digitsOf(s)
	international := strings.HasPrefix(s, "+") || strings.HasPrefix(s, "＋")
	short := region == "" && len(digits) <= maxShort || err == nil && phonenumbers.IsPossibleShortNumberForRegion(number, region)
	if short && !international {
		return &Error{Code: CodeShort, Message: "is a short code, or lacks its area code: want a number that is reached from abroad"}
	}
	e := &Error{Code: CodeInvalid, Suggestion: meant(digits)}
	switch {
	case err != nil && !international && region == "":
		e.Message = "has no country code: want it to begin with +, such as +493012345678"
	case err != nil:
		e.Message = "must be a phone number such as +493012345678: no country has the code that it begins with, or it has too few digits"
		if len(digits) > maxDigits {
			e.Message = fmt.Sprintf("has %d digits: a phone number has at most %d with its country code", len(digits), maxDigits)
		}
	default:
		country := fmt.Sprintf("+%d", number.GetCountryCode())
		switch phonenumbers.IsPossibleNumberWithReason(number) {
		case phonenumbers.TOO_SHORT, phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
			e.Message = "has too few digits for a number of " + country
		case phonenumbers.TOO_LONG:
			e.Message = "has too many digits for a number of " + country
		default:
			e.Message = "is a number that nobody can have in " + country
		}
	}
	return e
}

func digitsOf(s string) string {
	return phonenumbers.NormalizeDigitsOnly(s)
}

// meant finds the number that digits are once their country code is marked as one: after the
// prefixes by which people call abroad, or without any.
func meant(digits string) string {
	for _, prefix := range []string{"", "00", "011"} {
		rest, ok := strings.CutPrefix(digits, prefix)
		if !ok || len(rest) < 8 { // fewer digits are a number somewhere by chance
			continue
		}
		if number, err := phonenumbers.Parse("+"+rest, ""); err == nil {
			if out := e164(number); out != "" {
				return out
			}
		}
	}
	return ""
}

// checkRegion refuses what is no country, before the first number is read by it.
func checkRegion(region string) error {
	known := phonenumbers.GetSupportedRegions()
	if region == "" || known[region] {
		return nil
	}
	codes := make([]string, 0, len(known))
	for code := range known {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	hint := suggest.Closest(region, codes)
	if strings.EqualFold(region, "UK") {
		hint = "GB"
	}
	if hint != "" {
		hint = fmt.Sprintf(", did you mean %q", hint)
	}
	return fmt.Errorf("phone: default region %q is no country: want two capital letters of ISO 3166, such as \"DE\"%s", region, hint)
}
