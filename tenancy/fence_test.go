package tenancy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fence"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// write is a transaction that does nothing but pass the fence.
func write(ctx context.Context, db *tenancy.DB) error {
	return db.InTx(ctx, func(*tenancy.Tx) error { return nil })
}

func TestTheFence(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	set := func(assignment string) {
		t.Helper()
		require.NoError(t, e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE strata.domains SET `+assignment+` WHERE id = $1`, e.A.DomainID)
			if err != nil {
				return err
			}
			return e.Audit.RecordChange(e.A.CompanyCtx, tx, tenancy.Change{Action: "domain.changed"})
		}))
	}
	as := func(change func(*tenancy.Tenant)) context.Context {
		tenant, err := tenancy.TenantFrom(e.A.Ctx)
		require.NoError(t, err)
		change(&tenant)
		return tenancy.WithTenant(t.Context(), tenant)
	}
	noWorkspace := as(func(t *tenancy.Tenant) { t.WorkspaceID = tenancy.WorkspaceID{} })
	require.NoError(t, write(e.A.Ctx, e.DB))
	require.NoError(t, write(noWorkspace, e.DB), "what is not known is not compared")
	require.ErrorIs(t, write(as(func(t *tenancy.Tenant) { t.WorkspaceID = e.B.WorkspaceID }), e.DB), tenancy.ErrNotFound)
	require.ErrorIs(t, write(as(func(t *tenancy.Tenant) { t.CompanyID = e.B.CompanyID }), e.DB), tenancy.ErrNotFound)
	require.ErrorIs(t, write(as(func(t *tenancy.Tenant) { t.DomainID = tenancy.NewID[tenancy.Domain]() }), e.DB), tenancy.ErrNotFound)

	set(`moving_since = now()`)
	before := e.Pool.Stat().NewConnsCount()
	for range 5 {
		require.ErrorIs(t, write(e.A.Ctx, e.DB), tenancy.ErrMoving)
		require.ErrorIs(t, write(noWorkspace, e.DB), tenancy.ErrMoving)
	}
	require.Equal(t, before, e.Pool.Stat().NewConnsCount(), "a refusal costs no connection")
	require.NoError(t, write(e.A.WorkspaceCtx, e.DB), "the workspace is not moving")
	require.NoError(t, write(e.B.Ctx, e.DB), "nor is another domain")
	require.NoError(t, write(fence.Pass(e.A.Ctx), e.DB), "the mover passes")
	require.NoError(t, e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		require.ErrorIs(t, tx.Savepoint(e.B.Ctx, func(tx *tenancy.Tx) error {
			return tx.As(e.B.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, DomainID: e.A.DomainID}, func(context.Context, *tenancy.Tx) error { return nil })
		}), tenancy.ErrMoving, "nor is there a way round")
		return nil
	}))

	set(`moving_since = NULL, deleted_at = now()`)
	require.ErrorIs(t, write(e.A.Ctx, e.DB), tenancy.ErrNotFound)
	require.NoError(t, write(tenancy.WithDeleted(e.A.Ctx), e.DB))
}

// Whoever waits for the writers waits for all that began before, and for no other.
func TestTheFenceWaitsForWriters(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	await := func(id tenancy.DomainID) error {
		return e.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '20ms'`)
			if err == nil {
				_, err = tx.Exec(t.Context(), `SELECT strata.await_domain($1)`, id)
			}
			return err
		})
	}
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(*tenancy.Tx) error {
		require.ErrorContains(t, await(e.A.DomainID), "55P03")
		return await(e.B.DomainID)
	}))
	require.NoError(t, await(e.A.DomainID))
}

func TestTxAs(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	count := func(ctx context.Context, tx *tenancy.Tx) (n int) {
		t.Helper()
		require.NoError(t, tx.QueryRow(ctx, `SELECT count(*) FROM strata.workspaces`).Scan(&n))
		return n
	}
	_, err := e.Store.CreateWorkspace(e.B.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	b := tenancy.Tenant{CompanyID: e.B.CompanyID}
	failed := tenancy.ErrConflict
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		require.Equal(t, 1, count(e.A.Ctx, tx))
		require.ErrorIs(t, tx.As(e.A.Ctx, b, func(ctx context.Context, tx *tenancy.Tx) error {
			in, err := tenancy.TenantFrom(ctx)
			require.NoError(t, err)
			require.Equal(t, []tenancy.Tenant{b, b}, []tenancy.Tenant{in, tx.Tenant()})
			require.Equal(t, 2, count(ctx, tx))
			return failed
		}), failed)
		require.Equal(t, e.A.DomainID, tx.Tenant().DomainID)
		require.Equal(t, 1, count(e.A.Ctx, tx), "back, also after an error")
		return tx.As(e.A.Ctx, b, func(ctx context.Context, tx *tenancy.Tx) error {
			return e.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "x.done"})
		})
	}))
}
