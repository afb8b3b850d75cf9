package tenancyhttp_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestBackendDown(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=2") // nothing listens there
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	resolver, err := tenancy.NewResolver(db, nil, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	server, err := tenancyhttp.NewServer(resolver, func(*http.Request) (tenancy.Actor, error) {
		return tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}, nil
	}, &tenancyhttp.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	rec := httptest.NewRecorder()
	server.Handler(tenancyhttp.New(nil)).ServeHTTP(rec,
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/companies/"+tenancy.NewID[tenancy.Company]().String(), http.NoBody))
	requireError(t, rec, 503, "unavailable")
	require.NotContains(t, rec.Body.String(), "127.0.0.1")
}
