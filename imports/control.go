package imports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// Commit writes the previewed rows in a run. New recipients are reserved from the plan
// first: one that does not fit is a *billing.LimitError and leaves nothing behind.
// Errors also: ErrNotFound, *FieldsChangedError, ErrFileChanged, *StateError (for a second
// commit among others).
func (im *Importer) Commit(ctx context.Context, id ID) (Import, error) {
	before, s, err := im.read(ctx, id)
	if err != nil {
		return Import{}, err
	}
	if before.Status == Previewed { // else the state is the better answer
		if err := im.checkFile(ctx, before, s); err != nil {
			return Import{}, err
		}
	}
	var imp Import
	err = im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, s, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if now.Status != Previewed {
			return &StateError{id, now.Status, "committed"}
		}
		if err := im.checkFields(ctx, tx, s); err != nil {
			return im.adviseOnFields(ctx, tx, now, err)
		}
		args := commitArgs{Before: outcome{now.Inserted, now.Updated, now.Skipped}}
		if _, err := im.runner.SubmitTx(ctx, tx, bulk.Submission{Kind: KindCommit, ID: bulk.RunID(id), Args: args, Total: now.New + now.Changed}); err != nil {
			return err
		}
		if err := im.record(ctx, tx, "import.committed", id, map[string]any{"new": now.New, "update": now.Changed}); err != nil {
			return err
		}
		reservation, err := im.reserve(ctx, tx, now.New)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.imports SET status = 'processing', reservation_id = $3, processed = NULL, updated_at = now()
			WHERE domain_id = $1 AND id = $2 RETURNING `+importColumns), tx.Tenant().DomainID, id, reservation)
		imp, _, err = one(rows, err)
		return err
	})
	return imp, err
}

// adviseOnFields says with an error of checkFields what becomes of the corrections of an import.
func (im *Importer) adviseOnFields(ctx context.Context, tx *tenancy.Tx, i Import, err error) error {
	if i.Round > 0 {
		return fmt.Errorf("cancel the correction, and upload it again: %w", err)
	}
	corrected, look := hasCorrections(ctx, tx, i.ID)
	switch {
	case look != nil:
		return look
	case corrected:
		return fmt.Errorf("%w, and upload the corrected reports again after that", err)
	}
	return err
}

// longestCommit is after how long room that nobody gave back is taken for lost.
const longestCommit = 7 * 24 * time.Hour

func (im *Importer) reserve(ctx context.Context, tx *tenancy.Tx, n int64) (billing.ReservationID, error) {
	r, err := im.limits.Reserve(ctx, tx, billing.ResourceRecipients, n, longestCommit)
	return r.ID, err
}

// Cancel stops an import that is not finished. What a commit has written stays, and the
// counters say how much it was; so does what an undo has taken back. One that waits for the commit
// of a correction, or is in the middle of that, is Done again: the rows that are not written are
// skipped, and reported on. A run that is being worked on ends after its batch; until then the
// returned Import has the status it had. Errors: ErrNotFound, *StateError.
func (im *Importer) Cancel(ctx context.Context, id ID) (Import, error) {
	if _, err := tenancy.DomainFrom(ctx); err != nil {
		return Import{}, err
	}
	running := false
	err := im.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, _, err := lock(ctx, tx, id)
		if err != nil {
			return err
		}
		switch now.Status {
		case Previewed:
			if now.Round > 0 {
				return im.endRound(ctx, tx, id, now.Round)
			}
			fallthrough
		case Pending:
			if err := im.setStatus(ctx, tx, id, Cancelled, ""); err != nil {
				return err
			}
			return im.record(ctx, tx, "import.cancelled", id, nil)
		case Validating, Processing, Undoing:
			running = true
			return nil
		case Done, Failed, Cancelled, Undone, Merged:
		}
		return &StateError{id, now.Status, "cancelled"}
	})
	if err != nil {
		return Import{}, err
	}
	if running {
		if _, err := im.runner.Cancel(ctx, bulk.RunID(id)); errors.Is(err, bulk.ErrState) { // it ended just now
			return im.Cancel(ctx, id)
		} else if err != nil {
			return Import{}, err
		}
	}
	return im.Get(ctx, id)
}

func (im *Importer) setStatus(ctx context.Context, tx *tenancy.Tx, id ID, status Status, message string) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, error = $4, updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, id, string(status), message)
	return err
}

// ended is setStatus for what a run that has ended leaves behind.
func (im *Importer) ended(ctx context.Context, tx *tenancy.Tx, run bulk.Run, status Status) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, error = $4, processed = $5, updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, run.ID, string(status), run.PublicError(), run.Processed)
	return err
}

// resume puts an import whose run failed and is tried again (bulk.Runner.Retry) back to
// work, with the counters from before it, unless what it needs was swept meanwhile.
func (im *Importer) resume(ctx context.Context, tx *tenancy.Tx, id ID, status Status, before outcome) error {
	_, s, err := lock(ctx, tx, id)
	if err != nil {
		return err
	}
	if s.objectKey == "" {
		return bulk.Permanent(ErrSwept)
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET status = $3, inserted = $4, updated = $5, skipped = $6, processed = NULL, error = '', updated_at = now() WHERE domain_id = $1 AND id = $2`),
		tx.Tenant().DomainID, id, string(status), before.Inserted, before.Updated, before.Skipped)
	if err != nil {
		return err
	}
	return im.record(ctx, tx, "import.resumed", id, nil)
}

// checkFields returns a *FieldsChangedError unless the rows were checked by the definitions
// that there are, but for what no row is checked by.
func (im *Importer) checkFields(ctx context.Context, tx *tenancy.Tx, s stored) error {
	set, err := im.fields.SetTx(ctx, tx)
	if err != nil {
		return err
	}
	return s.checkFields(set)
}

// checkFields is the same, set being the definitions that there are.
func (s stored) checkFields(set *customfields.Set) error {
	if set.Version == s.fieldsVersion {
		return nil
	}
	changes := changedSince(s.plan.Definitions, definitionsOf(set))
	switch {
	case s.plan.Definitions == nil, s.fieldsVersion < 0: // read by a library that did not keep them, or in another workspace
		return ErrFieldsChanged
	case len(changes) > 0:
		return &FieldsChangedError{changes}
	case set.Layout > s.fieldsVersion: // there and back
		return ErrFieldsChanged
	}
	return nil
}

// checkLayout returns ErrFieldsChanged when values are stored elsewhere, or are something
// else, than when the rows were checked. A new label, or a new key, is none of its business.
func (im *Importer) checkLayout(ctx context.Context, tx *tenancy.Tx, checked int64) error {
	set, err := im.fields.SetTx(ctx, tx)
	if err != nil {
		return err
	}
	if set.Layout > checked {
		return ErrFieldsChanged
	}
	return nil
}
