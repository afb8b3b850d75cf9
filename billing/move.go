package billing

import (
	"context"
	"errors"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Limits)(nil)

// PreviewMove finds what keeps a company from taking a domain of another one: its plan has
// no room.
func (l *Limits) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	if !m.CrossCompany() {
		return nil, nil
	}
	return l.PeekMove(ctx, m, ResourceDomains, 1)
}

// DomainMoved counts the domain for the company that it goes to.
func (l *Limits) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	return l.TransferTx(ctx, tx, m, ResourceDomains, 1)
}

// PeekMove is Peek in the company that m goes to, as a finding: for the participants in a
// move that count n of resource with a domain.
func (l *Limits) PeekMove(ctx context.Context, m move.Move, resource string, n int64) ([]move.Finding, error) {
	err := l.Peek(tenancy.WithTenant(ctx, m.Target()), resource, n)
	var refused *LimitError
	if errors.As(err, &refused) {
		return []move.Finding{{Kind: "limit_exceeded", Severity: move.Block, Subject: resource, Message: refused.Error(), Cause: refused}}, nil
	}
	return nil, err
}

// TransferTx counts n of resource for the company that m goes to, and no more for the one
// that it comes from: nothing where both are one. It returns a *LimitError when there is no
// room. tx is in the scope of the company that the domain comes from.
func (l *Limits) TransferTx(ctx context.Context, tx *tenancy.Tx, m move.Move, resource string, n int64) error {
	if !m.CrossCompany() {
		return nil
	}
	if err := l.Release(ctx, tx, resource, n); err != nil {
		return err
	}
	return tx.As(ctx, m.Target(), func(ctx context.Context, tx *tenancy.Tx) error { return l.Consume(ctx, tx, resource, n) })
}
