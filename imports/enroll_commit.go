package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// errRefused is that extensions have refused rows, which are left out when all is done again.
var errRefused = errors.New("extensions have refused rows")

// apply writes the next rows, without those that are left out, and enrolls. A row whose enrollment
// is refused by now is left out as a whole, with the reason.
func (w *commitWork) apply(ctx context.Context, tx *tenancy.Tx, out []int32) (did written, err error) {
	if len(w.extensions) == 0 {
		return w.write(ctx, tx, out)
	}
	for {
		var refused []*enrolling
		err := tx.Savepoint(ctx, func(tx *tenancy.Tx) (err error) {
			if did, err = w.write(ctx, tx, out); err != nil {
				return err
			}
			if refused, err = w.enroll(ctx, tx, &did, out); err == nil && len(refused) > 0 {
				err = errRefused
			}
			return err
		})
		if !errors.Is(err, errRefused) {
			return did, err
		}
		for _, e := range refused {
			if err := w.mark(ctx, tx, []int32{e.Row}, e.wrong); err != nil {
				return did, err
			}
			out = append(out, e.Row)
		}
	}
}

// enroll does for the recipients of rows that are written what these say of extensions, and keeps
// what that changes. What it does is part of did; rows that were refused are returned.
func (w *commitWork) enroll(ctx context.Context, tx *tenancy.Tx, did *written, out []int32) ([]*enrolling, error) {
	out = append(append([]int32{}, out...), did.gone...)
	if w.policy == Skip { // one that was made meanwhile
		out = append(out, did.same...)
	}
	var rows []*enrolling
	err := tx.Read(ctx, `SELECT b.row_no, b.verdict, r.id, b.enrollments FROM strata.import_rows b `+joinRecipient+`
			WHERE b.domain_id = $1 AND b.import_id = $2 AND b.round = $6 AND b.verdict IN ('new', 'update') AND b.email_norm > $3 AND b.email_norm <= $4 AND b.enrollments IS NOT NULL
				AND r.id IS NOT NULL AND b.row_no <> ALL ($5) ORDER BY b.email_norm`,
		[]any{tx.Tenant().DomainID, w.id, w.cursor.After, did.last, out, w.round}, func(found pgx.Rows) (err error) {
			rows, err = pgx.CollectRows(found, scanEnrolling)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read what is said of extensions: %w", err)
	}
	if _, err := tx.Exec(ctx, asUsual); err != nil {
		return nil, err
	}
	kept := map[recipients.ID]extensionChanges{}
	var refused []*enrolling
	for left := rows; len(left) > 0; {
		var now []*enrolling
		now, left = distinct(left)
		for _, x := range w.extensions {
			result, err := x.PutEachTx(ctx, tx, puts(x, now), w.policy == FillEmpty)
			if err != nil {
				return nil, err
			}
			wrong, err := note(x, now, result)
			if err != nil {
				return nil, err
			}
			for _, e := range wrong {
				if !slices.Contains(refused, e) {
					refused = append(refused, e)
				}
			}
			for _, c := range result.Changed {
				if kept[c.ID] == nil {
					kept[c.ID] = extensionChanges{}
				}
				kept[c.ID][x.Name()] = extensionChange{c.Version, c.CreatedAt, c.Was}
			}
		}
	}
	if len(refused) > 0 || len(kept) == 0 {
		return refused, nil
	}
	alone := map[recipients.ID]bool{} // whose own row stays as it was
	for _, e := range rows {
		if at := slices.Index(did.same, e.Row); at >= 0 && e.changes {
			did.same = slices.Delete(did.same, at, at+1)
			did.updated++
			if e.Verdict == "new" {
				did.made = append(did.made, e.Row)
			}
			alone[e.Recipient] = true
		}
	}
	return nil, w.keep(ctx, tx, kept, alone)
}

// extensionChanges is what an import did to rows of extensions of a recipient, by extension.
type extensionChanges map[string]extensionChange

type extensionChange struct {
	Version   int64           `json:"version"`            // of the row, afterwards
	CreatedAt time.Time       `json:"createdAt,omitzero"` // of the row; earlier versions did not keep it
	Was       json.RawMessage `json:"was"`                // null of one that was not there
}

// and adds what is done to rows that the import has changed before: these are kept as they were
// first; where somebody else changed one in between, or made it anew, what is kept is of the row
// before, and says so.
func (c extensionChanges) and(later extensionChanges) extensionChanges {
	for name, now := range later {
		before, twice := c[name]
		switch {
		case !twice:
			c[name] = now
		case before.Version == now.Version-1 && (before.CreatedAt.IsZero() || before.CreatedAt.Equal(now.CreatedAt)):
			c[name] = extensionChange{now.Version, now.CreatedAt, before.Was}
		}
	}
	return c
}

// keep writes down what was done to rows of extensions, for Undo. Each row is looked up by its key:
// joined, all that the import has changed so far could be read for each batch.
func (w *commitWork) keep(ctx context.Context, tx *tenancy.Tx, changes map[recipients.ID]extensionChanges, alone map[recipients.ID]bool) error {
	t := tx.Tenant()
	ids := make([]recipients.ID, 0, len(changes))
	for id := range changes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b recipients.ID) int { return slices.Compare(a[:], b[:]) })
	err := tx.Read(ctx, `SELECT w.id, c.enrollments FROM unnest($3::uuid[]) AS w (id), LATERAL (
			SELECT enrollments FROM strata.import_changes WHERE domain_id = $1 AND import_id = $2 AND recipient_id = w.id AND enrollments IS NOT NULL OFFSET 0) c`,
		[]any{t.DomainID, w.id, ids}, func(rows pgx.Rows) error {
			var id recipients.ID
			var before extensionChanges
			_, err := pgx.ForEachRow(rows, []any{&id, &before}, func() error {
				changes[id] = before.and(changes[id])
				before = nil
				return nil
			})
			return err
		})
	if err != nil {
		return fmt.Errorf("read what is kept: %w", err)
	}
	docs := make([]string, len(ids))
	for i, id := range ids {
		raw, err := json.Marshal(changes[id])
		if err != nil {
			return err
		}
		docs[i] = string(raw)
	}
	_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.import_changes AS c (domain_id, import_id, recipient_id, company_id, workspace_id, was, version, enrollments)
		SELECT $1, $2, r.id, $3, $4, r.version, r.version, w.doc FROM unnest($5::uuid[], $6::jsonb[]) AS w (id, doc), LATERAL (
			SELECT id, version FROM strata.recipients WHERE domain_id = $1 AND id = w.id OFFSET 0) r
		ON CONFLICT (domain_id, import_id, recipient_id) DO UPDATE SET enrollments = excluded.enrollments, rows = c.rows + CASE WHEN c.recipient_id = ANY ($7) THEN 1 ELSE 0 END`),
		t.DomainID, w.id, t.CompanyID, t.WorkspaceID, ids, docs, slices.DeleteFunc(slices.Clone(ids), func(id recipients.ID) bool { return !alone[id] }))
	if err != nil {
		return fmt.Errorf("keep what was done in extensions: %w", err)
	}
	return nil
}
