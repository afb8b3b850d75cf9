package bulk_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// Who queues many runs first does not hold up others: they take turns.
func TestCompaniesTakeTurns(t *testing.T) {
	t.Parallel()
	w := open(t)
	var mu sync.Mutex
	var order []tenancy.CompanyID
	h := &addOne{size: 10, open: func(_ context.Context, run bulk.Run) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, run.CompanyID)
		return nil
	}}
	cfg := quick()
	cfg.MaxWorkers, cfg.Slice = 1, time.Hour
	r := w.runner(t, h, cfg)
	var many, few []bulk.Run
	for range 20 {
		many = append(many, w.submit(t, w.A.Ctx, r, 1))
	}
	for range 3 {
		few = append(few, w.submit(t, w.B.Ctx, r, 1))
	}
	start(t, r)
	for _, run := range many {
		await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	}
	for _, run := range few {
		await(t, w.B.Ctx, r, run.ID, bulk.StateCompleted)
	}
	stop(t, r)
	a, b := w.A.CompanyID, w.B.CompanyID
	require.Equal(t, []tenancy.CompanyID{a, b, a, b, a, b, a}, order[:7])
	require.Len(t, order, 23)
}

// No more runs of a domain are worked on at once than may be, in all processes together.
func TestMaxPerDomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	var mu sync.Mutex
	most := 0
	h := &addOne{size: 10, open: func(ctx context.Context, run bulk.Run) error {
		var n int
		err := w.DB.Read(ctx, `SELECT count(*) FROM strata.runs WHERE state = 'processing'`, nil, func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		most = max(most, n)
		return err
	}}
	cfg := quick()
	cfg.MaxPerDomain, cfg.Slice = 3, time.Nanosecond
	r1, r2 := w.runner(t, h, cfg), w.runner(t, h, cfg)
	var runs []bulk.Run
	for range 12 {
		runs = append(runs, w.submit(t, w.A.Ctx, r1, 40))
	}
	start(t, r1)
	start(t, r2)
	for _, run := range runs {
		w.exact(t, await(t, w.A.Ctx, r1, run.ID, bulk.StateCompleted), 40)
	}
	stop(t, r1)
	stop(t, r2)
	require.LessOrEqual(t, most, 3)
	require.Greater(t, most, 1, "some were worked on at once")
}
