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

// Usage is what a company has and may have.
type Usage struct {
	Plan      string          `json:"plan"`
	Status    Status          `json:"status"`
	Access    tenancy.Access  `json:"access"`
	Resources []ResourceUsage `json:"resources"`
}

// ResourceUsage is one counter. A nil Limit is no limit.
type ResourceUsage struct {
	Resource string     `json:"resource"`
	Used     int64      `json:"used"`
	Reserved int64      `json:"reserved"`
	Limit    *int64     `json:"limit"`
	Over     bool       `json:"over"` // more is used than the plan allows, after a downgrade
	ResetsAt *time.Time `json:"resetsAt"`
}

// Resource returns the counter of resource; one that was never counted is zero with no
// limit known.
func (u Usage) Resource(resource string) ResourceUsage {
	i := slices.IndexFunc(u.Resources, func(r ResourceUsage) bool { return r.Resource == resource })
	if i < 0 {
		return ResourceUsage{Resource: resource}
	}
	return u.Resources[i]
}

// Usage returns the counters of the company of ctx's tenant, those of the library's own
// resources always among them, sorted by name.
func (l *Limits) Usage(ctx context.Context) (Usage, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Usage{}, err
	}
	sub, err := l.Subscription(ctx)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Plan: sub.Plan, Status: sub.Status, Access: AccessFor(sub, l.now())}
	err = l.db.Read(ctx, `SELECT resource, used, reserved, limit_value FROM strata.usage WHERE company_id = $1 AND period = ''`,
		[]any{t.CompanyID}, func(rows pgx.Rows) (err error) {
			u.Resources, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ResourceUsage, err error) {
				err = row.Scan(&r.Resource, &r.Used, &r.Reserved, &r.Limit)
				r.Over = r.Limit != nil && r.Used > *r.Limit
				return r, err
			})
			return err
		})
	if err != nil {
		return Usage{}, fmt.Errorf("billing: read the usage: %w", err)
	}
	plan, err := l.catalog.Plan(sub.Plan)
	if err != nil {
		return Usage{}, err
	}
	for _, resource := range []string{ResourceRecipients, ResourceCustomFields, ResourceWorkspaces, ResourceDomains} {
		if !slices.ContainsFunc(u.Resources, func(r ResourceUsage) bool { return r.Resource == resource }) {
			u.Resources = append(u.Resources, ResourceUsage{Resource: resource, Limit: limitOf(plan, resource)})
		}
	}
	slices.SortFunc(u.Resources, func(a, b ResourceUsage) int {
		if a.Resource < b.Resource {
			return -1
		}
		return 1
	})
	return u, nil
}

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

// Subscription returns the subscription of the company of ctx's tenant, or ErrNotSubscribed.
func (l *Limits) Subscription(ctx context.Context) (Subscription, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Subscription{}, err
	}
	var s Subscription
	err = l.db.Read(ctx, `SELECT plan, status, grace_until, period_end FROM strata.subscriptions WHERE company_id = $1`, []any{t.CompanyID}, func(rows pgx.Rows) (err error) {
		s, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (s Subscription, err error) {
			err = row.Scan(&s.Plan, &s.Status, &s.GraceUntil, &s.PeriodEnd)
			return s, err
		})
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return s, ErrNotSubscribed
	}
	return s, err
}

// Subscriber is told, in the same transaction, what a changed subscription allows.
// tenancy.Store is one.
type Subscriber interface {
	SetSubscriptionTx(ctx context.Context, tx *tenancy.Tx, plan string, access tenancy.Access) error
}

// ChangePlan puts the company of ctx's tenant on another plan: the limits stand in the
// counters' own rows, so that a change and a consumption that race are serialised.
// Nothing is deleted when more is used than the new plan allows; creating is refused
// until it is not. An unknown plan is a *tenancy.ValidationError.
func (l *Limits) ChangePlan(ctx context.Context, plan string, tell Subscriber) error {
	p, err := l.catalog.Plan(plan)
	if err != nil {
		return l.unknownPlan(plan)
	}
	return l.db.InTx(ctx, func(tx *tenancy.Tx) error {
		company := tx.Tenant().CompanyID
		var s Subscription
		err := tx.QueryRow(ctx, tx.SQL(`UPDATE strata.subscriptions SET plan = $2, updated_at = now() WHERE company_id = $1 RETURNING plan, status, grace_until, period_end`),
			company, plan).Scan(&s.Plan, &s.Status, &s.GraceUntil, &s.PeriodEnd)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotSubscribed
		}
		if err != nil {
			return fmt.Errorf("billing: change the plan: %w", err)
		}
		rows, err := tx.Query(ctx, tx.SQL(`SELECT resource FROM strata.usage WHERE company_id = $1 ORDER BY resource FOR UPDATE`), company)
		if err != nil {
			return fmt.Errorf("billing: change the plan: %w", err)
		}
		resources, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("billing: change the plan: %w", err)
		}
		for _, resource := range resources {
			if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET limit_value = $3 WHERE company_id = $1 AND resource = $2`), company, resource, limitOf(p, resource)); err != nil {
				return fmt.Errorf("billing: change the plan: %w", err)
			}
		}
		if err := l.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "subscription.plan_changed", ResourceType: "subscription", ResourceID: company.String(), Metadata: map[string]any{"plan": plan},
		}); err != nil {
			return err
		}
		if tell == nil {
			return nil
		}
		return tell.SetSubscriptionTx(ctx, tx, plan, AccessFor(s, l.now()))
	})
}
