// Package whatsapp is the product of those who write by WhatsApp: the phone number of a
// recipient, whether its owner agreed, what WhatsApp calls them, and when they last wrote, from
// which on a business may answer freely for 24 hours. Filters know it as whatsapp:
//
//	whatsapp.opted_in && withinLast(whatsapp.last_inbound_at, duration("24h"))
package whatsapp

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/stratakit/strata/internal/clock"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/tenancy"
)

// Name is how filters, lists and routes call the extension.
const Name = "whatsapp"

// Window is how long after a message of theirs a recipient may be written to without a template:
// the customer service window of WhatsApp.
const Window = 24 * time.Hour

// WhatsApp is the row of a recipient to whom WhatsApp messages may be sent.
type WhatsApp struct {
	bun.BaseModel `bun:"table:strata.recipient_whatsapp"`
	recipients.Enrollment
	phone.Contact

	// WaID is what WhatsApp calls the recipient: mostly the digits of their number, though not
	// in every country. Empty until it is known.
	WaID          string     `bun:"wa_id"           json:"waId"          strata:"filterable,index"`
	LastInboundAt *time.Time `bun:"last_inbound_at" json:"lastInboundAt" strata:"filterable"`
}

// WindowOpen reports whether at this time a message may be sent without a template.
func (w *WhatsApp) WindowOpen(at time.Time) bool {
	return w.LastInboundAt != nil && at.Before(w.LastInboundAt.Add(Window))
}

// Config configures the product. The zero value, and nil, are legal.
type Config = phone.Config

// Enrollments enrolls recipients, opts them in and out, and notes when they wrote.
type Enrollments struct {
	*phone.Enrollments[WhatsApp]
}

// Register adds the extension to a registry, before that is given to strata.Migrate, which makes
// the table recipient_whatsapp, and to a Store.
func Register(r *recipients.Registry, cfg *Config) (*Enrollments, error) {
	registered, err := phone.Register(r, recipients.Extension[WhatsApp]{Name: Name, Product: "strata", Check: check}, cfg)
	if err != nil {
		return nil, err
	}
	return &Enrollments{registered}, nil
}

// waID is looser than the digits that most of them are: WhatsApp also has ids that hide the
// number.
var waID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func check(_ context.Context, row *WhatsApp) error {
	v := &tenancy.ValidationError{}
	row.WaID = strings.TrimPrefix(strings.TrimSpace(row.WaID), "+")
	if row.WaID != "" && !waID.MatchString(row.WaID) {
		v.Add("waId", "invalid_wa_id", "must be the id by which WhatsApp names the recipient, such as 493012345678")
	}
	if row.LastInboundAt != nil && clock.InFuture(*row.LastInboundAt) {
		v.Add("lastInboundAt", "in_future", "must not be in the future")
	}
	return v.OrNil()
}
