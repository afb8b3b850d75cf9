package bulk

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// poll works on the runs that nobody started: those whose process died, those that
// waited after a failure, and those whose River job was lost.
func (r *Runner) poll(l *life) {
	more := make(chan struct{}, 1)
	for {
		r.sweep(l, more)
		// Processes that started together must not ask together for ever.
		next := time.NewTimer(r.cfg.Poll - rand.N(r.cfg.Poll/5+1))
		select {
		case <-l.stopping:
			next.Stop()
			return
		case <-more:
		case <-next.C:
		}
		next.Stop()
	}
}

// claimTimeout bounds one statement that looks for work.
const claimTimeout = 30 * time.Second

// lockedBatches is how many runs are looked at beyond those that there is room for. A
// batch that is longer than the lease looks like one whose process died until its row
// turns out to be locked, and comes first because it has been due for longest.
const lockedBatches = 32

// sweep starts work on what is due, as far as there are free slots.
func (r *Runner) sweep(l *life, more chan<- struct{}) {
	free := cap(r.slots) - len(r.slots)
	if free == 0 {
		return
	}
	due, err := r.due(l.work, free+lockedBatches)
	if err != nil {
		if l.work.Err() == nil {
			r.cfg.Log.ErrorContext(l.work, "cannot look for runs that are due", "error", err)
		}
		return
	}
	for _, at := range due {
		if l.stopped() {
			return
		}
		select {
		case r.slots <- struct{}{}:
		default:
			return
		}
		rec := r.take(l, at)
		if rec == nil {
			<-r.slots
			continue
		}
		l.working.Go(func() {
			r.process(l, rec)
			<-r.slots
			if len(due) > free { // there may be more
				select {
				case more <- struct{}{}:
				default:
				}
			}
		})
	}
}

func (r *Runner) due(ctx context.Context, limit int) ([]ref, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	var due []ref
	err := r.db.ReadTrusted(ctx, `SELECT company_id, domain_id, id FROM strata.runs
		WHERE queue = $1 AND kind = ANY($2) AND state IN ('queued', 'processing', 'paused') AND `+runnable+` ORDER BY next_attempt_at LIMIT $3`,
		[]any{r.cfg.Queue, r.kinds(), limit}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ref])
			return err
		})
	return due, err
}
