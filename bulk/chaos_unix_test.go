//go:build unix

package bulk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// chaosRowsVariable makes TestChaos change so many rows, such as 400000, and kill 50 processes
// meanwhile, and print what it took.
const chaosRowsVariable = "STRATA_BULK_CHAOS"

// chaos is a run that is worked on by processes that die, with servers that go away.
type chaos struct {
	*tenancytest.Env
	postgres *backends.Postgres
	cache    *backends.Redis
	runner   *bulk.Runner // submits and watches
	run      bulk.RunID
	worker   *exec.Cmd
}

func openChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{postgres: dbtest.PostgresServer(t), cache: dbtest.RedisServer(t)}
	if !c.postgres.Restartable() || !c.cache.Restartable() {
		t.Skipf("these servers cannot be restarted: %s, %s", c.postgres.Source, c.cache.Source)
	}
	pool, err := pgxpool.New(t.Context(), c.postgres.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, tenancytest.Template().Setup(t.Context(), pool))
	client := redis.NewClient(c.cache.Options())
	t.Cleanup(func() { _ = client.Close() })
	c.Env = tenancytest.OpenOn(t, pool, client)
	_, err = pool.Exec(t.Context(), thingsTable)
	require.NoError(t, err)
	resolver, err := tenancy.NewResolver(c.DB, client, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	cfg := chaosConfig()
	c.runner, err = bulk.NewRunner(c.DB, client, c.Audit, resolver, &cfg)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, c.runner) })
	return c
}

// submit asks for n rows to be counted up.
func (c *chaos) submit(t *testing.T, n int) {
	t.Helper()
	ops, err := chaosOperations(c.runner)
	require.NoError(t, err)
	require.NoError(t, c.DB.InTx(c.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(c.A.Ctx, `INSERT INTO things (domain_id, id) SELECT $1, gen_random_uuid() FROM generate_series(1, $2)`, c.A.DomainID, n)
		return err
	}))
	// The filter matches no row any more that was done.
	res, err := ops.Submit(c.A.Ctx, bulk.Request{Op: "bump", Args: bump{By: 1, Kind: "b"}, Selection: bulk.Selection{Filter: "a"}})
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, res.Status)
	require.EqualValues(t, n, res.Rows)
	c.run = res.RunID
}

// begin starts a process that works.
func (c *chaos) begin(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+c.postgres.URL, chaosVariable+"="+c.cache.URL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// kill ends the process that works, and begins another.
func (c *chaos) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, c.worker.Process.Kill())
	require.Error(t, c.worker.Wait(), "killed")
	c.worker = c.begin(t)
}

// reach waits until so many rows are done.
func (c *chaos) reach(t *testing.T, processed int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		run, err := c.runner.Get(c.A.Ctx, c.run)
		if err != nil {
			return false // PostgreSQL is away
		}
		require.False(t, run.State == bulk.StateFailed || run.State == bulk.StateCancelled, "%s: %s", run.State, run.Error)
		return run.Processed >= processed || run.State.Final()
	}, 2*time.Minute, 2*time.Millisecond)
}

// moment passes up to so much time, so that what is done next may hit anything.
func moment(d time.Duration) { <-time.After(rand.N(d)) }

func TestChaos(t *testing.T) {
	t.Parallel()
	rows, kills := 20_000, 8
	size := os.Getenv(chaosRowsVariable)
	if size != "" {
		var err error
		rows, err = strconv.Atoi(size)
		require.NoError(t, err)
		kills = 50
	}
	began := time.Now()
	c := openChaos(t)
	c.submit(t, rows)
	news, err := c.runner.Watch(c.A.Ctx, c.run)
	require.NoError(t, err)
	told := make(chan []bulk.Progress, 1)
	go func() {
		var all []bulk.Progress
		for p := range news {
			all = append(all, p)
		}
		told <- all
	}()

	// What happens, each after one more of the kills, when the run has come further.
	var zombie *exec.Cmd
	events := []func(){
		func() { // it holds the lease, or is in the middle of a batch
			zombie = c.worker
			require.NoError(t, zombie.Process.Signal(syscall.SIGSTOP))
			c.worker = c.begin(t)
		},
		func() { require.NoError(t, errors.Join(c.postgres.Kill(t.Context()), c.postgres.Start(t.Context()))) },
		func() { require.NoError(t, c.cache.Stop(t.Context())) },
		func() { require.NoError(t, zombie.Process.Signal(syscall.SIGCONT)) }, // and it works along
		func() {
			require.NoError(t, zombie.Process.Kill()) // or others would be killed beside the work
			require.NoError(t, errors.Join(c.postgres.Stop(t.Context()), c.postgres.Start(t.Context())))
		},
		func() { require.NoError(t, c.cache.Start(t.Context())) },
	}
	c.worker = c.begin(t)
	for i := range kills {
		c.reach(t, int64(rows)*int64(i+1)/int64(kills+2))
		moment(200 * time.Millisecond)
		if at := i * len(events) / kills; i == 0 || at != (i-1)*len(events)/kills {
			events[at]()
		}
		c.kill(t)
	}
	c.reach(t, int64(rows))

	run := await(t, c.A.Ctx, c.runner, c.run, bulk.StateCompleted)
	require.Equal(t, []int64{int64(rows), int64(rows)}, []int64{run.Processed, run.Total})
	require.Equal(t, map[string]int64{"changed": int64(rows), "unchanged": 0, "missing": 0, "failed": 0}, run.Counters)
	c.exactlyOnce(t, rows)
	all := <-told
	for i, p := range all[1:] {
		require.GreaterOrEqual(t, p.Processed, all[i].Processed)
		require.False(t, all[i].Status.Final())
	}
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
	if size != "" {
		fmt.Printf("%d rows, %d processes killed: %s, %d states told\n", rows, kills, time.Since(began).Round(time.Second), len(all))
	}
}

// exactlyOnce holds the rows, the ledger and the audit trail to a run over n rows, and looks
// for what is dead.
func (c *chaos) exactlyOnce(t *testing.T, n int) {
	t.Helper()
	number := func(sql string, args ...any) (out int64) {
		require.NoError(t, c.DB.Read(c.A.Ctx, sql, args, func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		}))
		return out
	}
	want := int64(n)
	require.Equal(t, want, number(`SELECT count(*) FROM things WHERE n = 1 AND kind = 'b'`))
	require.Equal(t, want, number(`SELECT count(*) FROM things`))
	require.Equal(t, want, number(`SELECT sum(processed)::bigint FROM strata.run_batches WHERE run_id = $1`, c.run))
	require.Equal(t, want, number(`SELECT sum((counters->>'changed')::bigint)::bigint FROM strata.run_batches WHERE run_id = $1`, c.run))
	require.Equal(t, want, number(`SELECT (metadata->'counters'->>'changed')::bigint FROM strata.audit_entries WHERE action = 'run.completed' AND resource_id = $1`, c.run.String()))
	require.Zero(t, number(`SELECT count(*) FROM strata.runs WHERE state <> 'completed'`))
	var dead int64
	require.NoError(t, c.Pool.QueryRow(t.Context(), `SELECT count(*) FROM strata_river.river_job WHERE state IN ('discarded', 'cancelled')`).Scan(&dead))
	require.Zero(t, dead)
}
