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
// much of it will be used. A downgrade does not take it away.
type Reservation struct {
	ID        ReservationID
	Resource  string
	Amount    int64
	ExpiresAt time.Time
}

// Reserve holds room for n of resource until ttl has passed, or returns a *LimitError
// and holds nothing. Choose ttl longer than the work can take: a reservation that
// expired cannot be settled any more. n may be 0, always.
func (l *Limits) Reserve(ctx context.Context, tx *tenancy.Tx, resource string, n int64, ttl time.Duration) (Reservation, error) {
	if n < 0 || ttl <= 0 {
		return Reservation{}, fmt.Errorf("billing: reserve %d %s for %s: want neither a negative number nor a time that has passed", n, resource, ttl)
	}
	r := Reservation{ID: tenancy.NewID[Reservation](), Resource: resource, Amount: n, ExpiresAt: l.now().Add(ttl).UTC().Truncate(time.Microsecond)}
	// Counted first: one that was refused must not stand, and free later what it never held.
	if err := l.take(ctx, tx, resource, n, reserveSQL); err != nil {
		return Reservation{}, err
	}
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.reservations (company_id, id, resource, amount, remaining, expires_at) VALUES ($1, $2, $3, $4, $4, $5)`),
		tx.Tenant().CompanyID, r.ID, resource, n, r.ExpiresAt)
	if err != nil {
		return Reservation{}, fmt.Errorf("billing: reserve: %w", err)
	}
	return r, nil
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
		return fmt.Errorf("settle %d: %w", n, ErrReservation)
	}
	if err != nil {
		return fmt.Errorf("billing: settle: %w", err)
	}
	return unreserve(ctx, tx, resource, n, n)
}

// unreserve takes n out of what is reserved and adds used of it to what is used.
func unreserve(ctx context.Context, tx *tenancy.Tx, resource string, n, used int64) error {
	if n == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET reserved = reserved - $3, used = used + $4
		WHERE company_id = $1 AND resource = $2 AND period = ''`), tx.Tenant().CompanyID, resource, n, used)
	if err == nil && tag.RowsAffected() != 1 {
		err = errors.New("there is no counter")
	}
	if err != nil {
		return fmt.Errorf("billing: %d reserved %s: %w", n, resource, err)
	}
	return nil
}

// CloseReservation gives back what a reservation still holds. Closing twice, or one
// that is not this company's, does nothing.
func (l *Limits) CloseReservation(ctx context.Context, tx *tenancy.Tx, id ReservationID) error {
	_, err := l.closeReservation(ctx, tx, id, `SELECT resource, remaining FROM strata.reservations
		WHERE company_id = $1 AND id = $2 AND closed_at IS NULL FOR UPDATE`)
	return err
}

// closed is what a closed reservation gave back.
type closed struct {
	resource string
	rest     int64
}

// closeReservation closes the reservation that find locks, or returns nil when there is none.
func (l *Limits) closeReservation(ctx context.Context, tx *tenancy.Tx, id ReservationID, find string) (*closed, error) {
	var c closed
	err := tx.QueryRow(ctx, tx.SQL(find), tx.Tenant().CompanyID, id).Scan(&c.resource, &c.rest)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.reservations SET remaining = 0, closed_at = $3 WHERE company_id = $1 AND id = $2`),
			tx.Tenant().CompanyID, id, l.now())
	}
	if err != nil {
		return nil, fmt.Errorf("billing: close a reservation: %w", err)
	}
	return &c, unreserve(ctx, tx, c.resource, c.rest, 0)
}

// ExpireReservations gives back, in every company, what is held past its time: the work
// it was for died without a trace. It returns how many it closed. Run it every few
// minutes; any number of processes may, each reservation is closed and audited once.
// One that cannot be closed does not keep the others: the errors come joined.
func (l *Limits) ExpireReservations(ctx context.Context) (int, error) {
	type due struct {
		company tenancy.CompanyID
		id      ReservationID
	}
	now := l.now()
	return sweep(ctx, l.db, `SELECT company_id, id FROM strata.reservations WHERE closed_at IS NULL AND expires_at < $1`, now,
		func(row pgx.CollectableRow) (d due, err error) {
			err = row.Scan(&d.company, &d.id)
			return d, err
		},
		func(d due) (bool, error) {
			ctx := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: d.company})
			done := false
			err := l.db.InTx(ctx, func(tx *tenancy.Tx) error {
				// One that is being settled or closed right now is not abandoned.
				c, err := l.closeReservation(ctx, tx, d.id, `SELECT resource, remaining FROM strata.reservations
					WHERE company_id = $1 AND id = $2 AND closed_at IS NULL FOR UPDATE SKIP LOCKED`)
				if err != nil || c == nil {
					return err
				}
				done = true
				return l.audit.RecordTx(ctx, tx, audit.Entry{
					Action: "reservation.expired", ResourceType: "reservation", ResourceID: d.id.String(),
					Metadata: map[string]any{"resource": c.resource, "givenBack": c.rest},
				})
			})
			if err != nil {
				return false, fmt.Errorf("billing: expire reservation %s of company %s: %w", d.id, d.company, err)
			}
			return done, nil
		})
}

// sweep does the work of each row that find returns, across companies: find sees only
// what work then opens in the company's own scope. It returns how many were done and
// all that failed.
func sweep[T any](ctx context.Context, db *tenancy.DB, find string, now time.Time, scan pgx.RowToFunc[T], work func(T) (bool, error)) (int, error) {
	var found []T
	err := db.ReadTrusted(ctx, find, []any{now}, func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scan)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("billing: find what is due: %w", err)
	}
	var count int
	var errs []error
	for _, f := range found {
		if ctx.Err() != nil {
			return count, errors.Join(append(errs, ctx.Err())...)
		}
		done, err := work(f)
		if err != nil {
			errs = append(errs, err)
		}
		if done && err == nil {
			count++
		}
	}
	return count, errors.Join(errs...)
}
