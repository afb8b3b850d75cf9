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

// Config configures Limits. The zero value is legal.
type Config struct {
	// Now is the clock of subscriptions and reservations. Default time.Now.
	Now func() time.Time
}

// Limits counts what companies use and refuses what their plan does not allow, in the
// transaction of the write itself: no race can overshoot. It is safe for concurrent use.
//
// Lock order: a counter is one hot row per company and resource. Consume last in a
// transaction, and once per chunk instead of once per row.
type Limits struct {
	db      *tenancy.DB
	catalog *Catalog
	audit   *audit.Recorder
	now     func() time.Time
}

var _ tenancy.Provisioner = (*Limits)(nil)

// NewLimits returns Limits over db with the plans of catalog.
func NewLimits(db *tenancy.DB, catalog *Catalog, recorder *audit.Recorder, cfg *Config) (*Limits, error) {
	if db == nil || catalog == nil || recorder == nil {
		return nil, errors.New("billing: NewLimits needs a DB, a Catalog and a Recorder")
	}
	l := &Limits{db: db, catalog: catalog, audit: recorder, now: time.Now}
	if cfg != nil && cfg.Now != nil {
		l.now = cfg.Now
	}
	return l, nil
}

// Provision starts the subscription of tx's company on plan. tenancy.Store calls it
// inside the transaction that creates the company. An unknown plan is a
// *tenancy.ValidationError that lists those there are.
func (l *Limits) Provision(ctx context.Context, tx *tenancy.Tx, plan string) error {
	if _, err := l.catalog.Plan(plan); err != nil {
		return l.unknownPlan(plan)
	}
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.subscriptions (company_id, plan) VALUES ($1, $2)`), tx.Tenant().CompanyID, plan)
	return err
}

func (l *Limits) unknownPlan(plan string) error {
	return &tenancy.ValidationError{Fields: []tenancy.FieldError{{
		Field: "plan", Value: plan, Code: "unknown_plan", Message: fmt.Sprintf("must be one of %v", l.catalog.Keys()),
	}}}
}

// Consume counts n more of resource for tx's company, or returns a *LimitError and
// counts nothing. Existing + n may equal the limit. It is part of tx: a rollback gives
// everything back. n may be 0.
func (l *Limits) Consume(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	if n < 0 {
		return fmt.Errorf("billing: consume %d %s: the number is negative, Release gives back", n, resource)
	}
	return l.take(ctx, tx, resource, n, `used = used + $3`)
}

// take adds $3 to used or to reserved, where the limit allows it.
func (l *Limits) take(ctx context.Context, tx *tenancy.Tx, resource string, n int64, set string) error {
	company := tx.Tenant().CompanyID
	for first := true; ; first = false {
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET `+set+`
			WHERE company_id = $1 AND resource = $2 AND period = '' AND (limit_value IS NULL OR used + reserved + $3 <= limit_value)`), company, resource, n)
		if err != nil {
			return fmt.Errorf("billing: count %s: %w", resource, err)
		}
		if tag.RowsAffected() == 1 {
			return nil
		}
		refused, err := l.refusal(ctx, tx, resource, n)
		if err == nil {
			return refused
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if !first {
			return fmt.Errorf("billing: the counter of %s is not there", resource)
		}
		if err := l.startCounter(ctx, tx, resource); err != nil {
			return err
		}
	}
}

// startCounter makes the row of a resource that is counted for the first time, with the
// limit of the company's plan. Somebody else making it at the same moment is as good.
func (l *Limits) startCounter(ctx context.Context, tx *tenancy.Tx, resource string) error {
	plan, err := l.planOf(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.usage (company_id, resource, limit_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`),
		tx.Tenant().CompanyID, resource, limitOf(plan, resource))
	if err != nil {
		return fmt.Errorf("billing: start counting %s: %w", resource, err)
	}
	return nil
}

// planOf returns the plan of tx's company. It locks the subscription against a change,
// so that a counter is never started with the limit of a plan that just ended.
func (l *Limits) planOf(ctx context.Context, tx *tenancy.Tx) (Plan, error) {
	var key string
	err := tx.QueryRow(ctx, tx.SQL(`SELECT plan FROM strata.subscriptions WHERE company_id = $1 FOR SHARE`), tx.Tenant().CompanyID).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotSubscribed
	}
	if err != nil {
		return nil, fmt.Errorf("billing: read the subscription: %w", err)
	}
	return l.catalog.Plan(key)
}

// limitOf is a limit as the column holds it: NULL is unlimited.
func limitOf(p Plan, resource string) *int64 {
	if n, limited := p.Limit(resource); limited {
		return &n
	}
	return nil
}

// refusal builds the *LimitError from the row as it stands, or returns pgx.ErrNoRows
// when the resource has no row yet.
func (l *Limits) refusal(ctx context.Context, tx *tenancy.Tx, resource string, n int64) (refused, err error) {
	e := &LimitError{Resource: resource, Incoming: n}
	err = tx.QueryRow(ctx, tx.SQL(`SELECT u.used + u.reserved, coalesce(u.limit_value, 0), s.plan
		FROM strata.usage u JOIN strata.subscriptions s USING (company_id) WHERE u.company_id = $1 AND u.resource = $2 AND u.period = ''`),
		tx.Tenant().CompanyID, resource).Scan(&e.Existing, &e.Limit, &e.Plan)
	if err != nil {
		return nil, fmt.Errorf("billing: read the limit of %s: %w", resource, err)
	}
	return e, nil
}

// Release counts n fewer of resource, when something was deleted. Giving back more than
// was taken is an error: it would hide a bug for good.
func (l *Limits) Release(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.usage SET used = used - $3 WHERE company_id = $1 AND resource = $2 AND period = '' AND used >= $3 AND $3 >= 0`),
		tx.Tenant().CompanyID, resource, n)
	if err != nil {
		return fmt.Errorf("billing: give back %s: %w", resource, err)
	}
	if tag.RowsAffected() != 1 && n != 0 {
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
	r := u.Resource(resource)
	if r.Limit != nil && r.Used+r.Reserved+n > *r.Limit {
		return &LimitError{Resource: resource, Existing: r.Used + r.Reserved, Incoming: n, Limit: *r.Limit, Plan: u.Plan}
	}
	return nil
}
