package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// byKey makes the transaction read along keys, in order, as the statements here are
// written. The planner knows nothing of staging, which was filled a moment ago, and takes
// a domain that it has not met for empty: what it would choose can be a thousand times
// slower. Switched off means very dear, and what is very dear it would compile first.
const byKey = `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
	SET LOCAL enable_nestloop = on; SET LOCAL enable_material = off; SET LOCAL enable_sort = off; SET LOCAL jit = off`

const createBatch = byKey + `;
	CREATE TEMP TABLE strata_import_batch (row_no integer, email text, email_norm text COLLATE "C", name text, status text,
		custom_fields jsonb, errors jsonb, raw text[]) ON COMMIT DROP`

// stagedColumns are the columns of a batch on its way into staging.
var stagedColumns = []string{"row_no", "email", "email_norm", "name", "status", "custom_fields", "errors", "raw"}

// stageSQL judges the rows against the recipients there are while it moves them:
// PostgreSQL refuses COPY into a table with row-level security. A recipient is found as
// the first at or after an address, because that has one plan only.
func stageSQL(policy Conflict) string {
	return `INSERT INTO strata.import_rows (domain_id, import_id, row_no, company_id, workspace_id, recipient_id, email, email_norm, name, status, custom_fields, verdict, errors, raw)
		SELECT $1, $2, b.row_no, $3, $4, r.id, b.email, b.email_norm, b.name, b.status, b.custom_fields,
			CASE WHEN b.errors IS NOT NULL THEN 'invalid' WHEN r.id IS NULL THEN 'new' WHEN ` + policy.merge("b.name", "b.status", "b.custom_fields").same() + ` THEN 'unchanged' ELSE 'update' END,
			b.errors, b.raw
		FROM pg_temp.strata_import_batch b
		LEFT JOIN LATERAL (
			SELECT id, email_norm, name, status, custom_fields FROM strata.recipients
			WHERE domain_id = $1 AND email_norm >= b.email_norm AND deleted_at IS NULL ORDER BY email_norm LIMIT 1
		) r ON r.email_norm = b.email_norm`
}

func (w *processWork) stage(ctx context.Context, tx *tenancy.Tx, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, createBatch); err != nil {
		return err
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "strata_import_batch"}, stagedColumns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	t := tx.Tenant()
	_, err := tx.Exec(ctx, tx.SQL(stageSQL(w.policy)), t.DomainID, w.id, t.CompanyID, t.WorkspaceID)
	return err
}

// markDuplicates lets the last row of an address win; the others say which that is.
func (w *processWork) markDuplicates(ctx context.Context, tx *tenancy.Tx) error {
	// Once over all rows, however few the planner believes there are.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, tx.SQL(`
		WITH seen AS (
			SELECT row_no, max(row_no) OVER (PARTITION BY email_norm) AS winner
			FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND verdict <> 'invalid')
		UPDATE strata.import_rows i SET verdict = 'duplicate', duplicate_of = seen.winner
		FROM seen WHERE seen.row_no <> seen.winner AND i.domain_id = $1 AND i.import_id = $2 AND i.row_no = seen.row_no`),
		tx.Tenant().DomainID, w.id)
	if err != nil {
		return fmt.Errorf("find duplicates: %w", err)
	}
	return nil
}

// clearedAtOnce is how many staged rows one transaction deletes.
const clearedAtOnce = 50_000

// clearRows deletes staged rows and reports whether there may be more.
func clearRows(ctx context.Context, tx *tenancy.Tx, id ID) (more bool, err error) {
	tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND row_no <= (
			SELECT max(row_no) FROM (SELECT row_no FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 ORDER BY row_no LIMIT $3) first)`),
		tx.Tenant().DomainID, id, clearedAtOnce)
	if err != nil {
		return false, fmt.Errorf("delete staged rows: %w", err)
	}
	return tag.RowsAffected() >= clearedAtOnce, nil
}
