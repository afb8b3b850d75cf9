package bulk

import (
	"context"
	"errors"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// session is the work on one run from a claim to the end of the lease.
type session struct {
	*Runner
	life *life
	rec  *record // what the run's row said last

	claimed time.Time
	began   time.Time     // when the first batch did
	turn    time.Duration // how long it is worked on at least; 0 until the first batch is done
	last    time.Time     // when the last one was done
	commits int           // batches that committed
	pace    pace
}

// take claims a run, or returns nil when it is not there to be worked on.
func (r *Runner) take(l *life, at ref) *record {
	ctx, cancel := context.WithTimeout(l.work, claimTimeout)
	defer cancel()
	rec, err := r.claim(ctx, at)
	if err != nil {
		r.brokeOff(ctx, at, err)
	}
	return rec
}

// process works for one slice on a run that was taken.
func (r *Runner) process(l *life, rec *record) {
	ctx, cancel := context.WithCancel(l.work)
	defer cancel()
	r.cache.put(ctx, rec.Run)
	s := &session{Runner: r, life: l, rec: rec, claimed: r.cfg.Now()}
	if err := s.run(ctx); errors.Is(err, tenancy.ErrMoving) {
		// Not now. Nothing can be written down meanwhile: the lease runs out by itself.
		r.cfg.Log.InfoContext(ctx, "a run waits for its domain to be moved", "run", rec.ID, "domain", rec.DomainID)
	} else if errors.Is(err, errLeaseLost) {
		r.cfg.Log.WarnContext(ctx, "a run was taken over", "run", rec.ID, "domain", rec.DomainID)
	} else if err != nil {
		r.brokeOff(ctx, rec.ref(), err)
	}
}

// brokeOff tells the log. Whatever the state a run is in, it is found again when its
// lease has run out.
func (r *Runner) brokeOff(ctx context.Context, at ref, err error) {
	r.cfg.Log.ErrorContext(ctx, "work on a run broke off", "run", at.RunID, "domain", at.DomainID, "error", err)
}

// run restores tenant and actor and works; what goes wrong is written into the row.
func (s *session) run(ctx context.Context) error {
	scoped, err := s.scope(ctx)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return s.db.InTx(scoped, func(tx *tenancy.Tx) error {
			now, err := s.fence(scoped, tx, s.rec)
			if err != nil {
				return err
			}
			return s.end(scoped, tx, now, StateCancelled, errDomainGone, now.Failures)
		})
	case err != nil:
		return errors.Join(err, s.giveBack(scoped, s.rec, AttemptInterrupted, s.cfg.Poll))
	}
	ctx = scoped
	for tries := 0; ; tries++ {
		before := s.commits
		err := s.slice(ctx)
		if s.commits > before {
			tries = 0
		}
		switch {
		case err == nil, errors.Is(err, errLeaseLost), errors.Is(err, tenancy.ErrMoving):
			return err
		case s.life.work.Err() != nil: // Stop may wait no longer
			return s.after(ctx, 5*time.Second, func(ctx context.Context) error { return s.giveBack(ctx, s.rec, AttemptInterrupted, 0) })
		case isElsewhere(err) && s.waited() < s.cfg.OrphanAfter:
			return s.after(ctx, aftermath, func(ctx context.Context) error { return s.passOn(ctx, s.rec, err, max(s.cfg.Backoff, s.waited()/4)) })
		case !conflict(err) || tries >= 3:
			return s.after(ctx, aftermath, func(ctx context.Context) error { return s.failed(ctx, s.rec, err, 1) })
		}
		err = s.after(ctx, aftermath, func(ctx context.Context) (err error) {
			s.rec, err = s.refresh(ctx, s.rec)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// waited is how long ago work on the run began.
func (s *session) waited() time.Duration {
	if s.rec.StartedAt == nil {
		return 0
	}
	return time.Since(*s.rec.StartedAt)
}

// aftermath is how long it may take to write down how work went.
const aftermath = 10 * time.Minute

// after runs fn although ctx may be over: that may be what ended the work, and what
// follows from it must be written all the same.
func (s *session) after(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return fn(ctx)
}

// scope returns ctx with the tenant as it is now and the actor that asked for the run.
// With an error it is the tenant of the row. Where the domain is deleted, what is begun is
// ended in it all the same.
func (s *session) scope(ctx context.Context) (context.Context, error) {
	ctx = tenancy.WithActor(ctx, s.rec.actor)
	t, err := s.resolver.ResolveDomain(ctx, s.rec.DomainID)
	if err != nil {
		t = tenancy.Tenant{CompanyID: s.rec.CompanyID, WorkspaceID: s.rec.WorkspaceID, DomainID: s.rec.DomainID}
	}
	return tenancy.WithDeleted(tenancy.WithTenant(ctx, t)), err
}

// slice opens the run and does its batches until the run ends, its time is over, or
// something goes wrong.
func (s *session) slice(ctx context.Context) error {
	for {
		if s.rec.cancel || s.rec.pause {
			if ended, err := s.heedNow(ctx); ended || err != nil {
				return err
			}
		}
		if s.rec.Failures >= s.cfg.MaxFailures {
			cause := errDied
			if s.rec.Error != "" {
				cause = &lastError{s.rec.Error, s.rec.ErrorCode}
			}
			return s.failed(ctx, s.rec, cause, 0)
		}
		w, err := s.open(ctx)
		if errors.Is(err, errAsked) {
			s.rec.cancel = true // or a pause: whichever it is, heedNow looks
			continue
		}
		if err != nil {
			return err
		}
		over, err := s.batches(ctx, w)
		s.close(ctx, w)
		if over || err != nil {
			return err
		}
	}
}

// A slice ends early when it is another's turn. To go on later costs an Open, and a first batch
// that may have to find its place: no more of the time than a fifth.
const (
	turnAtLeast  = time.Second
	turnPerStart = 4
)

// batches does the batches of opened work, and reports whether the slice is over: else the
// work is to be opened again.
func (s *session) batches(ctx context.Context, w Work) (over bool, err error) {
	if s.began.IsZero() {
		s.began = s.cfg.Now()
	}
	for limit := s.rec.MaxPerSecond; ; {
		ended, err := s.batch(ctx, w)
		if ended || err != nil {
			return true, err
		}
		if s.turn == 0 {
			s.turn = max(turnAtLeast, turnPerStart*s.cfg.Now().Sub(s.claimed))
		}
		wait, worked := s.pace.wait(s.cfg.Now()), s.cfg.Now().Sub(s.began)
		switch {
		case s.life.stopped():
			return true, s.letGo(ctx, AttemptInterrupted, wait)
		case wait > s.longest(), worked >= s.cfg.Slice, worked >= s.turn && s.outOfTurn(s.life, s.rec):
			return true, s.letGo(ctx, AttemptSliced, wait)
		}
		s.hold(ctx, wait)
		if s.rec.MaxPerSecond != limit { // the work is to know
			return false, nil
		}
	}
}

func (s *session) letGo(ctx context.Context, outcome AttemptOutcome, wait time.Duration) error {
	return s.after(ctx, aftermath, func(ctx context.Context) error { return s.giveBack(ctx, s.rec, outcome, wait) })
}

// heedNow does what was asked of the run, if it still is, and reports whether that ended
// the work.
func (s *session) heedNow(ctx context.Context) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, aftermath)
	defer cancel()
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := s.fence(ctx, tx, s.rec)
		if err != nil {
			return err
		}
		s.rec = now
		ended, err = s.heed(ctx, tx, now)
		return err
	})
	return ended, err
}

func (s *session) close(ctx context.Context, w Work) {
	if err := safely("Close", w.Close); err != nil {
		s.cfg.Log.WarnContext(ctx, "close the work of a run", "run", s.rec.ID, "kind", s.rec.Kind, "error", err)
	}
}
