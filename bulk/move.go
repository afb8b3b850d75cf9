package bulk

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Runner)(nil)

// PreviewMove finds the runs of the domain that have not ended, of any queue: what they
// hold, such as room in a plan, is the company's.
func (r *Runner) PreviewMove(ctx context.Context, m move.Move) (found []move.Finding, err error) {
	err = r.db.Read(ctx, `SELECT id, kind FROM strata.runs WHERE domain_id = $1 AND `+active+` ORDER BY id LIMIT 100`,
		[]any{m.DomainID}, func(rows pgx.Rows) error {
			var id RunID
			var kind string
			_, err := pgx.ForEachRow(rows, []any{&id, &kind}, func() error {
				found = append(found, move.Finding{
					Kind: "job_active", Severity: move.Block, Subject: id.String(),
					Message: fmt.Sprintf("the job %s (%s) has not ended: wait for it, or cancel it", id, kind),
				})
				return nil
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("bulk: look for runs of a domain that moves: %w", err)
	}
	return found, nil
}

// DomainMoved forgets the runs of the workspace and the company that the domain leaves. Its
// own go along: they are rows of the domain.
func (r *Runner) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	_, err := tx.Exec(ctx, tx.SQL(`WITH gone AS (DELETE FROM strata.runs WHERE domain_id = $1 AND level <> 'domain' RETURNING id)
		DELETE FROM strata.run_batches b USING gone WHERE b.domain_id = $1 AND b.run_id = gone.id`), m.DomainID)
	if err != nil {
		return fmt.Errorf("bulk: forget runs of what a domain leaves: %w", err)
	}
	return nil
}
