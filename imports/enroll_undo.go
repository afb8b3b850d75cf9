package imports

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// rowsOf returns, by extension, what the import did to the rows of changes that are not refused.
func rowsOf(changes []change, which func(change) bool) map[string][]recipients.RowChange {
	out := map[string][]recipients.RowChange{}
	for _, c := range changes {
		if c.refused != "" || !which(c) {
			continue
		}
		for name, e := range c.extensions {
			if string(e.Was) == "null" {
				e.Was = nil
			}
			out[name] = append(out[name], recipients.RowChange{ID: c.id, Version: e.Version, CreatedAt: e.CreatedAt, Was: e.Was})
		}
	}
	return out
}

// lookAtExtensions refuses those of changes whose rows of extensions are not as the commit left
// them, and recipients to be removed that have been enrolled in something else since.
func (w *undoWork) lookAtExtensions(ctx context.Context, tx *tenancy.Tx, changes []change, at map[recipients.ID]int) error {
	rows := rowsOf(changes, func(change) bool { return true })
	made := map[recipients.ID][]string{} // by the import
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return err
	}
	for _, name := range slices.Sorted(mapKeys(rows)) {
		x, err := w.im.store.Extension(ctx, name)
		if errors.Is(err, recipients.ErrUnknownExtension) { // its product is gone, and the table with it
			for _, r := range rows[name] {
				changes[at[r.ID]].refused = refusedEnrollment
			}
			continue
		}
		if err == nil {
			err = bulk.Elsewhere(x.Here())
		}
		if err != nil {
			return fmt.Errorf("extension %q: %w", name, err)
		}
		kept, err := x.LookBackTx(ctx, tx, rows[name])
		if err != nil {
			return err
		}
		for id, why := range kept {
			changes[at[id]].refused = keptBy(why)
		}
		for _, r := range rows[name] {
			if r.Was == nil {
				made[r.ID] = append(made[r.ID], name)
			}
		}
	}
	if _, err := tx.Exec(ctx, asUsual); err != nil {
		return err
	}
	more, err := w.im.store.EnrolledTx(ctx, tx, inserted(changes), made)
	for _, id := range more {
		changes[at[id]].refused = refusedEnrolled
	}
	return err
}

// keptBy is the refusal of what an extension keeps.
func keptBy(why string) refusal {
	if why == recipients.KeptTaken {
		return refusedTaken
	}
	return refusedEnrollment
}

// takeBack makes rows of extensions what they were before. A recipient of which one cannot be is
// refused, and left alone as a whole.
func (w *undoWork) takeBack(ctx context.Context, tx *tenancy.Tx, changes []change, insertion bool) error {
	for {
		refused := map[recipients.ID]refusal{}
		err := tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			rows := rowsOf(changes, func(c change) bool { return (c.was == 0) == insertion })
			for _, name := range slices.Sorted(mapKeys(rows)) {
				x, err := w.im.store.Extension(ctx, name)
				if err != nil {
					return fmt.Errorf("extension %q: %w", name, err)
				}
				kept, err := x.TakeBackEachTx(ctx, tx, rows[name])
				if err != nil {
					return err
				}
				for id, why := range kept {
					refused[id] = keptBy(why)
				}
			}
			if len(refused) > 0 {
				return errRefused
			}
			return nil
		})
		if !errors.Is(err, errRefused) {
			return err
		}
		for i, c := range changes {
			if why, ok := refused[c.id]; ok {
				changes[i].refused = why
			}
		}
	}
}
