package recipients

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies a Recipient.
type ID = tenancy.ID[Recipient]

// Status is what a recipient can be sent.
type Status string

// The statuses.
const (
	Active       Status = "active"
	Inactive     Status = "inactive"
	Bounced      Status = "bounced"
	Complained   Status = "complained"
	Unsubscribed Status = "unsubscribed"
)

// Statuses lists every status.
func Statuses() []string {
	return []string{string(Active), string(Inactive), string(Bounced), string(Complained), string(Unsubscribed)}
}

// Recipient is one address of one domain, shared by every product.
type Recipient struct {
	ID           ID                  `json:"id"`
	Email        string              `json:"email"` // as it was typed
	Name         string              `json:"name"`
	Status       Status              `json:"status"`
	CustomFields map[string]any      `json:"customFields"`
	PersonID     *tenancy.ID[Person] `json:"personId"`
	Version      int64               `json:"version"` // grows with every change
	CreatedAt    time.Time           `json:"createdAt"`
	UpdatedAt    time.Time           `json:"updatedAt"`

	// Extensions are the rows that Query.With asked for, by name of the extension; nil is one
	// in which the recipient is not enrolled. Enrollments.From has them with their type.
	Extensions map[string]*Row `json:"extensions,omitempty"`
}

// Person is one human behind one or more recipients.
type Person struct{}

// New is what Create and Upsert need. Status may be empty: Active. A custom field that is
// nil has no value, and Upsert clears it; a new recipient has the default of one that is not
// there.
type New struct {
	Email        string
	Name         string
	Status       Status
	CustomFields map[string]any
}

// Change is what Update changes; nil leaves as it is. In CustomFields only the keys
// that are there change, and a nil value clears one.
type Change struct {
	Email        *string
	Name         *string
	Status       *Status
	CustomFields map[string]any

	// Version makes the update conditional: it must be the recipient's version. 0
	// updates whatever is there.
	Version int64
}

// maxName is the longest name, in characters.
const maxName = 300

// NormalizeEmail returns the form in which two spellings of one address are equal, or
// says what is wrong with it.
func NormalizeEmail(s string) (string, *tenancy.FieldError) {
	n, err := emailaddr.Normalize(s)
	if err != nil {
		e := &tenancy.FieldError{Field: "email", Value: show(s), Code: "invalid_email", Message: err.Error()}
		if fixed := strings.NewReplacer(",", ".", " ", "", ";", "").Replace(s); fixed != s {
			if _, err := emailaddr.Normalize(fixed); err == nil {
				e.Suggestion = fixed
			}
		}
		return "", e
	}
	return n, nil
}

// NormalizeName trims a name, or says what is wrong with it. It may be empty.
func NormalizeName(s string) (string, *tenancy.FieldError) {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
		return "", &tenancy.FieldError{Field: "name", Value: show(s), Code: "invalid_text", Message: "must be valid UTF-8 without control characters"}
	case len(s) > maxName && utf8.RuneCountInString(s) > maxName:
		return "", &tenancy.FieldError{Field: "name", Value: show(s), Code: "too_long", Message: "must have at most 300 characters"}
	}
	return s, nil
}

// NormalizeStatus reads a status in any case, or says which there are. Empty is Active.
func NormalizeStatus(s string) (Status, *tenancy.FieldError) {
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "" {
		return Active, nil
	}
	if !slices.Contains(Statuses(), s) {
		return "", &tenancy.FieldError{
			Field: "status", Value: show(s), Code: "unknown_status", Message: "must be one of " + strings.Join(Statuses(), ", "),
			Suggestion: suggest.Closest(s, Statuses()),
		}
	}
	return Status(s), nil
}

func show(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// Columns are the columns that filters may use beside the custom fields.
func Columns() []filter.Column {
	return []filter.Column{
		{Name: "email", Type: customfields.Email, SQL: "r.email_norm"},
		{Name: "name", Type: customfields.Text, SQL: "r.name"},
		{Name: "status", Type: customfields.Text, SQL: "r.status", Options: Statuses()},
		{Name: "createdAt", Type: customfields.Date, SQL: "r.created_at"},
		{Name: "updatedAt", Type: customfields.Date, SQL: "r.updated_at"},
	}
}

// normalized is a checked New.
type normalized struct {
	email, emailNorm, name string
	status                 Status
	fields                 map[string]any // by slot
	cleared                []string       // slots that are to be empty
	defaulted              []string       // slots of fields that were not given and have their default
	given                  []string       // the keys of custom fields that have a value
}

// normalize checks everything about a new recipient and reports all errors at once.
func normalize(set *customfields.Set, in New) (normalized, error) {
	var v tenancy.ValidationError
	n := normalized{email: strings.TrimSpace(in.Email)}
	var problem *tenancy.FieldError
	note := func() {
		if problem != nil {
			v.Fields = append(v.Fields, *problem)
		}
	}
	if n.emailNorm, problem = NormalizeEmail(in.Email); n.email == "" {
		problem = &tenancy.FieldError{Field: "email", Code: "required", Message: "must not be empty"}
	}
	note()
	n.name, problem = NormalizeName(in.Name)
	note()
	n.status, problem = NormalizeStatus(string(in.Status))
	note()
	fields, cleared, defaulted, err := set.NormalizeNew(in.CustomFields)
	if err := collect(&v, err); err != nil {
		return n, err
	}
	n.fields, n.cleared, n.defaulted = fields, append([]string{}, cleared...), append([]string{}, defaulted...) // as parameters they are no NULL
	for i := range set.Fields {
		if f := &set.Fields[i]; fields[f.Slot] != nil {
			n.given = append(n.given, f.Key)
		}
	}
	slices.Sort(n.given)
	return n, v.OrNil()
}
