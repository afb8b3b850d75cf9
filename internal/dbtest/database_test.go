package dbtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionInUseAtTheEndIsNamedAndBrokenOff(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p, err := shared.postgres(ctx)
	require.NoError(t, err)
	name := uniqueName("t")
	require.NoError(t, p.create(ctx, name, "template1"))
	pool, err := p.open(ctx, name, "")
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "select 'held'")
	require.NoError(t, err)

	require.EqualError(t, p.end(ctx, pool, name, time.Millisecond),
		"the test ended while connections were in use: idle in transaction: select 'held'")
	require.Error(t, tx.Rollback(ctx), "the connection was broken off")
	var left bool
	require.NoError(t, p.pool.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&left))
	require.False(t, left)
}
