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

// DefaultGrace is the default of Config.Grace.
const DefaultGrace = 14 * 24 * time.Hour

// Config configures Limits. The zero value is legal.
type Config struct {
	// Now is the clock of subscriptions and reservations. Default time.Now.
	Now func() time.Time
	// Grace is how long a company keeps full access after its first failed payment.
	// Negative: not at all. Default DefaultGrace.
	Grace time.Duration
}

// Limits counts what companies use and refuses what their plan does not allow, in the
// transaction of the write itself: no race can overshoot. It is safe for concurrent use.
// The package comment says in which order to lock.
type Limits struct {
	db      *tenancy.DB
	catalog *Catalog
	audit   *audit.Recorder
	now     func() time.Time
	grace   time.Duration
}

var _ tenancy.Provisioner = (*Limits)(nil)

// NewLimits returns Limits over db with the plans of catalog.
func NewLimits(db *tenancy.DB, catalog *Catalog, recorder *audit.Recorder, cfg *Config) (*Limits, error) {
	if db == nil || catalog == nil || recorder == nil {
		return nil, errors.New("billing: NewLimits needs a DB, a Catalog and a Recorder")
	}
	l := &Limits{db: db, catalog: catalog, audit: recorder, now: time.Now, grace: DefaultGrace}
	if cfg != nil && cfg.Now != nil {
		l.now = cfg.Now
	}
	if cfg != nil && cfg.Grace != 0 {
		l.grace = max(0, cfg.Grace)
	}
	return l, nil
}

// Provision starts the subscription of tx's company on plan, and its counters at zero.
// tenancy.Store calls it inside the transaction that creates the company. An unknown
// plan is a *tenancy.ValidationError that lists those there are.
func (l *Limits) Provision(ctx context.Context, tx *tenancy.Tx, plan string) error {
	p, err := l.catalog.Plan(plan)
	if err != nil {
		return l.unknownPlan(plan)
	}
	if _, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.subscriptions (company_id, plan) VALUES ($1, $2)`), tx.Tenant().CompanyID, plan); err != nil {
		return fmt.Errorf("billing: start the subscription: %w", err)
	}
	return setLimits(ctx, tx, p, resourcesOf(p))
}

func (l *Limits) unknownPlan(plan string) error {
	return &tenancy.ValidationError{Fields: []tenancy.FieldError{{
		Field: "plan", Value: plan, Code: "unknown_plan", Message: fmt.Sprintf("must be one of %v", l.catalog.Keys()),
	}}}
}

// setLimits writes the limits of p into the counters of resources, which must be sorted:
// it locks them in this order.
func setLimits(ctx context.Context, tx *tenancy.Tx, p Plan, resources []string) error {
	limits := make([]*int64, len(resources))
	for i, r := range resources {
		limits[i] = limitOf(p, r)
	}
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.usage AS u (company_id, resource, limit_value)
		SELECT $1, r.resource, r.limit_value FROM unnest($2::text[], $3::bigint[]) AS r (resource, limit_value)
		ON CONFLICT (company_id, resource, period) DO UPDATE SET limit_value = excluded.limit_value WHERE u.limit_source = 'plan'`),
		tx.Tenant().CompanyID, resources, limits)
	if err != nil {
		return fmt.Errorf("billing: set the limits of plan %s: %w", p.Key(), err)
	}
	return nil
}

// Consume counts n more of resource for tx's company, or returns a *LimitError and
// counts nothing. Existing + n may equal the limit. It is part of tx: a rollback gives
// everything back. 0 is allowed always, also when a downgrade left more than the plan
// allows. The first use of a resource that the company's plan did not name when it was
// put on it can meet ErrSubscriptionChanging.
func (l *Limits) Consume(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	if n < 0 {
		return fmt.Errorf("billing: consume %d %s: the number is negative, Release gives back", n, resource)
	}
	return l.take(ctx, tx, resource, n, consumeSQL)
}

// The check stands beside the change: a statement that counts first and writes then
// overshoots, whatever it locks. Room is computed by subtraction, which cannot overflow.
const (
	consumeSQL = `UPDATE strata.usage SET used = used + $3
		WHERE company_id = $1 AND resource = $2 AND period = '' AND (limit_value IS NULL OR $3 <= limit_value - used - reserved)`
	reserveSQL = `UPDATE strata.usage SET reserved = reserved + $3
		WHERE company_id = $1 AND resource = $2 AND period = '' AND (limit_value IS NULL OR $3 <= limit_value - used - reserved)`
)

// take adds n by consumeSQL or reserveSQL.
func (l *Limits) take(ctx context.Context, tx *tenancy.Tx, resource string, n int64, statement string) error {
	if n == 0 {
		return nil
	}
	// Refused, no counter yet, refused by the new one and room by then: three turns at most.
	for range 3 {
		tag, err := tx.Exec(ctx, tx.SQL(statement), tx.Tenant().CompanyID, resource, n)
		if err != nil {
			return fmt.Errorf("billing: count %s: %w", resource, err)
		}
		if tag.RowsAffected() == 1 {
			return nil
		}
		refused, err := l.refusal(ctx, tx, resource, n)
		if errors.Is(err, pgx.ErrNoRows) {
			err = l.startCounter(ctx, tx, resource)
		}
		if err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
	}
	return fmt.Errorf("billing: the counter of %s comes and goes", resource)
}

// startCounter makes the row of a resource that is counted for the first time, with the
// limit of the company's plan. Somebody else making it at the same moment is as good.
// The subscription is locked against a change of plan, so that a counter is never
// started with the limit of a plan that just ended. It is not waited for: what is
// changing it may be waiting for a counter that tx has locked.
func (l *Limits) startCounter(ctx context.Context, tx *tenancy.Tx, resource string) error {
	company := tx.Tenant().CompanyID
	const read = `SELECT plan FROM strata.subscriptions WHERE company_id = $1`
	var key string
	err := tx.QueryRow(ctx, tx.SQL(read+` FOR SHARE SKIP LOCKED`), company).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) { // there is none, or it is locked
		if err = tx.QueryRow(ctx, tx.SQL(read), company).Scan(&key); err == nil {
			return fmt.Errorf("start counting %s: %w", resource, ErrSubscriptionChanging)
		}
	}
	if err != nil {
		return notSubscribed(err)
	}
	p, err := l.catalog.Plan(key)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.usage (company_id, resource, limit_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`),
		company, resource, limitOf(p, resource))
	if err != nil {
		return fmt.Errorf("billing: start counting %s: %w", resource, err)
	}
	return nil
}

// refusal returns the *LimitError of n more, or nil when there is room by now, or
// pgx.ErrNoRows when the resource has no counter yet. It locks the counter: its numbers
// are those that refuse, and room that it finds stays.
func (l *Limits) refusal(ctx context.Context, tx *tenancy.Tx, resource string, n int64) (refused, err error) {
	var existing int64
	var limit *int64
	err = tx.QueryRow(ctx, tx.SQL(`SELECT used + reserved, limit_value FROM strata.usage
		WHERE company_id = $1 AND resource = $2 AND period = '' FOR NO KEY UPDATE`), tx.Tenant().CompanyID, resource).Scan(&existing, &limit)
	if err != nil {
		return nil, fmt.Errorf("billing: read the limit of %s: %w", resource, err)
	}
	if limit == nil || n <= *limit-existing {
		return nil, nil
	}
	var plan string
	err = tx.QueryRow(ctx, tx.SQL(`SELECT plan FROM strata.subscriptions WHERE company_id = $1`), tx.Tenant().CompanyID).Scan(&plan)
	if err != nil {
		return nil, fmt.Errorf("billing: read the subscription: %w", err)
	}
	return &LimitError{Resource: resource, Existing: existing, Incoming: n, Limit: *limit, Plan: plan}, nil
}

// Release counts n fewer of resource, when something was deleted. Giving back more than
// was taken is an error: it would hide a bug for good.
func (l *Limits) Release(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	if n < 0 {
		return fmt.Errorf("billing: give back %d %s: the number is negative", n, resource)
	}
	if n == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET used = used - $3 WHERE company_id = $1 AND resource = $2 AND period = '' AND used >= $3`),
		tx.Tenant().CompanyID, resource, n)
	if err != nil {
		return fmt.Errorf("billing: give back %s: %w", resource, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("billing: give back %d %s: fewer than that are counted", n, resource)
	}
	return nil
}

// Peek returns the *LimitError that consuming n of resource would meet now, or nil. It
// locks nothing and promises nothing: use it to fail early.
func (l *Limits) Peek(ctx context.Context, resource string, n int64) error {
	u, err := l.Usage(ctx)
	if err != nil {
		return err
	}
	r, counted := u.find(resource)
	if !counted {
		p, err := l.catalog.Plan(u.Plan)
		if err != nil {
			return err
		}
		r.Limit = limitOf(p, resource)
	}
	if n > 0 && r.Limit != nil && n > *r.Limit-r.Used-r.Reserved {
		return &LimitError{Resource: resource, Existing: r.Used + r.Reserved, Incoming: n, Limit: *r.Limit, Plan: u.Plan}
	}
	return nil
}
