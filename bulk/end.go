package bulk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// end makes the state of a run whose row tx has locked final, lets the handler finish,
// and writes it into the audit trail.
func (r *Runner) end(ctx context.Context, tx *tenancy.Tx, rec *record, state State, cause error, failures int) error {
	outcome := AttemptOutcome(state)
	if errors.Is(cause, errUnknownKind) {
		outcome = AttemptDied // if it was worked on
	}
	ended, err := r.leave(ctx, tx, rec, outcome, cause, `state = $8, error = $4, error_code = $5, failures = $9,
		cancel_requested = false, pause_requested = false, finished_at = clock_timestamp()`, string(state), failures)
	if err != nil {
		return fmt.Errorf("bulk: end: %w", err)
	}
	if h := r.handler(rec.Kind); h != nil {
		err := safely("Finish", func() error { return h.Finish(ctx, tx, ended.Run) })
		if err != nil {
			return fmt.Errorf("bulk: finish: %w", err)
		}
	}
	return r.record(ctx, tx, "run."+string(state), ended.Run)
}

// heed does what was asked of a run while it was worked on, and reports whether that
// ended the work.
func (r *Runner) heed(ctx context.Context, tx *tenancy.Tx, rec *record) (bool, error) {
	switch {
	case rec.cancel:
		return true, r.end(ctx, tx, rec, StateCancelled, nil, rec.Failures)
	case rec.pause:
		if _, err := r.leave(ctx, tx, rec, AttemptPaused, nil, `state = 'paused', pause_requested = false`); err != nil {
			return true, fmt.Errorf("bulk: pause: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// failed notes that an attempt failed: the run waits and is tried again, or fails. add
// is 0 when the failure is counted already.
func (r *Runner) failed(ctx context.Context, rec *record, cause error, add int) error {
	var permanent *permanentError
	final := errors.As(cause, &permanent)
	err := r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := r.fence(ctx, tx, rec)
		if err != nil {
			return err
		}
		n := now.Failures + add
		if now.cancel {
			return r.end(ctx, tx, now, StateCancelled, nil, n)
		}
		if final || n >= r.cfg.MaxFailures {
			return r.end(ctx, tx, now, StateFailed, cause, n)
		}
		return r.again(ctx, tx, now, cause, n)
	})
	if err == nil || errors.Is(err, errLeaseLost) {
		return err
	}
	// Finish did not succeed, or the audit trail. What the run waits for is to try that
	// again: with MaxFailures it is never opened.
	return errors.Join(err, r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := r.fence(ctx, tx, rec)
		if err != nil {
			return err
		}
		return r.again(ctx, tx, now, cause, now.Failures+1)
	}))
}

// again puts a run that tx has locked back in line, after a wait.
func (r *Runner) again(ctx context.Context, tx *tenancy.Tx, rec *record, cause error, failures int) error {
	_, err := r.leave(ctx, tx, rec, AttemptFailed, cause, `state = 'queued', failures = $8, error = $4, error_code = $5, next_attempt_at = now() + $9::interval`,
		failures, r.wait(failures))
	return err
}

const maxWait = 5 * time.Minute

// wait is how long a run waits after its nth failure: longer each time, and not the same
// for all that fail at once.
func (r *Runner) wait(failures int) time.Duration {
	d := maxWait
	if shift := max(failures, 1) - 1; shift < 20 {
		d = min(maxWait, r.cfg.Backoff<<shift)
	}
	return d - rand.N(d/5+1)
}
