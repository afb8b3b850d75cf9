package strata_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// A client that is nil but has a type, such as a variable nobody set, is no client.
func TestNewWithANilClientOfAType(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	var client *redis.Client
	s, err := strata.New(t.Context(), e.Pool, client, &strata.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(t.Context())) }()
	_, err = s.Resolver.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	_, err = s.Fields.Set(e.A.Ctx)
	require.NoError(t, err)
	require.NoError(t, s.Tenancy.DeleteWorkspace(e.A.CompanyCtx, e.A.WorkspaceID))
}

// A company that replaces its only workspace has its plan's custom fields again.
func TestDeletedWorkspaceGivesBackItsFields(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s, err := strata.New(t.Context(), e.Pool, e.Redis, &strata.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(t.Context())) }()
	c := e.Company(t, "free")
	fill := func(workspace tenancy.WorkspaceID) {
		ctx := tenancy.WithTenant(c.Ctx, tenancy.Tenant{CompanyID: c.CompanyID, WorkspaceID: workspace})
		for i := range 10 {
			_, err := s.Fields.Create(ctx, customfields.Field{Key: fmt.Sprintf("field_%d", i), Type: customfields.Text})
			require.NoError(t, err)
		}
	}
	fill(c.WorkspaceID)
	require.NoError(t, s.Tenancy.DeleteWorkspace(c.CompanyCtx, c.WorkspaceID))
	w, err := s.Tenancy.CreateWorkspace(c.CompanyCtx, tenancy.NewWorkspace{Name: "Second try"})
	require.NoError(t, err)
	fill(w.ID)
}
