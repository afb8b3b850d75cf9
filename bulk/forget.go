package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// partsOfRuns are the tables with rows of a run, by their column run_id. They go before it.
var partsOfRuns = []string{"run_batches", "run_attempts", "run_targets", "run_failures"}

const (
	// forgottenAtOnce is how many runs one call of Forget deletes at most.
	forgottenAtOnce = 1000
	// partsAtOnce is how many rows of a run one transaction deletes at most.
	partsAtOnce = 10_000
)

// Delete forgets a run that has ended, with its ledger and its job log; the audit trail
// remains. Errors: ErrNotFound, ErrState while it has not ended.
func (r *Runner) Delete(ctx context.Context, id RunID) error {
	run, err := r.Get(ctx, id)
	if err != nil {
		return err
	}
	if !run.State.Final() {
		return ErrState
	}
	in := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: run.CompanyID, WorkspaceID: run.WorkspaceID, DomainID: run.DomainID})
	gone, err := r.forget(in, id, `state IN ('completed', 'failed', 'cancelled')`, "run.deleted")
	if err == nil && !gone { // it was tried again just now, or somebody else deleted it
		return r.Delete(ctx, id)
	}
	return err
}

// Forget deletes the runs that ended longer ago than Config.Keep, failed ones longer ago than
// Config.KeepFailed, in every domain, and returns how many. Run it every few minutes; any
// number of processes may. One that cannot be deleted does not keep the others: the errors
// come joined, and the next call goes on.
func (r *Runner) Forget(ctx context.Context) (int, error) {
	const old = `finished_at < now() - CASE state WHEN 'failed' THEN $2::interval ELSE $1::interval END`
	var due []Run
	err := r.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id FROM strata.runs
		WHERE finished_at < now() - least($1::interval, $2::interval) AND `+old+` ORDER BY finished_at LIMIT $3`,
		[]any{r.cfg.Keep, r.cfg.KeepFailed, forgottenAtOnce}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Run, err error) {
				err = row.Scan(&o.CompanyID, &o.WorkspaceID, &o.DomainID, &o.ID)
				return o, err
			})
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("bulk: find old runs: %w", err)
	}
	ctx = tenancy.WithActor(tenancy.WithDeleted(ctx), tenancy.Actor{Type: tenancy.ActorSystem})
	return tenancy.Chore(ctx, due, func(ctx context.Context, o Run) (bool, error) {
		gone, err := r.forget(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: o.CompanyID, WorkspaceID: o.WorkspaceID, DomainID: o.DomainID}),
			o.ID, `finished_at < now() - $3::interval`, "", min(r.cfg.Keep, r.cfg.KeepFailed))
		if err != nil {
			err = fmt.Errorf("run %s: %w", o.ID, err)
		}
		return gone, err
	})
}

// forget deletes a run of ctx's domain that a condition holds for, with its parts, and
// reports whether it did. Each transaction deletes a bounded part, the last one the run: what
// is broken off goes on the next time.
func (r *Runner) forget(ctx context.Context, id RunID, condition, action string, args ...any) (gone bool, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return false, err
	}
	for more := true; more && err == nil; {
		err = r.db.InTx(ctx, func(tx *tenancy.Tx) error {
			rec, err := one(tx.Query(ctx, tx.SQL(`SELECT `+runColumns+` FROM strata.runs WHERE domain_id = $1 AND id = $2 AND `+condition+` FOR UPDATE`),
				append([]any{t.DomainID, id}, args...)...))
			if errors.Is(err, pgx.ErrNoRows) {
				more = false
				return nil
			}
			if err != nil {
				return err
			}
			if more, err = r.forgetParts(ctx, tx, id); more || err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.runs WHERE domain_id = $1 AND id = $2`), t.DomainID, id); err != nil {
				return err
			}
			gone = true
			if action == "" {
				return nil
			}
			return r.record(ctx, tx, action, rec.Run)
		})
	}
	if err != nil {
		return false, fmt.Errorf("bulk: forget a run: %w", err)
	}
	return gone, nil
}

// forgetParts deletes rows that belong to a run, and reports whether there may be more.
func (r *Runner) forgetParts(ctx context.Context, tx *tenancy.Tx, id RunID) (more bool, err error) {
	for _, table := range partsOfRuns {
		tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.`+table+` WHERE domain_id = $1 AND run_id = $2
			AND ctid = ANY (ARRAY(SELECT ctid FROM strata.`+table+` WHERE domain_id = $1 AND run_id = $2 LIMIT $3))`), tx.Tenant().DomainID, id, partsAtOnce)
		if err != nil {
			return false, err
		}
		if tag.RowsAffected() == partsAtOnce {
			return true, nil
		}
	}
	return false, nil
}
