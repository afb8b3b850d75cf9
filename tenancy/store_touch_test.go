package tenancy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// Whatever the level of what was touched, the tenants on it and below it have a newer
// version afterwards, in other processes too; those beside it have not.
func TestTouchReachesWhatIsBelow(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here, err := tenancy.NewResolver(e.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(here.Close)
	store, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Resolver: here})
	require.NoError(t, err)
	w, err := store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Beside"})
	require.NoError(t, err)
	versions := func() [4]int64 {
		c, err := here.ResolveCompany(t.Context(), e.A.CompanyID)
		require.NoError(t, err)
		ws, err := here.ResolveWorkspace(t.Context(), e.A.WorkspaceID)
		require.NoError(t, err)
		d, err := here.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err)
		beside, err := here.ResolveWorkspace(t.Context(), w.ID)
		require.NoError(t, err)
		return [4]int64{c.Version, ws.Version, d.Version, beside.Version}
	}
	touch := func(ctx context.Context) error {
		return e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			require.NoError(t, e.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "thing.changed"}))
			return store.TouchTx(ctx, tx)
		})
	}
	for _, c := range []struct {
		ctx   context.Context
		grown [4]bool
	}{
		{e.A.CompanyCtx, [4]bool{true, true, true, true}},
		{e.A.WorkspaceCtx, [4]bool{false, true, true, false}},
		{e.A.Ctx, [4]bool{false, false, true, false}},
	} {
		before := versions()
		require.NoError(t, touch(c.ctx))
		after := versions()
		for i, grown := range c.grown {
			require.Equal(t, grown, after[i] > before[i], "%v: %v then %v", c.grown, before, after)
		}
	}
	require.NoError(t, store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID))
	require.ErrorIs(t, touch(e.A.WorkspaceCtx), tenancy.ErrNotFound)
	require.ErrorIs(t, touch(e.A.Ctx), tenancy.ErrNotFound)
	require.NoError(t, store.DeleteCompany(e.B.CompanyCtx))
	for _, ctx := range []context.Context{e.B.CompanyCtx, e.B.WorkspaceCtx, e.B.Ctx} {
		require.ErrorIs(t, touch(ctx), tenancy.ErrNotFound)
	}
}
