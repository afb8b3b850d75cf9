package bulk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// An orphan is a run that is due and of a kind that no process of its queue does. Nobody
// would ever claim it, and nobody would see that: it fails, as a dead letter that can be
// retried once a process knows its kind. Every started process says in strata.run_workers what
// it does, so that a kind that is done elsewhere, and only has to wait, is left alone.

// orphansAtOnce is how many orphans one process fails in one go.
const orphansAtOnce = 100

// beatEvery is how often a process says that it lives.
func (r *Runner) beatEvery() time.Duration { return min(time.Minute, r.cfg.OrphanAfter/4) }

// tendOrphans says what this process does and fails the runs that no process does. It knows
// of no orphan before it has lived for as long as others may be silent: they may be starting.
func (r *Runner) tendOrphans(l *life, began time.Time) {
	ctx, cancel := context.WithTimeout(l.work, claimTimeout)
	defer cancel()
	err := r.beat(ctx)
	if err == nil && time.Since(began) > r.cfg.OrphanAfter {
		err = r.failOrphans(ctx)
	}
	if err != nil && l.work.Err() == nil {
		r.cfg.Log.ErrorContext(l.work, "cannot look for runs that nobody does", "error", err)
	}
}

// beat notes what this process does, and deletes old notes.
func (r *Runner) beat(ctx context.Context) error {
	var b pgx.Batch
	b.Queue(r.db.SQL(`DELETE FROM strata.run_workers WHERE queue = $1 AND seen_at < now() - 2 * $2::interval`), r.cfg.Queue, r.cfg.OrphanAfter)
	b.Queue(r.db.SQL(`INSERT INTO strata.run_workers (queue, worker, kinds) VALUES ($1, $2, $3)`), r.cfg.Queue, r.cfg.Worker, r.kinds())
	if err := r.db.Pool().SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("bulk: note what is done here: %w", err)
	}
	return nil
}

// Orphans are looked for in three indexes, $1 is the queue and $2 OrphanAfter.
const (
	queuedOrphan = `queue = $1 AND state = 'queued' AND next_attempt_at < now() - $2::interval`
	deadOrphan   = `queue = $1 AND state = 'processing' AND lease_until < now() - $2::interval`
	pausedOrphan = `queue = $1 AND state = 'paused' AND cancel_requested AND updated_at < now() - $2::interval`

	undone = `NOT EXISTS (SELECT FROM strata.run_workers w WHERE w.queue = $1 AND w.seen_at > now() - $2::interval AND r.kind = ANY (w.kinds))`
)

func (r *Runner) failOrphans(ctx context.Context) error {
	var found []Run
	const of = `SELECT company_id, workspace_id, domain_id, id, kind FROM strata.runs WHERE `
	err := r.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id
		FROM (`+of+queuedOrphan+` UNION ALL `+of+deadOrphan+` UNION ALL `+of+pausedOrphan+`) r WHERE `+undone+` LIMIT $3`,
		[]any{r.cfg.Queue, r.cfg.OrphanAfter, orphansAtOnce}, func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Run, err error) {
				err = row.Scan(&o.CompanyID, &o.WorkspaceID, &o.DomainID, &o.ID)
				return o, err
			})
			return err
		})
	if err == nil {
		_, err = tenancy.Chore(ctx, found, func(ctx context.Context, o Run) (bool, error) {
			if err := r.failOrphan(ctx, o); err != nil {
				return false, fmt.Errorf("run %s: %w", o.ID, err)
			}
			return true, nil
		})
	}
	if err != nil {
		return fmt.Errorf("bulk: fail what nobody does: %w", err)
	}
	return nil
}

// failOrphan fails a run, or ends one that was to be cancelled, unless somebody was faster.
// There is no Handler here whose Finish could be called.
func (r *Runner) failOrphan(ctx context.Context, o Run) error {
	t := tenancy.Tenant{CompanyID: o.CompanyID, WorkspaceID: o.WorkspaceID, DomainID: o.DomainID}
	ctx = tenancy.WithActor(tenancy.WithDeleted(tenancy.WithTenant(ctx, t)), tenancy.Actor{Type: tenancy.ActorSystem})
	return r.db.InTx(ctx, func(tx *tenancy.Tx) error {
		rec, err := one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.runs r WHERE domain_id = $3 AND id = $4
				AND (`+queuedOrphan+` OR `+deadOrphan+` OR `+pausedOrphan+`) FOR NO KEY UPDATE SKIP LOCKED`),
			r.cfg.Queue, r.cfg.OrphanAfter, o.DomainID, o.ID))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if rec.cancel {
			return r.end(ctx, tx, rec, StateCancelled, nil, rec.Failures)
		}
		return r.end(ctx, tx, rec, StateFailed, fmt.Errorf("%s: %w", rec.Kind, errUnknownKind), rec.Failures)
	})
}
