package bulk_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

// within is how long a test waits for what must happen.
const within = time.Minute

// addOne is a Handler that adds 1 to the items of its run, in the order of their ids.
type addOne struct {
	size int // of a batch

	open   func(ctx context.Context, run bulk.Run) error // before Open returns
	before func(ctx context.Context, tx *tenancy.Tx, after int64) error
	done   func(ctx context.Context, tx *tenancy.Tx, after int64) error // at the end of a batch
	finish func(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error

	mu     sync.Mutex
	opened int
	closed int
	actors []tenancy.Actor
}

type addOneArgs struct {
	Set string `json:"set"`
}

type addOneWork struct {
	*addOne
	set   string
	after int64
}

func (h *addOne) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	var args addOneArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return nil, err
	}
	w := &addOneWork{addOne: h, set: args.Set}
	if run.Cursor != nil {
		if err := json.Unmarshal(run.Cursor, &w.after); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	h.opened++
	h.actors = append(h.actors, tenancy.ActorFrom(ctx))
	h.mu.Unlock()
	if h.open != nil {
		if err := h.open(ctx, run); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *addOneWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.before != nil {
		if err := w.before(ctx, tx, w.after); err != nil {
			return bulk.Batch{}, err
		}
	}
	rows, err := tx.Query(ctx, `UPDATE items SET n = n + 1 WHERE set = $1 AND id IN
		(SELECT id FROM items WHERE set = $1 AND id > $2 ORDER BY id LIMIT $3) RETURNING id`, w.set, w.after, w.size)
	if err != nil {
		return bulk.Batch{}, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return bulk.Batch{}, err
	}
	for _, id := range ids {
		w.after = max(w.after, id)
	}
	if w.done != nil {
		if err := w.done(ctx, tx, w.after); err != nil {
			return bulk.Batch{}, err
		}
	}
	return bulk.Batch{
		Cursor: w.after, Processed: int64(len(ids)), Counters: map[string]int64{"updated": int64(len(ids))}, Done: len(ids) < w.size,
	}, nil
}

func (w *addOneWork) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
	return nil
}

func (h *addOne) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	if h.finish != nil {
		if err := h.finish(ctx, tx, run); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO finishes (run_id, state) VALUES ($1, $2)`, run.ID, string(run.State))
	return err
}

// world is an Env with items to work on.
type world struct {
	*tenancytest.Env
	resolver *tenancy.Resolver
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.resolver, err = tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(w.resolver.Close)
	_, err = w.Pool.Exec(t.Context(), `CREATE TABLE items (set text, id bigint, n bigint NOT NULL DEFAULT 0, PRIMARY KEY (set, id));
		CREATE TABLE finishes (run_id uuid NOT NULL, state text NOT NULL);
		GRANT SELECT, INSERT, UPDATE ON items, finishes TO strata_app`)
	require.NoError(t, err)
	return w
}

// finishes returns the states with which handlers finished a run.
func (w *world) finishes(t *testing.T, id bulk.RunID) []bulk.State {
	t.Helper()
	rows, err := w.Pool.Query(t.Context(), `SELECT state FROM finishes WHERE run_id = $1`, id)
	require.NoError(t, err)
	states, err := pgx.CollectRows(rows, pgx.RowTo[bulk.State])
	require.NoError(t, err)
	return states
}

// quick is a Config in which what takes seconds takes moments, but for the lease: where
// no process dies, none is to be taken for dead because the machine is busy.
func quick() bulk.Config {
	return bulk.Config{
		Lease: time.Minute, Poll: 200 * time.Millisecond, Slice: 300 * time.Millisecond, Backoff: 20 * time.Millisecond, MaxFailures: 3,
		Log: slog.New(slog.DiscardHandler),
	}
}

// clock is a Config.Now that moves when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// runner returns a Runner that is not started.
func (w *world) runner(t *testing.T, h bulk.Handler, cfg bulk.Config) *bulk.Runner {
	t.Helper()
	r, err := bulk.NewRunner(w.DB, w.Redis, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	require.NoError(t, r.Register("add_one", h))
	return r
}

func start(t *testing.T, r *bulk.Runner) {
	t.Helper()
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() { stop(t, r) })
}

// stop returns once nothing of r runs any more. It may be called again.
func stop(t *testing.T, r *bulk.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	require.NoError(t, r.Stop(ctx))
}

// items makes n items in a set.
func items(t *testing.T, pool *pgxpool.Pool, set string, n int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO items (set, id) SELECT $1, g FROM generate_series(1, $2) g`, set, n)
	require.NoError(t, err)
}

// submit asks for a run over n new items of the company.
func (w *world) submit(t *testing.T, ctx context.Context, r *bulk.Runner, n int) bulk.Run {
	t.Helper()
	id := tenancy.NewID[bulk.Run]()
	items(t, w.Pool, id.String(), n)
	run, err := submit(ctx, w.DB, r, bulk.Submission{Kind: "add_one", ID: id, Args: addOneArgs{id.String()}, Total: int64(n)})
	require.NoError(t, err)
	return run
}

func submit(ctx context.Context, db *tenancy.DB, r *bulk.Runner, s bulk.Submission) (run bulk.Run, err error) {
	err = db.InTx(ctx, func(tx *tenancy.Tx) error {
		run, err = r.SubmitTx(ctx, tx, s)
		return err
	})
	return run, err
}

// await waits until a run is in a state.
func await(t *testing.T, ctx context.Context, r *bulk.Runner, id bulk.RunID, state bulk.State) bulk.Run {
	t.Helper()
	var run bulk.Run
	require.Eventually(t, func() bool {
		var err error
		run, err = r.Get(ctx, id)
		require.NoError(t, err)
		return run.State == state
	}, within, 10*time.Millisecond, "%s", state)
	return run
}

// polledOnly takes from River what it was to start.
func (w *world) polledOnly(t *testing.T) {
	t.Helper()
	_, err := w.Pool.Exec(t.Context(), `DELETE FROM strata_river.river_job`)
	require.NoError(t, err)
}

// change runs a statement on the runs of the first company.
func (w *world) change(t *testing.T, sql string, args ...any) {
	t.Helper()
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(w.A.Ctx, sql, args...)
		return err
	}))
}

// exact holds a run that did n items to what it says of itself.
func (w *world) exact(t *testing.T, run bulk.Run, n int) {
	t.Helper()
	require.Equal(t, bulk.StateCompleted, run.State)
	require.EqualValues(t, n, run.Processed)
	require.EqualValues(t, n, run.Counters["updated"])
	var wrong, ledger, counted, entries int64
	require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM items WHERE set = $1 AND n <> 1`, run.ID.String()).Scan(&wrong))
	require.Zero(t, wrong, "items that were not done exactly once")
	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: run.CompanyID, WorkspaceID: run.WorkspaceID, DomainID: run.DomainID})
	require.NoError(t, w.DB.Read(ctx, `SELECT sum(processed)::bigint, sum((counters->>'updated')::bigint)::bigint FROM strata.run_batches WHERE run_id = $1`,
		[]any{run.ID}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&ledger, &counted)
		}))
	require.EqualValues(t, n, ledger)
	require.EqualValues(t, n, counted)
	require.NoError(t, w.DB.Read(ctx, `SELECT count(*) FROM strata.audit_entries WHERE action = 'run.completed' AND resource_id = $1 AND (metadata->'counters'->>'updated')::bigint = $2`,
		[]any{run.ID.String(), n}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&entries)
		}))
	require.EqualValues(t, 1, entries)
}
