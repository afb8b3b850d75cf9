package tenancy

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const maxName = 200

// dnsName is the lookup profile of IDNA (RFC 5891 section 5) with the length limits of DNS.
var dnsName = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

var slugForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkName trims a name and notes in v what is wrong with it.
func checkName(v *ValidationError, field, name string) string {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		v.Add(field, "required", "must not be empty")
	case !utf8.ValidString(name):
		v.Add(field, "invalid_text", "must be valid UTF-8")
	case len([]rune(name)) > maxName:
		v.Add(field, "too_long", "must have at most 200 characters")
	case strings.ContainsFunc(name, unicode.IsControl):
		v.Add(field, "invalid_text", "must not contain control characters")
	}
	return name
}

// checkSlug returns the slug, made from name when it is empty, and notes in v what is
// wrong with it.
func checkSlug(v *ValidationError, slug, name string) string {
	if slug == "" {
		slug = slugOf(name)
	}
	if !slugForm.MatchString(slug) {
		v.Add("slug", "invalid_slug", "must be 1 to 63 lower-case letters, digits and inner hyphens, such as acme-emea")
	}
	return slug
}

// slugOf makes a slug of a name: lower-case ASCII letters and digits, everything else
// a hyphen. A name without any ASCII letter or digit has none and needs one given.
func slugOf(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := b.String()
	if len(s) > 63 {
		s = s[:63]
	}
	return strings.Trim(s, "-")
}

// maxTyped is how many bytes of a domain name are looked at: 253 characters in any spelling.
const maxTyped = 1024

// NormalizeDomainName returns the form a domain name is stored and compared in: lower
// case, internationalised labels as punycode (RFC 5891 lookup), no trailing dot. It
// returns a *ValidationError for what is not a DNS name with at least two labels.
func NormalizeDomainName(s string) (string, error) {
	var v ValidationError
	typed := strings.TrimSpace(s)
	if len(typed) > maxTyped {
		typed = "" // no name, and not worth what punycode would cost: the square of its length
	}
	name, err := dnsName.ToASCII(typed)
	name = strings.TrimSuffix(name, ".") // only now: other characters are mapped to a dot, or to nothing behind it
	if err != nil || !utf8.ValidString(s) || len(name) > 253 || !strings.Contains(name, ".") || strings.Contains(name, "..") ||
		strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
		v.Fields = append(v.Fields, FieldError{
			Field: "domainName", Value: clip(s, 80), Code: "invalid_domain_name",
			Message: "must be a DNS name with at least two labels, such as example.com",
		})
	}
	return strings.ToLower(name), v.OrNil()
}

// checkDomainName returns the form of the name of a new domain, and notes in v what is
// wrong with it.
func checkDomainName(v *ValidationError, s string) string {
	name, err := NormalizeDomainName(s)
	if wrong := (*ValidationError)(nil); errors.As(err, &wrong) {
		v.Fields = append(v.Fields, wrong.Fields...)
	} else {
		checkRegistrable(v, name)
	}
	return name
}
