package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Store)(nil)

const countLiveSQL = `SELECT count(*) FROM strata.recipients WHERE domain_id = $1 AND deleted_at IS NULL`

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

func countLive(ctx context.Context, db reader, domain tenancy.DomainID) (n int64, err error) {
	err = db.Read(ctx, countLiveSQL, []any{domain}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("recipients: count those of a domain that moves: %w", err)
	}
	return n, nil
}

// PreviewMove finds that the plan of the company that a domain goes to has no room for its
// recipients.
func (s *Store) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	if !m.CrossCompany() {
		return nil, nil
	}
	n, err := countLive(ctx, s.db, m.DomainID)
	if err != nil {
		return nil, err
	}
	return s.limits.PeekMove(ctx, m, billing.ResourceRecipients, n)
}

// DomainMoved counts the recipients for the company that the domain goes to.
func (s *Store) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	if !m.CrossCompany() {
		return nil
	}
	n, err := countLive(ctx, tx, m.DomainID)
	if err != nil {
		return err
	}
	return s.limits.TransferTx(ctx, tx, m, billing.ResourceRecipients, n)
}
