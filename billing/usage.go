package billing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	Resource string `json:"resource"`
	Used     int64  `json:"used"`
	// Reserved is held for work that is under way, such as an import.
	Reserved int64  `json:"reserved"`
	Limit    *int64 `json:"limit"`
	// Over is set when more is used than the plan allows, after a downgrade: nothing is
	// deleted, changing and deleting go on, creating is refused.
	Over bool `json:"over"`
	// ResetsAt is when a counter of a period starts again; nil for what goes up and down.
	ResetsAt *time.Time `json:"resetsAt"`
}

// Resource returns the counter of resource; one that was never counted is zero with no
// limit known.
func (u Usage) Resource(resource string) ResourceUsage {
	r, _ := u.find(resource)
	return r
}

func (u Usage) find(resource string) (ResourceUsage, bool) {
	i := slices.IndexFunc(u.Resources, func(r ResourceUsage) bool { return r.Resource == resource })
	if i < 0 {
		return ResourceUsage{Resource: resource}, false
	}
	return u.Resources[i], true
}

// Usage returns the counters of the company of ctx's tenant, sorted by name: those of
// the library's own resources, those its plan names, and whatever else was counted.
func (l *Limits) Usage(ctx context.Context) (Usage, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Usage{}, err
	}
	sub, err := l.Subscription(ctx)
	if err != nil {
		return Usage{}, err
	}
	plan, err := l.catalog.Plan(sub.Plan)
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
	for _, resource := range resourcesOf(plan) { // the plan may name more than when the company was made
		if _, counted := u.find(resource); !counted {
			u.Resources = append(u.Resources, ResourceUsage{Resource: resource, Limit: limitOf(plan, resource)})
		}
	}
	slices.SortFunc(u.Resources, func(a, b ResourceUsage) int { return strings.Compare(a.Resource, b.Resource) })
	return u, nil
}
