package settings

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Store)(nil)

// PreviewMove warns of every setting that would have another value for the domain.
func (s *Store) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	differences, err := s.Preview(ctx, m.Source(), target(m))
	if err != nil {
		return nil, err
	}
	findings := make([]move.Finding, len(differences))
	for i, d := range differences {
		findings[i] = move.Finding{Kind: "setting_changes", Severity: move.Warn, Subject: d.Key}
		if d.Kept {
			findings[i].Kind = "setting_kept"
			findings[i].Message = fmt.Sprintf("the domain keeps %s = %s as a value of its own: there it would be %s", d.Key, d.Before, d.After)
		} else {
			findings[i].Message = fmt.Sprintf("%s changes from %s to %s, which is decided there", d.Key, d.Before, d.After)
		}
	}
	return findings, nil
}

// DomainMoved is Moved; the trail of the company that the domain goes to tells what it kept.
func (s *Store) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	return tx.As(ctx, m.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := s.Moved(ctx, tx, m.Source(), target(m))
		return err
	})
}

// target is the domain where it goes to.
func target(m move.Move) tenancy.Tenant {
	t := m.Target()
	t.DomainID = m.DomainID
	return t
}
