package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Cancel ends a run: at once while nobody works on it, else after the batch that is
// being done, which stays. Until then the returned Run is still in its old state.
// Cancelling twice does nothing. Errors: ErrNotFound, ErrState when it ended otherwise,
// ErrBusy.
func (r *Runner) Cancel(ctx context.Context, id RunID) (Run, error) {
	return r.change(ctx, id, func(tx *tenancy.Tx, rec *record) error {
		switch {
		case rec.State == StateCancelled || rec.cancel:
			return nil
		case rec.State.Final():
			return ErrState
		case rec.State != StateProcessing && r.handler(rec.Kind) != nil:
			return r.end(ctx, tx, rec, StateCancelled, nil, rec.Failures)
		}
		// A run that waits after a failure waits no longer.
		err := r.set(ctx, tx, rec, "run.cancel_requested", `cancel_requested = true, next_attempt_at = now()`)
		if err != nil || rec.State == StateProcessing {
			return err
		}
		return r.enqueue(ctx, tx, rec.ref(), rec.queue) // where there is a handler to finish it
	})
}

// Pause holds a run until Resume: at once while nobody works on it, else after the batch
// that is being done. Pausing twice does nothing. Errors: ErrNotFound, ErrState when it
// ended or is being cancelled, ErrBusy.
func (r *Runner) Pause(ctx context.Context, id RunID) (Run, error) {
	return r.change(ctx, id, func(tx *tenancy.Tx, rec *record) error {
		switch {
		case rec.State.Final() || rec.cancel:
			return ErrState
		case rec.State == StatePaused || rec.pause:
			return nil
		case rec.State == StateProcessing:
			return r.set(ctx, tx, rec, "run.pause_requested", `pause_requested = true`)
		}
		return r.set(ctx, tx, rec, "run.paused", `state = 'paused'`)
	})
}

// Resume lets a paused run go on where it was. One that is not paused is left alone.
// Errors: ErrNotFound, ErrState when it ended or is being cancelled, ErrBusy.
func (r *Runner) Resume(ctx context.Context, id RunID) (Run, error) {
	return r.change(ctx, id, func(tx *tenancy.Tx, rec *record) error {
		switch {
		case rec.State.Final() || rec.cancel:
			return ErrState
		case rec.pause:
			return r.set(ctx, tx, rec, "run.resumed", `pause_requested = false`)
		case rec.State != StatePaused:
			return nil
		}
		if err := r.set(ctx, tx, rec, "run.resumed", `state = 'queued', next_attempt_at = now()`); err != nil {
			return err
		}
		return r.enqueue(ctx, tx, rec.ref(), rec.queue)
	})
}

// Retry lets a failed run go on where it was. Errors: ErrNotFound, ErrState when it did
// not fail, *AlreadyRunningError when an active run has its dedup key by now, ErrBusy.
func (r *Runner) Retry(ctx context.Context, id RunID) (Run, error) {
	for range 3 { // one that was submitted just now is found the next time
		run, err := r.change(ctx, id, func(tx *tenancy.Tx, rec *record) error { return r.retry(ctx, tx, rec) })
		if !taken(err) {
			return run, err
		}
	}
	return Run{}, ErrAlreadyRunning
}

func (r *Runner) retry(ctx context.Context, tx *tenancy.Tx, rec *record) error {
	if rec.State != StateFailed {
		return ErrState
	}
	var active RunID
	err := tx.QueryRow(ctx, tx.SQL(`SELECT a.id FROM strata.runs r JOIN strata.runs a ON a.domain_id = r.domain_id AND a.kind = r.kind AND a.dedup_key = r.dedup_key
		WHERE r.domain_id = $1 AND r.id = $2 AND a.dedup_key <> '' AND a.state IN ('queued', 'processing', 'paused')`), rec.DomainID, rec.ID).Scan(&active)
	if err == nil {
		return &AlreadyRunningError{RunID: active}
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	err = r.set(ctx, tx, rec, "run.retried", `state = 'queued', next_attempt_at = now(), failures = 0, error = '', error_code = '', finished_at = NULL`)
	if err != nil {
		return err
	}
	return r.enqueue(ctx, tx, rec.ref(), rec.queue)
}

// set changes columns of a run that tx has locked, to args from $3 on, and says so in the
// audit trail.
func (r *Runner) set(ctx context.Context, tx *tenancy.Tx, rec *record, action, columns string, args ...any) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.runs SET `+columns+`, updated_at = now(), version = version + 1 WHERE domain_id = $1 AND id = $2`), append([]any{rec.DomainID, rec.ID}, args...)...)
	if err != nil {
		return err
	}
	return r.record(ctx, tx, action, rec.Run)
}

// busyAfter is how long a change waits for a batch, with a connection of the pool, which
// others need too.
const busyAfter = `3s`

// change runs fn in a transaction that has locked a run that Get returns, in the scope of
// the domain where it is, and returns what fn made of it.
func (r *Runner) change(ctx context.Context, id RunID, fn func(*tenancy.Tx, *record) error) (Run, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Run{}, err
	}
	level := t.Level()
	if level != tenancy.LevelDomain {
		at, err := r.Get(ctx, id)
		if err != nil {
			return Run{}, err
		}
		t.WorkspaceID, t.DomainID = at.WorkspaceID, at.DomainID
		ctx = tenancy.WithTenant(ctx, t)
	}
	var run *record
	err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '`+busyAfter+`', true), `+r.idleLimit()); err != nil {
			return fmt.Errorf("bulk: limit a change: %w", err)
		}
		locked, err := one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.runs WHERE domain_id = $1 AND id = $2 AND level = $3 FOR NO KEY UPDATE`),
			t.DomainID, id, level.String()))
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("bulk: lock a run: %w", err)
		}
		if err := fn(tx, locked); err != nil {
			return err
		}
		run, err = one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.runs WHERE domain_id = $1 AND id = $2`), t.DomainID, id))
		tx.AfterCommit(func(ctx context.Context) { r.cache.put(ctx, run.Run) })
		return err
	})
	if lockTimeout(err) {
		return Run{}, ErrBusy
	}
	if err != nil {
		return Run{}, err
	}
	return run.Run, nil
}
