package recipients

import (
	"context"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Store)(nil)

// PreviewMove finds that the plan of the company that a domain goes to has no room for its
// recipients.
func (s *Store) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	if !m.CrossCompany() {
		return nil, nil
	}
	n, err := liveCount(ctx, s.db, m.DomainID)
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
	n, err := liveCount(ctx, tx, m.DomainID)
	if err != nil {
		return err
	}
	return s.limits.TransferTx(ctx, tx, m, billing.ResourceRecipients, n)
}
