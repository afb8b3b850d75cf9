package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// merge makes the rows of a report those of the import that it corrects. It is the whole of what
// the run does to that import, in the transaction that ends the run.
func (w *processWork) merge(ctx context.Context, tx *tenancy.Tx) error {
	of, s, err := lock(ctx, tx, w.opened.Corrects)
	if err != nil {
		return err
	}
	set, err := w.im.fields.SetTx(ctx, tx)
	if err != nil {
		return err
	}
	if err := w.im.mayCorrect(of, s, set); err != nil {
		return err
	}
	if err := w.checked.checkFields(set); err != nil {
		return err
	}
	if !s.plan.sameRules(w.checked.plan) || s.plan.reading(of.ID) != w.checked.plan.Report.Reading {
		return fmt.Errorf("%w by this report: its file was processed otherwise meanwhile; correct the report that it has now", ErrNotCorrectable)
	}
	to := staging{im: w.im, id: of.ID, policy: w.policy, round: of.Round, extensions: w.extensions}
	if of.Status == Done {
		to.round++
	}
	if err := w.checkRows(ctx, tx, to); err != nil {
		return err
	}
	if err := w.keepLost(ctx, tx, to); err != nil {
		return fmt.Errorf("find cells that are as the report had them: %w", err)
	}
	// A duplicate was checked by the definitions of its time.
	same := len(changedSince(s.plan.Definitions, w.checked.plan.Definitions)) == 0
	replaced, err := w.replace(ctx, tx, to, same)
	if err != nil {
		return fmt.Errorf("replace rows: %w", err)
	}
	for rows := range slices.Chunk(replaced, w.im.cfg.BatchRows) {
		if err := to.lookAtEnrollments(ctx, tx, rows); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, byHash); err != nil {
		return err
	}
	s.plan.Definitions, s.plan.Defaults = w.checked.plan.Definitions, w.checked.plan.Defaults
	if err := w.keepPlan(ctx, tx, of.ID, s.plan); err != nil {
		return err
	}
	if err := to.compare(ctx, tx); err != nil {
		return err
	}
	if err := w.recount(ctx, tx, of, to); err != nil {
		return fmt.Errorf("count what is corrected: %w", err)
	}
	return w.merged(ctx, tx, to)
}

// mendable is SQL for: a report can correct the row o, where $4 is the round that it is for.
const mendable = `(o.verdict = 'invalid' OR o.verdict IN ('new', 'update') AND o.round < $4
	AND (o.errors IS NOT NULL AND NOT o.errors @> '[{"field":"row"}]' OR o.errors @> '[{"code":"recipient_gone"}]' OR o.errors @> '[{"code":"` + codeNotCommitted + `"}]'))`

// untouched is SQL for: the report's row n says what the row o did, which was right, and only came
// out otherwise than its preview said.
const untouched = `(o.errors IS NOT NULL AND n.errors IS NULL AND
	(n.email_norm, n.name, n.status, n.custom_fields, n.enrollments) IS NOT DISTINCT FROM (o.email_norm, o.name, o.status, o.custom_fields, o.enrollments))`

// namedRows is how many rows an error names.
const namedRows = 20

// checkRows returns a *FileError that names the rows of the report which are no corrections.
func (w *processWork) checkRows(ctx context.Context, tx *tenancy.Tx, to staging) error {
	if _, err := tx.Exec(ctx, byHash); err != nil {
		return err
	}
	says := map[string]string{
		"foreign":    "rows %s of the report are, as __import says, not of this import, or of another sheet: upload them to theirs",
		"unnumbered": "rows %s of the report do not say in __row which row of the file they are, or have not as many cells as its header: leave __row as it was",
		"repeated":   "rows %s of the file are in the report more than once: leave one of each",
		"unknown":    "the file has no rows %s: leave __row as it was",
		"fine":       "rows %s of the file are not to be corrected: they were not wrong, are written by now, or wait for the commit; take them out of the report",
	}
	wrong := map[string]string{}
	err := tx.Read(ctx, `
		WITH n AS MATERIALIZED (
			SELECT *, count(*) OVER (PARTITION BY corrects) AS times FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2
		), judged AS (
			SELECT CASE WHEN n.corrects IS NULL THEN 'unnumbered' WHEN n.corrects = `+strconv.Itoa(foreign)+` THEN 'foreign' WHEN n.times > 1 THEN 'repeated'
					WHEN o.row_no IS NULL THEN 'unknown' WHEN `+mendable+` IS NOT TRUE AND NOT `+untouched+` THEN 'fine' END AS kind,
				coalesce(nullif(n.corrects, `+strconv.Itoa(foreign)+`), n.row_no) AS row_no
			FROM n LEFT JOIN strata.import_rows o ON o.domain_id = $1 AND o.import_id = $3 AND o.row_no = n.corrects)
		SELECT kind, (array_agg(DISTINCT row_no ORDER BY row_no))[1:$5], count(DISTINCT row_no) FROM judged WHERE kind IS NOT NULL GROUP BY kind`,
		[]any{tx.Tenant().DomainID, w.id, to.id, to.round, namedRows}, func(rows pgx.Rows) error {
			var kind string
			var numbers []int
			var all int
			_, err := pgx.ForEachRow(rows, []any{&kind, &numbers, &all}, func() error {
				wrong[kind] = fmt.Sprintf(says[kind], enumerate(numbers, all))
				return nil
			})
			return err
		})
	if err != nil {
		return fmt.Errorf("check the rows of a report: %w", err)
	}
	var parts []string
	for _, kind := range []string{"foreign", "unnumbered", "repeated", "unknown", "fine"} {
		if wrong[kind] != "" {
			parts = append(parts, wrong[kind])
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return &FileError{"wrong_rows", strings.Join(parts, "; ") + ". Nothing was merged"}
}

// enumerate lists numbers, the first of all.
func enumerate(numbers []int, all int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	s := strings.Join(parts, ", ")
	if more := all - len(numbers); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// byHash is byKey for statements that go once over all rows of two imports.
const byHash = byKey + `; SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_sort = on; SET LOCAL work_mem = '64MB'`

// leftAsItWas is SQL for: the row o had not the cells of the header, and n has those that the report
// had of it. That it has as many as it should is the report's doing, and no correction. $6 are the
// columns that the report has.
const leftAsItWas = `coalesce((o.errors @> '[{"code":"` + codeBadCSV + `"}]' OR o.errors @> '[{"code":"` + codeMissingColumns + `"}]' OR o.errors @> '[{"code":"` + codeExtraColumns + `"}]')
	AND NOT EXISTS (SELECT FROM unnest($6::int[]) c WHERE n.raw[c] <> coalesce(o.raw[c], '')), false)`

// keepLost makes rows of the report invalid in which a cell is left as the report had it, which is
// not what the file has there. A program may have made question marks of what is in no code page.
func (w *processWork) keepLost(ctx context.Context, tx *tenancy.Tx, to staging) error {
	_, err := tx.Exec(ctx, tx.SQL(`
		UPDATE strata.import_rows n SET email = NULL, email_norm = NULL, name = NULL, status = NULL, custom_fields = NULL, enrollments = NULL,
			lost = coalesce(n.lost, '{}') || l.lost, errors = coalesce(n.errors, '[]') || l.errors
		FROM (SELECT n.row_no, array_agg(c) AS lost, jsonb_agg(jsonb_build_object('field', ($4::text[])[c], 'code', 'left_as_it_was', 'message', $5::text)) AS errors
			FROM strata.import_rows n JOIN strata.import_rows o ON o.domain_id = $1 AND o.import_id = $3 AND o.row_no = n.corrects, unnest(o.lost) c
			WHERE n.domain_id = $1 AND n.import_id = $2 AND o.lost IS NOT NULL AND n.raw[c] IN (o.raw[c], replace(o.raw[c], chr(65533), '?')) AND c <> ALL (coalesce(n.lost, '{}'))
			GROUP BY n.row_no) l
		WHERE n.domain_id = $1 AND n.import_id = $2 AND n.row_no = l.row_no`),
		tx.Tenant().DomainID, w.id, to.id, w.columns, "the report could not show what the file has here (what is no text, has an error, is a formula without its result, or is very long): write what it should say")
	return err
}

// replace gives rows of the corrected import what the report has for them, judged by the
// recipients that there are now, and returns which they are. Rows that had lost to one of them are
// judged too: it may have another address. They are invalid when what they were checked by does
// not hold any more.
func (w *processWork) replace(ctx context.Context, tx *tenancy.Tx, to staging, duplicates bool) (replaced []int32, err error) {
	err = tx.Read(ctx, `
		WITH given AS MATERIALIZED (
			SELECT n.corrects AS row_no, n.email, n.email_norm, n.name, n.status, n.custom_fields, n.enrollments, n.errors,
				CASE WHEN n.errors IS NOT NULL THEN n.raw END AS raw, CASE WHEN n.errors IS NOT NULL THEN n.lost END AS lost
			FROM strata.import_rows n JOIN strata.import_rows o ON o.domain_id = $1 AND o.import_id = $3 AND o.row_no = n.corrects
			WHERE n.domain_id = $1 AND n.import_id = $2 AND `+mendable+` AND NOT `+leftAsItWas+`
		), b AS MATERIALIZED (
			SELECT * FROM given
			UNION ALL
			SELECT d.row_no, d.email, d.email_norm, d.name, d.status, d.custom_fields, d.enrollments,
				CASE WHEN NOT $5 THEN jsonb_build_array(jsonb_build_object('field', 'row', 'code', 'fields_changed',
					'message', 'lost to row ' || d.duplicate_of || ', which was corrected, and was checked by the custom fields as they were: correct it too, or leave it as it is')) END, d.raw, d.lost
			FROM strata.import_rows d JOIN given ON given.row_no = d.duplicate_of
			WHERE d.domain_id = $1 AND d.import_id = $3 AND d.verdict = 'duplicate'
		), judged AS MATERIALIZED (
			SELECT b.*, r.id AS recipient_id, `+to.policy.verdict()+` AS verdict FROM b `+joinRecipient+`
		)
		UPDATE strata.import_rows o SET recipient_id = j.recipient_id, email = j.email, email_norm = j.email_norm, name = j.name, status = j.status,
			custom_fields = j.custom_fields, enrollments = j.enrollments, verdict = j.verdict, duplicate_of = NULL, errors = j.errors, raw = j.raw, lost = j.lost, round = $4
		FROM judged j WHERE o.domain_id = $1 AND o.import_id = $3 AND o.row_no = j.row_no RETURNING o.row_no`,
		[]any{tx.Tenant().DomainID, w.id, to.id, to.round, duplicates, w.checked.plan.Report.shown()}, func(rows pgx.Rows) error {
			replaced, err = pgx.CollectRows(rows, pgx.RowTo[int32])
			return err
		})
	slices.Sort(replaced)
	return replaced, err
}

// keepPlan writes down by what the rows were checked.
func (w *processWork) keepPlan(ctx context.Context, tx *tenancy.Tx, id ID, p plan) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET plan = $3, fields_version = $4 WHERE domain_id = $1 AND id = $2`), tx.Tenant().DomainID, id, raw, w.checked.fieldsVersion)
	return err
}

// recount says of the corrected import what its rows are now. One that was committed waits for a
// commit again when there is something to write.
func (w *processWork) recount(ctx context.Context, tx *tenancy.Tx, of Import, to staging) error {
	c, err := to.count(ctx, tx)
	if err != nil {
		return err
	}
	status, round := Previewed, to.round
	if of.Status == Done && c.fresh+c.changed == 0 {
		status, round, c.fresh, c.changed = Done, of.Round, of.New, of.Changed
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, round = $4, new = $5, changed = $6, unchanged = $7, duplicate = $8, invalid = $9,
			skipped = $10 - inserted - updated, processed = CASE WHEN $11 THEN $10 END, updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, of.ID, string(status), round, c.fresh, c.changed, c.unchanged, c.duplicate, c.invalid, c.earlier, to.round > 0)
	return err
}

// merged ends the import that the report was, with what became of its rows.
func (w *processWork) merged(ctx context.Context, tx *tenancy.Tx, to staging) error {
	if _, err := tx.Exec(ctx, byHash); err != nil {
		return err
	}
	var c counts
	err := tx.QueryRow(ctx, tx.SQL(`UPDATE strata.imports i SET status = 'merged', error = '', updated_at = now(), total = c.total, new = c.new, changed = c.changed,
			unchanged = c.unchanged, duplicate = c.duplicate, invalid = c.invalid
		FROM (SELECT count(*) AS total, count(*) FILTER (WHERE o.verdict = 'new') AS new, count(*) FILTER (WHERE o.verdict = 'update') AS changed,
				count(*) FILTER (WHERE o.verdict = 'unchanged') AS unchanged, count(*) FILTER (WHERE o.verdict = 'duplicate') AS duplicate,
				count(*) FILTER (WHERE o.verdict = 'invalid') AS invalid
			FROM strata.import_rows n JOIN strata.import_rows o ON o.domain_id = $1 AND o.import_id = $3 AND o.row_no = n.corrects
			WHERE n.domain_id = $1 AND n.import_id = $2) c
		WHERE i.domain_id = $1 AND i.id = $2 RETURNING i.total, i.new, i.changed, i.unchanged, i.duplicate, i.invalid`), tx.Tenant().DomainID, w.id, to.id).
		Scan(&c.total, &c.fresh, &c.changed, &c.unchanged, &c.duplicate, &c.invalid)
	if err != nil {
		return fmt.Errorf("count what became of a report: %w", err)
	}
	return w.im.record(ctx, tx, "import.corrected", to.id, map[string]any{
		"report": w.id, "round": to.round, "rows": c.total, "new": c.fresh, "update": c.changed, "unchanged": c.unchanged, "duplicate": c.duplicate, "invalid": c.invalid,
	})
}

// hasCorrections reports whether reports were merged into an import.
func hasCorrections(ctx context.Context, tx *tenancy.Tx, id ID) (found bool, err error) {
	err = tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.imports WHERE domain_id = $1 AND corrects = $2 AND status = 'merged')`), tx.Tenant().DomainID, id).Scan(&found)
	return found, err
}

// codeNotCommitted is the error of rows that were corrected, and not committed.
const codeNotCommitted = "correction_cancelled"

// endRound makes an import that waits for the commit of a correction, if it does, what it was
// before: Done, with the rows that it would have written among those that are skipped.
const endRound = `UPDATE strata.imports SET status = 'done', skipped = skipped + new + changed, processed = inserted + updated + skipped + new + changed, updated_at = now()
	WHERE domain_id = $1 AND id = $2 AND status = 'preview' AND round > 0`

// endRound is the same, and reports on those rows.
func (im *Importer) endRound(ctx context.Context, tx *tenancy.Tx, id ID, round int) error {
	if _, err := notCommitted(ctx, tx, id, round, ""); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, tx.SQL(endRound), tx.Tenant().DomainID, id); err != nil {
		return err
	}
	return im.record(ctx, tx, "import.correction_cancelled", id, map[string]any{"round": round})
}

// notCommitted writes down with the rows of a round after an address that they are not written, and
// returns how many those are.
func notCommitted(ctx context.Context, tx *tenancy.Tx, id ID, round int, after string) (int64, error) {
	reason, err := json.Marshal([]tenancy.FieldError{{Field: "row", Code: codeNotCommitted, Message: "the row was corrected, and that was cancelled before its commit"}})
	if err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.import_rows SET errors = $4 WHERE domain_id = $1 AND import_id = $2 AND round = $3 AND verdict IN ('new', 'update') AND email_norm > $5`),
		tx.Tenant().DomainID, id, round, reason, after)
	return tag.RowsAffected(), err
}
