package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// ReservationID identifies a Reservation.
type ReservationID = tenancy.ID[Reservation]

// Reservation is room held for long work, such as an import, before it is known how
// much of it will be used.
type Reservation struct {
	ID        ReservationID
	Resource  string
	Amount    int64
	ExpiresAt time.Time
}

// Reserve holds room for n of resource until ttl has passed, or returns a *LimitError
// and holds nothing.
func (l *Limits) Reserve(ctx context.Context, tx *tenancy.Tx, resource string, n int64, ttl time.Duration) (Reservation, error) {
	if n < 0 || ttl <= 0 {
		return Reservation{}, fmt.Errorf("billing: reserve %d %s for %s: both must be positive", n, resource, ttl)
	}
	r := Reservation{ID: tenancy.NewID[Reservation](), Resource: resource, Amount: n, ExpiresAt: l.now().Add(ttl)}
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.reservations (company_id, id, resource, amount, remaining, expires_at) VALUES ($1, $2, $3, $4, $4, $5)`),
		tx.Tenant().CompanyID, r.ID, resource, n, r.ExpiresAt)
	if err != nil {
		return Reservation{}, fmt.Errorf("billing: reserve: %w", err)
	}
	return r, l.take(ctx, tx, resource, n, `reserved = reserved + $3`)
}

// Settle turns n of what a reservation holds into usage, in the transaction that wrote
// the n things. It returns ErrReservation when it does not hold that much.
func (l *Limits) Settle(ctx context.Context, tx *tenancy.Tx, id ReservationID, n int64) error {
	if n < 0 {
		return fmt.Errorf("billing: settle %d: the number is negative", n)
	}
	var resource string
	err := tx.QueryRow(ctx, tx.SQL(`UPDATE strata.reservations SET remaining = remaining - $3
		WHERE company_id = $1 AND id = $2 AND closed_at IS NULL AND remaining >= $3 RETURNING resource`), tx.Tenant().CompanyID, id, n).Scan(&resource)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrReservation
	}
	if err != nil {
		return fmt.Errorf("billing: settle: %w", err)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET used = used + $3, reserved = reserved - $3 WHERE company_id = $1 AND resource = $2 AND period = ''`),
		tx.Tenant().CompanyID, resource, n)
	if err != nil {
		return fmt.Errorf("billing: settle: %w", err)
	}
	return nil
}

// CloseReservation gives back what a reservation still holds. Closing twice, or one
// that expired, does nothing.
func (l *Limits) CloseReservation(ctx context.Context, tx *tenancy.Tx, id ReservationID) error {
	var resource string
	var rest int64
	err := tx.QueryRow(ctx, tx.SQL(`WITH open AS (
			SELECT resource, remaining FROM strata.reservations WHERE company_id = $1 AND id = $2 AND closed_at IS NULL FOR UPDATE
		), closed AS (
			UPDATE strata.reservations SET remaining = 0, closed_at = $3 WHERE company_id = $1 AND id = $2 AND EXISTS (SELECT FROM open)
		) SELECT resource, remaining FROM open`), tx.Tenant().CompanyID, id, l.now()).Scan(&resource, &rest)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("billing: close a reservation: %w", err)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET reserved = reserved - $3 WHERE company_id = $1 AND resource = $2 AND period = ''`),
		tx.Tenant().CompanyID, resource, rest)
	if err != nil {
		return fmt.Errorf("billing: close a reservation: %w", err)
	}
	return nil
}

// ExpireReservations gives back, in every company, what is held past its time: the work
// it was for died without a trace. It returns how many it closed. Run it every few
// minutes; any number of processes may.
func (l *Limits) ExpireReservations(ctx context.Context) (int, error) {
	type expired struct {
		company tenancy.CompanyID
		id      ReservationID
	}
	var due []expired
	err := l.db.ReadTrusted(ctx, `SELECT company_id, id FROM strata.reservations WHERE closed_at IS NULL AND expires_at < $1 ORDER BY expires_at LIMIT 1000`,
		[]any{l.now()}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e expired, err error) {
				err = row.Scan(&e.company, &e.id)
				return e, err
			})
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("billing: find expired reservations: %w", err)
	}
	for i, e := range due {
		scoped := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: e.company})
		err := l.db.InTx(scoped, func(tx *tenancy.Tx) error {
			if err := l.CloseReservation(scoped, tx, e.id); err != nil {
				return err
			}
			return l.audit.RecordTx(scoped, tx, audit.Entry{Action: "reservation.expired", ResourceType: "reservation", ResourceID: e.id.String()})
		})
		if err != nil {
			return i, err
		}
	}
	return len(due), nil
}
