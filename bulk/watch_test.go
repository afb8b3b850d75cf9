package bulk_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
)

// follow reads a watch to its end.
func follow(t *testing.T, news <-chan bulk.Progress) []bulk.Progress {
	t.Helper()
	var all []bulk.Progress
	limit := time.After(within)
	for {
		select {
		case p, ok := <-news:
			if !ok {
				return all
			}
			if n := len(all); n > 0 {
				require.Greater(t, p.Version, all[n-1].Version)
				require.GreaterOrEqual(t, p.Processed, all[n-1].Processed)
				require.False(t, all[n-1].Status.Final())
			}
			all = append(all, p)
		case <-limit:
			t.Fatal("the watch does not end")
		}
	}
}

// reach reads a watch until it tells of what is wanted.
func reach(t *testing.T, news <-chan bulk.Progress, wanted func(bulk.Progress) bool) bulk.Progress {
	t.Helper()
	limit := time.After(within)
	for {
		select {
		case p, ok := <-news:
			require.True(t, ok, "the watch ended")
			if wanted(p) {
				return p
			}
		case <-limit:
			t.Fatal("the watch does not tell")
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := make(gate)
	cfg := quick()
	cfg.Slice = time.Minute
	r := w.runner(t, &addOne{size: 2, before: g.pass}, cfg)
	run := w.submit(t, w.A.Ctx, r, 100)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	first := <-news
	require.Equal(t, bulk.StateQueued, first.Status)
	start(t, r)
	g <- struct{}{}
	g <- struct{}{}
	some := reach(t, news, func(p bulk.Progress) bool { return p.Processed == 4 })
	require.Equal(t, bulk.StateProcessing, some.Status)
	require.InDelta(t, 4, some.Percentage, 0)
	require.Positive(t, some.RatePerSecond)
	close(g)
	all := follow(t, news)
	last := all[len(all)-1]
	require.Equal(t, bulk.StateCompleted, last.Status)
	require.InDelta(t, 100, last.Percentage, 0)
	require.EqualValues(t, 100, last.Processed)

	news, err = r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []bulk.Progress{last}, follow(t, news), "of one that has ended: how it ended")
	b, err := json.Marshal(first)
	require.NoError(t, err)
	require.JSONEq(t, `{"jobId":"`+run.ID.String()+`","kind":"add_one","status":"queued","processed":0,"total":100,"percentage":0,"ratePerSecond":0,"etaSeconds":null}`, string(b))
	require.EqualValues(t, 1, w.Redis.Exists(t.Context(), "job:{"+run.ID.String()+"}:progress").Val())
}

func TestWatchWithRedisGone(t *testing.T) {
	t.Parallel()
	w := open(t)
	server := dbtest.RedisServer(t)
	client := redis.NewClient(server.Options())
	t.Cleanup(func() { _ = client.Close() })
	g := make(gate)
	cfg := quick()
	cfg.Slice = time.Minute
	r, err := bulk.NewRunner(w.DB, client, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	require.NoError(t, r.Register("add_one", &addOne{size: 2, before: g.pass}))
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 200)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	g <- struct{}{}
	reach(t, news, func(p bulk.Progress) bool { return p.Processed > 0 })
	require.NoError(t, server.Kill(t.Context()))
	close(g)
	all := follow(t, news)
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 200)
}

// A Redis that takes connections and answers nothing holds up neither work nor watches.
func TestWatchWithRedisHanging(t *testing.T) {
	t.Parallel()
	w := open(t)
	client := redis.NewClient(&redis.Options{Addr: mute(t), ReadTimeout: -1, MaxRetries: -1}) // waits for ever
	t.Cleanup(func() { _ = client.Close() })
	cfg := quick()
	r, err := bulk.NewRunner(w.DB, client, w.Audit, w.resolver, &cfg)
	require.NoError(t, err)
	require.NoError(t, r.Register("add_one", &addOne{size: 10}))
	run := w.submit(t, w.A.Ctx, r, 100)
	news, err := r.Watch(w.A.Ctx, run.ID)
	require.NoError(t, err)
	start(t, r)
	all := follow(t, news)
	require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 100)
}

// mute returns the address of a server that takes connections, reads, and answers
// nothing until the test ends.
func mute(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			conns.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		conns.Wait()
	})
	return l.Addr().String()
}

// What Redis says last is not believed for ever, nor that a run has ended.
func TestWatchDoubtsRedis(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	key := func(id bulk.RunID) string { return "job:{" + id.String() + "}:progress" }
	lie := func(run bulk.Run, status string) {
		require.NoError(t, w.Redis.HSet(t.Context(), key(run.ID), "version", 1000, "progress",
			`{"jobId":"`+run.ID.String()+`","kind":"add_one","status":"`+status+`","processed":7,"version":2,"domain":"`+run.DomainID.String()+`"}`).Err())
	}
	ended, still := w.submit(t, w.A.Ctx, r, 10), w.submit(t, w.A.Ctx, r, 10)
	lie(ended, "completed")
	lie(still, "processing")
	one, err := r.Watch(w.A.Ctx, ended.ID)
	require.NoError(t, err)
	two, err := r.Watch(w.A.Ctx, still.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, (<-one).Status)
	reach(t, two, func(p bulk.Progress) bool { return p.Processed == 7 }) // news come through Redis
	start(t, r)
	for _, news := range []<-chan bulk.Progress{one, two} {
		all := follow(t, news)
		require.Equal(t, bulk.StateCompleted, all[len(all)-1].Status)
		require.EqualValues(t, 10, all[len(all)-1].Processed)
	}
}

func TestWatchDomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 2}, quick())
	before := w.submit(t, w.A.Ctx, r, 100)
	w.submit(t, w.B.Ctx, r, 100)
	ctx, cancel := context.WithCancel(w.A.Ctx)
	defer cancel()
	news, err := r.WatchDomain(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, before.ID, (<-news).JobID)
	after := w.submit(t, w.A.Ctx, r, 100)
	reach(t, news, func(p bulk.Progress) bool { return p.JobID == after.ID }) // or it could be over before it is seen
	start(t, r)
	ends := map[bulk.RunID]int{}
	for p := range news {
		require.Contains(t, []bulk.RunID{before.ID, after.ID}, p.JobID)
		if p.Status.Final() {
			if ends[p.JobID]++; len(ends) == 2 {
				break
			}
		}
	}
	require.Equal(t, map[bulk.RunID]int{before.ID: 1, after.ID: 1}, ends)
	cancel()
	require.Empty(t, follow(t, news), "closed with its context")

	all, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	require.NoError(t, r.Stop(t.Context()))
	require.Empty(t, follow(t, all), "closed by Stop")
	late, err := r.WatchDomain(w.A.Ctx, time.Time{})
	require.NoError(t, err)
	follow(t, late) // ends: whoever shuts a server down waits for it
	require.NoError(t, r.Start(t.Context()))
	again, err := r.Watch(w.A.Ctx, w.submit(t, w.A.Ctx, r, 10).ID)
	require.NoError(t, err)
	whole := follow(t, again)
	require.Equal(t, bulk.StateCompleted, whole[len(whole)-1].Status)
}
