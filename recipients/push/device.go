package push

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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

// ID is what the device may be called where its token must not be told, as in an address of HTTP or
// in the audit trail: half of the SHA-256 of the token, in hexadecimal digits.
func (d Device) ID() string {
	sum := sha256.Sum256([]byte(d.Token))
	return hex.EncodeToString(sum[:16])
}

// MaxToken is how long a token may be, in bytes.
const MaxToken = 2_000

var (
	// ErrTokenTaken is what a *TokenTakenError is about.
	ErrTokenTaken error = fault.New(fault.Conflict, "token_taken", "another recipient of the domain has this device")

	// ErrNoDevice is returned by RemoveDevice when the recipient has no such device.
	ErrNoDevice error = fault.New(fault.NotFound, "device_not_found", "the recipient has no such device")
)

// TokenTakenError is returned by AddDevice when another recipient of the domain, who is not
// deleted, has the device: it has changed hands when RemoveDevice has taken it from them. It wraps
// ErrTokenTaken.
type TokenTakenError struct {
	// ID is the recipient that has it.
	ID recipients.ID
}

// Error names the other recipient.
func (e *TokenTakenError) Error() string { return fmt.Sprintf("%s: %s", ErrTokenTaken.Error(), e.ID) }

// Unwrap returns ErrTokenTaken.
func (e *TokenTakenError) Unwrap() error { return ErrTokenTaken }

// Kind is fault.Conflict.
func (e *TokenTakenError) Kind() fault.Kind { return fault.Conflict }

// Code is "token_taken".
func (e *TokenTakenError) Code() string { return "token_taken" }

// Details are the members an HTTP answer has beside code and message.
func (e *TokenTakenError) Details() map[string]any { return map[string]any{"recipientId": e.ID} }

// AddDevice gives a recipient a device, or notes that one that it has was seen, and returns the
// row. It takes the device from a recipient that is deleted: as with an address, nobody waits for
// what may be restored. Beyond Config.MaxDevices those that have not been seen for the longest
// time are gone. Errors: recipients.ErrNotFound, recipients.ErrNotEnrolled, *TokenTakenError,
// *tenancy.ValidationError.
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
	return e.changeDevices(ctx, tx, id, func(t tenancy.Tenant) error {
		if err := d.check(); err != nil {
			return err
		}
		added, err := d.add(ctx, tx, t, id)
		if err == nil && !added {
			if err = e.free(ctx, tx, t, d); err == nil {
				added, err = d.add(ctx, tx, t, id)
			}
		}
		if err != nil {
			return err
		}
		if !added { // somebody else was as quick
			return takenBy(ctx, tx, t, d.Token)
		}
		_, err = tx.Exec(ctx, tx.SQL(`DELETE FROM strata.recipient_push_devices WHERE domain_id = $1 AND recipient_id = $2 AND token IN (
			SELECT token FROM strata.recipient_push_devices WHERE domain_id = $1 AND recipient_id = $2 AND token <> $3
			ORDER BY last_seen_at DESC, token OFFSET $4)`), t.DomainID, id, d.Token, e.maxDevices-1)
		return err
	})
}

// add writes the device, unless another recipient has it.
func (d Device) add(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, id recipients.ID) (added bool, err error) {
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
		return false, fmt.Errorf("push: add a device: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// free takes a device from the recipient that has it, if that is deleted, and counts what it has
// left. Of one that is not, the error is a *TokenTakenError.
func (e *Enrollments) free(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, d Device) error {
	var gone []recipients.ID
	err := tx.Read(ctx, `DELETE FROM strata.recipient_push_devices d USING strata.recipients r
		WHERE d.domain_id = $1 AND d.token = $2 AND r.domain_id = d.domain_id AND r.id = d.recipient_id AND r.deleted_at IS NOT NULL
		RETURNING d.recipient_id`, []any{t.DomainID, d.Token}, func(rows pgx.Rows) (err error) {
		gone, err = pgx.CollectRows(rows, pgx.RowTo[recipients.ID])
		return err
	})
	if err != nil {
		return fmt.Errorf("push: take a device from who is deleted: %w", err)
	}
	if len(gone) == 0 {
		return takenBy(ctx, tx, t, d.Token)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.recipient_push SET devices = devices, version = version + 1, updated_at = now()
		WHERE domain_id = $1 AND recipient_id = $2`), t.DomainID, gone[0])
	if err != nil {
		return fmt.Errorf("push: count the devices of who is deleted: %w", err)
	}
	return e.recordChange(ctx, tx, gone[0], []Device{d}, nil)
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

// changeDevices holds the row of a recipient while its devices change, counts them then, and notes
// which came and went: two at once come one after the other.
func (e *Enrollments) changeDevices(ctx context.Context, tx *tenancy.Tx, id recipients.ID, change func(t tenancy.Tenant) error) (*Push, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	return e.UpdateTx(ctx, tx, id, 0, func(row *Push) error {
		before, err := devicesOf(ctx, tx, t, id)
		if err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		devices, err := devicesOf(ctx, tx, t, id)
		if err != nil {
			return err
		}
		if err := e.recordChange(ctx, tx, id, before, devices); err != nil {
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

// recordChange notes in the audit trail which devices a recipient has got and lost, by Device.ID.
// One that was only seen again is no news.
func (e *Enrollments) recordChange(ctx context.Context, tx *tenancy.Tx, id recipients.ID, before, after []Device) error {
	without := func(all, others []Device) []string {
		var ids []string
		for _, d := range all {
			if !slices.ContainsFunc(others, func(o Device) bool { return o.Token == d.Token && o.Platform == d.Platform }) {
				ids = append(ids, d.ID())
			}
		}
		return ids
	}
	changes := map[string]any{}
	if added := without(after, before); added != nil {
		changes["added"] = added
	}
	if removed := without(before, after); removed != nil {
		changes["removed"] = removed
	}
	if len(changes) == 0 {
		return nil
	}
	return e.RecordTx(ctx, tx, id, "recipient.devices_changed", changes)
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
