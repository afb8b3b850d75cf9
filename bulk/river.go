package bulk

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/stratakit/strata/tenancy"
)

// ref is where a run is: what a River job carries.
type ref struct {
	CompanyID tenancy.CompanyID `json:"company_id"`
	DomainID  tenancy.DomainID  `json:"domain_id"`
	RunID     RunID             `json:"run_id"`
}

// Kind is the kind of all our River jobs: what a run does is in its row.
func (ref) Kind() string { return "strata_run" }

// scope returns ctx in the tenant of the run, as far as that is known without asking. The
// runs of a domain that is deleted are claimed too: somebody has to end them.
func (at ref) scope(ctx context.Context) context.Context {
	return tenancy.WithDeleted(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: at.CompanyID, DomainID: at.DomainID}))
}

func (r Run) ref() ref { return ref{r.CompanyID, r.DomainID, r.ID} }

// starter is the River worker. It never fails: the run's row says what to do next.
type starter struct {
	river.WorkerDefaults[ref]
	runner *Runner
}

// Work is woken because a run may be due: it works on those whose turn it is, which may be
// others. It returns before when River would take it for stuck: that can take long.
func (s *starter) Work(ctx context.Context, _ *river.Job[ref]) error {
	l := s.runner.current()
	if l == nil {
		return nil
	}
	select {
	case s.runner.slots <- struct{}{}:
	case <-l.stopping:
		return nil
	case <-ctx.Done():
		return nil
	}
	done := make(chan struct{})
	l.working.Go(func() {
		defer close(done)
		s.runner.work(l, nil)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}

// newRiver returns a client that works on the runner's queue once it is started. To hear of
// jobs at once it listens, which takes a connection of its own; with pollOnly it asks each
// second.
func newRiver(r *Runner, pollOnly bool) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &starter{runner: r}); err != nil {
		return nil, err
	}
	timeout := r.cfg.Slice + 2*r.cfg.Hang
	return river.NewClient(riverpgxv5.New(r.db.Pool()), &river.Config{
		Schema:   r.db.RiverSchema(),
		Queues:   map[string]river.QueueConfig{r.cfg.Queue: {MaxWorkers: r.cfg.MaxWorkers}},
		Workers:  workers,
		PollOnly: pollOnly,
		Logger:   r.cfg.Log,
		// Never -1: a job without a timeout is never rescued either.
		JobTimeout:           timeout,
		RescueStuckJobsAfter: timeout + time.Hour,
	})
}

// enqueue makes River start the run when tx commits.
func (r *Runner) enqueue(ctx context.Context, tx *tenancy.Tx, at ref, queue string) error {
	if _, err := r.river.InsertTx(ctx, tx.Tx, at, &river.InsertOpts{Queue: queue}); err != nil {
		return fmt.Errorf("bulk: enqueue: %w", err)
	}
	return nil
}
