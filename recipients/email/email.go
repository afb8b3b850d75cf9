// Package email is the product of those who write email: whether a recipient is subscribed,
// what bounced, and when something was last sent, opened and clicked. Filters know it as email,
// beside the address of the recipient:
//
//	email.subscription_status == "subscribed" && email.hard_bounces == 0 && email.endsWith(".com")
//
// A row says what this product knows, and recipients.Status what every product goes by; neither
// touches the other. Who unsubscribes from the newsletter may still want the text message, and a
// mailbox that was full once is none that bounces. Where an unsubscription is from everything, or
// a bounce is for good, say so of the recipient in the same transaction:
//
//	err := mail.InTx(ctx, func(tx *tenancy.Tx) error {
//		if _, err := mail.UnsubscribeTx(ctx, tx, []recipients.ID{id}, at); err != nil {
//			return err
//		}
//		_, err := store.UpdateTx(ctx, tx, id, recipients.Change{Status: &unsubscribed})
//		return err
//	})
//
// It is a model for an extension of your own, with a table of its own migrations: a bun model,
// the files, one call of Register, and calls that say what happened by UpdateMany.
package email

import (
	"context"
	"embed"
	"time"

	"github.com/uptrace/bun"

	"github.com/stratakit/strata/internal/clock"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Name is how filters, lists and routes call the extension.
const Name = "email"

// Status is whether a recipient wants to be written to.
type Status string

// The statuses.
const (
	Pending      Status = "pending" // was asked, and has not answered
	Subscribed   Status = "subscribed"
	Unsubscribed Status = "unsubscribed"
)

// BounceKind is why a letter came back.
type BounceKind string

// The kinds of bounces.
const (
	Hard BounceKind = "hard" // the mailbox is not there
	Soft BounceKind = "soft" // it is full, or its server does not answer
)

// Email is the row of a recipient to whom letters may be written.
type Email struct {
	bun.BaseModel `bun:"table:strata.recipient_email"`
	recipients.Enrollment

	// SubscriptionStatus is Pending where nothing is said. SubscriptionChangedAt is when that
	// was last said; an Update that changes the status and leaves it makes it now.
	// An import subscribes nobody who has unsubscribed: a file does not say when they agreed.
	SubscriptionStatus    Status    `bun:"subscription_status,nullzero,default:'pending'" strata:"filterable,options:pending|subscribed|unsubscribed"`
	SubscriptionChangedAt time.Time `bun:"subscription_changed_at,nullzero,default:now()" strata:"filterable,readonly"`

	HardBounces    int64      `bun:"hard_bounces"              strata:"filterable,readonly"`
	SoftBounces    int64      `bun:"soft_bounces"              strata:"filterable,readonly"`
	LastBouncedAt  *time.Time `bun:"last_bounced_at"           strata:"filterable,readonly"`
	LastBounceKind BounceKind `bun:"last_bounce_kind,nullzero" strata:"filterable,readonly,options:hard|soft"`

	LastSentAt    *time.Time `bun:"last_sent_at"    strata:"filterable,readonly"`
	LastOpenedAt  *time.Time `bun:"last_opened_at"  strata:"filterable,readonly"`
	LastClickedAt *time.Time `bun:"last_clicked_at" strata:"filterable,readonly"`
}

//go:embed migrations/*.sql
var migrations embed.FS

// Config configures the product. The zero value, and nil, are legal.
type Config struct {
	// Check says what else must be right about a row; see recipients.Extension. Default none.
	Check func(ctx context.Context, row *Email) error
}

// Enrollments enrolls recipients, and records what happened to their letters. Each call that
// records is one transaction of a few statements, for at most recipients.MaxEnrollMany
// recipients; those that are not enrolled, or are not of the domain, are passed over. What
// happened is at a time, the zero time being now, and the last time is what counts, in whichever
// order word of it comes. It is safe for concurrent use.
type Enrollments struct {
	*recipients.Enrollments[Email]
}

// Register adds the extension to a registry, before that is given to strata.Migrate, which makes
// the table recipient_email, and to a Store.
func Register(r *recipients.Registry, cfg *Config) (*Enrollments, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	registered, err := recipients.Register(r, recipients.Extension[Email]{Name: Name, Product: "strata", Migrations: migrations, Check: c.Check, CheckOver: checkOver})
	if err != nil {
		return nil, err
	}
	return &Enrollments{registered}, nil
}

// checkOver keeps an old file from taking back that somebody unsubscribed.
func checkOver(_ context.Context, stored, row *Email) error {
	v := &tenancy.ValidationError{}
	if stored.SubscriptionStatus == Unsubscribed && row.SubscriptionStatus != Unsubscribed {
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "subscriptionStatus", Value: string(row.SubscriptionStatus), Code: "unsubscribed",
			Message: "they unsubscribed at " + stored.SubscriptionChangedAt.UTC().Format(time.RFC3339) + ", and a file does not say that they agreed since: leave it empty, or say unsubscribed",
		})
	}
	return v.OrNil()
}

// moment is a time as PostgreSQL keeps it: of zero, now.
func moment(at time.Time) (time.Time, error) {
	if at.IsZero() {
		at = time.Now()
	}
	if clock.InFuture(at) {
		return at, &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "at", Value: at.UTC().Format(time.RFC3339), Code: "in_future", Message: "must not be in the future",
		}}}
	}
	return at.UTC().Truncate(time.Microsecond), nil
}
