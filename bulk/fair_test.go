package bulk_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/tenancytest"
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

// A run makes room for others as soon as it is their turn and nobody else could do them, but
// not before it has been worked on for four times as long as it takes to begin again.
func TestRunMakesRoom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		open  time.Duration
		first int64 // how much it does in its first slice
	}{
		"after a second":           {0, 50},
		"after four times a start": {9900 * time.Millisecond, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			clock := &clock{now: time.Now()}
			begun, queued := make(chan struct{}), make(chan struct{})
			h := &addOne{
				size: 5,
				open: func(context.Context, bulk.Run) error {
					clock.pass(c.open)
					return nil
				},
				done: func(_ context.Context, tx *tenancy.Tx, after int64) error {
					if tx.Tenant().CompanyID == w.A.CompanyID {
						if after == 5 {
							close(begun)
							<-queued
						}
						clock.pass(100 * time.Millisecond)
					}
					return nil
				},
			}
			cfg := quick()
			cfg.MaxWorkers, cfg.Slice, cfg.Now = 1, time.Hour, clock.Now
			r := w.runner(t, h, cfg)
			start(t, r)
			large := w.submit(t, w.A.Ctx, r, 3000)
			<-begun
			small := w.submit(t, w.B.Ctx, r, 10)
			close(queued)
			large = await(t, w.A.Ctx, r, large.ID, bulk.StateCompleted)
			small = await(t, w.B.Ctx, r, small.ID, bulk.StateCompleted)
			w.exact(t, large, 3000)
			w.exact(t, small, 10)
			require.True(t, small.FinishedAt.Before(*large.FinishedAt))
			attempts, err := r.Attempts(w.A.Ctx, large.ID)
			require.NoError(t, err)
			require.Len(t, attempts, 2, "and only once, as nobody waits any more")
			require.Equal(t, bulk.AttemptSliced, attempts[1].Outcome)
			require.Equal(t, c.first, attempts[1].Processed)
		})
	}
}

// fairnessVariable names how many rows the large run of TestSmallRunsPassALargeOne has. It is
// then done by the clock of the machine, and the test tells how long everybody waited.
const fairnessVariable = "STRATA_BULK_FAIRNESS"

// A large run that has begun does not keep 49 other companies waiting, also when there is
// only one to do the work and the large one could have it for a whole slice.
func TestSmallRunsPassALargeOne(t *testing.T) {
	t.Parallel()
	large, measured := 30_000, os.Getenv(fairnessVariable) != ""
	if measured {
		var err error
		large, err = strconv.Atoi(os.Getenv(fairnessVariable))
		require.NoError(t, err)
	}
	s := openShop(t, nil)
	others := []*tenancytest.Company{s.B}
	for len(others) < 49 {
		others = append(others, s.Company(t, "enterprise"))
	}
	s.fill(t, s.A.Ctx, large)
	for _, c := range others {
		s.fill(t, c.Ctx, passing)
	}
	for round, workers := range []int{1, 4} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) { //nolint:paralleltest // they share what there is to do
			took := s.pass(t, others, workers, large, int64(round), measured)
			if measured {
				t.Logf("%d workers, from queued to finished: %d runs of %d rows min %v, median %v, max %v; the one of %d rows %v",
					workers, len(others), passing, took[0], took[len(others)/2], took[len(others)-1], large, took[len(others)])
			}
		})
	}
}

// passing is how many rows the runs have that pass a large one: enough to be queued.
const passing = 1_500

// pass has companies queue a small run each once the first one's large run is being worked on.
// All rows were counted up so often before. It returns how long runs took, sorted.
func (s *shop) pass(t *testing.T, others []*tenancytest.Company, workers, large int, before int64, measured bool) []time.Duration {
	t.Helper()
	clock := &clock{now: time.Now()}
	cfg, opsCfg := quick(), &bulk.OperationsConfig{}
	cfg.MaxWorkers, cfg.Slice = workers, time.Minute
	if !measured {
		cfg.Now, opsCfg.BatchTime = clock.Now, 50*time.Millisecond
	}
	r, ops := s.processOf(t, cfg, opsCfg)
	begun, queued := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.hook(func(_ context.Context, tx *tenancy.Tx, ids []uuid.UUID) error {
		if tx.Tenant().CompanyID != s.A.CompanyID {
			return nil
		}
		once.Do(func() { close(begun) })
		if !measured { // 10,000 rows a second, once everybody is there
			<-queued
			clock.pass(time.Duration(len(ids)) * 100 * time.Microsecond)
		}
		return nil
	})
	start(t, r)
	submit := func(ctx context.Context) bulk.RunID {
		res, err := ops.Submit(ctx, all)
		require.NoError(t, err)
		require.Equal(t, bulk.StateQueued, res.Status)
		return res.RunID
	}
	first := submit(s.A.Ctx)
	<-begun
	var ids []bulk.RunID
	for _, c := range others {
		ids = append(ids, submit(c.Ctx))
	}
	close(queued)
	progress, err := r.Watch(s.A.Ctx, first)
	require.NoError(t, err)
	for range progress { // until it has ended
	}
	last := await(t, s.A.Ctx, r, first, bulk.StateCompleted)
	require.EqualValues(t, large, last.Counters["changed"])
	require.Equal(t, map[int64]int64{before + 1: int64(large)}, s.counted(t, s.A.Ctx))
	var took []time.Duration
	for i, c := range others {
		run := await(t, c.Ctx, r, ids[i], bulk.StateCompleted)
		require.EqualValues(t, passing, run.Counters["changed"])
		require.Equal(t, map[int64]int64{before + 1: passing}, s.counted(t, c.Ctx))
		require.True(t, last.StartedAt.Before(*run.StartedAt), "the large one began first")
		require.True(t, run.FinishedAt.Before(*last.FinishedAt), "and ended last")
		took = append(took, run.FinishedAt.Sub(run.CreatedAt))
	}
	slices.Sort(took)
	return append(took, last.FinishedAt.Sub(last.CreatedAt))
}
