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
	err = r.db.Read(ctx, `SELECT id, kind FROM strata.runs WHERE domain_id = $1 AND state IN ('queued', 'processing', 'paused') ORDER BY id LIMIT 100`,
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

// DomainMoved has nothing to do: runs are rows of the domain.
func (r *Runner) DomainMoved(context.Context, *tenancy.Tx, move.Move) error { return nil }
