package tenancy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// The three kinds of customer of the mission, and what is gone again when it is deleted.
func TestFeatures(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	sees := func(want tenancy.Features) {
		t.Helper()
		for _, ctx := range []context.Context{e.A.CompanyCtx, e.A.Ctx} {
			got, err := e.Store.Features(ctx)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	sees(tenancy.Features{})

	several := tenancy.Features{WorkspaceSwitcher: true, CompanyLibrary: true, Blueprints: true, CompanyDefaults: true, CrossWorkspaceReports: true}
	w, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	sees(several)
	_, err = e.Store.CreateDomain(e.A.CompanyCtx, w.ID, tenancy.NewDomain{DomainName: "second.example"})
	require.NoError(t, err)
	several.Persons = true
	sees(several) // no workspace has anything to switch between
	e.Domain(t, e.A, "third.example")
	several.DomainSwitcher = true
	sees(several)
	require.NoError(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, w.ID))
	sees(tenancy.Features{DomainSwitcher: true, Persons: true})

	none, err := e.Store.Features(e.B.CompanyCtx)
	require.NoError(t, err)
	require.Equal(t, tenancy.Features{}, none, "what A has is not counted for B")
	_, err = e.Store.Features(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	byPlan, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Features: func(ctx context.Context, f tenancy.Features) tenancy.Features {
		tenant, err := tenancy.TenantFrom(ctx)
		require.NoError(t, err)
		f.Persons = f.Persons && tenant.Plan != "enterprise"
		f.Blueprints = true
		return f
	}})
	require.NoError(t, err)
	got, err := byPlan.Features(e.A.Ctx)
	require.NoError(t, err)
	require.Equal(t, tenancy.Features{DomainSwitcher: true, Blueprints: true}, got)
}
