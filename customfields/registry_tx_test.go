package customfields_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func keys(fields []customfields.Field) []string {
	out := []string{}
	for _, f := range fields {
		out = append(out, f.Key)
	}
	return out
}

// What a transaction changes it sees, others see it after the commit, and after a rollback
// there is nothing of it: no field, no count, and no set in memory that another change would
// give the same version.
func TestChangesInATransaction(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	ctx := e.A.WorkspaceCtx
	r := registry(t, e, e.Redis, nil)
	for _, key := range []string{"one", "two"} {
		_, err := r.Create(ctx, customfields.Field{Key: key, Type: customfields.Text, Filterable: true})
		require.NoError(t, err)
	}
	before, err := r.Set(ctx)
	require.NoError(t, err)
	fields, err := r.List(ctx)
	require.NoError(t, err)
	used := func() int64 {
		u, err := e.Limits.Usage(e.A.CompanyCtx)
		require.NoError(t, err)
		return u.Resource(billing.ResourceCustomFields).Used
	}
	require.EqualValues(t, 2, used())
	label := "Changed"
	work := func(tx *tenancy.Tx) {
		_, err := r.CreateTx(ctx, tx, customfields.Field{Key: "three", Type: customfields.Text})
		require.NoError(t, err)
		_, err = r.CreateTx(ctx, tx, customfields.Field{Key: "three", Type: customfields.Text})
		require.ErrorIs(t, err, customfields.ErrKeyTaken, "and the transaction goes on")
		f, err := r.UpdateTx(ctx, tx, "one", customfields.Change{Label: &label})
		require.NoError(t, err)
		require.Equal(t, label, f.Label)
		require.NoError(t, r.ArchiveTx(ctx, tx, "two"))
		require.ErrorIs(t, r.ArchiveTx(ctx, tx, "two"), customfields.ErrNotFound)
		for range 2 {
			set, err := r.SetTx(ctx, tx)
			require.NoError(t, err)
			require.Equal(t, []string{"one", "three"}, keys(set.Fields))
			require.Equal(t, label, set.Field("one").Label)
			outside, err := r.Set(ctx)
			require.NoError(t, err)
			require.Equal(t, before.Version, outside.Version)
			require.Equal(t, []string{"one", "two"}, keys(outside.Fields))
		}
	}
	undo := errors.New("undo")
	require.ErrorIs(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		work(tx)
		return undo
	}), undo)
	for _, r := range []*customfields.Registry{r, registry(t, e, e.Redis, nil)} {
		set, err := r.Set(ctx)
		require.NoError(t, err)
		require.Equal(t, before.Version, set.Version)
		require.Equal(t, []string{"one", "two"}, keys(set.Fields))
		require.Equal(t, "one", set.Field("one").Label)
	}
	list, err := r.List(ctx)
	require.NoError(t, err)
	require.Equal(t, fields, list)
	require.EqualValues(t, 2, used())

	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error { // the savepoint is undone, the rest is not
		require.ErrorIs(t, tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			_, err := r.CreateTx(ctx, tx, customfields.Field{Key: "gone", Type: customfields.Text})
			require.NoError(t, err)
			set, err := r.SetTx(ctx, tx)
			require.NoError(t, err)
			require.NotNil(t, set.Field("gone"))
			return undo
		}), undo)
		work(tx)
		return nil
	}))
	for _, r := range []*customfields.Registry{r, registry(t, e, e.Redis, nil)} {
		set, err := r.Set(ctx)
		require.NoError(t, err)
		require.Greater(t, set.Version, before.Version)
		require.Equal(t, []string{"one", "three"}, keys(set.Fields))
	}
	require.EqualValues(t, 2, used())
}

// A transaction in the scope of another workspace sees nothing of this one, which is not
// the same as that it has no fields.
func TestATransactionOfAnotherWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	_, err := r.Create(e.A.WorkspaceCtx, customfields.Field{Key: "tier", Type: customfields.Text})
	require.NoError(t, err)
	ctx := e.A.WorkspaceCtx
	require.NoError(t, e.DB.InTx(e.B.WorkspaceCtx, func(tx *tenancy.Tx) error {
		_, err := r.SetTx(ctx, tx)
		require.ErrorContains(t, err, "another workspace")
		_, err = r.VersionTx(ctx, tx)
		require.ErrorContains(t, err, "another workspace")
		_, err = r.CreateTx(ctx, tx, customfields.Field{Key: "x", Type: customfields.Text})
		require.ErrorContains(t, err, "another workspace")
		_, err = r.UpdateTx(ctx, tx, "tier", customfields.Change{})
		require.ErrorContains(t, err, "another workspace")
		require.ErrorContains(t, r.ArchiveTx(ctx, tx, "tier"), "another workspace")
		return nil
	}))
	set, err := r.Set(ctx)
	require.NoError(t, err)
	require.NotNil(t, set.Field("tier"))
}
