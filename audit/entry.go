package audit

import (
	"bytes"
	"encoding/json"
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
//
// Texts are made storable instead of refused: invalid UTF-8 and NUL become U+FFFD, and
// what is longer than 512 bytes (ErrorMessage: 2,048) is cut.
type Entry struct {
	ID         ID        `json:"id"`         // a UUIDv7
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
	// fields. Values must be JSON-encodable. What is more than 64 KiB of JSON is replaced
	// by {"truncated": true, "bytes": n}; a number that is no float64 becomes text, and
	// what is nested more than 100 deep "too deep". Never put a secret, such as a password, token or
	// key, or a person's data here: entries outlive both.
	Metadata map[string]any `json:"metadata"`

	CompanyID   tenancy.CompanyID   `json:"companyId"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId,omitzero"`
	DomainID    tenancy.DomainID    `json:"domainId,omitzero"`
}

// What is stored at most, in bytes where it is text: what comes from a request must never be
// able to make the audited mutation fail.
const (
	maxText     = 512
	maxMessage  = 2048
	maxMetadata = 64 << 10
	maxDepth    = 100 // of metadata
	maxDigits   = 40  // of a number in it
)

// checked returns e with what the caller says made storable, or the caller's mistake.
func (e Entry) checked() (Entry, error) {
	if e.Action == "" {
		return e, ErrNoAction
	}
	switch e.Status {
	case "":
		e.Status = Success
	case Success, Failure:
	default:
		return e, ErrStatus
	}
	e.Action, e.ResourceType, e.ResourceID = clean(e.Action, maxText), clean(e.ResourceType, maxText), clean(e.ResourceID, maxText)
	e.ErrorMessage = clean(e.ErrorMessage, maxMessage)
	return e, nil
}

// clean makes s storable: valid UTF-8 without NUL, at most limit bytes, cut between runes.
func clean(s string, limit int) string {
	if len(s) > 4*limit { // the rest is cut anyway, and may be megabytes
		s = s[:4*limit]
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// noNUL replaces the escape of NUL, which jsonb does not hold, and not a backslash that
// is followed by the same letters.
var noNUL = strings.NewReplacer(`\\`, `\\`, `\u0000`, `\ufffd`)

// unreadable stands for metadata that Go cannot read.
func unreadable() map[string]any { return map[string]any{"unreadable": true} }

// encode writes metadata as JSON that PostgreSQL accepts and List reads back.
func encode(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if len(b) > maxMetadata {
		b, err = json.Marshal(map[string]any{"truncated": true, "bytes": len(b)})
		return string(b), err
	}
	if flat(m) {
		return noNUL.Replace(string(b)), nil
	}
	d := json.NewDecoder(bytes.NewReader(b)) // makes U+FFFD of half a pair, which jsonb refuses
	d.UseNumber()
	var decoded map[string]any
	if d.Decode(&decoded) != nil { // valid, and nested deeper than encoding/json reads
		decoded = unreadable()
	}
	b, err = json.Marshal(readable(decoded, maxDepth))
	return noNUL.Replace(string(b)), err
}

// flat reports whether m is what most metadata is, texts and lists of them: its JSON is
// readable as it is.
func flat(m map[string]any) bool {
	for _, v := range m {
		switch v.(type) {
		case string, []string, bool:
		default:
			return false
		}
	}
	return true
}

// readable replaces what jsonb does not hold or nobody could read back: a number that is
// no float64 becomes text, one of many digits is rounded, and what is nested deeper than
// depth becomes "too deep".
func readable(v any, depth int) any {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Float64()
		switch {
		case err != nil:
			return v.String()
		case n == 0 || len(v) > maxDigits: // 1e-400 is 0 to every reader
			return n
		}
	case map[string]any:
		if depth == 0 {
			return "too deep"
		}
		for k := range v {
			v[k] = readable(v[k], depth-1)
		}
	case []any:
		if depth == 0 {
			return "too deep"
		}
		for i := range v {
			v[i] = readable(v[i], depth-1)
		}
	}
	return v
}
