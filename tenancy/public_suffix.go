package tenancy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// developmentSuffixes are the top-level domains that nobody can register a name under: of
// RFC 2606 and RFC 6761, local (RFC 6762) and internal (reserved by ICANN in 2024).
func developmentSuffixes() []string {
	return []string{"example", "internal", "invalid", "local", "localhost", "test"}
}

// checkRegistrable notes in v when nobody can own a name, in the form that
// NormalizeDomainName returns: a public suffix, or a name under a top-level domain that
// does not exist. It is asked when a domain is created and not when one is looked up: the
// list grows, and what is there stays.
//
// Source: publicsuffix.org, in the version of golang.org/x/net/publicsuffix. Its
// default rule takes any last label for a suffix, so icann decides together with the
// dot: co.uk is icann, github.io is private and dotted, con is neither.
func checkRegistrable(v *ValidationError, name string) {
	if _, err := netip.ParseAddr(name); err == nil {
		v.Fields = append(v.Fields, FieldError{
			Field: "domainName", Value: clip(name, 80), Code: "invalid_domain_name", Message: "is an address, not a name: want a DNS name, such as example.com",
		})
		return
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	top := name[strings.LastIndexByte(name, '.')+1:]
	switch known := icann || strings.Contains(suffix, "."); {
	case known && suffix == name:
		v.Fields = append(v.Fields, FieldError{
			Field: "domainName", Value: clip(name, 80), Code: "public_suffix",
			Message: "is a public suffix, under which anybody registers names: want a name below it, such as example." + name,
		})
	case !known && !slices.Contains(developmentSuffixes(), top):
		v.Fields = append(v.Fields, FieldError{
			Field: "domainName", Value: clip(name, 80), Code: "unknown_top_level_domain",
			Message: fmt.Sprintf("ends in .%s, which is no top-level domain: want one that is, or for development one of .%s",
				clip(top, 63), strings.Join(developmentSuffixes(), ", .")),
		})
	}
}
