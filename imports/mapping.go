package imports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

const fieldPrefix = "fields."

// coreNames are the spellings of the core columns that are recognised, as key makes them.
var coreNames = map[string][]string{
	"email":  {"email", "emailaddress", "mail", "emailid", "contactemail"},
	"name":   {"name", "fullname", "displayname", "contactname"},
	"status": {"status", "recipientstatus"},
}

// key reduces a name to its lower-case letters and digits.
func key(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 0x80:
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}

// suggestTargets guesses what each column is for: one that is called as a target is, as in an
// export, is that; then a spelling of a core column or of a field's key or label, and for the
// address the only column that speaks of email.
func suggestTargets(header []string, set *customfields.Set) ([]string, error) {
	targets := make([]string, len(header))
	taken := map[string]bool{}
	assign := func(i int, target string) {
		if targets[i] == "" && !taken[target] {
			targets[i], taken[target] = target, true
		}
	}
	known := targetNames(set)
	for i, name := range header {
		if slices.Contains(known, name) {
			assign(i, name)
		}
	}
	for i, name := range header {
		for target, spellings := range coreNames {
			if slices.Contains(spellings, key(name)) {
				assign(i, target)
			}
		}
		for _, f := range set.Fields {
			if k := key(name); k != "" && (k == key(f.Key) || k == key(f.Label)) {
				assign(i, fieldPrefix+f.Key)
			}
		}
	}
	if taken["email"] {
		return targets, nil
	}
	var candidates []string
	at := -1
	for i, name := range header {
		if k := key(name); targets[i] == "" && (strings.Contains(k, "email") || strings.HasSuffix(k, "mail")) {
			candidates, at = append(candidates, name), i
		}
	}
	switch len(candidates) {
	case 1:
		assign(at, "email")
		return targets, nil
	case 0:
		return nil, &FileError{"no_email_column", fmt.Sprintf("no column looks like an email address among %s: call it \"email\", or say which one is with the mapping {\"<column>\": \"email\"}", list(header))}
	}
	return nil, &FileError{"no_email_column", fmt.Sprintf("several columns could be the email address: %s; call one \"email\", or say which one is with the mapping {\"<column>\": \"email\"}", list(candidates))}
}

// parseMapping checks a mapping that was given: column name to target, nil to ignore.
// Columns it does not mention are ignored.
func parseMapping(header []string, mapping map[string]*string, set *customfields.Set) ([]string, error) {
	targets := make([]string, len(header))
	var v tenancy.ValidationError
	for _, name := range slices.Sorted(mapKeys(mapping)) {
		target := mapping[name]
		i := slices.IndexFunc(header, func(h string) bool { return h == strings.TrimSpace(name) })
		field := "mapping." + name
		if i < 0 {
			v.Fields = append(v.Fields, tenancy.FieldError{Field: field, Code: "unknown_column", Message: "the file has no such column", Suggestion: suggest.Closest(name, header)})
			continue
		}
		if target == nil {
			continue
		}
		known := targetNames(set)
		switch {
		case !slices.Contains(known, *target):
			v.Fields = append(v.Fields, tenancy.FieldError{
				Field: field, Value: *target, Code: "unknown_target", Message: "must be email, name, status, fields.<key> or null", Suggestion: suggest.Closest(*target, known),
			})
		case slices.Contains(targets, *target):
			v.Fields = append(v.Fields, tenancy.FieldError{Field: field, Value: *target, Code: "duplicate", Message: "two columns cannot be the same thing"})
		default:
			targets[i] = *target
		}
	}
	if len(v.Fields) == 0 && !slices.Contains(targets, "email") {
		v.Add("mapping", "no_email_column", "one column must be email")
	}
	return targets, v.OrNil()
}

// checkRequired refuses a mapping that leaves out a required field without a default: every
// new row would fail.
func checkRequired(targets []string, set *customfields.Set) error {
	var v tenancy.ValidationError
	for _, f := range set.Fields {
		if f.Required && f.Default == nil && !slices.Contains(targets, fieldPrefix+f.Key) {
			v.Fields = append(v.Fields, tenancy.FieldError{Field: "mapping", Value: fieldPrefix + f.Key, Code: "required", Message: "the field is required: map a column to it"})
		}
	}
	return v.OrNil()
}

// targetNames are what a column can be mapped to.
func targetNames(set *customfields.Set) []string {
	names := []string{"email", "name", "status"}
	for _, key := range set.Keys() {
		names = append(names, fieldPrefix+key)
	}
	return names
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func list(names []string) string {
	const most = 12
	quoted := make([]string, 0, most+1)
	for i, n := range names {
		if i == most {
			quoted = append(quoted, "…")
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return strings.Join(quoted, ", ")
}
