package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestBeforeCommit(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	name := func() string {
		w, err := e.Store.Workspace(e.A.CompanyCtx, e.A.WorkspaceID)
		require.NoError(t, err)
		return w.Name
	}
	boom := errors.New("boom")
	var order []string
	ctx := tenancy.WithBeforeCommit(e.A.CompanyCtx, func(ctx context.Context, tx *tenancy.Tx) error {
		order = append(order, "before commit")
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.workspaces SET name = name || '!' WHERE company_id = $1`), e.A.CompanyID)
		return err
	})
	_, err := e.Store.RenameWorkspace(ctx, e.A.WorkspaceID, "Renamed")
	require.NoError(t, err)
	require.Equal(t, "Renamed!", name(), "what it writes is committed with the rest")

	err = e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		order = append(order, "work")
		tx.AfterCommit(func(context.Context) { order = append(order, "after commit") })
		return e.Audit.RecordChange(ctx, tx, tenancy.Change{Action: "test"})
	})
	require.NoError(t, err)
	require.Equal(t, []string{"before commit", "work", "before commit", "after commit"}, order)

	refuse := tenancy.WithBeforeCommit(ctx, func(context.Context, *tenancy.Tx) error { return boom })
	_, err = e.Store.RenameWorkspace(refuse, e.A.WorkspaceID, "Refused")
	require.ErrorIs(t, err, boom)
	require.Equal(t, "Renamed!!", name())

	require.ErrorIs(t, e.DB.InTx(ctx, func(*tenancy.Tx) error { return boom }), boom)
	require.Len(t, order, 4, "it does not run when there is nothing to commit")
}
