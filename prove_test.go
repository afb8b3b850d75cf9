package strata_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	public "github.com/stratakit/strata/tenancy/tenancytest"
)

// Every shared table keeps tenants apart, whatever the statement.
func TestSharedTablesKeepTenantsApart(t *testing.T) {
	t.Parallel()
	public.Prove(t, dbtest.Database(t, tenancytest.Template()), &public.Config{Schemas: []string{"strata"}})
}

func TestSharedTablesKeepTenantsApartUnderAnotherName(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{Name: "acme", Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
		return strata.Migrate(ctx, pool, &strata.MigrateConfig{Schema: "acme_core", RiverSchema: "acme_jobs", Log: slog.New(slog.DiscardHandler)})
	}})
	public.Prove(t, pool, &public.Config{Schema: "acme_core", Schemas: []string{"acme_core"}})
	s, err := strata.New(t.Context(), pool, nil, &strata.Config{Schema: "acme_core", RiverSchema: "acme_jobs"})
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
}
