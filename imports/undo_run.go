package imports

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// undoHandler takes back what a commit did. Each batch is one transaction with the recipients,
// what was kept of them, their place in the plan, its audit entry and its cursor.
type undoHandler struct{ im *Importer }

// undoArgs are the arguments of its runs; the import is the run's id.
type undoArgs struct {
	Reverted int64 `json:"reverted"` // by earlier ones, that were cancelled or failed
}

// undoCursor is a place among the recipients. They are gone through again as long as that
// brings back more: one may wait for a unique value that another one has to give back first.
type undoCursor struct {
	After recipients.ID `json:"after"`
	Pass  int           `json:"pass,omitempty"`
	Did   bool          `json:"did,omitempty"` // something, in this pass
}

// countReverted is the counter of an undo: the rows of the file that were taken back.
const countReverted = "reverted"

// Open begins where the cursor says.
func (h undoHandler) Open(ctx context.Context, run bulk.Run) (bulk.Work, error) {
	imp, s, err := h.im.read(ctx, ID(run.ID))
	if err != nil {
		return nil, err
	}
	w := &undoWork{im: h.im, id: imp.ID, fieldsVersion: s.fieldsVersion, failed: imp.Status == Failed}
	if err := decodeCursor(run, &w.cursor); err != nil {
		return nil, bulk.Permanent(err)
	}
	return w, nil
}

type undoWork struct {
	im            *Importer
	id            ID
	fieldsVersion int64
	cursor        undoCursor
	failed        bool // and tried again
}

func (w *undoWork) Close() error { return nil }

// change is what an import did to a recipient, and how that is now.
type change struct {
	id           recipients.ID
	was, version int64
	rows         int64
	fields       bool // custom fields were changed
	extensions   extensionChanges
	refused      refusal
}

// Batch takes back the next changes.
func (w *undoWork) Batch(ctx context.Context, tx *tenancy.Tx) (bulk.Batch, error) {
	if w.failed {
		w.failed = false
		return bulk.Batch{}, w.resume(ctx, tx)
	}
	set, err := w.im.fields.SetTx(ctx, tx)
	if err != nil {
		return bulk.Batch{}, err
	}
	changes, err := w.next(ctx, tx)
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("read what was changed: %w", err)
	}
	if len(changes) > 0 {
		if err := w.look(ctx, tx, set, changes); err != nil {
			return bulk.Batch{}, err
		}
	}
	removed, err := w.remove(ctx, tx, changes)
	if err != nil {
		return bulk.Batch{}, fmt.Errorf("remove recipients: %w", err)
	}
	if err := w.restore(ctx, tx, changes); err != nil {
		return bulk.Batch{}, fmt.Errorf("restore recipients: %w", err)
	}
	b := bulk.Batch{Counters: map[string]int64{}}
	var reverted, restored int64
	for _, c := range changes {
		if w.cursor.Pass == 0 {
			b.Processed += c.rows
		}
		if c.refused == "" {
			reverted += c.rows
			if c.was > 0 {
				restored++
			}
		}
	}
	if reverted > 0 {
		b.Counters[countReverted] = reverted
		err := w.im.audit.RecordTx(ctx, tx, audit.Entry{
			Action: "recipients.import_undone", ResourceType: "import", ResourceID: w.id.String(),
			Metadata: map[string]any{"removed": removed, "restored": restored},
		})
		if err != nil {
			return bulk.Batch{}, err
		}
		// The counters of the plan are locked last.
		if err := w.im.limits.Release(ctx, tx, billing.ResourceRecipients, removed); err != nil {
			return bulk.Batch{}, err
		}
	}
	b.Done, err = w.advance(ctx, tx, changes, reverted > 0)
	b.Cursor = w.cursor
	return b, err
}

// advance moves the cursor, and reports whether nothing is left to do.
func (w *undoWork) advance(ctx context.Context, tx *tenancy.Tx, changes []change, did bool) (done bool, err error) {
	w.cursor.Did = w.cursor.Did || did
	if len(changes) == w.im.cfg.BatchRows {
		w.cursor.After = changes[len(changes)-1].id
		return false, nil
	}
	if !w.cursor.Did {
		return true, nil
	}
	var waiting bool
	err = tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 AND kept = $3)`),
		tx.Tenant().DomainID, w.id, string(refusedTaken)).Scan(&waiting)
	w.cursor = undoCursor{Pass: w.cursor.Pass + 1}
	return !waiting, err
}

// next returns the next changes, in the order of the ids of the recipients.
func (w *undoWork) next(ctx context.Context, tx *tenancy.Tx) (changes []change, err error) {
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return nil, err
	}
	err = tx.Read(ctx, `SELECT recipient_id, was, version, rows, custom_fields IS NOT NULL, enrollments FROM strata.import_changes
		WHERE domain_id = $1 AND import_id = $2 AND recipient_id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000') AND ($5 OR kept = $6) ORDER BY recipient_id LIMIT $4`,
		[]any{tx.Tenant().DomainID, w.id, w.cursor.After, w.im.cfg.BatchRows, w.cursor.Pass == 0, string(refusedTaken)}, func(rows pgx.Rows) (err error) {
			changes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c change, err error) {
				err = row.Scan(&c.id, &c.was, &c.version, &c.rows, &c.fields, &c.extensions)
				return c, err
			})
			return err
		})
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, asUsual)
	return changes, err
}

// look holds the recipients, and says which of them are not as the commit left them.
func (w *undoWork) look(ctx context.Context, tx *tenancy.Tx, set *customfields.Set, changes []change) error {
	at := make(map[recipients.ID]int, len(changes))
	ids := make([]recipients.ID, len(changes))
	for i, c := range changes {
		at[c.id], ids[i], changes[i].refused = i, c.id, refusedDeleted
	}
	err := tx.Read(ctx, `SELECT w.id, version, linked FROM (SELECT id FROM unnest($2::uuid[]) AS u (id) ORDER BY id) w, LATERAL (
			SELECT version, person_id IS NOT NULL AS linked FROM strata.recipients WHERE domain_id = $1 AND id = w.id AND deleted_at IS NULL OFFSET 0 FOR UPDATE) r ORDER BY w.id`, []any{tx.Tenant().DomainID, ids}, func(rows pgx.Rows) error {
		var id recipients.ID
		var version int64
		var linked bool
		_, err := pgx.ForEachRow(rows, []any{&id, &version, &linked}, func() error {
			switch c := &changes[at[id]]; {
			case version != c.version:
				c.refused = refusedEdited
			case linked && c.was == 0:
				c.refused = refusedLinked
			case c.fields && c.was > 0 && set.Layout > w.fieldsVersion:
				c.refused = refusedFields
			default:
				c.refused = ""
			}
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("hold recipients: %w", err)
	}
	return w.lookAtExtensions(ctx, tx, changes, at)
}

// inserted returns the recipients that are to be removed, updated those to be restored.
func inserted(changes []change) []recipients.ID { return undone(changes, true) }
func updated(changes []change) []recipients.ID  { return undone(changes, false) }

func undone(changes []change, insertion bool) []recipients.ID {
	ids := make([]recipients.ID, 0, len(changes))
	for _, c := range changes {
		if c.refused == "" && (c.was == 0) == insertion {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// ofImport is what a statement joins to changes of the import $2: arrays, and what their elements are
// called. OFFSET 0 keeps from the planner which import it is, and so that it takes one that it has
// not met for empty: it looks every change up by its key.
const ofImport = `(SELECT $1::uuid AS domain_id, $2::uuid AS import_id, u.* FROM unnest(%s) AS u (%s) OFFSET 0) w`

// remove takes recipients away that the import inserted. They are deleted first, so that
// their values are given back and the counts told by statements and not row by row.
func (w *undoWork) remove(ctx context.Context, tx *tenancy.Tx, changes []change) (int64, error) {
	if err := w.takeBack(ctx, tx, changes, true); err != nil {
		return 0, err
	}
	ids := inserted(changes)
	if len(ids) == 0 {
		return 0, nil
	}
	domain := tx.Tenant().DomainID
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients r SET deleted_at = now() FROM `+fmt.Sprintf(ofImport, `$3::uuid[]`, `id`)+` WHERE r.domain_id = w.domain_id AND r.id = w.id`), domain, w.id, ids); err != nil {
		return 0, err
	}
	return int64(len(ids)), recipients.EraseTx(ctx, tx, ids)
}

// restore makes recipients what they were, forgets what was done, and writes down what was
// refused.
func (w *undoWork) restore(ctx context.Context, tx *tenancy.Tx, changes []change) error {
	if err := w.markTaken(ctx, tx, changes); err != nil {
		return err
	}
	domain := tx.Tenant().DomainID
	if err := w.takeBack(ctx, tx, changes, false); err != nil {
		return err
	}
	if ids := updated(changes); len(ids) > 0 {
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients r SET name = coalesce(c.name, r.name), custom_fields = coalesce(c.custom_fields, r.custom_fields), status = coalesce(c.status, r.status),
				status_reason = CASE WHEN c.status IS NULL THEN r.status_reason ELSE c.status_reason END,
				status_changed_at = CASE WHEN c.status IS NULL THEN r.status_changed_at ELSE c.status_changed_at END,
				version = r.version + 1, updated_at = now()
			FROM (SELECT c.* FROM unnest($3::uuid[]) AS w (id), LATERAL (
				SELECT * FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 AND recipient_id = w.id AND version > was OFFSET 0) c OFFSET 0) c
			WHERE r.domain_id = c.domain_id AND r.id = c.recipient_id`), domain, w.id, ids)
		if err != nil {
			return err
		}
	}
	var done, left []recipients.ID
	var why []string
	for _, c := range changes {
		if c.refused == "" {
			done = append(done, c.id)
		} else {
			left, why = append(left, c.id), append(why, string(c.refused))
		}
	}
	if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_changes c USING `+fmt.Sprintf(ofImport, `$3::uuid[]`, `id`)+`
		WHERE c.domain_id = w.domain_id AND c.import_id = w.import_id AND c.recipient_id = w.id`), domain, w.id, done); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.import_changes c SET kept = w.why FROM `+fmt.Sprintf(ofImport, `$3::uuid[], $4::text[]`, `id, why`)+`
		WHERE c.domain_id = w.domain_id AND c.import_id = w.import_id AND c.recipient_id = w.id`), domain, w.id, left, why)
	return err
}

// markTaken refuses those of whose unique values another recipient has one by now, or the one
// before among these gets one.
func (w *undoWork) markTaken(ctx context.Context, tx *tenancy.Tx, changes []change) error {
	ids := updated(changes)
	_, slots, err := w.im.fields.UniqueTx(ctx, tx)
	if err != nil || len(slots) == 0 || len(ids) == 0 {
		return err
	}
	taken := map[recipients.ID]bool{}
	err = tx.Read(ctx, `WITH v AS MATERIALIZED (
			SELECT c.recipient_id, k.slot, c.custom_fields->>k.slot AS value, row_number() OVER (PARTITION BY k.slot, c.custom_fields->>k.slot ORDER BY c.recipient_id) > 1 AS again
			FROM strata.import_changes c, unnest($4::text[]) k (slot)
			WHERE c.domain_id = $1 AND c.import_id = $2 AND c.recipient_id = ANY ($3) AND c.custom_fields->>k.slot IS NOT NULL)
		SELECT v.recipient_id FROM v WHERE v.again OR EXISTS (SELECT FROM strata.custom_field_uniques u
			WHERE u.domain_id = $1 AND u.slot = v.slot AND u.hash = strata.unique_value_hash(v.value) AND u.record_id <> v.recipient_id)`,
		[]any{tx.Tenant().DomainID, w.id, ids, slots}, func(rows pgx.Rows) error {
			var id recipients.ID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				taken[id] = true
				return nil
			})
			return err
		})
	for i := range changes {
		if taken[changes[i].id] {
			changes[i].refused = refusedTaken
		}
	}
	return err
}

// resume goes on with an undo that failed and is tried again.
func (w *undoWork) resume(ctx context.Context, tx *tenancy.Tx) error {
	_, s, err := lock(ctx, tx, w.id)
	if err != nil {
		return err
	}
	if s.committedAt == nil {
		return bulk.Permanent(ErrUndoExpired)
	}
	if err := w.im.setStatus(ctx, tx, w.id, Undoing, ""); err != nil {
		return err
	}
	return w.im.record(ctx, tx, "import.resumed", w.id, nil)
}

// Finish counts what was taken back, and what was left alone: a database constraint holds
// an import that is undone to their sum.
func (h undoHandler) Finish(ctx context.Context, tx *tenancy.Tx, run bulk.Run) error {
	var args undoArgs
	if err := json.Unmarshal(run.Args, &args); err != nil {
		return err
	}
	status := map[bulk.State]Status{bulk.StateCompleted: Undone, bulk.StateFailed: Failed, bulk.StateCancelled: Cancelled}[run.State]
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, reverted = $4, error = $5, updated_at = now(), kept = (
			SELECT coalesce(sum(rows), 0) FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 AND kept IS NOT NULL)
		WHERE domain_id = $1 AND id = $2`), tx.Tenant().DomainID, run.ID, string(status), args.Reverted+run.Counters[countReverted], run.PublicError())
	return err
}
