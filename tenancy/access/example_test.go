package access_test

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// A product with a permission of its own, a role that a company makes of it, and a member
// of one workspace who has that role.
func Example() {
	s := &tenancytest.Scratch{}
	defer s.Close()
	env := tenancytest.Open(s) // a migrated database with two companies
	owner := env.A.WorkspaceCtx

	catalog, err := access.NewCatalog(&access.CatalogConfig{Permissions: []access.Definition{
		{Name: "campaigns.send", Summary: "Send campaigns", Role: access.WorkspaceAdmin},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := access.NewGuard(env.DB, catalog, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	members, err := access.NewStore(guard, env.Store, env.Audit)
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = members.CreateRole(owner, access.Role{
		Key: "sender", Name: "Sender", Level: access.LevelWorkspace,
		Permissions: []access.Permission{"campaigns.send", access.RecipientsRead},
	})
	fmt.Println(err)
	_, err = members.AddMember(owner, access.NewMember{ActorID: "ann", Role: "sender"})
	fmt.Println(err)

	// Of ann the product knows the id and the company; what she may do is in the database.
	ann := func(ctx context.Context) context.Context {
		return tenancy.WithActor(ctx, tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, CompanyID: env.A.CompanyID})
	}
	fmt.Println(guard.Require(ann(env.A.WorkspaceCtx), "campaigns.send"))
	fmt.Println(guard.Require(ann(env.A.WorkspaceCtx), access.RecipientsManage))
	fmt.Println(guard.Require(ann(env.B.WorkspaceCtx), "campaigns.send"))
	_, err = members.AddMember(ann(env.A.WorkspaceCtx), access.NewMember{ActorID: "bob", Role: access.WorkspaceAdmin})
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// your role does not allow this
	// not found
	// your role does not allow this
}
