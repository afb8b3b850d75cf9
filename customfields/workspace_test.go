package customfields_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func usedFields(ctx context.Context, t *testing.T, e *tenancytest.Env) int64 {
	t.Helper()
	u, err := e.Limits.Usage(ctx)
	require.NoError(t, err)
	return u.Resource(billing.ResourceCustomFields).Used
}

func TestFieldsOfADeletedWorkspaceCountNoMore(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	store, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Limits: e.Limits, Configuration: r})
	require.NoError(t, err)
	w, err := store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	second := tenancy.WithTenant(e.A.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: w.ID})
	for _, key := range []string{"one", "two", "old"} {
		for _, ctx := range []context.Context{e.A.Ctx, second} {
			_, err = r.Create(ctx, customfields.Field{Key: key, Type: customfields.Text})
			require.NoError(t, err)
		}
	}
	require.NoError(t, r.Archive(second, "old"))
	require.EqualValues(t, 5, usedFields(second, t, e))

	require.NoError(t, store.DeleteWorkspace(e.A.Ctx, w.ID)) // from another workspace
	require.EqualValues(t, 3, usedFields(second, t, e))
	set, err := r.Set(second)
	require.NoError(t, err)
	require.Empty(t, set.Fields)
	trail, err := e.Audit.List(second, audit.Query{Action: "custom_field.archived"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 3)
	first, err := r.Set(e.A.Ctx)
	require.NoError(t, err)
	require.Len(t, first.Fields, 3, "another workspace of the company keeps its own")

	// Who still works there cannot add what nobody would ever give back.
	_, err = r.Create(second, customfields.Field{Key: "late", Type: customfields.Text})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	require.EqualValues(t, 3, usedFields(second, t, e))

	// A workspace without fields has none to give back.
	w, err = store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Empty"})
	require.NoError(t, err)
	require.NoError(t, store.DeleteWorkspace(e.A.CompanyCtx, w.ID))
}

// heldLimits stops before it gives back domains, which is after the fields.
type heldLimits struct {
	*billing.Limits
	reached, goOn chan struct{}
}

func (l *heldLimits) Release(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	if resource == billing.ResourceDomains {
		close(l.reached)
		<-l.goOn
	}
	return l.Limits.Release(ctx, tx, resource, n)
}

func TestFieldIsNotCreatedInAWorkspaceThatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, nil, nil)
	held := &heldLimits{Limits: e.Limits, reached: make(chan struct{}), goOn: make(chan struct{})}
	store, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Limits: held, Configuration: r})
	require.NoError(t, err)
	var g errgroup.Group
	g.Go(func() error { return store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID) })
	<-held.reached
	created := make(chan error, 1)
	go func() {
		_, err := r.Create(e.A.Ctx, customfields.Field{Key: "late", Type: customfields.Text})
		created <- err
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := e.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		return err == nil && waiting || len(created) > 0
	}, time.Minute, time.Millisecond)
	close(held.goOn)
	require.NoError(t, g.Wait())
	require.ErrorIs(t, <-created, tenancy.ErrNotFound)
	require.Zero(t, usedFields(e.A.Ctx, t, e))
}
