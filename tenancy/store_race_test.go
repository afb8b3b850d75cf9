package tenancy_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// heldLimits stops before it counts, which is the last thing that a create does.
type heldLimits struct {
	*billing.Limits
	reached, goOn chan struct{}
}

func (l *heldLimits) Consume(ctx context.Context, tx *tenancy.Tx, resource string, n int64) error {
	close(l.reached)
	<-l.goOn
	return l.Limits.Consume(ctx, tx, resource, n)
}

// race runs create up to its end, then remove until it waits for create or is done, and
// lets create commit.
func race(t *testing.T, e *tenancytest.Env, create func(s *tenancy.Store) error, remove func() error) {
	t.Helper()
	held := &heldLimits{Limits: e.Limits, reached: make(chan struct{}), goOn: make(chan struct{})}
	s, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Limits: held})
	require.NoError(t, err)
	var g errgroup.Group
	g.Go(func() error { return create(s) })
	<-held.reached
	var removed atomic.Bool
	g.Go(func() error {
		defer removed.Store(true)
		return remove()
	})
	require.Eventually(t, func() bool {
		var waiting bool
		err := e.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		return err == nil && waiting || removed.Load()
	}, eventually, tick)
	close(held.goOn)
	require.NoError(t, g.Wait())
}

func TestDeletedWorkspaceTakesADomainThatIsBeingCreated(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	race(t, e,
		func(s *tenancy.Store) error {
			_, err := s.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "late.example"})
			return err
		},
		func() error { return e.Store.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID) },
	)
	page, err := e.Store.Domains(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	u, err := e.Limits.Usage(e.A.CompanyCtx)
	require.NoError(t, err)
	require.Zero(t, u.Resource("domains").Used)
}

func TestDeleteOfACompanyWaitsForAWorkspaceThatIsBeingCreated(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	race(t, e,
		func(s *tenancy.Store) error {
			_, err := s.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Late"})
			return err
		},
		func() error {
			if err := e.Store.DeleteCompany(e.A.CompanyCtx); err != nil {
				return err
			}
			page, err := e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{})
			if err == nil && page.Total != 2 {
				err = fmt.Errorf("%d workspaces: one comes after its company has gone", page.Total)
			}
			return err
		},
	)
}
