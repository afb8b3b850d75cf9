package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// things is a table that a product has, and what finds its rows: Filter is a kind.
type things struct{}

const thingsTable = `CREATE TABLE things (
		domain_id uuid NOT NULL, id uuid NOT NULL, kind text NOT NULL DEFAULT 'a', n bigint NOT NULL DEFAULT 0, poison boolean NOT NULL DEFAULT false,
		PRIMARY KEY (domain_id, id), CHECK (NOT poison OR n = 0));
	ALTER TABLE things ENABLE ROW LEVEL SECURITY;
	ALTER TABLE things FORCE ROW LEVEL SECURITY;
	CREATE POLICY tenant ON things TO strata_app USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
	CREATE POLICY trusted ON things FOR SELECT TO strata_query USING (true);
	GRANT SELECT, INSERT, UPDATE, DELETE ON things TO strata_app;
	GRANT SELECT ON things TO strata_query`

func (things) Select(ctx context.Context, sel bulk.Selection, _ bool) (string, []any, error) {
	t, err := tenancy.DomainFrom(ctx)
	if sel.Filter == "slow" {
		return `SELECT id FROM things, pg_sleep(3600) WHERE domain_id = $1`, []any{t.DomainID}, err
	}
	return `SELECT id FROM things WHERE domain_id = $1 AND ($2 = '' OR kind = $2) AND ($3::uuid[] IS NULL OR id = ANY ($3))`, []any{t.DomainID, sel.Filter, sel.IDs}, err
}

// bump is an operation of the product's own: it counts up, and may change what was filtered by.
type bump struct {
	By   int    `json:"by"`
	Kind string `json:"kind"`
}

func (b bump) apply(ctx context.Context, tx *tenancy.Tx, ids []uuid.UUID) (bulk.Outcome, error) {
	tag, err := tx.Exec(ctx, `UPDATE things SET n = n + $3, kind = coalesce(nullif($4, ''), kind) WHERE domain_id = $1 AND id = ANY ($2)`, tx.Tenant().DomainID, ids, b.By, b.Kind)
	return bulk.Outcome{Changed: int(tag.RowsAffected())}, err
}

type shop struct {
	*world
	runner *bulk.Runner
	ops    *bulk.Operations

	mu     sync.Mutex
	calls  []int    // how many rows each call of Apply had
	before hookFunc // each call of Apply
}

type hookFunc = func(ctx context.Context, tx *tenancy.Tx, ids []uuid.UUID) error

func (s *shop) hook(fn hookFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = fn
}

func (s *shop) called() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func openShop(t *testing.T, cfg *bulk.OperationsConfig) *shop {
	t.Helper()
	s := &shop{world: open(t)}
	_, err := s.Pool.Exec(t.Context(), thingsTable)
	require.NoError(t, err)
	s.runner, s.ops = s.process(t, cfg)
	return s
}

// process returns a Runner with the operations, that is not started.
func (s *shop) process(t *testing.T, cfg *bulk.OperationsConfig) (*bulk.Runner, *bulk.Operations) {
	t.Helper()
	return s.processOf(t, quick(), cfg)
}

// processOf is process with a Runner of rc.
func (s *shop) processOf(t *testing.T, rc bulk.Config, cfg *bulk.OperationsConfig) (*bulk.Runner, *bulk.Operations) {
	t.Helper()
	runner, err := bulk.NewRunner(s.DB, s.Redis, s.Audit, s.resolver, &rc)
	require.NoError(t, err)
	var c bulk.OperationsConfig
	if cfg != nil {
		c = *cfg
	}
	c.Log = slog.New(slog.DiscardHandler)
	ops, err := bulk.NewOperations(runner, things{}, &c)
	require.NoError(t, err)
	require.NoError(t, bulk.Register(ops, bulk.Operation[bump]{
		Name: "bump",
		Check: func(_ context.Context, b bump) error {
			if b.By == 0 {
				return &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "by", Code: "required", Message: "must not be 0"}}}
			}
			return nil
		},
		Apply: func(ctx context.Context, tx *tenancy.Tx, b bump, ids []uuid.UUID) (bulk.Outcome, error) {
			s.mu.Lock()
			s.calls = append(s.calls, len(ids))
			before := s.before
			s.mu.Unlock()
			if before != nil {
				if err := before(ctx, tx, ids); err != nil {
					return bulk.Outcome{}, err
				}
			}
			return b.apply(ctx, tx, ids)
		},
	}))
	return runner, ops
}

// fill makes n things in the domain and returns their ids, sorted.
func (s *shop) fill(t *testing.T, ctx context.Context, n int) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	require.NoError(t, s.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO things (domain_id, id) SELECT $1, gen_random_uuid() FROM generate_series(1, $2) RETURNING id`, tx.Tenant().DomainID, n)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	}))
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// counted returns how many things of the domain have been counted up how often.
func (s *shop) counted(t *testing.T, ctx context.Context) map[int64]int64 {
	t.Helper()
	out := map[int64]int64{}
	require.NoError(t, s.DB.Read(ctx, `SELECT n, count(*) FROM things GROUP BY n`, nil, func(rows pgx.Rows) error {
		var n, count int64
		_, err := pgx.ForEachRow(rows, []any{&n, &count}, func() error {
			out[n] = count
			return nil
		})
		return err
	}))
	return out
}

func (s *shop) exec(t *testing.T, ctx context.Context, sql string, args ...any) {
	t.Helper()
	require.NoError(t, s.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	}))
}

// all asks to bump all things.
var all = bulk.Request{Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{All: true}}

// queue submits what has to become a run.
func (s *shop) queue(t *testing.T, req bulk.Request) bulk.Result {
	t.Helper()
	res, err := s.ops.Submit(s.A.Ctx, req)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, res.Status)
	return res
}

// done waits for a run and holds its numbers to its ledger.
func (s *shop) done(t *testing.T, id bulk.RunID, want map[string]int64) {
	t.Helper()
	run := await(t, s.A.Ctx, s.runner, id, bulk.StateCompleted)
	counters := map[string]int64{"changed": 0, "unchanged": 0, "missing": 0, "failed": 0}
	var sum int64
	for name, n := range want {
		counters[name] = n
		sum += n
	}
	require.Equal(t, counters, run.Counters)
	require.Equal(t, []int64{sum, sum}, []int64{run.Processed, run.Total})
	var ledger int64
	require.NoError(t, s.DB.Read(s.A.Ctx, `SELECT sum(processed)::bigint FROM strata.run_batches WHERE run_id = $1`, []any{id}, func(rows pgx.Rows) error {
		rows.Next()
		return rows.Scan(&ledger)
	}))
	require.Equal(t, sum, ledger)
}

func TestOperationInlineUpToTheLimit(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	s.fill(t, s.A.Ctx, 1000)
	res, err := s.ops.Submit(s.A.Ctx, all)
	require.NoError(t, err)
	require.Equal(t, bulk.Result{Status: bulk.StateCompleted, Rows: 1000, Changed: 1000}, res)
	require.Equal(t, map[int64]int64{1: 1000}, s.counted(t, s.A.Ctx))

	s.fill(t, s.A.Ctx, 1)
	res = s.queue(t, all)
	require.EqualValues(t, 1001, res.Rows)
	require.Equal(t, map[int64]int64{0: 1, 1: 1000}, s.counted(t, s.A.Ctx), "nothing is done before it starts")
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 1001})
	require.Equal(t, map[int64]int64{1: 1, 2: 1000}, s.counted(t, s.A.Ctx))
}

// Exactly the rows of the snapshot are done, each once: also those that do not match any more
// because of what is done, or that match only later.
func TestOperationGoesThroughItsSnapshot(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	ids := s.fill(t, s.A.Ctx, 4321)
	res := s.queue(t, bulk.Request{Op: "bump", Args: bump{By: 1, Kind: "b"}, Selection: bulk.Selection{Filter: "a"}})
	s.exec(t, s.A.Ctx, `DELETE FROM things WHERE id = ANY ($1)`, []uuid.UUID{ids[0], ids[777], ids[4320]})
	s.fill(t, s.A.Ctx, 5) // match, and came too late
	s.exec(t, s.A.Ctx, `UPDATE things SET kind = 'c' WHERE id = $1`, ids[9])
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 4318, "missing": 3})
	require.Equal(t, map[int64]int64{0: 5, 1: 4318}, s.counted(t, s.A.Ctx))
}

func TestOperationOnGivenIDs(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{InlineLimit: 10})
	ids, foreign := s.fill(t, s.A.Ctx, 8), s.fill(t, s.B.Ctx, 20)
	given := slices.Concat(ids, ids[:3], foreign[:2]) // 10 different ones
	req := bulk.Request{Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{IDs: given}}

	dry := req
	dry.DryRun = true
	res, err := s.ops.Submit(s.A.Ctx, dry)
	require.NoError(t, err)
	require.Equal(t, bulk.Result{Rows: 8, Missing: 2, Sample: ids}, res)
	require.Equal(t, map[int64]int64{0: 8}, s.counted(t, s.A.Ctx), "a dry run changes nothing")

	res, err = s.ops.Submit(s.A.Ctx, req)
	require.NoError(t, err)
	require.Equal(t, bulk.Result{Status: bulk.StateCompleted, Rows: 10, Changed: 8, Missing: 2}, res)

	req.IDs = append(req.IDs, foreign[2])
	res = s.queue(t, req)
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 8, "missing": 3})
	require.Equal(t, map[int64]int64{2: 8}, s.counted(t, s.A.Ctx))
	require.Equal(t, map[int64]int64{0: 20}, s.counted(t, s.B.Ctx), "another tenant's rows are never touched")
}

func TestOperationFindsThePoisonedRow(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{BatchTime: time.Hour})
	ids := s.fill(t, s.A.Ctx, 5000)
	s.exec(t, s.A.Ctx, `UPDATE things SET poison = true WHERE id = ANY ($1)`, []uuid.UUID{ids[2222], ids[3333]})
	s.hook(func(_ context.Context, _ *tenancy.Tx, rows []uuid.UUID) error {
		switch {
		case slices.Contains(rows, ids[1111]):
			return fault.New(fault.Conflict, "sold", "it is sold")
		case slices.Contains(rows, ids[4444]):
			panic("the product knows no such thing")
		}
		return nil
	})
	res := s.queue(t, all)
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 4996, "failed": 4})
	require.Equal(t, map[int64]int64{0: 4, 1: 4996}, s.counted(t, s.A.Ctx))

	want := []bulk.Failure{
		{ID: ids[1111], Code: "sold", Message: "it is sold"},
		{ID: ids[2222], Code: "internal", Message: "internal error"},
		{ID: ids[3333], Code: "internal", Message: "internal error"},
		{ID: ids[4444], Code: "internal", Message: "internal error"},
	}
	page, err := s.runner.Failures(s.A.Ctx, res.RunID, tenancy.PageRequest{PageSize: 3})
	require.NoError(t, err)
	require.Equal(t, want[:3], page.Items)
	require.Equal(t, []any{int64(4), true}, []any{page.Total, page.HasMore})
	page, err = s.runner.Failures(s.A.Ctx, res.RunID, tenancy.PageRequest{PageSize: 3, Cursor: page.NextCursor})
	require.NoError(t, err)
	require.Equal(t, want[3:], page.Items)
	require.False(t, page.HasMore)
	page, err = s.runner.Failures(s.A.Ctx, res.RunID, tenancy.PageRequest{PageSize: 3, Page: 2})
	require.NoError(t, err)
	require.Equal(t, want[3:], page.Items)
	_, err = s.runner.Failures(s.A.Ctx, res.RunID, tenancy.PageRequest{Cursor: "x"})
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	_, err = s.runner.Failures(s.B.Ctx, res.RunID, tenancy.PageRequest{})
	require.ErrorIs(t, err, bulk.ErrNotFound)

	// What a run leaves goes with it.
	s.exec(t, s.A.Ctx, `DELETE FROM strata.runs`)
	for _, table := range []string{"run_targets", "run_failures"} {
		require.NoError(t, s.DB.Read(s.A.Ctx, `SELECT FROM strata.`+table, nil, func(rows pgx.Rows) error {
			require.False(t, rows.Next(), table)
			return nil
		}))
	}
}

func TestOperationFailuresInline(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	ids := s.fill(t, s.A.Ctx, 100)
	s.exec(t, s.A.Ctx, `UPDATE things SET poison = true WHERE id = $1`, ids[50])
	res, err := s.ops.Submit(s.A.Ctx, all)
	require.NoError(t, err)
	require.Equal(t, bulk.Result{
		Status: bulk.StateCompleted, Rows: 100, Changed: 99,
		Failures: []bulk.Failure{{ID: ids[50], Code: "internal", Message: "internal error"}},
	}, res)
}

// An error that is no row's ends the batch at once.
func TestOperationErrorsOfNoRow(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]error{
		"gone":      context.DeadlineExceeded,
		"lock":      &pgconn.PgError{Code: "55P03"},
		"mistake":   &pgconn.PgError{Code: "42703"},
		"moving":    fmt.Errorf("write: %w", tenancy.ErrMoving),
		"down":      fault.New(fault.Unavailable, "down", "the shop is closed"),
		"permanent": bulk.Permanent(errors.New("no more of this")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(t, nil)
			s.fill(t, s.A.Ctx, 100)
			s.hook(func(context.Context, *tenancy.Tx, []uuid.UUID) error { return give })
			_, err := s.ops.Submit(s.A.Ctx, all)
			require.ErrorIs(t, err, give)
			require.Equal(t, []int{100}, s.called())
			require.Equal(t, map[int64]int64{0: 100}, s.counted(t, s.A.Ctx))
		})
	}
	t.Run("deadlock", func(t *testing.T) {
		t.Parallel()
		s := openShop(t, nil)
		s.fill(t, s.A.Ctx, 100)
		s.hook(func(context.Context, *tenancy.Tx, []uuid.UUID) error {
			if len(s.called()) < 3 {
				return &pgconn.PgError{Code: "40P01"}
			}
			return nil
		})
		res, err := s.ops.Submit(s.A.Ctx, all)
		require.NoError(t, err)
		require.EqualValues(t, 100, res.Changed)
		require.Equal(t, []int{100, 100, 100}, s.called(), "it is done again as a whole")
	})
	t.Run("every row", func(t *testing.T) {
		t.Parallel()
		s := openShop(t, nil)
		s.fill(t, s.A.Ctx, 1024)
		broken := errors.New("the product is broken")
		s.hook(func(context.Context, *tenancy.Tx, []uuid.UUID) error { return broken })
		res := s.queue(t, all)
		start(t, s.runner)
		run := await(t, s.A.Ctx, s.runner, res.RunID, bulk.StateFailed)
		require.Contains(t, run.Error, "fails for every row")
		require.Equal(t, "internal error", run.PublicError())
		require.Less(t, len(s.called()), 3*64, "not every row was tried")
		require.Zero(t, run.Processed)

		s.hook(nil)
		_, err := s.runner.Retry(s.A.Ctx, res.RunID)
		require.NoError(t, err)
		s.done(t, res.RunID, map[string]int64{"changed": 1024})
	})
}

func TestOperationCancelledHalfWay(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{BatchTime: time.Hour})
	s.fill(t, s.A.Ctx, 5000)
	here, goOn := make(chan struct{}), make(chan struct{})
	s.hook(func(_ context.Context, _ *tenancy.Tx, ids []uuid.UUID) error {
		if len(ids) == 1000 { // the second batch
			close(here)
			<-goOn
		}
		return nil
	})
	res := s.queue(t, all)
	start(t, s.runner)
	<-here
	cancelled := make(chan error, 1)
	go func() {
		for {
			_, err := s.runner.Cancel(s.A.Ctx, res.RunID)
			if !errors.Is(err, bulk.ErrBusy) {
				cancelled <- err
				return
			}
		}
	}()
	require.Eventually(t, func() bool { // whoever waits is before the third batch
		var waiting int
		require.NoError(t, s.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting))
		return waiting > 0
	}, within, time.Millisecond)
	close(goOn)
	require.NoError(t, <-cancelled)
	run := await(t, s.A.Ctx, s.runner, res.RunID, bulk.StateCancelled)
	require.GreaterOrEqual(t, run.Processed, int64(1500))
	require.Less(t, run.Processed, int64(5000))
	require.Equal(t, run.Processed, run.Counters["changed"])
	require.Equal(t, map[int64]int64{0: 5000 - run.Processed, 1: run.Processed}, s.counted(t, s.A.Ctx))
}

func TestOperationBatchesFollowTheirTime(t *testing.T) {
	t.Parallel()
	sizes := func(cfg bulk.OperationsConfig, rows int) []int {
		s := openShop(t, &cfg)
		one := quick()
		one.Slice = time.Hour // another would begin anew
		s.runner, s.ops = s.processOf(t, one, &cfg)
		s.fill(t, s.A.Ctx, rows)
		res := s.queue(t, all)
		start(t, s.runner)
		s.done(t, res.RunID, map[string]int64{"changed": int64(rows)})
		stop(t, s.runner)
		return s.called()
	}
	require.Equal(t, []int{500, 1000, 2000, 500}, sizes(bulk.OperationsConfig{BatchTime: time.Hour}, 4000)[:4])
	require.Equal(t, []int{500, 250, 125, 62}, sizes(bulk.OperationsConfig{BatchTime: 1}, 1001)[:4])
}

func TestOperationTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{InlineLimit: 10})
	s.fill(t, s.A.Ctx, 100)
	s.fill(t, s.B.Ctx, 100)
	type answer struct {
		res bulk.Result
		err error
	}
	answers := make(chan answer, 4)
	for range cap(answers) {
		go func() {
			res, err := s.ops.Submit(s.A.Ctx, all)
			answers <- answer{res, err}
		}()
	}
	var id bulk.RunID
	var refused []bulk.RunID
	for range cap(answers) {
		a := <-answers
		var already *bulk.AlreadyRunningError
		if errors.As(a.err, &already) {
			refused = append(refused, already.RunID)
			continue
		}
		require.NoError(t, a.err)
		id = a.res.RunID
	}
	require.Equal(t, []bulk.RunID{id, id, id}, refused)

	// Something else is something else, and so is another tenant's; few rows are refused too.
	other := s.queue(t, bulk.Request{Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{Filter: "a"}})
	_, err := s.ops.Submit(s.B.Ctx, all)
	require.NoError(t, err)
	s.exec(t, s.A.Ctx, `DELETE FROM things WHERE id NOT IN (SELECT id FROM things ORDER BY id LIMIT 5)`)
	_, err = s.ops.Submit(s.A.Ctx, all)
	require.ErrorIs(t, err, bulk.ErrAlreadyRunning)
	keyed := bulk.Request{Op: "bump", Args: bump{By: 2}, Selection: bulk.Selection{All: true}, DedupKey: "nightly"}
	_, err = s.ops.Submit(s.A.Ctx, keyed)
	require.NoError(t, err)

	start(t, s.runner)
	s.done(t, id, map[string]int64{"changed": 5, "missing": 95})
	s.done(t, other.RunID, map[string]int64{"changed": 5, "missing": 95})
	res, err := s.ops.Submit(s.A.Ctx, all)
	require.NoError(t, err, "one that has ended is in nobody's way")
	require.EqualValues(t, 5, res.Changed)
}

func TestOperationRefusals(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	s.fill(t, s.A.Ctx, 3)
	some := bulk.Selection{All: true}
	for want, req := range map[string]bulk.Request{
		"op":         {Op: "bmup", Args: bump{By: 1}, Selection: some},
		"by":         {Op: "bump", Selection: some},
		"times":      {Op: "bump", Args: map[string]int{"by": 1, "times": 2}, Selection: some},
		"kind":       {Op: "bump", Args: map[string]int{"by": 1, "kind": 2}, Selection: some},
		"args":       {Op: "bump", Args: []int{1}, Selection: some},
		"filter":     {Op: "bump", Args: bump{By: 1}},
		"filter ":    {Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{All: true, Filter: "a"}},
		"filter  ":   {Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{Filter: "a", IDs: []uuid.UUID{uuid.New()}}},
		"ids":        {Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{IDs: []uuid.UUID{}}},
		"op filter ": {Args: bump{By: 1}},
	} {
		_, err := s.ops.Submit(s.A.Ctx, req)
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, want)
		var fields string
		for _, f := range v.Fields {
			fields += f.Field + " "
		}
		require.Contains(t, want+"  ", fields, "%v", v)
		if req.Op == "bmup" {
			require.Equal(t, "bump", v.Fields[0].Suggestion)
		}
	}
	_, err := s.ops.Submit(s.A.WorkspaceCtx, all)
	require.ErrorContains(t, err, "domain")
	_, err = s.ops.Submit(t.Context(), all)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.Equal(t, map[int64]int64{0: 3}, s.counted(t, s.A.Ctx))
	require.Equal(t, []string{"bump"}, s.ops.Names())
	require.ErrorContains(t, bulk.Register(s.ops, bulk.Operation[bump]{Name: "Bump it"}), "lower-case")
	require.Error(t, bulk.Register(s.ops, bulk.Operation[bump]{
		Name: "bump", Apply: func(context.Context, *tenancy.Tx, bump, []uuid.UUID) (bulk.Outcome, error) {
			return bulk.Outcome{}, nil
		},
	}), "twice")
}

func TestOperationWhoseRowsTakeTooLongToFind(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{SelectTimeout: 10 * time.Millisecond})
	_, err := s.ops.Submit(s.A.Ctx, bulk.Request{Op: "bump", Args: bump{By: 1}, Selection: bulk.Selection{Filter: "slow"}})
	require.ErrorIs(t, err, bulk.ErrSelectTimeout)
}

// In the caller's transaction, request and snapshot stand or fall with it.
func TestOperationInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	s := openShop(t, &bulk.OperationsConfig{InlineLimit: 1})
	undo := errors.New("undo")
	for _, rows := range []int{1, 100} {
		s.fill(t, s.A.Ctx, rows)
		require.ErrorIs(t, s.DB.InTx(s.A.Ctx, func(tx *tenancy.Tx) error {
			_, err := s.ops.SubmitTx(s.A.Ctx, tx, all)
			return errors.Join(err, undo)
		}), undo)
	}
	require.Equal(t, map[int64]int64{0: 101}, s.counted(t, s.A.Ctx))
	page, err := s.runner.List(s.A.Ctx, bulk.ListQuery{})
	require.NoError(t, err)
	require.Empty(t, page.Items)
}
