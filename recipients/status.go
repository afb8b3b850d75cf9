package recipients

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Status is what a recipient can be sent.
//
// Active and inactive are the sender's own choice. The others are what the sender was
// told: a mailbox bounced, a person unsubscribed or complained. A feed that says "active"
// of everybody must not undo them, so a write that gives no reason makes a status stricter
// and never laxer: Upsert, UpsertMany and imports keep a status that is stricter than the
// one given, in the order active and inactive, bounced, unsubscribed, complained. Update
// goes back, when it says why (Change.StatusReason).
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

// strictness is the place of a status in the order in which it may change without a reason.
func (s Status) strictness() int {
	return slices.Index([]Status{Bounced, Unsubscribed, Complained}, s)
}

// StatusSQL is the rule of Status as SQL, for statements that write recipients: the status
// after a write that gives one without a reason. stored and given are SQL of the status
// before and the status given, which may be NULL: none.
func StatusSQL(stored, given string) string {
	return fmt.Sprintf(`CASE WHEN %[2]s IS NULL THEN %[1]s WHEN %[1]s IN ('active', 'inactive') OR %[2]s = 'complained' OR (%[1]s = 'bounced' AND %[2]s = 'unsubscribed') THEN %[2]s ELSE %[1]s END`, stored, given)
}

// NormalizeStatus reads a status in any case, or says which there are. Empty is Active.
func NormalizeStatus(s string) (Status, *tenancy.FieldError) {
	if strings.TrimSpace(s) == "" {
		return Active, nil
	}
	return parseStatus(s)
}

// parseStatus is NormalizeStatus where a status has to be given.
func parseStatus(s string) (Status, *tenancy.FieldError) {
	s = strings.ToLower(strings.TrimSpace(s))
	if !slices.Contains(Statuses(), s) {
		return "", &tenancy.FieldError{
			Field: "status", Value: fault.Shown(s), Code: "unknown_status", Message: "must be one of " + strings.Join(Statuses(), ", "),
			Suggestion: suggest.Closest(s, Statuses()),
		}
	}
	return Status(s), nil
}

// normalizeReason trims the reason of a status, or says what is wrong with it. It may be
// empty.
func normalizeReason(s string) (string, *tenancy.FieldError) { return normalizeText("statusReason", s) }

// noReason is said of a status that goes back without one.
func noReason(from Status) *tenancy.FieldError {
	return &tenancy.FieldError{
		Field: "statusReason", Code: "required",
		Message: fmt.Sprintf("must say why, because the recipient is %s: only then it can become less strict", from),
	}
}
