package imports

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// commitHandler writes the previewed rows. Each batch is one transaction with its
// recipients, its place in the plan, its audit entry and its cursor.
type commitHandler struct{ im *Importer }

type commitCursor struct {
	Row int `json:"row"` // the last row of the file that is committed
}

// The counters of a commit run.
const (
	countInserted = "inserted"
	countUpdated  = "updated"
	countSkipped  = "skipped"
)

// Open reads what was decided.
func (h commitHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	imp, s, err := h.im.read(ctx, ID(run.ID))
	if err != nil {
		return nil, err
	}
	if imp.Status != Processing { // retried after it had failed: the import has moved on
		return nil, bulk.Permanent(&StateError{imp.ID, imp.Status, "worked on"})
	}
	w := &commitWork{im: h.im, id: imp.ID, reservation: s.reservation, statement: commitSQL(s.plan.Conflict)}
	if err := decodeCursor(run, &w.cursor); err != nil {
		return nil, bulk.Permanent(err)
	}
	return w, nil
}

type commitWork struct {
	im          *Importer
	id          ID
	reservation billing.ReservationID
	statement   string
	cursor      commitCursor
}

func (w *commitWork) Close() error { return nil }

// commitSQL is the one statement of a batch. Rows are written in the order of their
// addresses: neighbours in the index, and never a deadlock between two imports. A row
// judged new meets a recipient made since by the conflict policy; one judged an update
// whose recipient is gone is skipped.
func commitSQL(policy Conflict) string {
	onConflict, set := `DO NOTHING`, ``
	switch policy {
	case Update:
		onConflict = `DO UPDATE SET name = CASE WHEN excluded.name <> '' THEN excluded.name ELSE r.name END,
			custom_fields = r.custom_fields || excluded.custom_fields, version = r.version + 1, updated_at = now()`
		set = `name = coalesce(b.name, r.name), status = coalesce(b.status, r.status), custom_fields = r.custom_fields || b.custom_fields`
	case FillEmpty:
		onConflict = `DO UPDATE SET name = CASE WHEN r.name = '' THEN excluded.name ELSE r.name END,
			custom_fields = excluded.custom_fields || r.custom_fields, version = r.version + 1, updated_at = now()`
		set = `name = CASE WHEN r.name = '' THEN coalesce(b.name, '') ELSE r.name END, custom_fields = b.custom_fields || r.custom_fields`
	case Skip:
	}
	update := `SELECT NULL::uuid AS id WHERE false`
	if set != "" {
		update = `UPDATE strata.recipients r SET ` + set + `, version = r.version + 1, updated_at = now()
			FROM batch b WHERE b.verdict = 'update' AND r.domain_id = $1 AND r.id = b.recipient_id AND r.deleted_at IS NULL RETURNING r.id`
	}
	return `
	WITH batch AS MATERIALIZED (
		SELECT * FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND row_no > $3 AND verdict IN ('new', 'update')
		ORDER BY row_no LIMIT $4
	), written AS (
		INSERT INTO strata.recipients AS r (domain_id, id, company_id, workspace_id, email, email_norm, name, status, custom_fields)
		SELECT b.domain_id, b.recipient_id, b.company_id, b.workspace_id, b.email, b.email_norm, coalesce(b.name, ''), coalesce(b.status, 'active'), b.custom_fields
		FROM batch b WHERE b.verdict = 'new' ORDER BY b.email_norm
		ON CONFLICT (domain_id, email_norm) WHERE deleted_at IS NULL ` + onConflict + `
		RETURNING (xmax = 0) AS inserted
	), changed AS (` + update + `)
	SELECT count(*), coalesce(max(row_no), $3),
		(SELECT count(*) FILTER (WHERE inserted) FROM written),
		(SELECT count(*) FILTER (WHERE NOT inserted) FROM written) + (SELECT count(*) FROM changed)
	FROM batch`
}

// Batch commits the next rows.
func (w *commitWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	var rows, inserted, updated int64
	var next commitCursor
	err := tx.QueryRow(ctx, tx.SQL(w.statement), tx.Tenant().DomainID, w.id, w.cursor.Row, w.im.cfg.BatchRows).Scan(&rows, &next.Row, &inserted, &updated)
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("write recipients: %w", err)
	}
	counters := map[string]int64{countInserted: inserted, countUpdated: updated, countSkipped: rows - inserted - updated}
	if rows > 0 {
		if err := w.im.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "recipients.imported", ResourceType: "import", ResourceID: w.id.String(),
			Metadata: map[string]any{"inserted": inserted, "updated": updated, "skipped": counters[countSkipped], "throughRow": next.Row},
		}); err != nil {
			return bulk.Batch{}, err
		}
	}
	if inserted > 0 {
		if err := w.im.limits.Settle(ctx, tx, w.reservation, inserted); err != nil {
			return bulk.Batch{}, err
		}
	}
	w.cursor = next
	return bulk.Batch{Cursor: next, Processed: rows, Counters: counters, Done: rows < int64(w.im.cfg.BatchRows)}, nil
}

// Finish gives back what was reserved and not used, and writes down what was done: a
// database constraint holds a finished import to its sum.
func (h commitHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	id := ID(run.ID)
	_, s, err := lock(ctx, tx, id)
	if err != nil {
		return err
	}
	status := map[bulk.State]Status{bulk.StateCompleted: Done, bulk.StateFailed: Failed, bulk.StateCancelled: Cancelled}[run.State]
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, inserted = $4, updated = $5, skipped = $6, error = $7, updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, id, string(status), run.Counters[countInserted], run.Counters[countUpdated], run.Counters[countSkipped], run.PublicError())
	if err != nil {
		return err
	}
	return h.im.limits.CloseReservation(ctx, tx, s.reservation)
}
