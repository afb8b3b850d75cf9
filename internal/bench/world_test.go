package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestGivenDatabaseIsLeftAlone(t *testing.T) {
	given := dbtest.Database(t, dbtest.Template{})
	t.Setenv("DATABASE_URL", given.Config().ConnString())
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	w, err := openWorld(ctx)
	require.NoError(t, err)
	var own string
	require.NoError(t, w.pool.QueryRow(ctx, "SELECT current_database()").Scan(&own))
	require.NotEqual(t, given.Config().ConnConfig.Database, own)
	interrupt()
	require.NoError(t, w.close())

	var left, schemas int
	require.NoError(t, given.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_database WHERE datname = $1),
		(SELECT count(*) FROM pg_namespace WHERE nspname IN ('strata', 'strata_river', 'floor'))`, own).Scan(&left, &schemas))
	require.Zero(t, left, "the database of the run is dropped")
	require.Zero(t, schemas, "nothing is made in the given database")
}
