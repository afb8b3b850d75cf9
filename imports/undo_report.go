package imports

import (
	"context"
	"encoding/csv"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/formula"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// WriteUndoReport writes the recipients that Undo has left alone as CSV with the columns
// recipientId, email, change, code and message: change is what the import did, inserted or
// updated, code and message are why that stays. email is empty where the recipient is gone. It
// streams, and escapes formulas, as WriteErrorReport does. Errors: ErrNotFound, ErrSwept after
// Config.UndoFor, *StateError before anything was undone, what w says.
func (im *Importer) WriteUndoReport(ctx context.Context, id ID, w io.Writer) error {
	imp, s, err := im.read(ctx, id)
	switch {
	case err != nil:
		return err
	case imp.Status != Undoing && imp.Status != Undone && imp.Reverted+imp.Kept == 0:
		return &StateError{id, imp.Status, "reported on as undone"}
	case s.committedAt == nil:
		return ErrSwept
	}
	out := csv.NewWriter(w)
	if err := out.Write([]string{"recipientId", "email", "change", "code", "message"}); err != nil {
		return err
	}
	for after, more := (recipients.ID{}), true; more; {
		left, err := im.leftAlone(ctx, id, after)
		if err != nil {
			return err
		}
		for _, l := range left {
			if err := out.Write([]string{l.id.String(), formula.Escape(l.email), l.change, string(l.why), l.why.message()}); err != nil {
				return err
			}
			after = l.id
		}
		more = len(left) == maxPage
		if out.Flush(); out.Error() != nil {
			return out.Error()
		}
	}
	return nil
}

type leftAlone struct {
	id            recipients.ID
	email, change string
	why           refusal
}

// leftAlone returns the next recipients after one.
func (im *Importer) leftAlone(ctx context.Context, id ID, after recipients.ID) (left []leftAlone, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = im.db.Read(ctx, `SELECT c.recipient_id, coalesce(r.email, ''), CASE c.was WHEN 0 THEN 'inserted' ELSE 'updated' END, c.kept
		FROM strata.import_changes c LEFT JOIN strata.recipients r ON r.domain_id = c.domain_id AND r.id = c.recipient_id AND r.deleted_at IS NULL
		WHERE c.domain_id = $1 AND c.import_id = $2 AND c.recipient_id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000') AND c.kept IS NOT NULL ORDER BY c.recipient_id LIMIT $4`,
		[]any{t.DomainID, id, after, maxPage}, func(rows pgx.Rows) (err error) {
			left, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l leftAlone, err error) {
				err = row.Scan(&l.id, &l.email, &l.change, &l.why)
				return l, err
			})
			return err
		})
	return left, err
}
