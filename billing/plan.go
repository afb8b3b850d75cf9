package billing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The resources the library counts itself. A product adds its own by any other name.
const (
	ResourceRecipients   = "recipients"
	ResourceCustomFields = "custom_fields"
	ResourceWorkspaces   = "workspaces"
	ResourceDomains      = "domains"
)

// Plan says what a subscription allows. It is the strategy a product implements for
// plans that are more than a table; StandardPlan is the table. Implementations must be
// safe for concurrent use and give the same answers for as long as the process lives.
type Plan interface {
	// Key is the plan's stable name, such as "pro".
	Key() string
	// Limit returns how much of resource a company may have. Not limited means
	// unlimited; a resource the plan does not know must be (0, true): denied.
	Limit(resource string) (n int64, limited bool)
	// Feature reports whether the plan includes a feature.
	Feature(key string) bool
}

// ResourceLister is a Plan that can name the resources it knows. Their counters then
// stand from the start, and Usage lists them before they are counted.
type ResourceLister interface {
	// Resources returns the names, in any order.
	Resources() []string
}

// resourcesOf returns, sorted, the library's own resources and those p names.
func resourcesOf(p Plan) []string {
	all := []string{ResourceRecipients, ResourceCustomFields, ResourceWorkspaces, ResourceDomains}
	if lister, ok := p.(ResourceLister); ok {
		all = append(all, lister.Resources()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// limitOf is a limit as the column holds it: nil is unlimited, and a plan's nonsense
// denies.
func limitOf(p Plan, resource string) *int64 {
	if n, limited := p.Limit(resource); limited {
		n = max(0, n)
		return &n
	}
	return nil
}

// Unlimited stands for no limit in StandardPlan.Limits.
const Unlimited int64 = -1

// StandardPlan is a Plan that is a table.
type StandardPlan struct {
	Name     string
	Limits   map[string]int64 // by resource; absent is 0, Unlimited is no limit
	Features []string
}

var (
	_ Plan           = StandardPlan{}
	_ ResourceLister = StandardPlan{}
)

// Key returns the name.
func (p StandardPlan) Key() string { return p.Name }

// Limit returns what the table says; what is not in it is denied.
func (p StandardPlan) Limit(resource string) (int64, bool) {
	n := p.Limits[resource]
	if n == Unlimited {
		return 0, false
	}
	return n, true
}

// Resources returns what the table names.
func (p StandardPlan) Resources() []string { return slices.Collect(maps.Keys(p.Limits)) }

// Feature reports whether the table lists the feature.
func (p StandardPlan) Feature(key string) bool { return slices.Contains(p.Features, key) }

// Features of the standard plans.
const (
	FeatureSSO             = "sso"
	FeatureAuditExport     = "audit_export"
	FeatureManyDomains     = "many_domains"
	FeatureManyWorkspaces  = "many_workspaces"
	FeatureCompanySettings = "company_settings"
)

// The standard plans.
func standardPlans() []Plan {
	return []Plan{
		StandardPlan{Name: "free", Limits: map[string]int64{
			ResourceRecipients: 1_000, ResourceCustomFields: 10, ResourceWorkspaces: 1, ResourceDomains: 1,
		}},
		StandardPlan{Name: "pro", Limits: map[string]int64{
			ResourceRecipients: 50_000, ResourceCustomFields: 50, ResourceWorkspaces: 1, ResourceDomains: 5,
		}, Features: []string{FeatureManyDomains}},
		StandardPlan{Name: "business", Limits: map[string]int64{
			ResourceRecipients: 500_000, ResourceCustomFields: 200, ResourceWorkspaces: 10, ResourceDomains: 50,
		}, Features: []string{FeatureManyDomains, FeatureManyWorkspaces, FeatureCompanySettings, FeatureSSO, FeatureAuditExport}},
		StandardPlan{Name: "enterprise", Limits: map[string]int64{
			ResourceRecipients: Unlimited, ResourceCustomFields: 500, ResourceWorkspaces: Unlimited, ResourceDomains: Unlimited,
		}, Features: []string{FeatureManyDomains, FeatureManyWorkspaces, FeatureCompanySettings, FeatureSSO, FeatureAuditExport}},
	}
}

// Catalog is the set of plans there are. It does not change once made.
type Catalog struct{ plans map[string]Plan }

// NewCatalog returns a Catalog of plans; without any it holds the four standard ones of
// the package comment. Plans of a product's own have to allow the library's resources
// too, ResourceRecipients, ResourceCustomFields, ResourceWorkspaces and ResourceDomains:
// what a plan does not name is 0, and a company needs a workspace and a domain. A company
// that is created without a plan gets the one called "free" (tenancy.DefaultPlan). Errors: a plan that is nil or has no key, two of one key, and
// limits of a StandardPlan that are negative without being Unlimited.
func NewCatalog(plans ...Plan) (*Catalog, error) {
	if len(plans) == 0 {
		plans = standardPlans()
	}
	c := &Catalog{plans: map[string]Plan{}}
	for _, p := range plans {
		if p == nil {
			return nil, errors.New("billing: a plan of the catalog is nil")
		}
		if p.Key() == "" || c.plans[p.Key()] != nil {
			return nil, fmt.Errorf("billing: plan key %q is empty or there twice", p.Key())
		}
		if s, ok := p.(StandardPlan); ok {
			for resource, n := range s.Limits {
				if resource == "" || n < Unlimited {
					return nil, fmt.Errorf("billing: plan %s: limit %d of resource %q", s.Name, n, resource)
				}
			}
		}
		c.plans[p.Key()] = p
	}
	return c, nil
}

// Plan returns the plan of a key. An unknown key is ErrUnknownPlan, never unlimited.
func (c *Catalog) Plan(key string) (Plan, error) {
	p := c.plans[key]
	if p == nil {
		return nil, fmt.Errorf("plan %q: %w", key, ErrUnknownPlan)
	}
	return p, nil
}

// Keys returns the keys of the plans, sorted.
func (c *Catalog) Keys() []string {
	keys := make([]string, 0, len(c.plans))
	for k := range c.plans {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
