package bulk

import (
	"context"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// Throttle limits how much of a run is processed in a second, on the average of its
// batches; 0 takes the limit away. It may be called while the run is worked on, and holds
// from the next batch on. What an Open does by itself is not held back. It returns the run.
// Errors: ErrNotFound, ErrState when it ended, ErrBusy, *tenancy.ValidationError.
func (r *Runner) Throttle(ctx context.Context, id RunID, perSecond int) (Run, error) {
	if err := checkThrottle(perSecond); err != nil {
		return Run{}, err
	}
	return r.change(ctx, id, func(tx *tenancy.Tx, rec *record) error {
		switch {
		case rec.State.Final():
			return ErrState
		case rec.MaxPerSecond == perSecond:
			return nil
		}
		return r.set(ctx, tx, rec, "run.throttled", `max_per_second = $3`, perSecond)
	})
}

// fastest is more than any run does in a second.
const fastest = 1_000_000_000

func checkThrottle(perSecond int) error {
	v := &tenancy.ValidationError{}
	if perSecond < 0 || perSecond > fastest {
		v.Add("perSecond", "out_of_range", "must be from 1 to 1000000000, or 0 for no limit")
	}
	return v.OrNil()
}

// shortWait is the longest that a run waits in its slot: to be opened again costs more.
const shortWait = 2 * time.Second

// longest is how long a run waits in its slot at most, with its lease.
func (r *Runner) longest() time.Duration { return min(shortWait, r.cfg.Lease/3) }

// hold waits, or until work has to end.
func (s *session) hold(ctx context.Context, wait time.Duration) {
	if wait == 0 {
		return
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	select {
	case <-over.C:
	case <-s.life.stopping:
	case <-ctx.Done():
	}
}

// pace is when the next batch of a run may begin.
type pace struct{ next time.Time }

// did notes a batch that began at a time and processed n of so many a second; 0 is no limit.
func (p *pace) did(began time.Time, n int64, perSecond int) {
	if p.next.Before(began) { // what was not used is not saved up
		p.next = began
	}
	if perSecond > 0 {
		p.next = p.next.Add(time.Duration(float64(n) / float64(perSecond) * float64(time.Second)))
	}
}

func (p *pace) wait(now time.Time) time.Duration { return max(0, p.next.Sub(now)) }
