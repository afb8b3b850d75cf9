// Package sms is the product of those who write text messages: the phone number of a recipient,
// and whether its owner agreed. Filters know it as sms:
//
//	sms.opted_in && sms.phone.startsWith("+49")
//
// It is a model for an extension of your own: a bun model, a Check, one call of Register.
package sms

import (
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
)

// Name is how filters, lists and routes call the extension.
const Name = "sms"

// SMS is the row of a recipient to whom text messages may be sent.
type SMS struct {
	bun.BaseModel `bun:"table:strata.recipient_sms"`
	recipients.Enrollment
	phone.Contact
}

// Config configures the product. The zero value, and nil, are legal.
type Config = phone.Config

// Enrollments enrolls recipients, and opts them in and out.
type Enrollments = phone.Enrollments[SMS]

// Register adds the extension to a registry, before that is given to strata.Migrate, which makes
// the table recipient_sms, and to a Store.
func Register(r *recipients.Registry, cfg *Config) (*Enrollments, error) {
	return phone.Register(r, recipients.Extension[SMS]{Name: Name, Product: "strata"}, cfg)
}
