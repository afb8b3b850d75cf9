package whatsapp

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata/internal/clock"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/tenancy"
)

// MaxInbound is how many messages RecordInbound takes at once.
const MaxInbound = recipients.MaxEnrollMany

// Inbound is a message that a recipient wrote.
type Inbound struct {
	RecipientID recipients.ID
	At          time.Time
}

// RecordInbound notes when recipients last wrote, at most MaxInbound messages at once. Of
// several of one recipient the latest counts, whichever comes first, and the same ones again
// change nothing. Who is not enrolled, or not there, is passed over; how many rows changed is
// returned. The error is a *tenancy.ValidationError that names the message, such as "[3].at",
// and then nothing was written.
func (e *Enrollments) RecordInbound(ctx context.Context, messages []Inbound) (int, error) {
	ids, latest, err := latestOf(messages)
	if err != nil {
		return 0, err
	}
	return e.UpdateMany(phone.Keep(ctx), ids, latest)
}

// RecordInboundTx is RecordInbound in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments) RecordInboundTx(ctx context.Context, tx *tenancy.Tx, messages []Inbound) (int, error) {
	ids, latest, err := latestOf(messages)
	if err != nil {
		return 0, err
	}
	return e.UpdateManyTx(phone.Keep(ctx), tx, ids, latest)
}

// latestOf returns who wrote, and what notes the latest message of each.
func latestOf(messages []Inbound) (ids []recipients.ID, note func(row *WhatsApp) error, err error) {
	v := &tenancy.ValidationError{}
	if len(messages) > MaxInbound {
		v.Add("messages", "too_many", fmt.Sprintf("at most %d messages at once, these are %d", MaxInbound, len(messages)))
		return nil, nil, v
	}
	latest := make(map[recipients.ID]time.Time, len(messages))
	for i, m := range messages {
		switch {
		case m.At.IsZero():
			v.Add(fmt.Sprintf("[%d].at", i), "required", "must say when the message was written")
		case clock.InFuture(m.At):
			v.Add(fmt.Sprintf("[%d].at", i), "in_future", "must not be in the future")
		}
		before, seen := latest[m.RecipientID]
		if !seen {
			ids = append(ids, m.RecipientID)
		}
		if m.At.After(before) {
			latest[m.RecipientID] = m.At.UTC().Truncate(time.Microsecond)
		}
	}
	return ids, func(row *WhatsApp) error {
		if at := latest[row.RecipientID]; row.LastInboundAt == nil || at.After(*row.LastInboundAt) {
			row.LastInboundAt = &at
		}
		return nil
	}, v.OrNil()
}
