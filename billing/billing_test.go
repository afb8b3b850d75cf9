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
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// within runs fn in an audited transaction.
func within(ctx context.Context, e *tenancytest.Env, fn func(tx *tenancy.Tx) error) error {
	return e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		return errors.Join(e.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test.done"}), fn(tx))
	})
}

func consume(ctx context.Context, e *tenancytest.Env, n int64) error {
	return within(ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Consume(ctx, tx, billing.ResourceRecipients, n) })
}

func recipientsOf(ctx context.Context, t *testing.T, e *tenancytest.Env) billing.ResourceUsage {
	t.Helper()
	u, err := e.Limits.Usage(ctx)
	require.NoError(t, err)
	return u.Resource(billing.ResourceRecipients)
}

func TestNoRaceOvershoots(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // 1,000 recipients
	var taken, refused atomic.Int64
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			for range 25 {
				err := consume(c.Ctx, e, 7)
				var limit *billing.LimitError
				switch {
				case err == nil:
					taken.Add(7)
				case errors.As(err, &limit):
					refused.Add(1)
				default:
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 994, taken.Load())
	require.EqualValues(t, 200-142, refused.Load())
	r := recipientsOf(c.Ctx, t, e)
	require.EqualValues(t, 994, r.Used)
	require.EqualValues(t, 1000, *r.Limit)

	err := consume(c.Ctx, e, 7)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.ErrorIs(t, err, billing.ErrLimit)
	require.Equal(t, billing.LimitError{Resource: "recipients", Existing: 994, Incoming: 7, Limit: 1000, Plan: "free"}, *limit)
	require.NoError(t, consume(c.Ctx, e, 6), "up to the limit is allowed")
	require.ErrorIs(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 1), billing.ErrLimit)
	require.NoError(t, e.Limits.Peek(c.Ctx, billing.ResourceRecipients, 0))
}

func TestRollbackGivesBack(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	require.ErrorIs(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
		return errors.Join(e.Limits.Consume(e.A.Ctx, tx, billing.ResourceRecipients, 5), boom)
	}), boom)
	require.Zero(t, recipientsOf(e.A.Ctx, t, e).Used)
}

func TestReleaseNeverGoesBelowZero(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	release := func(n int64) error {
		return within(e.A.Ctx, e, func(tx *tenancy.Tx) error { return e.Limits.Release(e.A.Ctx, tx, billing.ResourceRecipients, n) })
	}
	require.NoError(t, consume(e.A.Ctx, e, 3))
	require.Error(t, release(4))
	require.Error(t, release(-1))
	require.NoError(t, release(3))
	require.Zero(t, recipientsOf(e.A.Ctx, t, e).Used)
	require.Error(t, consume(e.A.Ctx, e, -1))
}

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
}

func TestExpiredReservationsAreGivenBackOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, within(e.A.Ctx, e, func(tx *tenancy.Tx) error {
		_, err := e.Limits.Reserve(e.A.Ctx, tx, billing.ResourceRecipients, 50, time.Hour)
		return err
	}))
	n, err := e.Limits.ExpireReservations(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	catalog, err := billing.NewCatalog()
	require.NoError(t, err)
	later, err := billing.NewLimits(e.DB, catalog, e.Audit, &billing.Config{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	require.NoError(t, err)
	var g errgroup.Group
	for range 3 {
		g.Go(func() error { _, err := later.ExpireReservations(t.Context()); return err })
	}
	require.NoError(t, g.Wait())
	require.Zero(t, recipientsOf(e.A.Ctx, t, e).Reserved)
}

func TestChangePlan(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "pro")
	require.NoError(t, consume(c.Ctx, e, 1500))
	require.NoError(t, e.Limits.ChangePlan(c.CompanyCtx, "free", e.Store))
	u, err := e.Limits.Usage(c.Ctx)
	require.NoError(t, err)
	require.Equal(t, "free", u.Plan)
	r := u.Resource(billing.ResourceRecipients)
	require.True(t, r.Over, "a downgrade deletes nothing")
	require.EqualValues(t, 1500, r.Used)
	require.ErrorIs(t, consume(c.Ctx, e, 1), billing.ErrLimit)
	company, err := e.Store.Company(c.CompanyCtx)
	require.NoError(t, err)
	require.Equal(t, "free", company.Plan)

	require.NoError(t, e.Limits.ChangePlan(c.CompanyCtx, "enterprise", e.Store))
	require.NoError(t, consume(c.Ctx, e, 1_000_000), "unlimited, and still counted")
	require.EqualValues(t, 1_001_500, recipientsOf(c.Ctx, t, e).Used)
	var v *tenancy.ValidationError
	require.ErrorAs(t, e.Limits.ChangePlan(c.CompanyCtx, "platinum", e.Store), &v)
	_, err = e.Store.CreateCompany(t.Context(), tenancy.NewCompany{Name: "X", Plan: "platinum"})
	require.ErrorAs(t, err, &v)
}

// A consumption that races a downgrade is either before it or sees it.
func TestChangePlanRacesConsume(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "pro")
	require.NoError(t, consume(c.Ctx, e, 990))
	var after atomic.Int64
	var g errgroup.Group
	g.Go(func() error { return e.Limits.ChangePlan(c.CompanyCtx, "free", e.Store) })
	for range 20 {
		g.Go(func() error {
			if err := consume(c.Ctx, e, 5); err != nil {
				after.Add(1)
				if !errors.Is(err, billing.ErrLimit) {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 990+5*(20-after.Load()), recipientsOf(c.Ctx, t, e).Used)
	require.ErrorIs(t, consume(c.Ctx, e, 11), billing.ErrLimit)
}

func TestHierarchyConsumesItsLimits(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // one workspace, one domain: Bootstrap has made them
	_, err := e.Store.CreateWorkspace(c.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.ErrorIs(t, err, billing.ErrLimit)
	_, err = e.Store.CreateDomain(c.CompanyCtx, c.WorkspaceID, tenancy.NewDomain{DomainName: "second.example"})
	require.ErrorIs(t, err, billing.ErrLimit)
	page, err := e.Store.Workspaces(c.CompanyCtx, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1, "nothing of what was refused is left")
}

func TestUsageNeverCrossesCompanies(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, consume(e.A.Ctx, e, 42))
	require.Zero(t, recipientsOf(e.B.Ctx, t, e).Used)
	require.NoError(t, e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(e.B.Ctx, `UPDATE strata.usage SET used = 0 WHERE company_id = $1`, e.A.CompanyID)
		require.NoError(t, err)
		require.Zero(t, tag.RowsAffected())
		return nil
	}))
	require.EqualValues(t, 42, recipientsOf(e.A.Ctx, t, e).Used)
	_, err := e.Limits.Usage(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = e.Limits.Usage(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: tenancy.NewID[tenancy.Company]()}))
	require.ErrorIs(t, err, billing.ErrNotSubscribed)
}

func TestAccessFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	past, future := now.Add(-time.Second), now.Add(time.Second)
	for _, c := range []struct {
		name string
		sub  billing.Subscription
		want tenancy.Access
	}{
		{"active", billing.Subscription{Status: billing.Active}, tenancy.AccessFull},
		{"trialing", billing.Subscription{Status: billing.Trialing}, tenancy.AccessFull},
		{"past due in grace", billing.Subscription{Status: billing.PastDue, GraceUntil: &future}, tenancy.AccessFull},
		{"past due at the end of grace", billing.Subscription{Status: billing.PastDue, GraceUntil: &now}, tenancy.AccessReadOnly},
		{"past due without grace", billing.Subscription{Status: billing.PastDue}, tenancy.AccessReadOnly},
		{"cancelled, paid", billing.Subscription{Status: billing.Cancelled, PeriodEnd: &future}, tenancy.AccessFull},
		{"cancelled, over", billing.Subscription{Status: billing.Cancelled, PeriodEnd: &past}, tenancy.AccessReadOnly},
		{"unpaid", billing.Subscription{Status: billing.Unpaid}, tenancy.AccessReadOnly},
		{"paused", billing.Subscription{Status: billing.Paused}, tenancy.AccessReadOnly},
		{"unknown", billing.Subscription{Status: "?"}, tenancy.AccessBlocked},
	} {
		require.Equal(t, c.want, billing.AccessFor(c.sub, now), c.name)
	}
}
