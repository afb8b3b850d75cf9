package bulk

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// AttemptOutcome is how an attempt ended.
type AttemptOutcome string

// The outcomes. An attempt that goes on has none.
const (
	AttemptSliced      AttemptOutcome = "sliced"      // its time was over; the run stands in line again
	AttemptCompleted   AttemptOutcome = "completed"   // the run is done
	AttemptFailed      AttemptOutcome = "failed"      // with an error; the run is tried again or has failed
	AttemptPaused      AttemptOutcome = "paused"      // as was asked
	AttemptCancelled   AttemptOutcome = "cancelled"   // as was asked
	AttemptInterrupted AttemptOutcome = "interrupted" // by Runner.Stop, or for another process (Elsewhere); the run stands in line again
	AttemptDied        AttemptOutcome = "died"        // its process was killed, frozen or cut off
)

// Attempt is the work of one process on a run from when it took it until it let go: a line
// of the job log. It is written in the transactions that take the run and let it go, so that
// none is missing; that of a process that died is closed by who takes over.
type Attempt struct {
	// Number counts from 1.
	Number int
	// Worker is the process (Config.Worker).
	Worker string
	Began  time.Time
	// Ended is nil while it goes on; of one that died it is when that was noticed.
	Ended   *time.Time
	Outcome AttemptOutcome
	// Processed is what its batches did.
	Processed int64
	// Error is what went wrong, as Run.Error is. PublicError is for everybody.
	Error     string
	ErrorCode string
	// Stack is for operators: of a panic where it was, of an error that was returned what
	// it wraps, from the outside in.
	Stack string
}

// PublicError is Error without what is nobody's business outside.
func (a Attempt) PublicError() string { return fault.Public(a.Error, a.ErrorCode) }

// maxAttempts is how many attempts Attempts returns at most, the newest.
const maxAttempts = 500

// Attempts returns the attempts at a run that Get returns, the newest first and at most 500.
// It returns ErrNotFound for a run that is not there.
func (r *Runner) Attempts(ctx context.Context, id RunID) ([]Attempt, error) {
	run, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	var list []Attempt
	err = r.db.ReadTrusted(ctx, fmt.Sprintf(`SELECT a.number, a.worker, a.began, a.ended, a.outcome,
			CASE WHEN a.ended IS NULL THEN r.processed - a.before ELSE a.processed END, a.error, a.error_code, a.stack
		FROM strata.run_attempts a JOIN strata.runs r ON r.domain_id = a.domain_id AND r.id = a.run_id
		WHERE a.domain_id = $1 AND a.run_id = $2 ORDER BY a.number DESC LIMIT %d`, maxAttempts), []any{run.DomainID, id}, func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Attempt, err error) {
			err = row.Scan(&a.Number, &a.Worker, &a.Began, &a.Ended, &a.Outcome, &a.Processed, &a.Error, &a.ErrorCode, &a.Stack)
			a.Began, a.Ended = a.Began.UTC(), utc(a.Ended)
			return a, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bulk: attempts: %w", err)
	}
	return list, nil
}

// leave lets go of a run that tx has locked, and closes the attempt at it, if one goes on:
// with set, which may refer to args from $8 on, its state becomes another than processing.
func (r *Runner) leave(ctx context.Context, tx *tenancy.Tx, rec *record, outcome AttemptOutcome, cause error, set string, args ...any) (*record, error) {
	text, code, stack := "", "", ""
	if cause != nil {
		text, code = kept(cause)
		stack = stackOf(cause)
	}
	closed := false // an attempt
	rows, err := tx.Query(ctx, tx.SQL(`WITH run AS (
			UPDATE strata.runs SET lease = NULL, lease_until = NULL, opened = 0, updated_at = now(), version = version + 1, `+set+`
			WHERE domain_id = $1 AND id = $2 RETURNING `+runColumns+`
		), attempt AS (
			UPDATE strata.run_attempts a SET ended = clock_timestamp(), outcome = $3, processed = run.processed - a.before, error = $4, error_code = $5, stack = $6
			FROM run WHERE a.domain_id = $1 AND a.run_id = $2 AND a.number = $7 AND a.ended IS NULL RETURNING a.number
		) SELECT `+runColumns+`, EXISTS (SELECT FROM attempt) FROM run`),
		append([]any{rec.DomainID, rec.ID, string(outcome), text, code, stack, rec.attempts}, args...)...)
	if err != nil {
		return nil, err
	}
	left, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (*record, error) { return scanMore(row, &closed) })
	if err != nil {
		return nil, err
	}
	tx.AfterCommit(func(ctx context.Context) { r.left(ctx, left, outcome, cause, closed) })
	return left, nil
}

// left tells the log, the cache and the metrics that a run was let go of, after an attempt or
// without one.
func (r *Runner) left(ctx context.Context, rec *record, outcome AttemptOutcome, cause error, attempt bool) {
	r.cache.put(ctx, rec.Run)
	attrs := []any{"run", rec.ID, "kind", rec.Kind, "domain", rec.DomainID, "attempt", rec.attempts, "state", rec.State, "processed", rec.Processed}
	if attempt && outcome == AttemptFailed {
		r.cfg.Log.ErrorContext(ctx, "an attempt at a run failed", append(attrs, "error", cause)...)
		r.meter.attemptFailed(ctx, rec.Kind, outcome)
	} else if attempt {
		r.cfg.Log.DebugContext(ctx, "an attempt at a run has ended", append(attrs, "outcome", outcome)...)
	}
	if rec.State.Final() {
		r.cfg.Log.InfoContext(ctx, "a run has ended", append(attrs, "error", rec.Error)...)
		r.meter.runEnded(ctx, rec.Run)
	}
}
