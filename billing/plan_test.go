package billing_test

import (
	"errors"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// named is a plan of a product's own that allows what a company is made of, and limits.
func named(name string, limits map[string]int64) billing.StandardPlan {
	all := map[string]int64{billing.ResourceRecipients: 100, billing.ResourceWorkspaces: 1, billing.ResourceDomains: 1}
	maps.Copy(all, limits)
	return billing.StandardPlan{Name: name, Limits: all}
}

// own returns Limits of plans whose resources the library does not know, and a company on
// the first of them.
func own(t *testing.T, e *tenancytest.Env, plans ...billing.Plan) (*billing.Limits, *tenancytest.Company) {
	t.Helper()
	catalog, err := billing.NewCatalog(plans...)
	require.NoError(t, err)
	limits, err := billing.NewLimits(e.DB, catalog, e.Audit, nil)
	require.NoError(t, err)
	store, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Provisioner: limits, Limits: limits})
	require.NoError(t, err)
	tenant, err := store.Bootstrap(t.Context(), tenancy.NewCompany{Name: "Own", Plan: plans[0].Key()}, tenancy.NewDomain{DomainName: "own.example"})
	require.NoError(t, err)
	ctx := tenancy.WithTenant(t.Context(), tenant)
	return limits, &tenancytest.Company{CompanyID: tenant.CompanyID, Ctx: ctx}
}

// unlisted is a plan that does not name its resources.
type unlisted struct{ billing.Plan }

func (unlisted) Resources() []string { return nil }

func TestFirstUseOfAResourceIsHeldToThePlanToo(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	plan := named("launch", map[string]int64{"rockets": 5, "stars": billing.Unlimited})
	limits, c := own(t, e, unlisted{plan})
	require.ErrorIs(t, limits.Peek(c.Ctx, "rockets", 6), billing.ErrLimit, "before it was ever counted")
	require.NoError(t, limits.Peek(c.Ctx, "rockets", 5))
	var taken atomic.Int64
	var g errgroup.Group
	for range 12 {
		g.Go(func() error {
			err := within(c.Ctx, e, func(tx *tenancy.Tx) error { return limits.Consume(c.Ctx, tx, "rockets", 2) })
			if err == nil {
				taken.Add(2)
			} else if !errors.Is(err, billing.ErrLimit) {
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 4, taken.Load())
	err := within(c.Ctx, e, func(tx *tenancy.Tx) error { return limits.Consume(c.Ctx, tx, "unheard of", 1) })
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit, "what the plan does not know is denied")
	require.Zero(t, limit.Limit)
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error { return limits.Consume(c.Ctx, tx, "stars", 1_000) }))
	u, err := limits.Usage(c.Ctx)
	require.NoError(t, err)
	require.EqualValues(t, 4, u.Resource("rockets").Used)
	require.EqualValues(t, 1_000, u.Resource("stars").Used)
	require.Nil(t, u.Resource("stars").Limit)
}

// A change of plan holds the subscription and waits for a counter; whoever holds the
// counter and needs the subscription, to start another one, does not wait for it.
func TestFirstUseDoesNotWaitForAChangeOfPlan(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	limits, c := own(t, e, unlisted{named("launch", map[string]int64{"rockets": 5})}, unlisted{named("orbit", map[string]int64{"rockets": 50})})
	counted, goOn := make(chan struct{}), make(chan struct{})
	var refused error
	var g errgroup.Group
	g.Go(func() error {
		return within(c.Ctx, e, func(tx *tenancy.Tx) error {
			err := limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 1)
			close(counted)
			<-goOn
			refused = limits.Consume(c.Ctx, tx, "rockets", 1)
			return err
		})
	})
	<-counted
	g.Go(func() error { return limits.ChangePlan(c.Ctx, "orbit", nil) })
	waitForALock(t, e)
	close(goOn)
	require.NoError(t, g.Wait())
	require.ErrorIs(t, refused, billing.ErrSubscriptionChanging)
	require.NoError(t, within(c.Ctx, e, func(tx *tenancy.Tx) error { return limits.Consume(c.Ctx, tx, "rockets", 6) }))
	u, err := limits.Usage(c.Ctx)
	require.NoError(t, err)
	require.EqualValues(t, 50, *u.Resource("rockets").Limit)
	require.EqualValues(t, 6, u.Resource("rockets").Used)
	require.EqualValues(t, 1, u.Resource(billing.ResourceRecipients).Used)

	nobody := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: tenancy.NewID[tenancy.Company]()})
	err = within(nobody, e, func(tx *tenancy.Tx) error { return limits.Consume(nobody, tx, "rockets", 1) })
	require.ErrorIs(t, err, billing.ErrNotSubscribed)
}

func TestUsageListsWhatThePlanNames(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	limits, c := own(t, e, named("launch", map[string]int64{"rockets": 5}))
	u, err := limits.Usage(c.Ctx)
	require.NoError(t, err)
	names := make([]string, 0, len(u.Resources))
	for _, r := range u.Resources {
		names = append(names, r.Resource)
		require.NotNil(t, r.Limit)
	}
	require.Zero(t, u.Resource("rockets").Used)
	require.EqualValues(t, 1, u.Resource(billing.ResourceDomains).Used)
	require.Equal(t, []string{"custom_fields", "domains", "recipients", "rockets", "workspaces"}, names)
	require.EqualValues(t, 5, *u.Resource("rockets").Limit)
	require.Equal(t, "launch", u.Plan)
	require.Equal(t, billing.Active, u.Status)
	require.Equal(t, tenancy.AccessFull, u.Access)
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	standard, err := billing.NewCatalog()
	require.NoError(t, err)
	require.Equal(t, []string{"business", "enterprise", "free", "pro"}, standard.Keys())
	_, err = standard.Plan("platinum")
	require.ErrorIs(t, err, billing.ErrUnknownPlan)
	for key, want := range map[string][4]int64{ // the table of the package comment
		"free": {1_000, 10, 1, 1}, "pro": {50_000, 50, 1, 5}, "business": {500_000, 200, 10, 50}, "enterprise": {-1, 500, -1, -1},
	} {
		p, err := standard.Plan(key)
		require.NoError(t, err)
		for i, resource := range []string{billing.ResourceRecipients, billing.ResourceCustomFields, billing.ResourceWorkspaces, billing.ResourceDomains} {
			n, limited := p.Limit(resource)
			require.Equal(t, want[i] != -1, limited, "%s %s", key, resource)
			require.EqualValues(t, max(0, want[i]), n, "%s %s", key, resource)
		}
		n, limited := p.Limit("unheard of")
		require.True(t, limited)
		require.Zero(t, n)
		require.Equal(t, key == "business" || key == "enterprise", p.Feature(billing.FeatureSSO))
	}
	for name, plans := range map[string][]billing.Plan{
		"nil": {nil}, "no key": {billing.StandardPlan{}}, "twice": {billing.StandardPlan{Name: "a"}, billing.StandardPlan{Name: "a"}},
		"negative": {billing.StandardPlan{Name: "a", Limits: map[string]int64{"x": -2}}},
	} {
		_, err := billing.NewCatalog(plans...)
		require.Error(t, err, name)
	}
}
