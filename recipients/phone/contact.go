package phone

import (
	"fmt"
	"strings"
	"time"

	"github.com/stratakit/strata/internal/clock"
	"github.com/stratakit/strata/tenancy"
)

// Contact is a phone number, and whether its owner agreed to be written to. The model of a
// product embeds it beside recipients.Enrollment.
//
// OptedIn is what counts when a message is sent. It is true only with the time and the source of
// the agreement, later than the last time somebody opted out; made false, it gets the time of
// now where none is given. Both times stay, as evidence. An import, which may be of an old file, has
// the later opt-out of the two stay, and opts in only who agreed after it.
type Contact struct {
	Phone string `bun:"phone" json:"phone" strata:"filterable,index"` // E.164

	OptedIn        bool       `bun:"opted_in"         json:"optedIn"        strata:"filterable"`
	OptedInAt      *time.Time `bun:"opted_in_at"      json:"optedInAt"      strata:"filterable"`
	OptedInSource  string     `bun:"opted_in_source"  json:"optedInSource"  strata:"filterable"` // such as "form on example.com"
	OptedOutAt     *time.Time `bun:"opted_out_at"     json:"optedOutAt"     strata:"filterable"`
	OptedOutSource string     `bun:"opted_out_source" json:"optedOutSource" strata:"filterable"` // such as "STOP"
}

func (c *Contact) contact() *Contact { return c }

// MaxSource is how long a source may be, in bytes.
const MaxSource = 200

// optIn and optOut make what was said last what counts, in whichever order it arrives. What was
// said at the same moment is a no.
func (c *Contact) optIn(source string, at time.Time) {
	if c.OptedInAt == nil || at.After(*c.OptedInAt) {
		c.OptedInAt, c.OptedInSource = &at, source
	}
	c.OptedIn = c.OptedOutAt == nil || c.OptedInAt.After(*c.OptedOutAt)
}

func (c *Contact) optOut(source string, at time.Time) {
	if c.OptedOutAt == nil || at.After(*c.OptedOutAt) {
		c.OptedOutAt, c.OptedOutSource = &at, source
	}
	c.OptedIn = c.OptedIn && c.OptedInAt != nil && c.OptedInAt.After(*c.OptedOutAt)
}

// keepOptOut keeps the later of two opt-outs: one that is stored may be newer than a file.
func (c *Contact) keepOptOut(stored *Contact) {
	if at := stored.OptedOutAt; at != nil && (c.OptedOutAt == nil || c.OptedOutAt.Before(*at)) {
		c.OptedOutAt, c.OptedOutSource = at, stored.OptedOutSource
	}
}

// checkPhone brings the number into its normal form.
func (c *Contact) checkPhone(v *tenancy.ValidationError, region string) {
	number, err := Normalize(c.Phone, region)
	if err == nil {
		c.Phone = number
		return
	}
	f := tenancy.FieldError{Field: "phone", Value: shown(c.Phone), Code: CodeInvalid, Message: err.Error()}
	if e, ok := err.(*Error); ok { //nolint:errorlint // Normalize wraps nothing
		f.Code, f.Message, f.Suggestion = e.Code, e.Message, e.Suggestion
	}
	v.Fields = append(v.Fields, f)
}

// shown is the start of what was typed, as far as an answer can repeat it.
func shown(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// checkOptIn says where times, sources and OptedIn contradict each other.
func (c *Contact) checkOptIn(v *tenancy.ValidationError, now time.Time) {
	c.OptedInSource, c.OptedOutSource = strings.TrimSpace(c.OptedInSource), strings.TrimSpace(c.OptedOutSource)
	checkSaid(v, "optedIn", c.OptedInSource, c.OptedInAt)
	checkSaid(v, "optedOut", c.OptedOutSource, c.OptedOutAt)
	if !c.OptedIn {
		if c.OptedInAt != nil && (c.OptedOutAt == nil || c.OptedOutAt.Before(*c.OptedInAt)) {
			c.OptedOutAt = &now
		}
		return
	}
	if c.OptedInAt == nil {
		v.Add("optedInAt", "required", "must say when they agreed")
	} else if c.OptedOutAt != nil && !c.OptedInAt.After(*c.OptedOutAt) {
		v.Add("optedInAt", "opted_out", "must be later than optedOutAt, "+c.OptedOutAt.UTC().Format(time.RFC3339)+": say when and how they agreed again, with optedInAt and optedInSource")
	}
	if c.OptedInSource == "" {
		v.Add("optedInSource", "required", `must say how they agreed, such as "form on example.com"`)
	}
}

func checkSaid(v *tenancy.ValidationError, prefix, source string, at *time.Time) {
	if len(source) > MaxSource {
		v.Add(prefix+"Source", "too_long", fmt.Sprintf("must have at most %d bytes, it has %d", MaxSource, len(source)))
	}
	if at != nil && clock.InFuture(*at) {
		v.Add(prefix+"At", "in_future", "must not be in the future")
	}
}
