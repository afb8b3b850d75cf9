package bulk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// The lease is how one process at a time works on a run.
//
// The end of each batch extends it, and a goroutine (open.go) does while Open takes its time.
// During a batch nothing needs to: the run's row is locked by the batch's own
// transaction, claim skips locked rows, and so nobody takes over while the process works,
// however long the batch is. When the process dies its connection ends, the lock is gone,
// and the lease runs out. When it is frozen or cut off, PostgreSQL sees neither: it ends
// a transaction that has locked a run and then says nothing for as long as a lease
// (idleLimit). A process that comes back finds its transaction gone.

// idleLimit is for the FROM of a statement that locks a run: its transaction may not be
// idle for longer than a lease.
func (r *Runner) idleLimit() string {
	ms := min(max(r.cfg.Lease.Milliseconds(), 1), math.MaxInt32) // what PostgreSQL takes; 0 is no limit
	return fmt.Sprintf(`set_config('idle_in_transaction_session_timeout', '%d', true)`, ms)
}

// runnable is the condition under which a run may be claimed. A paused run that is to be
// cancelled is claimed to do that.
const runnable = `(state = 'queued' AND next_attempt_at <= now()
	OR state = 'processing' AND lease_until < now()
	OR state = 'paused' AND cancel_requested)`

// claim takes the lease of a run, or returns nil when it is not runnable, locked by
// somebody, or of a kind that is not done here, when as many of its domain are worked on as
// may be, and while its domain is being moved or when that was moved since the reference to
// the run was written: it is found again. Taking over from a process that died counts as a
// failure: what kills its process every time must not go on for ever.
//
// Those that claim a run of the same domain wait for each other, so that the limit of the
// domain is never passed: to leave a run needs no such lock, it only makes room.
func (r *Runner) claim(ctx context.Context, at ref) (*record, error) {
	var rec *record
	var died bool // the process that worked on it
	ctx = at.scope(ctx)
	err := r.db.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		var b pgx.Batch
		b.Queue(tx.SQL(`SELECT pg_advisory_xact_lock(hashtextextended('strata.runs.claim/' || $1 || '/' || $2, 0)), `+r.idleLimit()), r.cfg.Queue, at.DomainID.String())
		b.Queue(tx.SQL(claimSQL), at.DomainID, at.RunID, uuid.New(), r.cfg.Lease, r.kinds(), r.cfg.Queue, r.cfg.MaxPerDomain, r.cfg.MaxFailures, r.cfg.Worker, errDied.Error())
		results := tx.SendBatch(ctx, &b)
		defer func() { err = errors.Join(err, results.Close()) }()
		if _, err := results.Exec(); err != nil {
			return err
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		rec, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (*record, error) { return scanMore(row, &died) })
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, tenancy.ErrMoving) || errors.Is(err, tenancy.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: claim: %w", err)
	}
	if died {
		r.cfg.Log.WarnContext(ctx, "the process that worked on a run died", "run", rec.ID, "kind", rec.Kind, "domain", rec.DomainID)
		r.meter.attemptFailed(ctx, rec.Kind, AttemptDied)
	}
	r.cfg.Log.DebugContext(ctx, "an attempt at a run begins", "run", rec.ID, "kind", rec.Kind, "domain", rec.DomainID, "attempt", rec.attempts, "worker", r.cfg.Worker)
	return rec, nil
}

// toTry is the condition under which a run is claimed to be worked on. After too many
// failures it is claimed to fail, which is no attempt.
const toTry = `failures + (state = 'processing')::int < $8`

const claimSQL = `WITH run AS (
		UPDATE strata.runs SET state = 'processing', lease = $3, lease_until = now() + $4::interval, opened = 0,
			failures = failures + (state = 'processing')::int, attempts = attempts + (` + toTry + `)::int,
			started_at = coalesce(started_at, now()), updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = (SELECT id FROM strata.runs WHERE domain_id = $1 AND id = $2 AND queue = $6 AND kind = ANY($5) AND ` + runnable + `
			AND (state = 'processing' OR (SELECT count(*) FROM strata.runs w WHERE w.queue = $6 AND w.domain_id = $1 AND w.state = 'processing') < $7) FOR UPDATE SKIP LOCKED)
		RETURNING ` + runColumns + `
	), died AS (
		UPDATE strata.run_attempts a SET ended = clock_timestamp(), outcome = 'died', processed = run.processed - a.before, error = $10, error_code = 'internal'
		FROM run WHERE a.domain_id = $1 AND a.run_id = $2 AND a.ended IS NULL RETURNING a.number
	), attempt AS (
		INSERT INTO strata.run_attempts (company_id, domain_id, run_id, number, worker, before)
		SELECT company_id, domain_id, id, attempts, $9, processed FROM run WHERE failures < $8
	)
	SELECT ` + runColumns + `, EXISTS (SELECT FROM died) FROM run`

// fence locks the row of a run that is still ours until tx ends and returns what it says
// now, or errLeaseLost.
func (r *Runner) fence(ctx context.Context, tx *tenancy.Tx, rec *record) (*record, error) {
	now, err := one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.runs, `+r.idleLimit()+`
		WHERE domain_id = $1 AND id = $2 AND lease = $3 AND state = 'processing' FOR NO KEY UPDATE OF runs`), rec.DomainID, rec.ID, rec.token))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errLeaseLost
	}
	return now, err
}

// refresh reads a run that is still ours.
func (r *Runner) refresh(ctx context.Context, rec *record) (*record, error) {
	var now *record
	err := r.db.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		now, err = r.fence(ctx, tx, rec)
		return err
	})
	return now, err
}

// passOn is giveBack for a run that another process may do; what is missing here is said of it.
func (r *Runner) passOn(ctx context.Context, rec *record, cause error, wait time.Duration) error {
	return r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := r.fence(ctx, tx, rec)
		if err != nil {
			return err
		}
		_, err = r.leave(ctx, tx, now, AttemptInterrupted, cause, `state = 'queued', error = $4, error_code = $5, next_attempt_at = now() + $8::interval`, wait)
		return err
	})
}

// giveBack ends the lease of a run that is not done: it stands in line again.
func (r *Runner) giveBack(ctx context.Context, rec *record, outcome AttemptOutcome, wait time.Duration) error {
	return r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := r.fence(ctx, tx, rec)
		if err != nil {
			return err
		}
		if _, err := r.leave(ctx, tx, now, outcome, nil, `state = 'queued', next_attempt_at = now() + $8::interval`, wait); err != nil {
			return fmt.Errorf("bulk: give back: %w", err)
		}
		// A run that waits is found by the poll, and who ends a slice looks for the next itself.
		if wait > 0 || outcome == AttemptSliced {
			return nil
		}
		return r.enqueue(ctx, tx, rec.ref(), rec.queue)
	})
}
