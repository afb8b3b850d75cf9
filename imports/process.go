package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
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
	of, err := h.im.products(ctx, ProcessOptions{})
	if err != nil {
		return nil, err
	}
	j, err := newJudge(s.plan, set, of)
	if errors.Is(err, recipients.ErrElsewhere) {
		return nil, bulk.Elsewhere(err)
	}
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
	w := &processWork{
		staging: staging{im: h.im, id: imp.ID, policy: s.plan.Conflict}, ctx: ctx, size: imp.Size, cursor: cursor, processed: run.Processed,
		failed: imp.Status == Failed, opened: imp, checked: s,
	}
	w.columns = j.columns
	if w.extensions, err = h.im.enrollers(ctx, s.plan); err != nil {
		return nil, err
	}
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
	staging

	ctx       context.Context // of Open
	copy      string          // the object that is the working copy, if there is one
	size      int64           // of the text
	ahead     *readAhead      // nil at the end of the file
	cursor    readCursor
	processed int64
	failed    bool // and tried again
	opened    Import
	columns   []string // what errors call them
	checked   stored
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
// the duplicates and the values that others have; or it merges a report.
func (w *processWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.failed {
		if err := w.im.resume(ctx, tx, w.id, Validating, outcome{}); err != nil {
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
		return bulk.Batch{Cursor: w.cursor, Done: true}, w.end(ctx, tx)
	}
	c, err := w.ahead.next(ctx, stillHere(ctx, tx))
	if err != nil {
		return bulk.Batch{}, err
	}
	if limit := w.im.cfg.MaxRows; c.next.Row-w.checked.plan.Format.Row > limit {
		return bulk.Batch{}, permanent(&FileError{"too_many_rows", fmt.Sprintf("the file has more than %d rows: divide it", limit)})
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

// end is for when all rows are staged.
func (w *processWork) end(ctx context.Context, tx *tenancy.Tx) error {
	if err := w.im.checkFile(ctx, w.opened, w.checked); err != nil { // what was read is what was looked at
		return permanent(err)
	}
	if !w.opened.Corrects.IsZero() {
		if err := w.merge(ctx, tx); err != nil {
			return permanent(err)
		}
		return nil
	}
	if err := w.keepChecksum(ctx, tx); err != nil {
		return err
	}
	return w.compare(ctx, tx)
}

// compare finds what is wrong with rows because of others.
func (s staging) compare(ctx context.Context, tx *tenancy.Tx) error {
	if err := s.markDuplicates(ctx, tx); err != nil {
		return err
	}
	if err := s.markTaken(ctx, tx); err != nil {
		return err
	}
	if err := s.markTakenInExtensions(ctx, tx); err != nil {
		return err
	}
	return s.note(ctx, tx)
}

// Finish counts the verdicts: the import is ready for its preview. A report was merged before.
func (h processHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	id := ID(run.ID)
	switch run.State {
	case bulk.StateFailed:
		return h.im.ended(ctx, tx, run, Failed)
	case bulk.StateCancelled:
		return h.im.ended(ctx, tx, run, Cancelled)
	case bulk.StateCompleted, bulk.StateQueued, bulk.StateProcessing, bulk.StatePaused:
	}
	c, err := staging{im: h.im, id: id}.count(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = 'preview', updated_at = now(), total = $3, new = $4, changed = $5, unchanged = $6, duplicate = $7, invalid = $8
		WHERE domain_id = $1 AND id = $2 AND corrects IS NULL`), tx.Tenant().DomainID, id, c.total, c.fresh, c.changed, c.unchanged, c.duplicate, c.invalid)
	return err
}
