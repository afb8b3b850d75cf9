package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Status is the state of a subscription.
type Status string

// The states, as payment providers name them.
const (
	Trialing  Status = "trialing"
	Active    Status = "active"
	PastDue   Status = "past_due"
	Cancelled Status = "cancelled"
	Unpaid    Status = "unpaid"
	Paused    Status = "paused"
)

var statuses = []Status{Trialing, Active, PastDue, Cancelled, Unpaid, Paused}

// Subscription is what a company has subscribed to.
type Subscription struct {
	Plan   string
	Status Status
	// GraceUntil is how long a past-due company keeps full access.
	GraceUntil *time.Time
	// PeriodEnd is how long a cancelled company keeps full access.
	PeriodEnd *time.Time
}

// AccessFor says what a subscription allows at a time:
//
//	trialing, active        full
//	past_due                full until GraceUntil, then read-only
//	cancelled               full until PeriodEnd, then read-only
//	paused, unpaid          read-only
//	anything else           blocked
func AccessFor(s Subscription, now time.Time) tenancy.Access {
	until := func(t *time.Time) tenancy.Access {
		if t != nil && now.Before(*t) {
			return tenancy.AccessFull
		}
		return tenancy.AccessReadOnly
	}
	switch s.Status {
	case Trialing, Active:
		return tenancy.AccessFull
	case PastDue:
		return until(s.GraceUntil)
	case Cancelled:
		return until(s.PeriodEnd)
	case Paused, Unpaid:
		return tenancy.AccessReadOnly
	}
	return tenancy.AccessBlocked
}

const subscriptionColumns = `plan, status, grace_until, period_end, access`

// standing is a subscription and the access that was last told to the hierarchy.
type standing struct {
	Subscription
	access tenancy.Access
}

func scanStanding(row pgx.CollectableRow) (s standing, err error) {
	err = row.Scan(&s.Plan, &s.Status, &s.GraceUntil, &s.PeriodEnd, &s.access)
	return s, err
}

func (s standing) same(o standing) bool {
	equal := func(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
	return s.Plan == o.Plan && s.Status == o.Status && s.access == o.access && equal(s.GraceUntil, o.GraceUntil) && equal(s.PeriodEnd, o.PeriodEnd)
}

// Subscription returns the subscription of the company of ctx's tenant, or ErrNotSubscribed.
func (l *Limits) Subscription(ctx context.Context) (Subscription, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Subscription{}, err
	}
	var s standing
	err = l.db.Read(ctx, `SELECT `+subscriptionColumns+` FROM strata.subscriptions WHERE company_id = $1`, []any{t.CompanyID}, func(rows pgx.Rows) (err error) {
		s, err = pgx.CollectExactlyOneRow(rows, scanStanding)
		return err
	})
	return s.Subscription, notSubscribed(err)
}

func notSubscribed(err error) error {
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotSubscribed
	case err != nil:
		return fmt.Errorf("billing: read the subscription: %w", err)
	}
	return nil
}

// Subscriber is told, in the same transaction, what a changed subscription allows.
// tenancy.Store is one. It must not count anything: the counters are locked last.
type Subscriber interface {
	SetSubscriptionTx(ctx context.Context, tx *tenancy.Tx, plan string, access tenancy.Access) error
}

// ChangePlan puts the company of ctx's tenant on another plan: the limits stand in the
// counters' own rows, so that a change and a consumption that race are serialised.
// Nothing is deleted when more is used than the new plan allows; creating is refused
// until it is not. The plan it has already gets the limits that the catalog has now.
// tell may be nil. Errors: a *tenancy.ValidationError for an unknown plan, ErrNotSubscribed.
func (l *Limits) ChangePlan(ctx context.Context, plan string, tell Subscriber) error {
	p, err := l.catalog.Plan(plan)
	if err != nil {
		return l.unknownPlan(plan)
	}
	return l.db.InTx(ctx, func(tx *tenancy.Tx) error {
		was, err := lockSubscription(ctx, tx, `FOR UPDATE`)
		if err != nil {
			return err
		}
		now := was
		now.Plan = plan
		if err := l.store(ctx, tx, tell, was, now, "subscription.plan_changed"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`SELECT resource FROM strata.usage WHERE company_id = $1 AND period = ''`), tx.Tenant().CompanyID)
		if err != nil {
			return fmt.Errorf("billing: change the plan: %w", err)
		}
		resources, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("billing: change the plan: %w", err)
		}
		resources = append(resources, resourcesOf(p)...)
		slices.Sort(resources)
		return setLimits(ctx, tx, p, slices.Compact(resources))
	})
}

// SetStatus notes what a payment provider says of the subscription of the company of
// ctx's tenant. periodEnd is until when it is paid for; nil keeps what is known. Saying
// the same again changes nothing and writes no entry.
//
// The grace of Config.Grace begins with the first failed payment and ends early only by
// becoming active or trialing: a provider that reports each of its attempts does not
// prolong it. tell may be nil. Errors: a *tenancy.ValidationError for an unknown status,
// ErrNotSubscribed.
func (l *Limits) SetStatus(ctx context.Context, status Status, periodEnd *time.Time, tell Subscriber) error {
	if !slices.Contains(statuses, status) {
		return &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "status", Value: string(status), Code: "not_allowed", Message: fmt.Sprintf("must be one of %v", statuses),
		}}}
	}
	return l.db.InTx(ctx, func(tx *tenancy.Tx) error {
		was, err := lockSubscription(ctx, tx, `FOR UPDATE`)
		if err != nil {
			return err
		}
		now := was
		now.Status = status
		if periodEnd != nil {
			now.PeriodEnd = microseconds(*periodEnd)
		}
		switch {
		case status == Active || status == Trialing:
			now.GraceUntil = nil
		case status == PastDue && was.GraceUntil == nil:
			now.GraceUntil = microseconds(l.now().Add(l.grace))
		}
		now.access = AccessFor(now.Subscription, l.now())
		if now.same(was) {
			return nil
		}
		return l.store(ctx, tx, tell, was, now, "subscription.status_changed")
	})
}

// microseconds is t as PostgreSQL keeps it.
func microseconds(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// RefreshAccess takes full access from companies whose grace or paid time has ended, in
// every company: no event tells of that. It returns how many it changed. Run it every
// few minutes; any number of processes may, each change is made and audited once. One
// company that fails does not keep the others: the errors come joined.
func (l *Limits) RefreshAccess(ctx context.Context, tell Subscriber) (int, error) {
	return sweep(ctx, l.db, `SELECT company_id FROM strata.subscriptions WHERE access = 'full'
		AND (status = 'past_due' AND coalesce(grace_until, '-infinity') <= $1 OR status = 'cancelled' AND coalesce(period_end, '-infinity') <= $1)`,
		l.now(), pgx.RowTo[tenancy.CompanyID],
		func(company tenancy.CompanyID) (bool, error) {
			ctx := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: company})
			done := false
			err := l.db.InTx(ctx, func(tx *tenancy.Tx) error {
				was, err := lockSubscription(ctx, tx, `FOR UPDATE SKIP LOCKED`)
				if errors.Is(err, ErrNotSubscribed) { // somebody is changing it right now
					return nil
				}
				if err != nil {
					return err
				}
				now := was
				now.access = AccessFor(now.Subscription, l.now())
				if now.same(was) {
					return nil
				}
				done = true
				return l.store(ctx, tx, undeleted{tell}, was, now, "subscription.access_changed")
			})
			if err != nil {
				return false, fmt.Errorf("billing: refresh the access of company %s: %w", company, err)
			}
			return done, nil
		})
}

// undeleted does not mind that there is nothing to tell of a deleted company.
type undeleted struct{ tell Subscriber }

func (u undeleted) SetSubscriptionTx(ctx context.Context, tx *tenancy.Tx, plan string, access tenancy.Access) error {
	if u.tell == nil {
		return nil
	}
	if err := u.tell.SetSubscriptionTx(ctx, tx, plan, access); !errors.Is(err, tenancy.ErrNotFound) {
		return err
	}
	return nil
}

func lockSubscription(ctx context.Context, tx *tenancy.Tx, lock string) (standing, error) {
	rows, err := tx.Query(ctx, tx.SQL(`SELECT `+subscriptionColumns+` FROM strata.subscriptions WHERE company_id = $1 `+lock), tx.Tenant().CompanyID)
	if err != nil {
		return standing{}, fmt.Errorf("billing: read the subscription: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, scanStanding)
	return s, notSubscribed(err)
}

// store writes a locked subscription back, audits the change and tells of it.
func (l *Limits) store(ctx context.Context, tx *tenancy.Tx, tell Subscriber, was, now standing, action string) error {
	now.access = AccessFor(now.Subscription, l.now())
	company := tx.Tenant().CompanyID
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.subscriptions SET plan = $2, status = $3, grace_until = $4, period_end = $5, access = $6, updated_at = now()
		WHERE company_id = $1`), company, now.Plan, now.Status, now.GraceUntil, now.PeriodEnd, now.access)
	if err != nil {
		return fmt.Errorf("billing: change the subscription: %w", err)
	}
	metadata := map[string]any{"plan": now.Plan, "status": now.Status, "access": now.access}
	if was.Plan != now.Plan {
		metadata["planBefore"] = was.Plan
	}
	if was.Status != now.Status {
		metadata["statusBefore"] = was.Status
	}
	if was.access != now.access {
		metadata["accessBefore"] = was.access
	}
	err = l.audit.RecordTx(ctx, tx, audit.Entry{Action: action, ResourceType: "subscription", ResourceID: company.String(), Metadata: metadata})
	if err != nil || tell == nil {
		return err
	}
	return tell.SetSubscriptionTx(ctx, tx, now.Plan, now.access)
}
