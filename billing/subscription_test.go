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

// waitForALock returns when somebody waits for a lock.
func waitForALock(t *testing.T, e *tenancytest.Env) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting bool
		err := e.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		return err == nil && waiting
	}, time.Minute, time.Millisecond)
}

// A transaction that counts several resources in the order of their names and a change
// of plan wait for each other and never in a circle.
func TestChangePlanWaitsAndDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free")
	counted, goOn := make(chan struct{}), make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		return within(c.Ctx, e, func(tx *tenancy.Tx) error {
			err := e.Limits.Consume(c.Ctx, tx, billing.ResourceCustomFields, 10)
			close(counted)
			<-goOn
			return errors.Join(err, e.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 1_000))
		})
	})
	<-counted
	g.Go(func() error { return e.Limits.ChangePlan(c.CompanyCtx, "pro", e.Store) })
	waitForALock(t, e)
	close(goOn)
	require.NoError(t, g.Wait())
	u, err := e.Limits.Usage(c.Ctx)
	require.NoError(t, err)
	require.EqualValues(t, 50_000, *u.Resource(billing.ResourceRecipients).Limit)
	require.EqualValues(t, 1_000, u.Resource(billing.ResourceRecipients).Used)
}

func TestChangePlanLeavesOverridesAloneAndIsAudited(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free")
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(c.Ctx, `UPDATE strata.usage SET limit_value = 77, limit_source = 'override' WHERE company_id = $1 AND resource = 'domains'`, c.CompanyID)
		return err
	}))
	require.NoError(t, e.Limits.ChangePlan(c.CompanyCtx, "business", e.Store))
	u, err := e.Limits.Usage(c.Ctx)
	require.NoError(t, err)
	require.EqualValues(t, 77, *u.Resource(billing.ResourceDomains).Limit)
	require.EqualValues(t, 10, *u.Resource(billing.ResourceWorkspaces).Limit)
	trail, err := e.Audit.List(c.CompanyCtx, audit.Query{Action: "subscription.plan_changed"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1)
	require.Equal(t, "free", trail.Items[0].Metadata["planBefore"])
	require.Equal(t, "business", trail.Items[0].Metadata["plan"])
	require.Equal(t, c.Actor.ID, trail.Items[0].ActorID)

	nobody := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: tenancy.NewID[tenancy.Company]()})
	require.ErrorIs(t, e.Limits.ChangePlan(nobody, "pro", e.Store), billing.ErrNotSubscribed)
	boom := errors.New("boom")
	require.ErrorIs(t, e.Limits.ChangePlan(c.CompanyCtx, "free", deaf{boom}), boom)
	s, err := e.Limits.Subscription(c.Ctx)
	require.NoError(t, err)
	require.Equal(t, "business", s.Plan, "told or not changed at all")
}

// deaf is a Subscriber that fails.
type deaf struct{ err error }

func (d deaf) SetSubscriptionTx(context.Context, *tenancy.Tx, string, tenancy.Access) error {
	return d.err
}

func accessOf(t *testing.T, e *tenancytest.Env, c *tenancytest.Company) tenancy.Access {
	t.Helper()
	company, err := e.Store.Company(c.CompanyCtx)
	require.NoError(t, err)
	return company.Access
}

func TestSetStatus(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "pro")
	set := func(l *billing.Limits, status billing.Status, end *time.Time) billing.Subscription {
		t.Helper()
		require.NoError(t, l.SetStatus(c.CompanyCtx, status, end, e.Store))
		s, err := e.Limits.Subscription(c.Ctx)
		require.NoError(t, err)
		require.Equal(t, status, s.Status)
		return s
	}
	first := set(e.Limits, billing.PastDue, nil)
	require.WithinDuration(t, time.Now().Add(billing.DefaultGrace), *first.GraceUntil, time.Minute)
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, c))

	// Each further failed attempt is reported too, and must not walk the deadline.
	again := set(later(t, e, 5*24*time.Hour), billing.PastDue, nil)
	require.Equal(t, first.GraceUntil, again.GraceUntil)
	require.Equal(t, tenancy.AccessReadOnly, func() tenancy.Access { set(e.Limits, billing.Unpaid, nil); return accessOf(t, e, c) }())
	require.Equal(t, first.GraceUntil, set(e.Limits, billing.PastDue, nil).GraceUntil)
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, c))
	set(later(t, e, 15*24*time.Hour), billing.PastDue, nil)
	require.Equal(t, tenancy.AccessReadOnly, accessOf(t, e, c), "the grace is over")
	require.Nil(t, set(e.Limits, billing.Active, nil).GraceUntil)
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, c))

	end := time.Now().Add(24 * time.Hour)
	s := set(e.Limits, billing.Cancelled, &end)
	require.WithinDuration(t, end, *s.PeriodEnd, time.Microsecond)
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, c), "it is paid for")
	require.Equal(t, s.PeriodEnd, set(e.Limits, billing.Paused, nil).PeriodEnd, "nil keeps what is known")

	before, err := e.Audit.List(c.CompanyCtx, audit.Query{Action: "subscription.status_changed"})
	require.NoError(t, err)
	set(e.Limits, billing.Paused, nil)
	set(e.Limits, billing.Paused, s.PeriodEnd)
	after, err := e.Audit.List(c.CompanyCtx, audit.Query{Action: "subscription.status_changed"})
	require.NoError(t, err)
	require.Equal(t, before.Total, after.Total, "saying the same again is no change")
	require.Equal(t, "cancelled", after.Items[0].Metadata["statusBefore"])

	var v *tenancy.ValidationError
	require.ErrorAs(t, e.Limits.SetStatus(c.CompanyCtx, "canceled", nil, e.Store), &v)
	other, err := e.Limits.Subscription(e.B.Ctx)
	require.NoError(t, err)
	require.Equal(t, billing.Active, other.Status)
}

func TestGraceAndPaidTimeEndByTheClock(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	late, left, fine, gone := e.Company(t, "pro"), e.Company(t, "pro"), e.Company(t, "pro"), e.Company(t, "pro")
	end := time.Now().Add(24 * time.Hour)
	require.NoError(t, e.Limits.SetStatus(late.CompanyCtx, billing.PastDue, nil, e.Store))
	require.NoError(t, e.Limits.SetStatus(left.CompanyCtx, billing.Cancelled, &end, e.Store))
	require.NoError(t, e.Limits.SetStatus(gone.CompanyCtx, billing.PastDue, nil, e.Store))
	require.NoError(t, e.Store.DeleteCompany(gone.CompanyCtx))
	n, err := e.Limits.RefreshAccess(t.Context(), e.Store)
	require.NoError(t, err)
	require.Zero(t, n)

	n, err = later(t, e, 2*24*time.Hour).RefreshAccess(t.Context(), e.Store)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, tenancy.AccessReadOnly, accessOf(t, e, left))
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, late))

	// A company that cannot be told keeps its access for the next time, and is named.
	boom := errors.New("boom")
	n, err = later(t, e, 20*24*time.Hour).RefreshAccess(t.Context(), deaf{boom})
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, late.CompanyID.String())
	require.Zero(t, n)

	var changed atomic.Int64
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			n, err := later(t, e, 20*24*time.Hour).RefreshAccess(t.Context(), e.Store)
			changed.Add(int64(n))
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 2, changed.Load())
	require.Equal(t, tenancy.AccessReadOnly, accessOf(t, e, late))
	require.Equal(t, tenancy.AccessFull, accessOf(t, e, fine))
	trail, err := e.Audit.List(late.CompanyCtx, audit.Query{Action: "subscription.access_changed"})
	require.NoError(t, err)
	require.EqualValues(t, 1, trail.Total)
}
