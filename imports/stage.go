package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// byKey makes the transaction read along keys, in order, as the statements here are
// written. The planner knows nothing of staging, which was filled a moment ago, and takes
// a domain that it has not met for empty: what it would choose can be a thousand times
// slower. Switched off means very dear, and what is very dear it would compile first.
const byKey = `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
	SET LOCAL enable_nestloop = on; SET LOCAL enable_material = off; SET LOCAL enable_sort = off; SET LOCAL jit = off`

// asUsual ends byKey, for what others ask the database: they write their statements for a planner
// that may sort and hash, and so are the triggers that count.
const asUsual = `SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_bitmapscan TO DEFAULT; SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT;
	SET LOCAL enable_nestloop TO DEFAULT; SET LOCAL enable_material TO DEFAULT; SET LOCAL enable_sort TO DEFAULT; SET LOCAL jit TO DEFAULT`

const createBatch = byKey + `;
	CREATE TEMP TABLE strata_import_batch (row_no integer, email text, email_norm text COLLATE "C", name text, status text,
		custom_fields jsonb, enrollments jsonb, errors jsonb, lost integer[], raw text[], corrects integer) ON COMMIT DROP`

// stagedColumns are the columns of a batch on its way into staging.
var stagedColumns = []string{"row_no", "email", "email_norm", "name", "status", "custom_fields", "enrollments", "errors", "lost", "raw", "corrects"}

// stageSQL judges the rows against the recipients there are while it moves them:
// PostgreSQL refuses COPY into a table with row-level security.
func stageSQL(policy Conflict) string {
	return `INSERT INTO strata.import_rows (domain_id, import_id, row_no, company_id, workspace_id, recipient_id, email, email_norm, name, status, custom_fields, enrollments, verdict, errors, lost, raw, corrects)
		SELECT $1, $2, b.row_no, $3, $4, r.id, b.email, b.email_norm, b.name, b.status, b.custom_fields, b.enrollments, ` + policy.verdict() + `, b.errors, b.lost, b.raw, b.corrects
		FROM pg_temp.strata_import_batch b ` + joinRecipient
}

// joinRecipient joins to rows b the recipient r that has their address.
var joinRecipient = `LEFT JOIN LATERAL (SELECT id, email_norm, name, status, custom_fields FROM strata.recipients r WHERE r.domain_id = $1 AND ` + addressIs(`b.email_norm`) + `) r ON true`

// addressIs is SQL that ends a look for the recipient r with an address: as the first of a range of
// one, because that has one plan only.
func addressIs(address string) string {
	return `r.email_norm >= ` + address + ` AND r.email_norm <= ` + address + ` AND r.deleted_at IS NULL ORDER BY r.email_norm LIMIT 1`
}

// explainRows is SQL that writes errors to staged rows of the import $2: row_no and errors are columns
// of from. Each row is a conflict, because that has one plan only: by a join, in an import that the
// planner takes for empty, each of its rows would be compared with each of from. So company_id and
// workspace_id, which an INSERT must have, are never written.
func explainRows(from string) string { return setRows(`'invalid'`, from) + `errors = excluded.errors` }

// judgeRows is explainRows with verdicts too; verdict is SQL.
func judgeRows(verdict, from string) string {
	return setRows(verdict, from) + `verdict = excluded.verdict, errors = excluded.errors`
}

func setRows(verdict, from string) string {
	return `INSERT INTO strata.import_rows AS i (domain_id, import_id, row_no, company_id, workspace_id, verdict, errors)
		SELECT $1, $2, row_no, $1, $1, ` + verdict + `, errors FROM ` + from + ` ON CONFLICT (domain_id, import_id, row_no) DO UPDATE SET `
}

// verdict is SQL for the verdict on a row b that joinRecipient has joined a recipient to.
func (c Conflict) verdict() string {
	return `CASE WHEN b.errors IS NOT NULL THEN 'invalid' WHEN r.id IS NULL THEN 'new' WHEN ` + c.merge("b.name", "b.status", "b.custom_fields").same() + ` THEN 'unchanged' ELSE 'update' END`
}

// staging is the staged rows of an import.
type staging struct {
	im     *Importer
	id     ID
	policy Conflict
	round  int // the rows to be written are those of it

	extensions []*recipients.AnyEnrollments // that the file has columns of
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
	if _, err := tx.Exec(ctx, tx.SQL(stageSQL(w.policy)), t.DomainID, w.id, t.CompanyID, t.WorkspaceID); err != nil {
		return err
	}
	numbers := make([]int32, len(rows))
	for i, row := range rows {
		numbers[i] = int32(row[0].(int))
	}
	return w.lookAtEnrollments(ctx, tx, numbers)
}

// markDuplicates lets the last row of an address win; the others say which that is. Rows that
// were written in an earlier round stay what they are.
func (s staging) markDuplicates(ctx context.Context, tx *tenancy.Tx) error {
	// Once over all rows, however few the planner believes there are.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, tx.SQL(`
		WITH seen AS (
			SELECT row_no, max(row_no) OVER (PARTITION BY email_norm) AS winner
			FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND email_norm IS NOT NULL)
		UPDATE strata.import_rows i SET verdict = 'duplicate', duplicate_of = seen.winner, errors = NULL
		FROM seen WHERE seen.row_no <> seen.winner AND i.domain_id = $1 AND i.import_id = $2 AND i.row_no = seen.row_no
			AND (i.verdict NOT IN ('new', 'update') OR i.round = $3) AND i.duplicate_of IS DISTINCT FROM seen.winner`),
		tx.Tenant().DomainID, s.id, s.round)
	if err != nil {
		return fmt.Errorf("find duplicates: %w", err)
	}
	return nil
}

// counts are the rows of an import by their verdicts; earlier are those that earlier rounds were for.
type counts struct{ total, fresh, changed, unchanged, duplicate, invalid, earlier int64 }

func (s staging) count(ctx context.Context, tx *tenancy.Tx) (c counts, err error) {
	err = tx.QueryRow(ctx, tx.SQL(`SELECT count(*), count(*) FILTER (WHERE verdict = 'new' AND round = $3), count(*) FILTER (WHERE verdict = 'update' AND round = $3),
			count(*) FILTER (WHERE verdict = 'unchanged'), count(*) FILTER (WHERE verdict = 'duplicate'), count(*) FILTER (WHERE verdict = 'invalid'),
			count(*) FILTER (WHERE verdict IN ('new', 'update') AND round < $3)
		FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2`), tx.Tenant().DomainID, s.id, s.round).
		Scan(&c.total, &c.fresh, &c.changed, &c.unchanged, &c.duplicate, &c.invalid, &c.earlier)
	if err != nil {
		return c, fmt.Errorf("count verdicts: %w", err)
	}
	return c, nil
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
