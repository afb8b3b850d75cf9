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
	text, code := "", ""
	if cause != nil {
		text, code = kept(cause)
	}
	ended, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.runs SET state = $3, error = $4, error_code = $5, failures = $6, lease = NULL, lease_until = NULL, opened = 0,
			cancel_requested = false, pause_requested = false, finished_at = clock_timestamp(), updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = $2 RETURNING `+runColumns), rec.DomainID, rec.ID, string(state), text, code, failures))
	if err != nil {
		return fmt.Errorf("bulk: end: %w", err)
	}
	if h := r.handler(rec.Kind); h != nil {
		err := safely(func() error { return h.Finish(ctx, tx, ended.Run) })
		if err != nil {
			return fmt.Errorf("bulk: finish: %w", err)
		}
	}
	if err := r.record(ctx, tx, "run."+string(state), ended.Run); err != nil {
		return err
	}
	tx.AfterCommit(func(ctx context.Context) { r.cache.put(ctx, ended.Run) })
	return nil
}

// heed does what was asked of a run while it was worked on, and reports whether that
// ended the work.
func (r *Runner) heed(ctx context.Context, tx *tenancy.Tx, rec *record) (bool, error) {
	switch {
	case rec.cancel:
		return true, r.end(ctx, tx, rec, StateCancelled, nil, rec.Failures)
	case rec.pause:
		paused, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.runs SET state = 'paused', pause_requested = false, lease = NULL, lease_until = NULL, opened = 0,
			updated_at = now(), version = version + 1 WHERE domain_id = $1 AND id = $2 RETURNING `+runColumns), rec.DomainID, rec.ID))
		if err != nil {
			return true, fmt.Errorf("bulk: pause: %w", err)
		}
		tx.AfterCommit(func(ctx context.Context) { r.cache.put(ctx, paused.Run) })
		return true, nil
	}
	return false, nil
}

// failed notes that an attempt failed: the run waits and is tried again, or fails. add
// is 0 when the failure is counted already.
func (r *Runner) failed(ctx context.Context, rec *record, cause error, add int) error {
	r.cfg.Log.ErrorContext(ctx, "an attempt at a run failed", "run", rec.ID, "kind", rec.Kind, "domain", rec.DomainID, "error", cause)
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
	text, code := kept(cause)
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.runs SET state = 'queued', lease = NULL, lease_until = NULL, opened = 0, failures = $3, error = $4, error_code = $5,
			next_attempt_at = now() + $6::interval, updated_at = now(), version = version + 1 WHERE domain_id = $1 AND id = $2`),
		rec.DomainID, rec.ID, failures, text, code, r.wait(failures))
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
