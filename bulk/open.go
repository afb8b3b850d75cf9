package bulk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// reportEvery is how often what Open tells of itself is written at most.
const reportEvery = time.Second

// opening is how far the Open that goes on says it is.
type opening struct {
	begun time.Time

	mu          sync.Mutex
	done, total int64
	at          time.Time // of the last word
}

// Report tells, while Open works, how far it is: done of total beyond what the run had
// Processed before. A total of 0 leaves that of the run as it is. It is shown as progress
// within a second or so and forgotten with the next batch, which says what it Processed, or
// the next Open. It costs little and may be called often, by any goroutine. On a Run that was
// not given to Open it does nothing.
func (r Run) Report(done, total int64) {
	if r.opening == nil {
		return
	}
	r.opening.mu.Lock()
	defer r.opening.mu.Unlock()
	r.opening.done, r.opening.at = max(0, done), time.Now()
	if total > 0 {
		r.opening.total = total
	}
}

func (o *opening) said() (done, total int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.done, o.total, o.at
}

// open opens the run and keeps its lease meanwhile. It returns errLeaseLost when that is
// lost, and errAsked when the run was asked to pause or to end.
func (s *session) open(ctx context.Context) (w Work, err error) {
	run := s.rec.Run
	run.opening = &opening{begun: s.cfg.Now(), at: time.Now()}
	during, end := context.WithCancelCause(ctx)
	kept := s.keep(ctx, run.opening, end)
	err = safely("Open", func() (err error) {
		// Work may keep the context of its opening: it must not end with Open.
		w, err = s.handler(s.rec.Kind).Open(during, run)
		return err
	})
	kept()
	cause := context.Cause(during)
	if cause == nil {
		context.AfterFunc(ctx, func() { end(nil) })
		if err == nil && w == nil {
			err = Permanent(errors.New("bulk: Open returned no Work"))
		}
		if done, _, _ := run.opening.said(); done > 0 { // it is what the next batch will count
			s.last = run.opening.begun
		} else if s.last.IsZero() {
			s.last = s.cfg.Now()
		}
		return w, err
	}
	if w != nil {
		s.close(ctx, w)
	}
	end(nil)
	for _, why := range []error{errLeaseLost, errAsked, errHung} {
		if errors.Is(cause, why) {
			return nil, errors.Join(why, err)
		}
	}
	return nil, errors.Join(err, cause) // Stop may wait no longer
}

// keep extends the lease until the returned function is called, and writes down what Open
// tells. It calls end, once, with what has to end the opening.
func (s *session) keep(ctx context.Context, o *opening, end context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(min(reportEvery, s.cfg.Lease/3))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, _, at := o.said(); time.Since(at) > s.cfg.Hang {
				end(errHung)
			}
			now, err := s.extend(ctx, o)
			switch {
			case errors.Is(err, errLeaseLost):
				end(err)
				return
			case err != nil: // tried again; if it lasts, the next batch finds out
				if ctx.Err() == nil {
					s.cfg.Log.WarnContext(ctx, "cannot extend the lease of a run", "run", s.rec.ID, "domain", s.rec.DomainID, "error", err)
				}
			case now.cancel || now.pause:
				end(errAsked) // and Open may need the lease until it has ended
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// extend extends the lease and writes down how far Open is.
func (s *session) extend(ctx context.Context, o *opening) (now *record, err error) {
	done, total, _ := o.said()
	rate := averaged(s.rec.Rate, s.rec.Processed, done, s.cfg.Now().Sub(o.begun).Seconds())
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		now, err = one(tx.Query(ctx, tx.SQL(`UPDATE strata.runs SET lease_until = clock_timestamp() + $4::interval, opened = $5::bigint,
				total = CASE WHEN $6::bigint > 0 THEN $6 ELSE total END, rate = CASE WHEN $5::bigint > 0 THEN $7::float8 ELSE rate END, updated_at = now(), version = version + (opened <> $5::bigint OR $6 > 0 AND total <> $6)::int
			FROM `+s.idleLimit()+` WHERE domain_id = $1 AND id = $2 AND lease = $3 AND state = 'processing' RETURNING `+runColumns),
			s.rec.DomainID, s.rec.ID, s.rec.token, s.cfg.Lease, done, total, rate))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errLeaseLost
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: extend the lease: %w", err)
	}
	s.cache.put(ctx, now.Run)
	return now, nil
}
