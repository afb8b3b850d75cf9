package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// streaming is many clients that follow jobs over HTTP.
type streaming struct {
	work  string
	jobs  int
	here  bool // the process that serves the clients works on the jobs too
	redis bool
}

const (
	stepsOfJob = 60
	stepTime   = 500 * time.Millisecond
	// watchedFor is how long processor time and delays are taken, in the middle of the work.
	watchedFor = 15 * time.Second
)

// measureStreams lets clients follow jobs that go on, and asks how late they learn of a batch
// that was committed, what serving them costs, and how all of them come back at once. The
// clients are in a process of their own, and so is the work, unless the row says otherwise.
func measureStreams(ctx context.Context, w *world, o options) ([]row, error) {
	var rows []row
	for _, s := range []streaming{
		{work: "on one job", jobs: 1, redis: true},
		{work: "on 100 jobs", jobs: 100, redis: true},
		{work: "on one job, worked on here", jobs: 1, here: true, redis: true},
		{work: "on one job, without Redis", jobs: 1},
	} {
		r, err := s.measure(ctx, w, o.clients)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.work, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (s streaming) measure(ctx context.Context, w *world, n int) (r row, err error) {
	ctx, tenant, err := w.company(ctx)
	if err != nil {
		return r, err
	}
	var client redis.UniversalClient
	if s.redis {
		client = w.redis
	}
	runner, err := bulk.NewRunner(w.strata.DB, client, w.strata.Audit, w.strata.Resolver, &bulk.Config{Queue: "streams-" + tenant.DomainID.String()})
	if err != nil {
		return r, err
	}
	if err := runner.Register("steps", steps{}); err != nil {
		return r, err
	}
	defer func() { _ = runner.Stop(context.WithoutCancel(ctx)) }()
	ids, err := submitSteps(ctx, w, runner, s.jobs)
	if err != nil {
		return r, err
	}
	base, stop, err := serveStreams(ctx, w, runner)
	if err != nil {
		return r, err
	}
	defer stop()

	empty := memory()
	clients, err := startClients(ctx, base, tenant.DomainID, ids, n)
	if err != nil {
		return r, err
	}
	defer clients.end()
	perClient := (memory() - empty) / int64(n)
	if s.here {
		err = runner.Start(ctx)
	} else {
		var worker *child
		if worker, err = startWorker(ctx, w, tenant.DomainID, s.redis); err == nil {
			defer worker.end()
		}
	}
	if err != nil {
		return r, err
	}
	cores, err := busy(ctx, watchedFor)
	if err != nil {
		return r, err
	}
	asked := w.pool.Stat().AcquireCount()
	var back time.Duration
	if err := clients.ask("again", &back); err != nil {
		return r, err
	}
	asked = w.pool.Stat().AcquireCount() - asked
	var events []seen
	if err := clients.ask("end", &events); err != nil {
		return r, err
	}
	delays, err := s.delays(ctx, w, ids, events)
	if err != nil {
		return r, err
	}
	return row{
		work: fmt.Sprintf("an event at each of %d clients %s", n, s.work), strata: quantile(delays, 0.5), budget: s.budget(),
		note: fmt.Sprintf("of %d; 99 %% in %s; %.2f cores at %.0f events/s; %d KB a client; all back in %s with %d connections taken from the pool",
			len(delays), short(quantile(delays, 0.99)), cores, float64(len(delays))/(stepsOfJob*stepTime).Seconds(), perClient/1024, short(back), asked),
	}, nil
}

func (s streaming) budget() string {
	switch {
	case !s.redis:
		return "the poll of 500 ms"
	case s.jobs == 1 && !s.here:
		return "100 ms, 0.2 cores"
	}
	return "100 ms"
}

func submitSteps(ctx context.Context, w *world, runner *bulk.Runner, n int) ([]bulk.RunID, error) {
	var ids []bulk.RunID
	for range n {
		err := w.strata.DB.InTx(ctx, func(tx *tenancy.Tx) error {
			run, err := runner.SubmitTx(ctx, tx, bulk.Submission{Kind: "steps", Total: stepsOfJob * stepSize})
			ids = append(ids, run.ID)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// serveStreams serves the jobs on a port of this machine.
func serveStreams(ctx context.Context, w *world, runner *bulk.Runner) (base string, stop func(), err error) {
	actor := tenancy.ActorFrom(ctx)
	server, err := tenancyhttp.NewServer(w.strata.Resolver, func(*http.Request) (tenancy.Actor, error) { return actor, nil }, nil)
	if err != nil {
		return "", nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: server.Handler(bulkhttp.New(runner)), ReadHeaderTimeout: time.Minute, WriteTimeout: 30 * time.Second}
	go func() { _ = srv.Serve(listener) }()
	return listener.Addr().String(), func() { _ = srv.Close() }, nil
}

// delays returns how long after the commit of a batch, as its ledger has it, each event
// arrived that tells of it.
func (s streaming) delays(ctx context.Context, w *world, ids []bulk.RunID, events []seen) ([]time.Duration, error) {
	type state struct {
		run       bulk.RunID
		processed int64
	}
	committed := map[state]time.Time{}
	err := w.strata.DB.Read(ctx, `SELECT run_id, (sum(processed) OVER (PARTITION BY run_id ORDER BY batch_no))::bigint, committed_at
		FROM strata.run_batches WHERE run_id = ANY($1)`, []any{ids}, func(rows pgx.Rows) error {
		var at state
		var t time.Time
		_, err := pgx.ForEachRow(rows, []any{&at.run, &at.processed, &t}, func() error {
			committed[at] = t
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []time.Duration
	for _, e := range events {
		if t, ok := committed[state{ids[e.Job], e.Processed}]; ok && !e.First {
			all = append(all, time.Unix(0, e.At).Sub(t))
		}
	}
	if len(all) < len(events)/2 {
		return nil, fmt.Errorf("%d of %d events tell of a batch", len(all), len(events))
	}
	slices.Sort(all)
	return all, nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}

// memory returns how much the heap and the stacks of this process hold.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // what a machine has
}
