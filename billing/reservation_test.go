package billing_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestReservations(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free")
	var first billing.Reservation
	reserve := func(n int64) (r billing.Reservation, err error) {
		err = within(c.Ctx, e, func(tx *tenancy.Tx) (err error) {
			r, err = e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, n, time.Hour)
			return err
		})
		return r, err
	}
	settle := func(id billing.ReservationID, n int64) error {
		return within(c.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Settle(c.Ctx, tx, id, n) })
	}
	closeIt := func(ctx context.Context, id billing.ReservationID) error {
		return within(ctx, e, func(tx *tenancy.Tx) error { return e.Limits.CloseReservation(ctx, tx, id) })
	}
	first, err := reserve(700)
	require.NoError(t, err)
	_, err = reserve(400)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.EqualValues(t, 700, limit.Existing)
	require.ErrorIs(t, consume(c.Ctx, e, 301), billing.ErrLimit)

	require.NoError(t, settle(first.ID, 300))
	r := recipientsOf(c.Ctx, t, e)
	require.Equal(t, []int64{300, 400}, []int64{r.Used, r.Reserved})
	require.ErrorIs(t, settle(first.ID, 401), billing.ErrReservation)

	require.NoError(t, closeIt(e.B.Ctx, first.ID), "another company's reservation is nothing to close")
	require.EqualValues(t, 400, recipientsOf(c.Ctx, t, e).Reserved)

	var g errgroup.Group
	for range 4 { // closing races closing
		g.Go(func() error { return closeIt(c.Ctx, first.ID) })
	}
	require.NoError(t, g.Wait())
	r = recipientsOf(c.Ctx, t, e)
	require.Equal(t, []int64{300, 0}, []int64{r.Used, r.Reserved})
	require.ErrorIs(t, settle(first.ID, 1), billing.ErrReservation)

	// What was refused holds nothing, also for a caller that goes on: nothing is there to
	// be given back, which would be somebody else's room.
	second, err := reserve(600)
	require.NoError(t, err)
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error {
		_, err := e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, 200, time.Hour)
		require.ErrorIs(t, err, billing.ErrLimit)
		require.ErrorIs(t, e.Limits.Settle(c.Ctx, tx, second.ID, 601), billing.ErrReservation)
		require.Error(t, e.Limits.Release(c.Ctx, tx, billing.ResourceRecipients, 301))
		require.ErrorIs(t, e.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 101), billing.ErrLimit)
		return nil
	}))
	r = recipientsOf(c.Ctx, t, e)
	require.Equal(t, []int64{300, 600}, []int64{r.Used, r.Reserved})
	n, err := later(t, e, 2*time.Hour).ExpireReservations(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the one that was granted")
	r = recipientsOf(c.Ctx, t, e)
	require.Equal(t, []int64{300, 0}, []int64{r.Used, r.Reserved})
}

func TestRacingReservationsNeverHoldMoreThanThePlan(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // 1,000
	errs := make([]error, 4)
	var g errgroup.Group
	for i := range errs {
		g.Go(func() error {
			errs[i] = within(c.Ctx, e, func(tx *tenancy.Tx) error {
				_, err := e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, 600, time.Hour)
				return err
			})
			return nil
		})
	}
	require.NoError(t, g.Wait())
	held := 0
	for _, err := range errs {
		if err == nil {
			held++
			continue
		}
		var limit *billing.LimitError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, billing.LimitError{Resource: "recipients", Existing: 600, Incoming: 600, Limit: 1000, Plan: "free"}, *limit)
		require.EqualValues(t, 400, limit.Remaining())
	}
	require.Equal(t, 1, held)
	require.EqualValues(t, 600, recipientsOf(c.Ctx, t, e).Reserved)
	var rows int // nothing of the refused ones is left
	require.NoError(t, e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		return tx.QueryRow(c.Ctx, `SELECT count(*) FROM strata.reservations`).Scan(&rows)
	}))
	require.Equal(t, 1, rows)
}

func TestCloseRacesSettle(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	var settled atomic.Int64
	for range 30 {
		var r billing.Reservation
		require.NoError(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) (err error) {
			r, err = e.Limits.Reserve(e.A.Ctx, tx, billing.ResourceRecipients, 10, time.Hour)
			return err
		}))
		var g errgroup.Group
		for i := range 6 {
			g.Go(func() error {
				err := within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
					if i%2 == 0 {
						return e.Limits.CloseReservation(e.A.Ctx, tx, r.ID)
					}
					return e.Limits.Settle(e.A.Ctx, tx, r.ID, 2)
				})
				if errors.Is(err, billing.ErrReservation) {
					return nil
				}
				if i%2 == 1 && err == nil {
					settled.Add(2)
				}
				return err
			})
		}
		require.NoError(t, g.Wait())
		u := recipientsOf(e.A.Ctx, t, e)
		require.Equal(t, []int64{settled.Load(), 0}, []int64{u.Used, u.Reserved})
	}
}

// A reservation outlives a downgrade: what was promised can be written.
func TestReservationsOutliveADowngrade(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "pro")
	var r billing.Reservation
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) (err error) {
		r, err = e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, 2_000, time.Hour)
		return err
	}))
	require.NoError(t, e.Limits.ChangePlan(c.CompanyCtx, "free", e.Store))
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Settle(c.Ctx, tx, r.ID, 1_500) }))
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.CloseReservation(c.Ctx, tx, r.ID) }))
	u := recipientsOf(c.Ctx, t, e)
	require.Equal(t, []int64{1_500, 0}, []int64{u.Used, u.Reserved})
	require.True(t, u.Over)
}

// later returns Limits whose clock is ahead.
func later(t *testing.T, e *tenancytest.Env, by time.Duration) *billing.Limits {
	t.Helper()
	catalog, err := billing.NewCatalog()
	require.NoError(t, err)
	l, err := billing.NewLimits(e.DB, catalog, e.Audit, &billing.Config{Now: func() time.Time { return time.Now().Add(by) }})
	require.NoError(t, err)
	return l
}

func TestExpiredReservationsAreGivenBackOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	const each = 15
	var last billing.Reservation
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		for range each {
			require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) (err error) {
				last, err = e.Limits.Reserve(c.Ctx, tx, billing.ResourceRecipients, 50, time.Hour)
				return err
			}))
		}
	}
	n, err := e.Limits.ExpireReservations(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.EqualValues(t, each*50, recipientsOf(e.A.Ctx, t, e).Reserved)

	var closed atomic.Int64
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			n, err := later(t, e, 2*time.Hour).ExpireReservations(t.Context())
			closed.Add(int64(n))
			return err
		})
	}
	require.NoError(t, g.Wait())
	// Skipped while a neighbour held it, and the neighbour did it.
	require.EqualValues(t, 2*each, closed.Load())
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		require.Zero(t, recipientsOf(c.Ctx, t, e).Reserved)
		trail, err := e.Audit.List(c.CompanyCtx, audit.Query{Action: "reservation.expired"})
		require.NoError(t, err)
		require.EqualValues(t, each, trail.Total, "one entry each, whoever closed it")
		require.Equal(t, tenancy.ActorSystem, trail.Items[0].ActorType)
	}
	require.ErrorIs(t, within(e.B.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Settle(e.B.Ctx, tx, last.ID, 1) }), billing.ErrReservation)
}

// One that somebody works on right now is not abandoned, and nobody waits for it.
func TestExpiryPassesByWhatIsInUse(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	var r billing.Reservation
	require.NoError(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) (err error) {
		r, err = e.Limits.Reserve(e.A.Ctx, tx, billing.ResourceRecipients, 50, time.Hour)
		return err
	}))
	require.NoError(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
		if err := e.Limits.Settle(e.A.Ctx, tx, r.ID, 10); err != nil {
			return err
		}
		n, err := later(t, e, 2*time.Hour).ExpireReservations(t.Context())
		require.Zero(t, n)
		return err
	}))
	n, err := later(t, e, 2*time.Hour).ExpireReservations(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	u := recipientsOf(e.A.Ctx, t, e)
	require.Equal(t, []int64{10, 0}, []int64{u.Used, u.Reserved})
}
