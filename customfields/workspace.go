package customfields

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

var _ tenancy.Configuration = (*Registry)(nil)

// WorkspaceDeleted archives every field of the workspace that tx deletes, so that none of
// them counts towards the company's plan any more. tenancy.Store calls it.
func (r *Registry) WorkspaceDeleted(ctx context.Context, tx *tenancy.Tx) error {
	t, err := r.change(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.custom_fields AS f SET archived_at = now(), updated_at = now(), version = version + 1
		WHERE workspace_id = $1 AND archived_at IS NULL RETURNING `+fieldColumns), t.WorkspaceID)
	if err != nil {
		return fmt.Errorf("customfields: archive the fields of a workspace: %w", err)
	}
	fields, err := pgx.CollectRows(rows, scanField)
	if err != nil {
		return fmt.Errorf("customfields: archive the fields of a workspace: %w", err)
	}
	entries := make([]audit.Entry, len(fields))
	for i, f := range fields {
		entries[i] = entry("custom_field.archived", f)
	}
	if err := r.audit.RecordTx(ctx, tx, entries...); err != nil {
		return err
	}
	return r.limits.Release(ctx, tx, billing.ResourceCustomFields, int64(len(fields)))
}
