package recipients

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// ID identifies a Recipient.
type ID = tenancy.ID[Recipient]

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

	// StatusReason says why the recipient has its Status, in words for a person, such as
	// "550 mailbox unavailable"; it may be empty. StatusChangedAt is since when it has it:
	// nil while it is the first.
	StatusReason    string     `json:"statusReason"`
	StatusChangedAt *time.Time `json:"statusChangedAt"`

	// DeletedAt is set on one that is deleted, and not purged yet.
	DeletedAt *time.Time `json:"deletedAt,omitempty"`

	// Extensions are the rows that Query.With asked for, by name of the extension; nil is one
	// in which the recipient is not enrolled. Enrollments.From has them with their type.
	Extensions map[string]*Row `json:"extensions,omitempty"`
}

// Person is one human behind one or more recipients.
type Person struct{}

// New is what Create and Upsert need. Status may be empty: Active. A custom field that is
// nil has no value, and Upsert clears it; a new recipient has the default of one that is not
// there. StatusReason, of at most 300 characters, goes with Status.
type New struct {
	Email        string
	Name         string
	Status       Status
	StatusReason string
	CustomFields map[string]any
}

// Change is what Update changes; nil leaves as it is. In CustomFields only the keys
// that are there change, and a nil value clears one.
type Change struct {
	Email  *string
	Name   *string
	Status *Status
	// StatusReason is that of Status, or without it of the status that the recipient has. A
	// status that goes back to a less strict one needs it (Status).
	StatusReason *string
	CustomFields map[string]any

	// Version makes the update conditional: it must be the recipient's version. 0
	// updates whatever is there.
	Version int64
}

// IfVersion makes a call conditional: the recipient must have the version, or one of several.
type IfVersion int64

// maxText is the longest name, reason or search, in characters.
const maxText = 300

// NormalizeEmail returns the form in which two spellings of one address are equal, or
// says what is wrong with it.
func NormalizeEmail(s string) (string, *tenancy.FieldError) {
	n, err := emailaddr.Normalize(s)
	if err != nil {
		e := &tenancy.FieldError{Field: "email", Value: fault.Shown(s), Code: "invalid_email", Message: err.Error()}
		fixed := s
		if _, inside, ok := strings.Cut(fixed, "<"); ok { // Ada <ada@example.com>
			fixed, _, _ = strings.Cut(inside, ">")
		}
		if fixed = strings.TrimSuffix(strings.NewReplacer(",", ".", " ", "", ";", "").Replace(fixed), "."); fixed != s {
			if _, err := emailaddr.Normalize(fixed); err == nil {
				e.Suggestion = fixed
			}
		}
		return "", e
	}
	return n, nil
}

// NormalizeName trims a name, or says what is wrong with it. It may be empty.
func NormalizeName(s string) (string, *tenancy.FieldError) { return normalizeText("name", s) }

func normalizeText(field, s string) (string, *tenancy.FieldError) {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
		return "", &tenancy.FieldError{Field: field, Value: fault.Shown(s), Code: "invalid_text", Message: "must be valid UTF-8 without control characters"}
	case len(s) > maxText && utf8.RuneCountInString(s) > maxText:
		e := tooLong(field, s)
		return "", &e
	}
	return s, nil
}

// tooLong is said of a text with more than maxText characters.
func tooLong(field, s string) tenancy.FieldError {
	return tenancy.FieldError{Field: field, Value: fault.Shown(s), Code: "too_long", Message: fmt.Sprintf("must have at most %d characters", maxText)}
}

// Columns are the columns that filters may use beside the custom fields.
func Columns() []filter.Column {
	return []filter.Column{
		{Name: "email", Type: customfields.Email, SQL: "r.email_norm"},
		{Name: "name", Type: customfields.Text, SQL: "r.name"},
		{Name: "status", Type: customfields.Text, SQL: "r.status", Options: Statuses()},
		{Name: "statusReason", Type: customfields.Text, SQL: "r.status_reason"},
		{Name: "statusChangedAt", Type: customfields.Date, SQL: "r.status_changed_at"},
		{Name: "createdAt", Type: customfields.Date, SQL: "r.created_at"},
		{Name: "updatedAt", Type: customfields.Date, SQL: "r.updated_at"},
	}
}

// normalized is a checked New.
type normalized struct {
	email, emailNorm, name string
	status                 Status
	stated                 bool // a status was given
	reason                 string
	fields                 map[string]any // by slot
	cleared                []string       // slots that are to be empty
	defaulted              []string       // slots of fields that were not given and have their default
	given                  []string       // the keys of custom fields that have a value
}

// normalize checks everything about a new recipient and reports all errors at once.
func normalize(set *customfields.Set, in New) (normalized, error) {
	var v tenancy.ValidationError
	n := normalized{email: strings.TrimSpace(in.Email), stated: strings.TrimSpace(string(in.Status)) != ""}
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
	if n.reason, problem = normalizeReason(in.StatusReason); problem == nil && n.reason != "" && !n.stated {
		problem = &tenancy.FieldError{Field: "statusReason", Code: "without_status", Message: "goes with a status: give that too"}
	}
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
