package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/metric"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/pooler"
	"github.com/stratakit/strata/tenancy"
)

// DefaultQueue is the queue of runs unless Config.Queue says otherwise.
const DefaultQueue = "strata_runs"

// Config configures a Runner. The zero value is legal.
type Config struct {
	// Queue separates runs that share a database: a Runner submits to its queue and works
	// on that only. Default DefaultQueue.
	Queue string
	// MaxWorkers is how many runs this process works on at once; each takes one
	// connection of the pool, and one more is taken for listening, unless the pool's
	// connections go through a pooler such as PgBouncer. Default 4.
	MaxWorkers int
	// Slice is how long a run is worked on before it stands in line again. When all workers of
	// the process are taken and others wait whose turn it is, that is sooner: after a second, or
	// four times what its Open and first batch took. Default 60 s.
	Slice time.Duration
	// Hang is how long one batch, and Open without a Run.Report, may take: what takes longer
	// is broken off and is a failed attempt. Default 10 min.
	Hang time.Duration
	// Lease is after how long without a sign of life a run is taken over. With Poll it bounds
	// how long a run stands still whose process died. Default 20 s.
	Lease time.Duration
	// Poll is how often a started Runner looks for runs that nobody works on. Default 5 s.
	Poll time.Duration
	// MaxFailures is after how many failed attempts in a row a run fails. Default 5.
	MaxFailures int
	// MaxPerDomain is how many runs of one domain are worked on at once in all processes of
	// the queue; all should have the same. Default 2.
	MaxPerDomain int
	// OrphanAfter is after how long a run that is due fails because no process that lives does
	// its kind. It must be longer than a deployment takes. Default 10 min.
	OrphanAfter time.Duration
	// Keep is how long a run that ended is remembered, and KeepFailed one that failed
	// (Runner.Forget). Default 30 and 90 days.
	Keep, KeepFailed time.Duration
	// Worker names this process in the job log; no two that live may have the same. Default:
	// host and process id.
	Worker string
	// Meter measures runs: strata.runs.ended, .duration, .attempts.failed, .batch.duration,
	// .waiting and .lag. Nil: nothing is measured.
	Meter metric.Meter
	// Backoff is how long a run waits after a failed attempt; the wait doubles with each
	// further one, up to 5 min. Default 1 s.
	Backoff time.Duration
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
	// Now is the clock that slices are measured with. Leases go by that of PostgreSQL,
	// which all processes share. Default time.Now.
	Now func() time.Time
}

// Resolver finds the tenant of a domain; *tenancy.Resolver does.
type Resolver interface {
	ResolveDomain(ctx context.Context, id tenancy.DomainID) (tenancy.Tenant, error)
}

// Runner submits runs, works on them once started, and tells how they go. A process
// that only submits and watches need not start it. It is safe for concurrent use.
type Runner struct {
	db       *tenancy.DB
	audit    *audit.Recorder
	resolver Resolver
	cfg      Config
	river    *river.Client[pgx.Tx]
	cache    *cache
	hub      *hub
	chooser  chooser
	meter    *meter
	slots    chan struct{} // one for each run that is worked on

	mu       sync.Mutex
	handlers map[string]Handler
	life     *life // nil unless started
}

// life is what lasts from Start to Stop.
type life struct {
	river    *river.Client[pgx.Tx]
	work     context.Context // of all work; cancelled when Stop may wait no longer
	cancel   context.CancelFunc
	stopping chan struct{} // closed when Stop is called
	working  sync.WaitGroup

	unobserve func() // ends what observe began
}

// NewRunner returns a Runner. A nil client is legal: progress is then read from
// PostgreSQL only.
func NewRunner(db *tenancy.DB, client redis.UniversalClient, recorder *audit.Recorder, resolver Resolver, cfg *Config) (*Runner, error) {
	if db == nil || recorder == nil || resolver == nil {
		return nil, errors.New("bulk: NewRunner needs a DB, a Recorder and a Resolver")
	}
	r := &Runner{db: db, audit: recorder, resolver: resolver, handlers: map[string]Handler{}}
	if cfg != nil {
		r.cfg = *cfg
	}
	setDefault(&r.cfg.Queue, DefaultQueue)
	setDefault(&r.cfg.MaxWorkers, 4)
	setDefault(&r.cfg.Slice, time.Minute)
	setDefault(&r.cfg.Hang, 10*time.Minute)
	setDefault(&r.cfg.Lease, 20*time.Second)
	setDefault(&r.cfg.Poll, 5*time.Second)
	setDefault(&r.cfg.MaxFailures, 5)
	setDefault(&r.cfg.Backoff, time.Second)
	setDefault(&r.cfg.MaxPerDomain, 2)
	setDefault(&r.cfg.OrphanAfter, 10*time.Minute)
	setDefault(&r.cfg.Keep, 30*24*time.Hour)
	setDefault(&r.cfg.KeepFailed, 90*24*time.Hour)
	if r.cfg.Worker == "" {
		host, _ := os.Hostname()
		r.cfg.Worker = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	setDefault(&r.cfg.Log, slog.Default())
	if r.cfg.Now == nil {
		r.cfg.Now = time.Now
	}
	if min(r.cfg.MaxWorkers, r.cfg.MaxFailures, r.cfg.MaxPerDomain) < 0 ||
		min(r.cfg.Slice, r.cfg.Hang, r.cfg.Lease, r.cfg.Poll, r.cfg.Backoff, r.cfg.OrphanAfter, r.cfg.Keep, r.cfg.KeepFailed) < 0 {
		return nil, errors.New("bulk: a number in the Config is negative")
	}
	r.slots = make(chan struct{}, r.cfg.MaxWorkers)
	r.hub = newHub(r)
	r.cache = newCache(client, r.hub.heard)
	var err error
	if r.meter, err = newMeter(r.cfg.Meter, r.cfg.Queue); err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	if r.river, err = newRiver(r, false); err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	return r, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Register says who does the runs of kind. Call it before Start, with the same handlers
// in every process that works on the queue.
func (r *Runner) Register(kind string, h Handler) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case kind == "" || h == nil:
		return errors.New("bulk: Register needs a kind and a Handler")
	case r.life != nil:
		return fmt.Errorf("bulk: register %s: the runner has started", kind)
	case r.handlers[kind] != nil:
		return fmt.Errorf("bulk: register %s: it has a handler already", kind)
	}
	r.handlers[kind] = h
	return nil
}

func (r *Runner) handler(kind string) Handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handlers[kind]
}

func (r *Runner) kinds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.handlers))
}

// Start begins to work on runs, until Stop. Runs whose process died before are taken
// over at once when their lease has run out. ctx bounds the start only.
func (r *Runner) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life != nil {
		return errors.New("bulk: the runner has started already")
	}
	// Asks PostgreSQL, and by ctx: River's client takes no deadline for its start.
	pooled, err := pooler.Before(ctx, r.db.Pool())
	if err != nil {
		return fmt.Errorf("bulk: start: %w", err)
	}
	l := &life{river: r.river, stopping: make(chan struct{})}
	if pooled { // what listens through it hears nothing, and somebody else does
		if l.river, err = newRiver(r, true); err != nil {
			return fmt.Errorf("bulk: start: %w", err)
		}
	}
	l.work, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.life = l
	if err := l.river.Start(l.work); err != nil {
		r.life = nil
		l.cancel()
		return fmt.Errorf("bulk: start: %w", err)
	}
	r.hub.start()
	if l.unobserve, err = r.observe(); err != nil {
		r.cfg.Log.WarnContext(ctx, "the queue of runs is not measured", "error", err)
	}
	l.working.Go(func() { r.poll(l) })
	return nil
}

// Stop takes no more runs, lets the batches that run finish, gives the leases back so
// that other processes go on at once, and ends every Watch of this Runner, also one that
// begins before the next Start. When ctx ends first, what runs is rolled back. A Runner
// that is not started only ends the watches.
func (r *Runner) Stop(ctx context.Context) error {
	r.hub.stop()
	r.mu.Lock()
	l := r.life
	if l == nil {
		r.mu.Unlock()
		return nil
	}
	select {
	case <-l.stopping:
		r.mu.Unlock()
		return errors.New("bulk: the runner is being stopped already")
	default:
		close(l.stopping)
	}
	r.mu.Unlock()

	l.unobserve()
	stop := context.AfterFunc(ctx, l.cancel)
	// What was cancelled ends soon: only then is nobody left who uses the pool.
	err := l.river.Stop(context.WithoutCancel(ctx))
	l.working.Wait()
	stop()
	l.cancel()
	r.mu.Lock()
	r.life = nil
	r.mu.Unlock()
	return errors.Join(err, ctx.Err())
}

// current returns the life that is, or nil.
func (r *Runner) current() *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.life
}

func (l *life) stopped() bool {
	select {
	case <-l.stopping:
		return true
	default:
		return false
	}
}
