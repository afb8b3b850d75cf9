package imports

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// Undo takes back, in a run, what an import has committed, also one that failed or was
// cancelled in the middle: recipients that it inserted are removed as if they had never been,
// and give back their place in the plan; those that it updated are again what they were, but
// for their version and the time of their change, which go on. What was edited since is left
// alone and counted as Import.Kept: a recipient that was changed, deleted, linked to a person,
// enrolled in a product or changed there, and values that the custom fields do not take any more or that
// another recipient has. WriteUndoReport lists them.
//
// It can be undone for Config.UndoFor. One whose undo failed or was cancelled can be undone
// again: that goes on with what is left. Errors: ErrNotFound, ErrUndoExpired, *StateError (for
// a second call among others).
func (im *Importer) Undo(ctx context.Context, id ID) (Import, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Import{}, err
	}
	var imp Import
	err := im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, s, err := lock(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case !hasCommitted(now):
			return &StateError{id, now.Status, "undone"}
		case !im.mayUndo(s):
			return ErrUndoExpired
		}
		left := now.Inserted + now.Updated - now.Reverted
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindUndo, ID: bulk.RunID(id), Args: undoArgs{now.Reverted}, Total: left}); err != nil {
			return err
		}
		if err := im.record(ctx, tx, "import.undo", id, map[string]any{"rows": left}); err != nil {
			return err
		}
		if err := im.setStatus(ctx, tx, id, Undoing, ""); err != nil {
			return err
		}
		imp, _, err = lock(ctx, tx, id)
		return err
	})
	return imp, err
}

// hasCommitted says whether there is something to undo.
func hasCommitted(i Import) bool {
	return i.Status == Done || (i.Status == Failed || i.Status == Cancelled) && i.Inserted+i.Updated > i.Reverted
}

// mayUndo says whether what was changed is still kept.
func (im *Importer) mayUndo(s stored) bool {
	return s.committedAt != nil && im.cfg.Now().Before(s.committedAt.Add(im.cfg.UndoFor))
}

// refusal is why an undo leaves a recipient alone.
type refusal string

// The refusals.
const (
	refusedDeleted    refusal = "deleted"
	refusedEdited     refusal = "edited"
	refusedLinked     refusal = "linked"
	refusedEnrolled   refusal = "enrolled"
	refusedEnrollment refusal = "enrollment_changed"
	refusedFields     refusal = "fields_changed"
	refusedTaken      refusal = "value_taken"
)

// message is what a person is told.
func (r refusal) message() string {
	switch r {
	case refusedDeleted:
		return "the recipient was deleted since"
	case refusedEdited:
		return "the recipient was changed since"
	case refusedLinked:
		return "the recipient was linked to a person since"
	case refusedEnrolled:
		return "the recipient was enrolled in a product since"
	case refusedEnrollment:
		return "what a product has of the recipient was changed since"
	case refusedFields:
		return "custom fields were converted or removed since, so that the values of before do not fit any more"
	case refusedTaken:
		return "another recipient of the domain has by now a unique value that this one had before"
	}
	return string(r)
}

// clearChanges deletes what is kept for Undo.
func clearChanges(ctx context.Context, tx *tenancy.Tx, id ID) error {
	for {
		tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 AND recipient_id <= (
				SELECT recipient_id FROM (SELECT recipient_id FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 ORDER BY recipient_id LIMIT $3) first
				ORDER BY recipient_id DESC LIMIT 1)`), tx.Tenant().DomainID, id, clearedAtOnce)
		if err != nil {
			return fmt.Errorf("delete what is kept for undo: %w", err)
		}
		if tag.RowsAffected() < clearedAtOnce {
			return nil
		}
	}
}
