package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

// Many who begin to watch at once cost few statements.
func TestManyBeginToWatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	t.Cleanup(func() { stop(t, r) })
	var ids []bulk.RunID
	for range 10 {
		ids = append(ids, w.submit(t, w.A.Ctx, r, 10).ID)
	}
	foreign := w.submit(t, w.B.Ctx, r, 10)
	tx, err := w.Pool.Begin(t.Context()) // while it has the table nobody is answered
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE strata.runs`)
	require.NoError(t, err)
	before := w.Pool.Stat().AcquireCount()
	const n = 300
	type answer struct {
		news <-chan bulk.Progress
		id   bulk.RunID
		err  error
	}
	answers := make(chan answer, n+1)
	watch := func(id bulk.RunID) {
		news, err := r.Watch(w.A.Ctx, id)
		answers <- answer{news, id, err}
	}
	for i := range n {
		go watch(ids[i%len(ids)])
	}
	go watch(foreign.ID)
	require.Eventually(t, func() bool { return r.Watching() == n+1 }, within, time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	for range n + 1 {
		a := <-answers
		if a.id == foreign.ID {
			require.ErrorIs(t, a.err, bulk.ErrNotFound)
			continue
		}
		require.NoError(t, a.err)
		require.Equal(t, a.id, (<-a.news).JobID)
	}
	require.LessOrEqual(t, w.Pool.Stat().AcquireCount()-before, int64(10))
}

// Whoever cannot be told how a run is learns why, and is watched for no more.
func TestWatchWithoutPostgres(t *testing.T) {
	t.Parallel()
	w := open(t)
	pool, err := pgxpool.New(t.Context(), dbtest.PoolURL(t, w.Pool))
	require.NoError(t, err)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	cfg := quick()
	r, err := bulk.NewRunner(db, w.Redis, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	run := w.submit(t, w.A.Ctx, w.runner(t, &addOne{size: 10}, quick()), 10)
	pool.Close()
	_, err = r.Watch(w.A.Ctx, run.ID)
	require.Error(t, err)
	require.NotErrorIs(t, err, bulk.ErrNotFound)
	_, err = r.WatchDomain(w.A.Ctx, time.Time{})
	require.Error(t, err)
	ctx, cancel := context.WithCancel(w.A.Ctx)
	cancel()
	news, err := r.Watch(ctx, run.ID)
	if err == nil { // it ends, or has not begun
		require.Empty(t, follow(t, news))
	}
	require.Eventually(t, func() bool { return r.Watching() == 0 }, within, time.Millisecond)
}

// News come through the channel of Redis, to those whose they are.
func TestNewsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	t.Cleanup(func() { stop(t, r) })
	run := w.submit(t, w.A.Ctx, r, 10)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	whole, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, (<-news).Status)
	require.Equal(t, bulk.StateQueued, (<-whole).Status)
	say := func(domain tenancy.DomainID, version, processed int) {
		require.NoError(t, w.Redis.Publish(t.Context(), bulk.NewsChannel, fmt.Sprintf(
			`{"jobId":%q,"kind":"add_one","status":"processing","processed":%d,"version":%d,"domain":%q}`, run.ID, processed, version, domain)).Err())
	}
	require.Eventually(t, func() bool { return w.Redis.PubSubNumSub(t.Context(), bulk.NewsChannel).Val()[bulk.NewsChannel] > 0 }, within, time.Millisecond)
	require.NoError(t, w.Redis.Publish(t.Context(), bulk.NewsChannel, "nonsense").Err())
	say(w.B.DomainID, 9, 9)
	say(w.A.DomainID, 5, 5)
	say(w.A.DomainID, 4, 4)
	require.EqualValues(t, 5, (<-news).Processed)
	require.EqualValues(t, 5, (<-whole).Processed)
	say(w.A.DomainID, 6, 6)
	require.EqualValues(t, 6, (<-news).Processed)
	require.EqualValues(t, 6, (<-whole).Processed)
}

// A Redis that is emptied while a run goes on takes nothing from those who watch.
func TestWatchWithRedisEmptied(t *testing.T) {
	t.Parallel()
	w := open(t)
	server := dbtest.RedisServer(t)
	client := redis.NewClient(server.Options())
	t.Cleanup(func() { _ = client.Close() })
	g := make(gate)
	cfg := quick()
	r, err := bulk.NewRunner(w.DB, client, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	require.NoError(t, r.Register("add_one", &addOne{size: 2, before: g.pass}))
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 100)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	var all []bulk.Progress
	for range 10 {
		g <- struct{}{}
		g <- struct{}{}
		n := int64(len(all))
		all = append(all, reach(t, news, func(p bulk.Progress) bool { return p.Processed > 2*n }))
		require.NoError(t, client.FlushAll(t.Context()).Err())
	}
	close(g)
	all = append(all, follow(t, news)...)
	for i, p := range all[1:] {
		require.Greater(t, p.Version, all[i].Version)
		require.GreaterOrEqual(t, p.Processed, all[i].Processed)
	}
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
	require.EqualValues(t, 100, all[len(all)-1].Processed)
}

// Who reads slowly misses what is in between, and not the end.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 2}, quick())
	run := w.submit(t, w.A.Ctx, r, 100)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	whole, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	start(t, r)
	await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	probe, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	follow(t, probe) // what was told it, the others are told too
	all := follow(t, news)
	require.Less(t, len(all), 50)
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
	reach(t, whole, func(p bulk.Progress) bool { return p.Status == bulk.StateCompleted })
}

// Whoever begins to watch as the last of the others leaves is not answered with their end.
func TestWatchAsTheLastLeaves(t *testing.T) {
	t.Parallel()
	w := open(t)
	answers, err := w.runner(t, &addOne{size: 10}, quick()).LateLook(w.A.Ctx)
	require.NoError(t, err)
	require.False(t, answers, "the next loop does")
}

// A stream is open for as long as its reader likes: when the domain goes to another company,
// it ends, and tells nothing of what happens there.
func TestAWatchEndsWhenItsDomainMoves(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	t.Cleanup(func() { stop(t, r) })
	before := w.submit(t, w.A.Ctx, r, 10)
	all, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, before.ID, (<-all).JobID)
	one, err := r.Watch(w.A.Ctx, before.ID)
	require.NoError(t, err)
	require.Equal(t, before.ID, (<-one).JobID)

	w.change(t, `UPDATE strata.runs SET company_id = $2, workspace_id = $3 WHERE domain_id = $1`, w.A.DomainID, w.B.CompanyID, w.B.WorkspaceID)
	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
		var name string
		if err := tx.QueryRow(t.Context(), `DELETE FROM strata.domains WHERE id = $1 RETURNING domain_name`, w.A.DomainID).Scan(&name); err != nil {
			return err
		}
		return errors.Join(tx.As(w.A.CompanyCtx, tenancy.Tenant{CompanyID: w.B.CompanyID}, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO strata.domains (company_id, workspace_id, id, domain_name) VALUES ($1, $2, $3, $4)`, w.B.CompanyID, w.B.WorkspaceID, w.A.DomainID, name)
			return errors.Join(err, w.Audit.RecordChange(tenancy.WithActor(ctx, w.B.Actor), tx, tenancy.Change{Action: "domain.moved_in"}))
		}), w.Audit.RecordChange(w.A.CompanyCtx, tx, tenancy.Change{Action: "domain.moved_out"}))
	}))
	w.resolver.Forget(t.Context(), w.A.CompanyID)
	there := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: w.B.CompanyID, WorkspaceID: w.B.WorkspaceID, DomainID: w.A.DomainID}), w.B.Actor)
	theirs := w.submit(t, there, r, 10)
	for _, news := range []<-chan bulk.Progress{all, one} {
		for p := range news { // until it is closed
			require.Equal(t, before.ID, p.JobID)
		}
	}
	_, err = r.WatchDomain(w.A.Ctx, time.Time{})
	require.ErrorIs(t, err, bulk.ErrNotFound)
	for _, id := range []bulk.RunID{before.ID, theirs.ID} {
		_, err = r.Watch(w.A.Ctx, id)
		require.ErrorIs(t, err, bulk.ErrNotFound)
		_, err = r.Get(w.A.Ctx, id)
		require.ErrorIs(t, err, tenancy.ErrNotFound)
	}
	news, err := r.WatchDomain(there, time.Time{})
	require.NoError(t, err)
	require.Contains(t, []bulk.RunID{before.ID, theirs.ID}, (<-news).JobID)
}
