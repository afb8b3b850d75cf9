package billing_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// What is written is counted in the same transaction, last.
func Example() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database
	db, recorder, limits := env.DB, env.Audit, env.Limits
	company := env.Company(s, "free") // 10 custom fields
	ctx := company.Ctx

	create := func(n int64) error {
		return db.InTx(ctx, func(tx *tenancy.Tx) error {
			// ... insert n custom fields ...
			if err := recorder.RecordTx(ctx, tx, audit.Entry{Action: "custom_fields.created"}); err != nil {
				return err
			}
			return limits.Consume(ctx, tx, billing.ResourceCustomFields, n)
		})
	}
	fmt.Println(create(8))
	var limit *billing.LimitError
	if errors.As(create(3), &limit) {
		fmt.Println(limit)
	}
	if err := limits.ChangePlan(company.CompanyCtx, "pro", env.Store); err != nil {
		fmt.Println(err)
	}
	fmt.Println(create(3))
	usage, err := limits.Usage(ctx)
	if err != nil {
		fmt.Println(err)
	}
	r := usage.Resource(billing.ResourceCustomFields)
	fmt.Println(usage.Plan, r.Used, "of", *r.Limit)
	// Output:
	// <nil>
	// plan free allows 10 custom_fields: there are 8, and 3 more would be 1 too many
	// <nil>
	// pro 11 of 50
}

// A product's own plans, with a resource of its own. The library's four are named too:
// what is absent is 0.
func ExampleNewCatalog() {
	catalog, err := billing.NewCatalog(
		billing.StandardPlan{Name: "free", Limits: map[string]int64{ // of a company that names none
			billing.ResourceRecipients: 100, billing.ResourceCustomFields: 5,
			billing.ResourceWorkspaces: 1, billing.ResourceDomains: 1, "rockets": 1,
		}},
		billing.StandardPlan{Name: "fleet", Limits: map[string]int64{
			billing.ResourceRecipients: billing.Unlimited, billing.ResourceCustomFields: 100,
			billing.ResourceWorkspaces: 1, billing.ResourceDomains: 10, "rockets": 20,
		}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database
	ctx := s.Context()
	product, err := strata.New(ctx, env.Pool, nil, &strata.Config{Catalog: catalog})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = product.Stop(ctx) }()
	tenant, err := product.Tenancy.Bootstrap(ctx, tenancy.NewCompany{Name: "Acme"}, tenancy.NewDomain{DomainName: "acme.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	usage, err := product.Limits.Usage(tenancy.WithTenant(ctx, tenant))
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range usage.Resources {
		fmt.Println(usage.Plan, r.Resource, r.Used, "of", *r.Limit)
	}
	// Output:
	// free custom_fields 0 of 5
	// free domains 1 of 1
	// free recipients 0 of 100
	// free rockets 0 of 1
	// free workspaces 1 of 1
}

func ExampleAccessFor() {
	grace := time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	late := billing.Subscription{Plan: "pro", Status: billing.PastDue, GraceUntil: &grace}
	fmt.Println(billing.AccessFor(late, grace.Add(-time.Hour)))
	fmt.Println(billing.AccessFor(late, grace))
	// Output:
	// full
	// read_only
}
