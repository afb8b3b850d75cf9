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

	// Beside another installation too, whose tables are not the product's own.
	direct, err := pgxpool.New(t.Context(), dbtest.DirectURL(t, pool))
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	require.NoError(t, strata.Migrate(t.Context(), direct, &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}))
	_, err = pool.Exec(t.Context(), `CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO strata_app;
		CREATE TABLE shop.goods (domain_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (domain_id, id));
		ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.goods FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON shop.goods TO strata_app USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
		GRANT SELECT, INSERT ON shop.goods TO strata_app`)
	require.NoError(t, err)
	public.Prove(t, pool, &public.Config{Schema: "acme_core"})
	s, err := strata.New(t.Context(), pool, nil, &strata.Config{Schema: "acme_core", RiverSchema: "acme_jobs"})
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
}
