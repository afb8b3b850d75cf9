package tenancytest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

// Direct returns a DB over the test's database that goes past any pooler, as migrations need.
func (e *Env) Direct(t testing.TB) *tenancy.DB {
	t.Helper()
	pool, err := pgxpool.New(context.WithoutCancel(t.Context()), dbtest.DirectURL(t, e.Pool))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
