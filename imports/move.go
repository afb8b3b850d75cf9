package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Importer)(nil)

// PreviewMove finds the imports that have not ended: their rows were checked against the
// fields of the workspace that the domain leaves, and what they have reserved is of the plan
// of its company.
func (im *Importer) PreviewMove(ctx context.Context, m move.Move) (found []move.Finding, err error) {
	err = im.db.Read(ctx, `SELECT id, status FROM strata.imports WHERE domain_id = $1 AND status IN ('pending', 'validating', 'preview', 'processing', 'undoing') ORDER BY id LIMIT 100`,
		[]any{m.DomainID}, func(rows pgx.Rows) error {
			var id ID
			var status string
			_, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error {
				found = append(found, move.Finding{
					Kind: "import_unfinished", Severity: move.Block, Subject: id.String(),
					Message: fmt.Sprintf("the import %s is %s: finish it, or cancel it", id, status),
				})
				return nil
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("imports: look for imports of a domain that moves: %w", err)
	}
	return found, nil
}

// DomainMoved makes the imports that failed fail again when they are retried: their rows were
// checked against another workspace's fields, whose version says nothing in this one. What can
// be undone stays so, but for values of custom fields: they were of that workspace too. Files
// stay where they are in the bucket: an import knows its own.
func (im *Importer) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET fields_version = -1 WHERE domain_id = $1 AND (status = 'failed' OR committed_at IS NOT NULL)`), m.DomainID)
	if err != nil {
		return fmt.Errorf("imports: a domain moves: %w", err)
	}
	return nil
}
