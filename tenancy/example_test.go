package tenancy_test

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// A company with a workspace and a domain, and SQL that sees nothing beyond them.
func Example() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database with other companies
	db, store, ctx := env.DB, env.Store, context.Background()

	tenant, err := store.Bootstrap(ctx, tenancy.NewCompany{Name: "Acme"}, tenancy.NewDomain{DomainName: "acme.example"})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(tenant.Level(), tenant.Plan, tenant.Access)
	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), tenancy.Actor{ID: "u1", Type: tenancy.ActorUser, CompanyID: tenant.CompanyID})

	var names []string
	all := func(tx *tenancy.Tx) error { // no condition, and still only what is the tenant's
		return tx.QueryRow(ctx, `SELECT array_agg(name) FROM strata.companies`).Scan(&names)
	}
	if err := db.InTx(ctx, all); err != nil {
		fmt.Println(err)
	}
	fmt.Println(names)
	fmt.Println(db.InTx(context.Background(), all))
	// Output:
	// domain free full
	// [Acme]
	// no tenant in the context: resolve one and put it there with tenancy.WithTenant
}

// What a request names becomes the tenant that it works for.
func ExampleResolver() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database with two companies
	ctx := context.Background()

	resolver, err := tenancy.NewResolver(env.DB, env.Redis, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resolver.Close()
	tenant, err := resolver.ResolveDomain(ctx, env.A.DomainID)
	fmt.Println(tenant.CompanyID == env.A.CompanyID, tenant.WorkspaceID == env.A.WorkspaceID, err)
	_, err = resolver.ResolveDomain(ctx, tenancy.NewID[tenancy.Domain]())
	fmt.Println(err)
	// Output:
	// true true <nil>
	// not found
}

// An error names everything that is wrong at once.
func ExampleValidationError() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database with a company

	_, err := env.Store.CreateWorkspace(env.A.CompanyCtx, tenancy.NewWorkspace{Name: " ", Slug: "No Spaces"})
	fmt.Println(err)
	// Output:
	// invalid input: name: must not be empty; slug: must be 1 to 63 lower-case letters, digits and inner hyphens, such as acme-emea
}
