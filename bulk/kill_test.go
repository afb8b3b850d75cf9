package bulk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that works on runs in the database it
// names, until it is killed.
const childVariable = "STRATA_BULK_CHILD"

// heldVariable makes such a process stand still in the middle of a batch, say so on its
// output, go on when its input ends, and end when that batch has.
const heldVariable = "STRATA_BULK_CHILD_HELD"

// openingVariable makes such a process stand still in the middle of an Open, likewise; that then
// goes on as if nothing had happened, at once or, when the value is "told", once its context
// has ended.
const openingVariable = "STRATA_BULK_CHILD_OPENING"

// operationVariable makes such a process do the runs of operations.
const operationVariable = "STRATA_BULK_CHILD_OPERATION"

// chaosVariable names the Redis of such a process that does the runs of TestChaos.
const chaosVariable = "STRATA_BULK_CHILD_CHAOS"

// childBatches is how many batches such a process does at most.
const childBatches = 50

func child() int {
	do := work
	if os.Getenv(heldVariable) != "" {
		do = held
	}
	if os.Getenv(openingVariable) != "" {
		do = opening
	}
	if os.Getenv(operationVariable) != "" {
		do = operate
	}
	if os.Getenv(chaosVariable) != "" {
		do = chaosWorker
	}
	if err := do(os.Getenv(childVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(url string) error {
	var batches atomic.Int64
	h := &addOne{size: 10, done: func(ctx context.Context, tx *tenancy.Tx, _ int64) error {
		if batches.Add(1) > childBatches { // it would be over before it is killed
			<-ctx.Done()
			return ctx.Err()
		}
		_, err := tx.Exec(ctx, `SELECT pg_sleep(0.01)`) // a batch takes its time
		return err
	}}
	cfg := quick()
	cfg.Lease, cfg.MaxFailures = time.Second, 50 // a kill can come before the first batch
	if _, err := begin(url, nil, cfg, adding(h)); err != nil {
		return err
	}
	time.Sleep(time.Minute) // its parent kills it
	return errors.New("nobody killed it")
}

func held(url string) error {
	released := make(chan struct{})
	h := &addOne{size: 10, done: func(_ context.Context, _ *tenancy.Tx, after int64) error {
		if after != 30 {
			return nil
		}
		defer close(released)
		fmt.Println("held")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}}
	cfg := quick()
	cfg.Lease, cfg.Poll = time.Second, time.Hour // it takes nothing over from itself
	r, err := begin(url, nil, cfg, adding(h))
	if err != nil {
		return err
	}
	<-released
	return r.Stop(context.Background())
}

// connect is what a process of its own has for a DB.
func connect(url string) (*tenancy.DB, error) {
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		return nil, err
	}
	return tenancy.NewDB(pool, nil)
}

// begin starts a Runner in a process of its own, without Redis unless client is one.
func begin(url string, client redis.UniversalClient, cfg bulk.Config, register func(*bulk.Runner) error) (*bulk.Runner, error) {
	ctx := context.Background()
	db, err := connect(url)
	if err != nil {
		return nil, err
	}
	recorder, err := audit.NewRecorder(db, nil)
	if err != nil {
		return nil, err
	}
	resolver, err := tenancy.NewResolver(db, client, nil)
	if err != nil {
		return nil, err
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r, err := bulk.NewRunner(db, client, recorder, resolver, &cfg)
	if err != nil {
		return nil, err
	}
	if err := register(r); err != nil {
		return nil, err
	}
	return r, r.Start(ctx)
}

// adding registers a handler as what it is in these tests.
func adding(h bulk.Handler) func(*bulk.Runner) error {
	return func(r *bulk.Runner) error { return r.Register("add_one", h) }
}

func operate(url string) error {
	cfg := quick()
	cfg.Lease, cfg.MaxFailures = time.Second, 50
	if _, err := begin(url, nil, cfg, sell); err != nil {
		return err
	}
	time.Sleep(time.Minute) // its parent kills it
	return errors.New("nobody killed it")
}

// sell registers the operation of things for a process that is going to be killed.
func sell(r *bulk.Runner) error {
	ops, err := bulk.NewOperations(r, things{}, &bulk.OperationsConfig{BatchTime: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	return bulk.Register(ops, bulk.Operation[bump]{Name: "bump", MaxBatch: 100, Apply: func(ctx context.Context, tx *tenancy.Tx, b bump, ids []uuid.UUID) (bulk.Outcome, error) {
		out, err := b.apply(ctx, tx, ids)
		if err == nil {
			_, err = tx.Exec(ctx, `SELECT pg_sleep(0.01)`) // a batch takes its time
		}
		return out, err
	}})
}

// The rows of an operation are done exactly once and its failures noted once, whenever the
// process dies.
func TestOperationKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	const n = 8000
	ids := s.fill(t, s.A.Ctx, n)
	s.exec(t, s.A.Ctx, `UPDATE things SET poison = true WHERE id = ANY ($1)`, []uuid.UUID{ids[1000], ids[2000], ids[7999]})
	s.exec(t, s.A.Ctx, `UPDATE things SET kind = 'b' WHERE id = $1`, ids[3000])
	res := s.queue(t, bulk.Request{Op: "bump", Args: bump{By: 1, Kind: "b"}, Selection: bulk.Selection{Filter: "a"}})
	done := int64(0)
	for kills := 0; ; kills++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, s.Pool), operationVariable+"=1")
		require.NoError(t, cmd.Start())
		var now bulk.Run
		require.Eventually(t, func() bool {
			var err error
			now, err = s.runner.Get(s.A.Ctx, res.RunID)
			require.NoError(t, err)
			return now.State.Final() || now.Processed >= done+n/6
		}, within, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
		if done = now.Processed; now.State.Final() {
			require.GreaterOrEqual(t, kills, 3)
			break
		}
	}
	s.done(t, res.RunID, map[string]int64{"changed": n - 4, "failed": 3})
	require.Equal(t, map[int64]int64{0: 4, 1: n - 4}, s.counted(t, s.A.Ctx))
	page, err := s.runner.Failures(s.A.Ctx, res.RunID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, page.Items, 3)
}

// heldChild starts a process that stands still in the run that is due, where env says, with a
// lease of a second, and returns once it does.
func (w *world) heldChild(t *testing.T, env string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, w.Pool), env)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", said)
	return cmd, in
}

func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick()) // submits only
	const n = 4 * childBatches * 10
	run := w.submit(t, w.A.Ctx, r, n)
	for kills := 0; ; kills++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, w.Pool))
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		var now bulk.Run
		// Each child gets somewhere, and dies in the middle of a batch or between two.
		require.Eventually(t, func() bool {
			var err error
			now, err = r.Get(w.A.Ctx, run.ID)
			require.NoError(t, err)
			return now.State.Final() || now.Processed >= run.Processed+n/6
		}, within, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
		if run = now; run.State.Final() {
			require.GreaterOrEqual(t, kills, 3)
			break
		}
	}
	w.exact(t, run, n)
}

func TestTwoRunnersShareTheWork(t *testing.T) {
	t.Parallel()
	w := open(t)
	h1, h2 := &addOne{size: 10}, &addOne{size: 10}
	r1, r2 := w.runner(t, h1, quick()), w.runner(t, h2, quick())
	start(t, r1)
	start(t, r2)
	var runs []bulk.Run
	for range 4 {
		runs = append(runs, w.submit(t, w.A.Ctx, r1, 400))
	}
	for _, run := range runs {
		w.exact(t, await(t, w.A.Ctx, r2, run.ID, bulk.StateCompleted), 400)
		require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
	}
}

// A process that believed in its lease for too long changes nothing any more.
func TestZombieRollsBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	const n = 5000
	h := &addOne{size: 10}
	theft := make(chan int64, 1) // how much was processed then
	var once sync.Once
	h.done = func(context.Context, *tenancy.Tx, int64) error {
		once.Do(func() {
			go func() { // waits for the lock on the row, and gets it between two batches
				var processed int64
				err := w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
					return tx.QueryRow(w.A.Ctx, `UPDATE strata.runs SET lease = gen_random_uuid(), lease_until = now() + interval '1 hour' RETURNING processed`).Scan(&processed)
				})
				if err != nil {
					processed = -1
				}
				theft <- processed
			}()
		})
		return nil
	}
	cfg := quick()
	cfg.Slice = time.Minute
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, n)
	stolen := <-theft
	require.Positive(t, stolen)
	require.Less(t, stolen, int64(n))
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.closed == 1
	}, within, time.Millisecond, "the zombie gives up")
	now, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, stolen, now.Processed)
	var done int64
	require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT sum(n)::bigint FROM items WHERE set = $1`, run.ID.String()).Scan(&done))
	require.Equal(t, stolen, done, "what it did after the theft was rolled back")

	w.change(t, `UPDATE strata.runs SET lease_until = now() - interval '1 second'`) // the thief dies
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), n)
}

// The lease of a run is extended while Open takes its time.
func TestLongOpenKeepsTheLease(t *testing.T) {
	t.Parallel()
	w := open(t)
	type lease struct {
		Token uuid.UUID
		Until time.Time
	}
	h := &addOne{size: 10}
	h.open = func(ctx context.Context, run bulk.Run) error {
		var first lease
		for {
			var now lease
			err := w.DB.Read(ctx, `SELECT lease, lease_until FROM strata.runs, pg_sleep(0.01) WHERE id = $1`, []any{run.ID}, func(rows pgx.Rows) (err error) {
				now, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[lease])
				return err
			})
			switch {
			case err != nil:
				return err
			case first.Token == uuid.Nil:
				first = now
			case now.Token != first.Token:
				return errors.New("taken over")
			case now.Until.After(first.Until):
				return nil
			}
		}
	}
	cfg := quick()
	cfg.Lease, cfg.MaxFailures = 3*time.Second, 50 // a busy machine may need more than one try
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 50)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 50)
}
