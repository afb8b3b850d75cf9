package tenancytest_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	internal "github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy/tenancytest"
)

// recorder is a testing.TB that keeps what a proof reports.
type recorder struct {
	testing.TB
	ctx      context.Context
	failures []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// about returns the failures of one table or view.
func (r *recorder) about(subject string) (list []string) {
	for _, f := range r.failures {
		if strings.HasPrefix(f, subject+": ") {
			list = append(list, f)
		}
	}
	return list
}

// shop returns a database with the tables of a product as they should be, changed by statements.
func shop(t *testing.T, statements ...string) *pgxpool.Pool {
	t.Helper()
	pool := dbtest.Database(t, internal.Template())
	script, err := os.ReadFile("testdata/shop.sql")
	require.NoError(t, err)
	for _, q := range append([]string{string(script)}, statements...) {
		_, err := pool.Exec(t.Context(), q)
		require.NoError(t, err, q)
	}
	return pool
}

func prove(t *testing.T, pool *pgxpool.Pool, cfg *tenancytest.Config) *recorder {
	t.Helper()
	r := &recorder{TB: t, ctx: t.Context()}
	tenancytest.Prove(r, pool, cfg)
	require.Zero(t, pool.Stat().AcquiredConns(), "the connection has to be given back")
	return r
}

func TestRightTablesAreProven(t *testing.T) {
	t.Parallel()
	pool := shop(t)
	require.Empty(t, prove(t, pool, nil).failures)
	for _, table := range []string{"shop.orders", "shop.order_lines", "shop.contracts", "shop.carriers", "strata.companies", "strata.domains"} {
		var n int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM `+table+`', false, true, '')))[1]::text::int`).Scan(&n))
		require.Zero(t, n, "%s is as it was", table)
	}
}
