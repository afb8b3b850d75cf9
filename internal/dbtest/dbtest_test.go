package dbtest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// setups counts how often the template of this file was filled.
var setups atomic.Int32

var oneTable = dbtest.Template{Name: "one table", Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
	setups.Add(1)
	_, err := pool.Exec(ctx, "create table t (n int); insert into t values (1)")
	return err
}}

func TestDatabaseIsACopyOfItsTemplate(t *testing.T) {
	t.Parallel()
	for range 4 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Database(t, oneTable)
			var rows int
			require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from t").Scan(&rows))
			require.Equal(t, 1, rows)
			_, err := pool.Exec(t.Context(), "insert into t values (2)")
			require.NoError(t, err)
			require.EqualValues(t, 1, setups.Load())
		})
	}
}

func TestDatabaseLoginObeysRowLevelSecurity(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, oneTable)
	var super, bypass, owner bool
	require.NoError(t, pool.QueryRow(t.Context(), `
		select rolsuper, rolbypassrls, d.datdba = r.oid
		from pg_roles r, pg_database d
		where r.rolname = current_user and d.datname = current_database()`).Scan(&super, &bypass, &owner))
	require.False(t, super)
	require.False(t, bypass)
	require.True(t, owner)
	_, err := pool.Exec(t.Context(), "create extension btree_gin")
	require.NoError(t, err)
}

func TestRedisOfTwoTestsAreApart(t *testing.T) {
	t.Parallel()
	a, b := dbtest.Redis(t), dbtest.Redis(t)
	require.NoError(t, a.Set(t.Context(), "k", "a", 0).Err())
	n, err := b.Exists(t.Context(), "k").Result()
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestPrivateServersRestart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pg := dbtest.PostgresServer(t)
	pool, err := pgxpool.New(ctx, pg.URL)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(ctx, "create table t as select 1 as n")
	require.NoError(t, err)
	require.NoError(t, pg.Kill(ctx))
	require.Error(t, pool.Ping(ctx))
	require.NoError(t, pg.Start(ctx))
	var n int
	require.NoError(t, pool.QueryRow(ctx, "select n from t").Scan(&n))

	rd := dbtest.RedisServer(t)
	require.NoError(t, rd.Stop(ctx))
	require.NoError(t, rd.Start(ctx))
}
