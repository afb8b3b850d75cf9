package audit

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stratakit/strata/tenancy"
)

// ID identifies an Entry.
type ID = tenancy.ID[Entry]

// Status says how the audited action ended.
type Status string

// The statuses.
const (
	Success Status = "success"
	Failure Status = "failure"
)

// Entry is one line of the audit trail. The caller fills what happened; who did it,
// from where and for which tenant is taken from the context.
type Entry struct {
	ID         ID        `json:"id"`
	OccurredAt time.Time `json:"occurredAt"` // UTC, to the microsecond

	ActorID    string            `json:"actorId"`
	ActorType  tenancy.ActorType `json:"actorType"`
	ActorEmail string            `json:"actorEmail"`

	// Action is what happened, as "resource.verb" in the past tense, such as
	// "recipient.created". It must not be empty.
	Action       string `json:"action"`
	ResourceType string `json:"resourceType"`
	ResourceID   string `json:"resourceId"`

	// Status is Success unless set. ErrorMessage explains a Failure.
	Status       Status `json:"status"`
	ErrorMessage string `json:"errorMessage"`

	IP        string `json:"ip"`
	UserAgent string `json:"userAgent"`
	RequestID string `json:"requestId"`

	// Metadata is what else an investigator wants to know: counts, names of changed
	// fields. Never put a secret or a person's data here: entries outlive both.
	Metadata map[string]any `json:"metadata"`

	CompanyID   tenancy.CompanyID   `json:"companyId"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
	DomainID    tenancy.DomainID    `json:"domainId,omitzero"`
}

// The lengths, in bytes, that text is cut to: what comes from a request must never be
// able to make the audited mutation fail.
const (
	maxText    = 512
	maxMessage = 2048
)

// complete fills in what the context knows.
func (e Entry) complete(ctx context.Context, t tenancy.Tenant, now time.Time) Entry {
	a := tenancy.ActorFrom(ctx)
	e.ID = tenancy.NewID[Entry]()
	e.OccurredAt = now.UTC().Truncate(time.Microsecond)
	e.ActorID, e.ActorType, e.ActorEmail = clean(a.ID, maxText), a.Type, clean(a.Email, maxText)
	e.IP, e.UserAgent, e.RequestID = clean(a.IP, maxText), clean(a.UserAgent, maxText), clean(a.RequestID, maxText)
	e.Action, e.ResourceType, e.ResourceID = clean(e.Action, maxText), clean(e.ResourceType, maxText), clean(e.ResourceID, maxText)
	e.ErrorMessage = clean(e.ErrorMessage, maxMessage)
	if e.Status == "" {
		e.Status = Success
	}
	e.CompanyID, e.WorkspaceID, e.DomainID = t.CompanyID, t.WorkspaceID, t.DomainID
	return e
}

// clean makes s storable: valid UTF-8 without NUL, at most limit bytes, cut between runes.
func clean(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
