package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// processHandler reads a file into staging. Each batch is one transaction with its
// cursor, so that a process that dies goes on, in another, at the byte where it was.
type processHandler struct{ im *Importer }

// processArgs are the arguments of its runs; the import is the run's id.
type processArgs struct {
	Clear bool `json:"clear,omitempty"` // there are rows of an earlier reading
}

// Open finds the file, unchanged, and the place in it.
func (h processHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	imp, s, err := h.im.read(ctx, ID(run.ID))
	if err != nil {
		return nil, err
	}
	if err := h.im.checkFile(ctx, imp, s); err != nil {
		return nil, permanent(err)
	}
	set, err := h.im.fields.Current(ctx)
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
	var args processArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return nil, bulk.Permanent(err)
	}
	cursor := readCursor{Clear: args.Clear, Offset: s.plan.Format.Offset, Row: s.plan.Format.Row}
	if err := decodeCursor(run, &cursor); err != nil {
		return nil, bulk.Permanent(err)
	}
	w := &processWork{im: h.im, ctx: ctx, id: imp.ID, size: imp.Size, cursor: cursor, processed: run.Processed, failed: imp.Status == Failed, policy: s.plan.Conflict}
	if cursor.EOF {
		return w, nil
	}
	text := s.objectKey
	if !s.plan.Format.plain() {
		if text, w.size, err = h.im.workingCopy(ctx, imp, s, run); err != nil {
			return nil, permanent(err)
		}
		w.copy = text
	}
	w.ahead, err = startReading(ctx, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return h.im.bucket.NewRangeReader(ctx, text, offset, -1, nil)
	}, s.plan.Format, j, cursor, h.im.cfg.BatchRows)
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
	ctx       context.Context // of Open
	id        ID
	copy      string     // the object that is the working copy, if there is one
	size      int64      // of the text
	ahead     *readAhead // nil at the end of the file
	cursor    readCursor
	processed int64
	failed    bool // and tried again
	policy    Conflict
}

func (w *processWork) Close() error {
	if w.ahead != nil {
		w.ahead.close()
	}
	if w.copy != "" && w.cursor.EOF {
		w.im.deleteCopy(w.ctx, w.copy)
	}
	return nil
}

// Batch forgets an earlier reading, then stages the next rows, and after the last finds
// the duplicates and the values that others have.
func (w *processWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.failed {
		if err := w.im.resume(ctx, tx, w.id, Validating); err != nil {
			return bulk.Batch{}, err
		}
		w.failed = false
	}
	switch {
	case w.cursor.Clear:
		more, err := clearRows(ctx, tx, w.id)
		w.cursor.Clear = more
		return bulk.Batch{Cursor: w.cursor}, err
	case w.cursor.EOF:
		if err := w.markDuplicates(ctx, tx); err != nil {
			return bulk.Batch{}, err
		}
		if err := w.markTaken(ctx, tx); err != nil {
			return bulk.Batch{}, err
		}
		return bulk.Batch{Cursor: w.cursor, Done: true}, w.note(ctx, tx)
	}
	// PostgreSQL ends a transaction that stands idle for as long as a lease lasts.
	c, err := w.ahead.next(ctx, func() error {
		_, err := tx.Exec(ctx, `SELECT 1`)
		return err
	})
	if err != nil {
		return bulk.Batch{}, err
	}
	if err := w.stage(ctx, tx, c.rows); err != nil {
		return bulk.Batch{}, fmt.Errorf("stage rows: %w", err)
	}
	w.cursor = c.next
	w.processed += int64(len(c.rows))
	b := bulk.Batch{Cursor: c.next, Processed: int64(len(c.rows)), Total: w.processed}
	if !c.next.EOF && c.next.Offset > 0 { // how many rows there will be is a guess until the end
		b.Total = max(w.processed, int64(float64(w.processed)*float64(w.size)/float64(c.next.Offset)))
	}
	return b, nil
}

// Finish counts the verdicts: the import is ready for its preview.
func (h processHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	id := ID(run.ID)
	switch run.State {
	case bulk.StateFailed:
		return h.im.ended(ctx, tx, run, Failed)
	case bulk.StateCancelled:
		return h.im.ended(ctx, tx, run, Cancelled)
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
