package email

import (
	"context"
	"time"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// RecordSent notes that a letter was sent to recipients, and returns how many rows changed.
// Errors: *tenancy.ValidationError.
func (e *Enrollments) RecordSent(ctx context.Context, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, nil, ids, at, sent)
}

// RecordSentTx is RecordSent in the caller's transaction: after an error, tx goes on as before
// the call.
func (e *Enrollments) RecordSentTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, tx, ids, at, sent)
}

// RecordOpened notes that recipients opened a letter, and returns how many rows changed. Errors:
// *tenancy.ValidationError.
func (e *Enrollments) RecordOpened(ctx context.Context, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, nil, ids, at, opened)
}

// RecordOpenedTx is RecordOpened in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments) RecordOpenedTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, tx, ids, at, opened)
}

// RecordClicked notes that recipients followed a link in a letter, and returns how many rows
// changed. Who clicks has opened. Errors: *tenancy.ValidationError.
func (e *Enrollments) RecordClicked(ctx context.Context, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, nil, ids, at, clicked)
}

// RecordClickedTx is RecordClicked in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments) RecordClickedTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, tx, ids, at, clicked)
}

// RecordBounced counts a bounce of each of the recipients, and returns how many rows changed.
// One of the time and the kind of the last one is that one, told again, and is not counted twice.
// The status of the recipient stays what it is. Errors: *tenancy.ValidationError.
func (e *Enrollments) RecordBounced(ctx context.Context, ids []recipients.ID, kind BounceKind, at time.Time) (int, error) {
	return e.recordBounced(ctx, nil, ids, kind, at)
}

// RecordBouncedTx is RecordBounced in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments) RecordBouncedTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, kind BounceKind, at time.Time) (int, error) {
	return e.recordBounced(ctx, tx, ids, kind, at)
}

func (e *Enrollments) recordBounced(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, kind BounceKind, at time.Time) (int, error) {
	if kind != Hard && kind != Soft {
		return 0, &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "kind", Code: "unknown_option", Message: "must be one of hard, soft"}}}
	}
	return e.record(ctx, tx, ids, at, func(row *Email, at time.Time) { bounced(row, kind, at) })
}

// Subscribe makes recipients subscribed, and returns how many rows changed. Who unsubscribed at
// that time or later stays so. Errors: *tenancy.ValidationError.
func (e *Enrollments) Subscribe(ctx context.Context, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, nil, ids, at, subscribe)
}

// SubscribeTx is Subscribe in the caller's transaction: after an error, tx goes on as before the
// call.
func (e *Enrollments) SubscribeTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, tx, ids, at, subscribe)
}

// Unsubscribe makes recipients unsubscribed from this product alone, and returns how many rows
// changed. Who subscribed later stays so. Errors: *tenancy.ValidationError.
func (e *Enrollments) Unsubscribe(ctx context.Context, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, nil, ids, at, unsubscribe)
}

// UnsubscribeTx is Unsubscribe in the caller's transaction: after an error, tx goes on as before
// the call.
func (e *Enrollments) UnsubscribeTx(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time) (int, error) {
	return e.record(ctx, tx, ids, at, unsubscribe)
}

// record lets what happened change the rows; without a transaction it is in one of its own.
func (e *Enrollments) record(ctx context.Context, tx *tenancy.Tx, ids []recipients.ID, at time.Time, happened func(row *Email, at time.Time)) (int, error) {
	at, err := moment(at)
	if err != nil {
		return 0, err
	}
	change := func(row *Email) error { happened(row, at); return nil }
	if tx == nil {
		return e.UpdateMany(ctx, ids, change)
	}
	return e.UpdateManyTx(ctx, tx, ids, change)
}

// last is the later of two times, of which the first may not be known.
func last(known *time.Time, at time.Time) *time.Time {
	if known != nil && !at.After(*known) {
		return known
	}
	return &at
}

func sent(row *Email, at time.Time)   { row.LastSentAt = last(row.LastSentAt, at) }
func opened(row *Email, at time.Time) { row.LastOpenedAt = last(row.LastOpenedAt, at) }

func clicked(row *Email, at time.Time) {
	row.LastClickedAt, row.LastOpenedAt = last(row.LastClickedAt, at), last(row.LastOpenedAt, at)
}

func bounced(row *Email, kind BounceKind, at time.Time) {
	if row.LastBouncedAt != nil && row.LastBouncedAt.Equal(at) && row.LastBounceKind == kind {
		return
	}
	if kind == Hard {
		row.HardBounces++
	} else {
		row.SoftBounces++
	}
	if row.LastBouncedAt == nil || !at.Before(*row.LastBouncedAt) {
		row.LastBouncedAt, row.LastBounceKind = &at, kind
	}
}

func subscribe(row *Email, at time.Time) {
	if row.SubscriptionStatus == Pending || at.After(row.SubscriptionChangedAt) {
		row.say(Subscribed, at)
	}
}

func unsubscribe(row *Email, at time.Time) {
	if row.SubscriptionStatus == Pending || !at.Before(row.SubscriptionChangedAt) {
		row.say(Unsubscribed, at)
	}
}

// say notes what was said. The same said again changes nothing but when; what is said at the
// moment of the last word comes right after it.
func (row *Email) say(status Status, at time.Time) {
	known := row.SubscriptionStatus != Pending && !at.After(row.SubscriptionChangedAt)
	switch {
	case known && row.SubscriptionStatus == status:
		return
	case known:
		at = row.SubscriptionChangedAt.Add(time.Microsecond)
	}
	row.SubscriptionStatus, row.SubscriptionChangedAt = status, at
}
