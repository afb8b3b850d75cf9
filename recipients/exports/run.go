package exports

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// handler works the runs of an Exporter. All is done in Open, which needs no transaction; the
// one batch says where the file is. Who dies in between leaves an object that nobody knows, and
// whoever goes on writes another.
type handler struct{ e *Exporter }

// Open writes the file.
func (h handler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	row, err := h.e.read(ctx, ID(run.ID))
	if err != nil {
		return nil, permanent(err)
	}
	if row.prefix != prefix(t, row.id) {
		return nil, bulk.Permanent(ErrMoved)
	}
	var r Request
	if err := json.Unmarshal(run.Args, &r); err != nil {
		return nil, bulk.Permanent(fmt.Errorf("exports: the arguments of a run: %w", err))
	}
	p, err := h.e.plan(ctx, r)
	if err != nil {
		return nil, permanent(err)
	}
	f, err := h.e.put(ctx, makeKey(row.prefix), row.fileName, p, func(rows int64) { run.Report(rows, 0) })
	if err != nil {
		return nil, permanent(err)
	}
	return &work{e: h.e, ctx: ctx, id: row.id, file: f, first: run.Failures == 0}, nil
}

type work struct {
	e    *Exporter
	ctx  context.Context // of Open
	id   ID
	file written

	first bool // nobody has died over it before
	told  bool // PostgreSQL may know of the file
}

// Batch says where the file is.
func (w *work) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	w.told = true
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipient_exports SET object_key = $3, size = $4, rows = $5, sha256 = $6, expires_at = $7, deleted_at = NULL, tidied = $8
		WHERE domain_id = $1 AND id = $2`), tx.Tenant().DomainID, w.id, w.file.key, w.file.size, w.file.rows, w.file.sha256, w.e.cfg.Now().Add(w.e.cfg.Keep), w.first)
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("exports: keep where a file is: %w", err)
	}
	err = w.e.record(ctx, tx, "recipients.export.completed", w.id, map[string]any{"rows": w.file.rows, "bytes": w.file.size, "sha256": w.file.sha256})
	return bulk.Batch{Processed: w.file.rows, Total: w.file.rows, Done: true}, err
}

// Close deletes a file that nobody has been told of. Where that may have been, it is left to
// Sweep: a commit of which no answer came may have been one.
func (w *work) Close() error {
	if w.told {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 10*time.Second)
	defer cancel()
	if err := w.e.bucket.Delete(ctx, w.file.key); err != nil {
		return fmt.Errorf("exports: delete a file that is not needed: %w", err)
	}
	return nil
}

// late is how long after the end of a run a process that was frozen over it may come back and
// leave an object.
const late = time.Hour

// Finish lets what was left of an export that came to nothing be deleted.
func (h handler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	if run.State == bulk.StateCompleted {
		return nil
	}
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipient_exports SET expires_at = $3, deleted_at = NULL WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, ID(run.ID), h.e.cfg.Now().Add(late))
	if err != nil {
		return fmt.Errorf("exports: end an export: %w", err)
	}
	return nil
}
