package exports

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Exporter)(nil)

// PreviewMove finds nothing of its own: the run of an export that has not ended is found by
// its Runner.
func (e *Exporter) PreviewMove(context.Context, move.Move) ([]move.Finding, error) { return nil, nil }

// DomainMoved ends the time of all files: they are what somebody of the workspace that the
// domain has left wanted to see, with its fields, and lie below the name of its company. To
// export again costs little.
func (e *Exporter) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipient_exports SET expires_at = least(expires_at, $2) WHERE domain_id = $1 AND deleted_at IS NULL`), m.DomainID, e.cfg.Now())
	if err != nil {
		return fmt.Errorf("exports: a domain moves: %w", err)
	}
	return nil
}
