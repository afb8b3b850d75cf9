package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/clock"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Platform is what a device is reached by.
type Platform string

// The platforms.
const (
	IOS     Platform = "ios"
	Android Platform = "android"
	Web     Platform = "web"
)

// Device is one device of a recipient.
type Device struct {
	// Token is what the platform calls it, at most MaxToken bytes. It is of one recipient of a
	// domain; who knows it can send to the device.
	Token      string
	Platform   Platform
	CreatedAt  time.Time // set by the library
	LastSeenAt time.Time // AddDevice: zero is now
}

// MaxToken is how long a token may be, in bytes.
const MaxToken = 2_000

var (
	// ErrTokenTaken is what a *TokenTakenError is about.
	ErrTokenTaken error = fault.New(fault.Conflict, "token_taken", "another recipient of the domain has this device")

	// ErrNoDevice is returned by RemoveDevice when the recipient has no such device.
	ErrNoDevice error = fault.New(fault.NotFound, "device_not_found", "the recipient has no such device")
)

// TokenTakenError is returned by AddDevice when another recipient of the domain has the device:
// it has changed hands when RemoveDevice has taken it from them. It wraps ErrTokenTaken.
type TokenTakenError struct {
	// ID is the recipient that has it, who may be deleted.
	ID recipients.ID
}

// Error names the other recipient.
func (e *TokenTakenError) Error() string { return fmt.Sprintf("%s: %s", ErrTokenTaken.Error(), e.ID) }

// Unwrap returns ErrTokenTaken.
func (e *TokenTakenError) Unwrap() error { return ErrTokenTaken }

// AddDevice gives a recipient a device, or notes that one that it has was seen, and returns the
// row. Beyond Config.MaxDevices those that have not been seen for the longest time are gone. Errors:
// recipients.ErrNotFound, recipients.ErrNotEnrolled, *TokenTakenError, *tenancy.ValidationError.
func (e *Enrollments) AddDevice(ctx context.Context, id recipients.ID, d Device) (out *Push, err error) {
	err = e.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = e.AddDeviceTx(ctx, tx, id, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AddDeviceTx is AddDevice in the caller's transaction: after an error, tx goes on as before the
// call.
func (e *Enrollments) AddDeviceTx(ctx context.Context, tx *tenancy.Tx, id recipients.ID, d Device) (*Push, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return e.changeDevices(ctx, tx, id, func(t tenancy.Tenant) error {
		// Only its own device is seen again; of another's no row comes back.
		const q = `INSERT INTO strata.recipient_push_devices AS d (domain_id, company_id, workspace_id, recipient_id, token, platform, last_seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, now()))
			ON CONFLICT (domain_id, token) DO UPDATE SET platform = excluded.platform, last_seen_at = greatest(d.last_seen_at, excluded.last_seen_at)
			WHERE d.recipient_id = excluded.recipient_id`
		var seen *time.Time
		if !d.LastSeenAt.IsZero() {
			seen = &d.LastSeenAt
		}
		tag, err := tx.Exec(ctx, tx.SQL(q), t.DomainID, t.CompanyID, t.WorkspaceID, id, d.Token, string(d.Platform), seen)
		if err != nil {
			return fmt.Errorf("push: add a device: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return takenBy(ctx, tx, t, d.Token)
		}
		_, err = tx.Exec(ctx, tx.SQL(`DELETE FROM strata.recipient_push_devices WHERE domain_id = $1 AND recipient_id = $2 AND token IN (
			SELECT token FROM strata.recipient_push_devices WHERE domain_id = $1 AND recipient_id = $2 AND token <> $3
			ORDER BY last_seen_at DESC, token OFFSET $4)`), t.DomainID, id, d.Token, e.maxDevices-1)
		return err
	})
}

// takenBy says who has a token. It is held by the statement that met it.
func takenBy(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, token string) error {
	taken := &TokenTakenError{}
	err := tx.Read(ctx, `SELECT recipient_id FROM strata.recipient_push_devices WHERE domain_id = $1 AND token = $2`, []any{t.DomainID, token}, func(rows pgx.Rows) (err error) {
		taken.ID, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[recipients.ID])
		return err
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	return taken
}

// RemoveDevice takes a device from a recipient, and returns the row. Errors:
// recipients.ErrNotFound, recipients.ErrNotEnrolled, ErrNoDevice.
func (e *Enrollments) RemoveDevice(ctx context.Context, id recipients.ID, token string) (out *Push, err error) {
	err = e.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = e.RemoveDeviceTx(ctx, tx, id, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveDeviceTx is RemoveDevice in the caller's transaction: after an error, tx goes on as
// before the call.
func (e *Enrollments) RemoveDeviceTx(ctx context.Context, tx *tenancy.Tx, id recipients.ID, token string) (*Push, error) {
	return e.changeDevices(ctx, tx, id, func(t tenancy.Tenant) error {
		if wrongText(token) { // PostgreSQL would not take it
			return ErrNoDevice
		}
		tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.recipient_push_devices WHERE domain_id = $1 AND recipient_id = $2 AND token = $3`), t.DomainID, id, token)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNoDevice
		}
		return err
	})
}

// changeDevices holds the row of a recipient while its devices change, and counts them then: two
// at once come one after the other.
func (e *Enrollments) changeDevices(ctx context.Context, tx *tenancy.Tx, id recipients.ID, change func(t tenancy.Tenant) error) (*Push, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	return e.UpdateTx(ctx, tx, id, 0, func(row *Push) error {
		if err := change(t); err != nil {
			return err
		}
		devices, err := devicesOf(ctx, tx, t, id)
		if err != nil {
			return err
		}
		row.Devices, row.LastSeenAt = int64(len(devices)), nil
		for _, d := range devices {
			if row.LastSeenAt == nil || d.LastSeenAt.After(*row.LastSeenAt) {
				row.LastSeenAt = &d.LastSeenAt
			}
		}
		return nil
	})
}

// Devices returns the devices of a recipient, the one that was seen last first. Errors:
// recipients.ErrNotFound, recipients.ErrNotEnrolled.
func (e *Enrollments) Devices(ctx context.Context, id recipients.ID) (out []Device, err error) {
	err = e.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		out, err = e.DevicesTx(ctx, tx, id)
		return err
	})
	return out, err
}

// DevicesTx is Devices in the caller's transaction.
func (e *Enrollments) DevicesTx(ctx context.Context, tx *tenancy.Tx, id recipients.ID) ([]Device, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := e.GetTx(ctx, tx, id); err != nil {
		return nil, err
	}
	return devicesOf(ctx, tx, t, id)
}

func devicesOf(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, id recipients.ID) (out []Device, err error) {
	q := `SELECT token, platform, created_at, last_seen_at FROM strata.recipient_push_devices
		WHERE domain_id = $1 AND recipient_id = $2 ORDER BY last_seen_at DESC, token`
	err = tx.Read(ctx, q, []any{t.DomainID, id}, func(rows pgx.Rows) error {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Device, err error) {
			err = row.Scan(&d.Token, &d.Platform, &d.CreatedAt, &d.LastSeenAt)
			d.CreatedAt, d.LastSeenAt = d.CreatedAt.UTC(), d.LastSeenAt.UTC()
			return d, err
		})
		return err
	})
	return out, err
}

// check says everything that is wrong with a device. No error repeats a token.
func (d Device) check() error {
	v := &tenancy.ValidationError{}
	switch {
	case d.Token == "":
		v.Add("token", "required", "must be there")
	case len(d.Token) > MaxToken:
		v.Add("token", "too_long", fmt.Sprintf("must have at most %d bytes, it has %d", MaxToken, len(d.Token)))
	case wrongText(d.Token):
		v.Add("token", "invalid_text", "must be valid UTF-8 without NUL")
	}
	platforms := []string{string(IOS), string(Android), string(Web)}
	if d.Platform != IOS && d.Platform != Android && d.Platform != Web {
		v.Fields = append(v.Fields, tenancy.FieldError{
			Field: "platform", Code: "unknown_option", Message: "must be one of " + suggest.Quoted(platforms),
			Suggestion: suggest.Closest(string(d.Platform), platforms),
		})
	}
	if clock.InFuture(d.LastSeenAt) {
		v.Add("lastSeenAt", "in_future", "must not be in the future")
	}
	return v.OrNil()
}

func wrongText(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, 0) }
