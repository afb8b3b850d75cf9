package recipients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Why LookBackTx and TakeBackEachTx leave a row alone.
const (
	KeptEdited = "edited" // it was changed, made anew or withdrawn since, something hangs on it by now, or its table does not take it any more
	KeptTaken  = "taken"  // another recipient has a unique value that it had
)

// LookBackTx returns which of changes TakeBackEachTx cannot take back, and why, and holds the rows
// of the others. It looks rows up as the first of a range: with sorting switched off, as imports do,
// that has one plan, whichever other indexes begin with the domain. Errors: ErrElsewhere.
func (a *AnyEnrollments) LookBackTx(ctx context.Context, tx *tenancy.Tx, changes []RowChange) (kept map[ID]string, err error) {
	if err := a.Here(); err != nil {
		return nil, err
	}
	x := a.store.registered[a.name]
	domain, is := tx.Tenant().DomainID, map[ID]RowChange{}
	ids, made := make([]ID, len(changes)), []ID{}
	for i, c := range changes {
		if ids[i] = c.ID; c.Was == nil {
			made = append(made, c.ID)
		}
	}
	err = tx.Read(ctx, `SELECT w.id, x.version, x.created_at FROM (SELECT id FROM unnest($2::uuid[]) AS u (id) ORDER BY id) w, LATERAL (
			SELECT version, created_at FROM `+x.table.String()+` WHERE domain_id = $1 AND recipient_id >= w.id AND recipient_id <= w.id ORDER BY recipient_id LIMIT 1 FOR UPDATE) x ORDER BY w.id`, []any{domain, ids}, func(rows pgx.Rows) error {
		var now RowChange
		_, err := pgx.ForEachRow(rows, []any{&now.ID, &now.Version, &now.CreatedAt}, func() error {
			is[now.ID] = now
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: hold rows of extension %q: %w", a.name, err)
	}
	kept = map[ID]string{}
	for _, c := range changes {
		if now := is[c.ID]; now.Version != c.Version || !c.CreatedAt.IsZero() && !now.CreatedAt.Equal(c.CreatedAt) {
			kept[c.ID] = KeptEdited
		}
	}
	hanging, err := hangingTx(ctx, tx, x.table.String(), "recipient_id", made)
	if err != nil {
		return nil, err
	}
	for id := range hanging {
		kept[id] = KeptEdited
	}
	return kept, a.lookTaken(ctx, tx, x, changes, kept)
}

// lookTaken adds to kept those that had a unique value which another recipient has, or which an
// earlier one of the changes that are not kept is given back.
func (a *AnyEnrollments) lookTaken(ctx context.Context, tx *tenancy.Tx, x *extension, changes []RowChange, kept map[ID]string) error {
	table := x.table.String()
	for _, c := range x.columns {
		if !c.unique {
			continue
		}
		ids, rows := before(slices.DeleteFunc(slices.Clone(changes), func(c RowChange) bool { return kept[c.ID] != "" }))
		if len(ids) == 0 {
			return nil
		}
		column := quoted(c.Name)
		err := tx.Read(ctx, `SELECT w.id FROM (
				SELECT u.id, p.`+column+` AS value, row_number() OVER (PARTITION BY p.`+column+` ORDER BY u.id) > 1 AS again
				FROM unnest($2::uuid[], $3::jsonb[]) AS u (id, image), jsonb_populate_record(NULL::`+table+`, u.image) p WHERE p.`+column+` IS NOT NULL) w
			WHERE w.again OR (SELECT true FROM `+table+` t WHERE t.domain_id = $1 AND t.`+column+` >= w.value AND t.`+column+` <= w.value AND t.recipient_id <> w.id ORDER BY t.`+column+` LIMIT 1)`,
			[]any{tx.Tenant().DomainID, ids, rows}, func(found pgx.Rows) error {
				var id ID
				_, err := pgx.ForEachRow(found, []any{&id}, func() error {
					kept[id] = KeptTaken
					return nil
				})
				return err
			})
		if err != nil {
			return fmt.Errorf("recipients: look for values of extension %q that are taken: %w", x.name, err)
		}
	}
	return nil
}

// before are the changes of rows that were there, and the rows as they were.
func before(changes []RowChange) (ids []ID, rows []string) {
	for _, c := range changes {
		if c.Was != nil {
			ids, rows = append(ids, c.ID), append(rows, string(c.Was))
		}
	}
	return ids, rows
}

// TakeBackEachTx makes rows what they were before PutEachTx changed them: those that it made are
// withdrawn, and of the others the columns are as in Was; versions go on. It is for those that
// LookBackTx has let pass in the same transaction. Rows that PostgreSQL refuses nevertheless, as for
// a condition that their table has got since, stay as they are and are in kept. Errors: ErrElsewhere.
func (a *AnyEnrollments) TakeBackEachTx(ctx context.Context, tx *tenancy.Tx, changes []RowChange) (kept map[ID]string, err error) {
	if err := a.Here(); err != nil {
		return nil, err
	}
	x := a.store.registered[a.name]
	var made []ID
	for _, c := range changes {
		if c.Was == nil {
			made = append(made, c.ID)
		}
	}
	if len(made) > 0 {
		if _, err := a.store.takeOut(ctx, x, tx, made, nil); err != nil {
			return nil, err
		}
	}
	ids, rows := before(changes)
	if len(ids) == 0 || len(x.columns) == 0 {
		return nil, nil
	}
	kept = map[ID]string{}
	return kept, a.putBack(ctx, tx, x, ids, rows, kept)
}

// putBack makes rows what they were. Where PostgreSQL refuses some, it finds out by halves which
// these are.
func (a *AnyEnrollments) putBack(ctx context.Context, tx *tenancy.Tx, x *extension, ids []ID, rows []string, kept map[ID]string) error {
	err := tx.Savepoint(ctx, func(tx *tenancy.Tx) error { return a.putBackAll(ctx, tx, x, ids, rows) })
	var wrong *tenancy.ValidationError
	taken := errors.Is(err, ErrValueTaken)
	switch {
	case err == nil || !taken && !errors.As(err, &wrong):
		return err
	case len(ids) > 1:
		half := len(ids) / 2
		if err := a.putBack(ctx, tx, x, ids[:half], rows[:half], kept); err != nil {
			return err
		}
		return a.putBack(ctx, tx, x, ids[half:], rows[half:], kept)
	case taken:
		kept[ids[0]] = KeptTaken
	default:
		kept[ids[0]] = KeptEdited
	}
	return nil
}

func (a *AnyEnrollments) putBackAll(ctx context.Context, tx *tenancy.Tx, x *extension, ids []ID, rows []string) error {
	now, err := x.images(ctx, tx, ids)
	if err != nil {
		return err
	}
	columns, read := make([]string, len(x.columns)), make([]string, len(x.columns))
	for i, c := range x.columns {
		columns[i], read[i] = quoted(c.Name), "p."+quoted(c.Name)
	}
	entries := make([]audit.Entry, len(ids))
	for i, id := range ids {
		entries[i] = x.entry("recipient.enrollment_updated", id, x.differing([]byte(rows[i]), now[id]))
	}
	_, err = tx.Exec(ctx, `UPDATE `+x.table.String()+` t SET (`+strings.Join(columns, ", ")+`) = (SELECT `+strings.Join(read, ", ")+` FROM jsonb_populate_record(t, w.image) p),
			version = t.version + 1, updated_at = now()
		FROM `+fmt.Sprintf(written, `$2::uuid[], $3::jsonb[]`, `id, image`)+` WHERE t.domain_id = w.domain_id AND t.recipient_id = w.id`, tx.Tenant().DomainID, ids, rows)
	if err != nil {
		return x.refused(fmt.Errorf("recipients: take back rows of extension %q: %w", x.name, err))
	}
	return a.store.audit.RecordTx(ctx, tx, entries...)
}

// differing returns the names, for the audit trail, of the columns in which two images differ.
func (x *extension) differing(a, b json.RawMessage) (shown []string) {
	var one, other map[string]json.RawMessage
	if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &other) != nil {
		return nil
	}
	for i := range x.columns {
		if c := &x.columns[i]; !bytes.Equal(one[c.Name], other[c.Name]) {
			shown = append(shown, c.shown())
		}
	}
	return shown
}
