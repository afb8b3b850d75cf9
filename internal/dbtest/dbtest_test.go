package dbtest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
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
	require.True(t, a.(*redis.Client).Options().ContextTimeoutEnabled, "deadlines of contexts are heeded")
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

func TestKeyOf(t *testing.T) {
	t.Parallel()
	one := fstest.MapFS{"a/1.sql": {Data: []byte("select 1")}}
	two := fstest.MapFS{"a/1.sql": {Data: []byte("select 2")}}
	k1, err := dbtest.KeyOf(one)
	require.NoError(t, err)
	again, err := dbtest.KeyOf(one)
	require.NoError(t, err)
	require.Equal(t, k1, again)
	k2, err := dbtest.KeyOf(one, two)
	require.NoError(t, err)
	require.NotEqual(t, k1, k2)
}

func TestTemplateWithKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	made := 0
	tpl := dbtest.Template{Name: rand.Text(), Key: rand.Text(), Setup: func(ctx context.Context, pool *pgxpool.Pool) error {
		made++
		_, err := pool.Exec(ctx, "create table t as select 1 as n")
		return err
	}}
	for range 2 {
		pool := dbtest.Database(t, tpl)
		var rows int
		require.NoError(t, pool.QueryRow(ctx, "select count(*) from t").Scan(&rows))
		require.Equal(t, 1, rows)
	}
	require.Equal(t, 1, made)
	failing := dbtest.Template{Name: "failing", Setup: func(context.Context, *pgxpool.Pool) error { return errors.New("no") }}
	require.Contains(t, failure(t, func(tb testing.TB) { dbtest.Database(tb, failing) }), `template "failing": no`)
}

// failure runs f with a TB of its own and returns what it fails with.
func failure(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	tb := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	return tb.said
}

type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
