package imports_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// halfWay waits until a third of a run is done, whether or not PostgreSQL answers meanwhile.
func (b *bundle) halfWay(ctx context.Context, t *testing.T, id imports.ID) {
	t.Helper()
	require.Eventually(t, func() bool {
		run, err := b.runner.Get(ctx, bulk.RunID(id))
		return err == nil && run.Processed > crashRows/3
	}, within, time.Millisecond)
}

// PostgreSQL dies while a file is staged and again while it is committed, and is stopped in
// between; Redis is emptied and then away.
func TestServersGoAway(t *testing.T) {
	t.Parallel()
	postgres, cache := dbtest.PostgresServer(t), dbtest.RedisServer(t)
	if !postgres.Restartable() || !cache.Restartable() {
		t.Skipf("these servers cannot be restarted: %s, %s", postgres.Source, cache.Source)
	}
	pool, err := pgxpool.New(t.Context(), postgres.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, tenancytest.Template().Setup(t.Context(), pool))
	client := redis.NewClient(cache.Options())
	t.Cleanup(func() { _ = client.Close() })
	b := setupOn(t, tenancytest.OpenOn(t, pool, client), &small)
	b.wire(t, brief(), &small)
	b.start(t)
	ctx := b.A.Ctx
	file := b.crashFile(ctx, t)
	b.slowly(t)
	crash := func() { require.NoError(t, errors.Join(postgres.Kill(t.Context()), postgres.Start(t.Context()))) }
	comes := func(id imports.ID, want imports.Status) {
		t.Helper()
		require.Eventually(t, func() bool {
			imp, err := b.importer.Get(ctx, id)
			if err != nil {
				return false // PostgreSQL is away
			}
			require.NotEqual(t, imports.Failed, imp.Status, imp.Error)
			return imp.Status == want
		}, within, 5*time.Millisecond)
	}

	imp := b.begin(ctx, t, file, imports.ProcessOptions{})
	b.halfWay(ctx, t, imp.ID)
	crash()
	require.NoError(t, client.FlushAll(ctx).Err())
	comes(imp.ID, imports.Previewed)

	require.NoError(t, errors.Join(postgres.Stop(t.Context()), postgres.Start(t.Context())))
	require.NoError(t, cache.Stop(t.Context()))
	require.Eventually(t, func() bool { return pool.Ping(ctx) == nil }, within, 5*time.Millisecond)
	_, err = b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.halfWay(ctx, t, imp.ID)
	crash()
	comes(imp.ID, imports.Done)
	b.exact(ctx, t, imp.ID)
}

// Who goes on with a run may have another configuration than who began it.
func TestGoneOnWithInOtherBatches(t *testing.T) {
	t.Parallel()
	b := setup(t, &small)
	ctx := b.A.Ctx
	file := b.crashFile(ctx, t)
	b.slowly(t)
	imp := b.begin(ctx, t, file, imports.ProcessOptions{})
	kill := b.spawn(t)
	b.amid(ctx, t, imp.ID)
	kill()
	inSevens := func() {
		b.wire(t, brief(), &imports.Config{BatchRows: 7})
		require.NoError(t, b.runner.Start(t.Context()))
	}
	inSevens()
	b.until(ctx, t, imp.ID, imports.Previewed)
	require.NoError(t, b.runner.Stop(t.Context()))
	_, err := b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	kill = b.spawn(t)
	b.amid(ctx, t, imp.ID)
	kill()
	inSevens()
	b.exact(ctx, t, imp.ID)
	require.NoError(t, b.runner.Stop(t.Context()))
}

// One connection to work with and one to listen on is what a Runner needs at least.
func TestPoolOfTwoConnections(t *testing.T) {
	t.Parallel()
	cfg := dbtest.Database(t, tenancytest.Template()).Config()
	cfg.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := setupOn(t, tenancytest.OpenOn(t, pool, dbtest.Redis(t)), &small)
	one := brief()
	one.MaxWorkers = 1
	b.wire(t, one, &small)
	b.start(t)
	ctx := b.A.Ctx
	b.exact(ctx, t, b.run(ctx, t, b.crashFile(ctx, t), imports.ProcessOptions{}).ID)
}

// Of several who commit an import at once one does, and the others are told; so it is with one
// who cancels it meanwhile.
func TestManyClicksAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	for range 5 {
		imp := b.process(ctx, t, addresses(35), imports.ProcessOptions{})
		var commits, cancels atomic.Int32
		var g errgroup.Group
		click := func(count *atomic.Int32, do func(context.Context, imports.ID) (imports.Import, error)) {
			g.Go(func() error {
				var state *imports.StateError
				_, err := do(ctx, imp.ID)
				if errors.As(err, &state) {
					return nil
				}
				count.Add(1)
				return err
			})
		}
		for range 3 {
			click(&commits, b.importer.Commit)
		}
		click(&cancels, b.importer.Cancel)
		require.NoError(t, g.Wait())
		require.LessOrEqual(t, commits.Load(), int32(1))
		require.EqualValues(t, 1, max(commits.Load(), cancels.Load()), "somebody was heard")
		b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
		got, err := b.importer.Get(ctx, imp.ID)
		require.NoError(t, err)
		require.Contains(t, []imports.Status{imports.Done, imports.Cancelled}, got.Status)
		written := got.Inserted + got.Updated + got.Skipped
		switch {
		case commits.Load() == 0:
			require.Equal(t, []any{imports.Cancelled, int64(0)}, []any{got.Status, written})
		case got.Status == imports.Done:
			require.Equal(t, got.TotalRows, written+got.Unchanged)
		default:
			require.Equal(t, got.ProcessedRows, written)
		}
		b.counted(ctx, t)
	}
}

// A limit that is lowered refuses a commit, and not one that has begun: its room is its own.
func TestLimitLowered(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	c := b.Company(t, "enterprise")
	imp := b.process(c.Ctx, t, addresses(1200), imports.ProcessOptions{})
	lower := func() { require.NoError(t, b.Limits.ChangePlan(c.CompanyCtx, "free", nil)) }

	lower()
	_, err := b.importer.Commit(c.Ctx, imp.ID)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, billing.LimitError{Resource: "recipients", Incoming: 1200, Limit: 1000, Plan: "free"}, *limit)
	p, err := b.importer.Preview(c.Ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Previewed, p.Status)
	require.EqualValues(t, 200, p.Limit.Over)
	require.Zero(t, b.counted(c.Ctx, t), "nothing is reserved")

	require.NoError(t, b.Limits.ChangePlan(c.CompanyCtx, "enterprise", nil))
	require.NoError(t, b.runner.Stop(t.Context()))
	_, err = b.importer.Commit(c.Ctx, imp.ID)
	require.NoError(t, err)
	lower()
	b.wire(t, runs(), nil)
	b.start(t)
	require.EqualValues(t, 1200, b.until(c.Ctx, t, imp.ID, imports.Done).Inserted)
	require.EqualValues(t, 1200, b.counted(c.Ctx, t))
}

// What a commit has written when its domain is deleted is counted, and the rest of the room is
// the company's again.
func TestDomainDeletedDuringACommit(t *testing.T) {
	t.Parallel()
	cfg := &imports.Config{BatchRows: inTens}
	b := setup(t, cfg).start(t)
	other := b.Domain(t, b.A, "other.example")
	tenant, err := tenancy.DomainFrom(other)
	require.NoError(t, err)
	imp := b.process(other, t, addresses(35), imports.ProcessOptions{})
	b.before(t, "INSERT", "strata.recipients", fifteenth, `UPDATE strata.runs SET pause_requested = true WHERE domain_id = new.domain_id; RETURN new`)
	_, err = b.importer.Commit(other, imp.ID)
	require.NoError(t, err)
	b.untilRun(other, t, imp.ID, func(run bulk.Run) bool { return run.State == bulk.StatePaused })
	require.NoError(t, b.runner.Stop(t.Context()))
	_, err = b.runner.Resume(other, bulk.RunID(imp.ID))
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteDomain(b.A.CompanyCtx, tenant.DomainID))
	b.wire(t, runs(), cfg)
	b.start(t)
	require.Eventually(t, func() bool {
		return one[string](other, t, b, `SELECT status FROM strata.imports WHERE domain_id = $1 AND id = $2`, tenant.DomainID, imp.ID) == string(imports.Cancelled)
	}, within, 5*time.Millisecond)
	require.EqualValues(t, 20, one[int64](other, t, b, `SELECT inserted FROM strata.imports WHERE domain_id = $1 AND id = $2 AND processed = 20`, tenant.DomainID, imp.ID))
	u, err := b.Limits.Usage(b.A.CompanyCtx)
	require.NoError(t, err)
	require.Zero(t, u.Resource(billing.ResourceRecipients).Reserved)
}

// Others change, make and delete the recipients of a commit, in the order that is not its own.
func TestLiveTrafficDuringACommit(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 100}).start(t)
	ctx := b.A.Ctx
	file := b.crashFile(ctx, t)
	imp := b.process(ctx, t, file, imports.ProcessOptions{})

	stop, ended := make(chan struct{}), make(chan error, 2)
	traffic := func(work func(round int) error) {
		for round := 0; ; round++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := work(round); err != nil {
				ended <- err
				return
			}
		}
	}
	go traffic(func(round int) error { // backwards, many in one transaction
		var rows []recipients.New
		for i := range 40 {
			rows = append(rows, recipients.New{Email: fmt.Sprintf("r%04d@example.com", (crashRows-200-40*(round%70)-i-1+crashRows)%(crashRows-200)), Status: recipients.Active})
		}
		_, err := b.store.UpsertMany(ctx, rows)
		return err
	})
	go traffic(func(round int) error {
		page, err := b.store.List(ctx, recipients.Query{PageRequest: tenancy.PageRequest{PageSize: 20}, Sort: "-email"})
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			if err := b.store.Delete(ctx, r.ID); err != nil && !errors.Is(err, recipients.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	done := b.commit(ctx, t, imp.ID) // and its sum is right
	close(stop)
	require.NoError(t, errors.Join(<-ended, <-ended))
	require.Equal(t, []int64{crashRows, 100, 100}, []int64{done.TotalRows, done.Duplicate, done.Invalid})
	b.counted(ctx, t)
}
