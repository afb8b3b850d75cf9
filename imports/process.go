package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// processHandler reads a file into staging. Each batch is one transaction with its
// cursor, so that a process that dies goes on, in another, at the byte where it was.
type processHandler struct{ im *Importer }

// readCursor is where a run stands in its file.
type readCursor struct {
	Offset int64 `json:"offset"` // of the next record
	Row    int   `json:"row"`    // of the last record
	EOF    bool  `json:"eof"`
}

// Open finds the file, unchanged, and the place in it.
func (h processHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	imp, s, err := h.im.read(ctx, ID(run.ID))
	if err != nil {
		return nil, err
	}
	if imp.Status != Validating { // retried after it had failed: the import has moved on
		return nil, bulk.Permanent(&StateError{imp.ID, imp.Status, "worked on"})
	}
	attrs, err := h.im.bucket.Attributes(ctx, s.objectKey)
	if gcerrors.Code(err) == gcerrors.NotFound || err == nil && attrs.ETag != s.etag {
		return nil, bulk.Permanent(ErrFileChanged)
	}
	if err != nil {
		return nil, fmt.Errorf("look at the file: %w", err)
	}
	set, err := h.im.fields.Set(ctx)
	if err != nil {
		return nil, err
	}
	if set.Version != s.fieldsVersion {
		return nil, bulk.Permanent(ErrFieldsChanged)
	}
	j, err := newJudge(s.plan, set)
	if err != nil {
		return nil, bulk.Permanent(err)
	}
	cursor := readCursor{Offset: s.plan.Format.Offset, Row: 1}
	if err := decodeCursor(run, &cursor); err != nil {
		return nil, bulk.Permanent(err)
	}
	open := func(offset int64) (io.ReadCloser, error) {
		return h.im.bucket.NewRangeReader(ctx, s.objectKey, offset, -1, nil)
	}
	w := &processWork{im: h.im, id: imp.ID, size: attrs.Size, judge: j, cursor: cursor, processed: run.Processed, fillEmpty: s.plan.Conflict == FillEmpty}
	if cursor.EOF {
		return w, nil
	}
	w.reader, err = newRecordReader(open, s.plan.Format, cursor.Offset, cursor.Row)
	return w, err
}

// decodeCursor reads where a run stood; a run that has not begun leaves v as it is.
func decodeCursor(run bulk.Run, v any) error {
	if len(run.Cursor) == 0 {
		return nil
	}
	return json.Unmarshal(run.Cursor, v)
}

type processWork struct {
	im        *Importer
	id        ID
	size      int64
	judge     *judge
	reader    *recordReader
	cursor    readCursor
	processed int64
	fillEmpty bool
}

func (w *processWork) Close() error {
	if w.reader == nil {
		return nil
	}
	return w.reader.close()
}

// batchBytes bounds the memory of a batch whose rows are long.
const batchBytes = 8 << 20

// Batch stages the next rows, and after the last finds the duplicates.
func (w *processWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.cursor.EOF {
		return bulk.Batch{Cursor: w.cursor, Done: true}, w.markDuplicates(ctx, tx)
	}
	rows := make([][]any, 0, w.im.cfg.BatchRows)
	next := w.cursor
	for bytes := int64(0); len(rows) < w.im.cfg.BatchRows && bytes < batchBytes; {
		rec, err := w.reader.next()
		if errors.Is(err, io.EOF) {
			next.EOF = true
			break
		}
		if err != nil {
			return bulk.Batch{}, fmt.Errorf("read the file: %w", err)
		}
		rows = append(rows, w.judge.row(rec))
		offset := w.reader.offset()
		bytes += offset - next.Offset
		next.Offset, next.Row = offset, rec.row
	}
	if err := w.stage(ctx, tx, rows); err != nil {
		return bulk.Batch{}, err
	}
	w.cursor = next
	w.processed += int64(len(rows))
	b := bulk.Batch{Cursor: next, Processed: int64(len(rows)), Total: w.processed}
	if !next.EOF && next.Offset > 0 { // how many rows there will be is a guess until the end
		b.Total = max(w.processed, int64(float64(w.processed)*float64(w.size)/float64(next.Offset)))
	}
	return b, nil
}

const (
	createBatch = `CREATE TEMP TABLE strata_import_batch (row_no integer, recipient_id uuid, email text, email_norm text COLLATE "C", name text, status text,
		custom_fields jsonb, errors jsonb, raw text[]) ON COMMIT DROP`

	// stageBatch judges the rows against the recipients there are while it moves them:
	// PostgreSQL refuses COPY into a table with row-level security. || keeps what the
	// file does not mention, so what it does not change is unchanged. $5 is the policy
	// that fills in only what is not set.
	stageBatch = `INSERT INTO strata.import_rows (domain_id, import_id, row_no, company_id, workspace_id, recipient_id, email, email_norm, name, status, custom_fields, verdict, errors, raw)
		SELECT $1, $2, b.row_no, $3, $4, coalesce(r.id, b.recipient_id), b.email, b.email_norm, b.name, b.status, b.custom_fields,
			CASE WHEN b.errors IS NOT NULL THEN 'invalid'
				WHEN r.id IS NULL THEN 'new'
				WHEN (b.name IS NULL OR b.name = r.name) AND (b.status IS NULL OR b.status = r.status) AND r.custom_fields || b.custom_fields = r.custom_fields THEN 'unchanged'
				WHEN $5 AND (b.name IS NULL OR r.name <> '') AND b.custom_fields || r.custom_fields = r.custom_fields THEN 'unchanged'
				ELSE 'update' END,
			b.errors, b.raw
		FROM pg_temp.strata_import_batch b
		LEFT JOIN strata.recipients r ON r.domain_id = $1 AND r.email_norm = b.email_norm AND r.deleted_at IS NULL`
)

func (w *processWork) stage(ctx context.Context, tx *tenancy.Tx, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, createBatch); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "strata_import_batch"}, stagedColumns, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	t := tx.Tenant()
	if _, err := tx.Exec(ctx, tx.SQL(stageBatch), t.DomainID, w.id, t.CompanyID, t.WorkspaceID, w.fillEmpty); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	return nil
}

// markDuplicates lets the last row of an address win; the others say which that is.
func (w *processWork) markDuplicates(ctx context.Context, tx *tenancy.Tx) error {
	_, err := tx.Exec(ctx, tx.SQL(`
		WITH d AS MATERIALIZED (
			SELECT email_norm, max(row_no) AS winner FROM strata.import_rows
			WHERE domain_id = $1 AND import_id = $2 AND verdict <> 'invalid' GROUP BY email_norm HAVING count(*) > 1)
		UPDATE strata.import_rows i SET verdict = 'duplicate', duplicate_of = d.winner
		FROM d WHERE i.domain_id = $1 AND i.import_id = $2 AND i.email_norm = d.email_norm AND i.row_no <> d.winner AND i.verdict <> 'invalid'`),
		tx.Tenant().DomainID, w.id)
	if err != nil {
		return fmt.Errorf("find duplicates: %w", err)
	}
	return nil
}

// Finish counts the verdicts: the import is ready for its preview.
func (h processHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	id := ID(run.ID)
	switch run.State {
	case bulk.StateFailed:
		return h.im.setFinal(ctx, tx, id, Failed, run.PublicError())
	case bulk.StateCancelled:
		return h.im.setFinal(ctx, tx, id, Cancelled, "")
	case bulk.StateCompleted, bulk.StateQueued, bulk.StateProcessing, bulk.StatePaused:
	}
	_, err := tx.Exec(ctx, tx.SQL(`
		UPDATE strata.imports i SET status = 'preview', updated_at = now(), total = c.total, new = c.new, changed = c.changed,
			unchanged = c.unchanged, duplicate = c.duplicate, invalid = c.invalid
		FROM (SELECT count(*) AS total, count(*) FILTER (WHERE verdict = 'new') AS new, count(*) FILTER (WHERE verdict = 'update') AS changed,
				count(*) FILTER (WHERE verdict = 'unchanged') AS unchanged, count(*) FILTER (WHERE verdict = 'duplicate') AS duplicate,
				count(*) FILTER (WHERE verdict = 'invalid') AS invalid
			FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2) c
		WHERE i.domain_id = $1 AND i.id = $2`), tx.Tenant().DomainID, id)
	return err
}
