package recipients

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/arrays"
	"github.com/stratakit/strata/tenancy"
)

// EditEachTx makes an edit of each of up to MaxEach recipients that are live, in the caller's
// transaction. One that the edit cannot be made of, such as because its status would become
// less strict without a reason, is among those that failed. After an error, tx goes on as
// before the call: a *customfields.TakenError means that nothing was done.
func (s *Store) EditEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID, e Edit) (Each, error) {
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) { return s.editEach(ctx, tx, ids, e) })
}

func (s *Store) editEach(ctx context.Context, tx *tenancy.Tx, ids []ID, e Edit) (Each, error) {
	set, err := s.beginEach(ctx, tx, ids)
	if err != nil {
		return Each{}, err
	}
	rows, err := s.hold(ctx, tx, `r.id = ANY ($2) AND `+live, ids)
	if err != nil {
		return Each{}, err
	}
	edits, err := edit(set, rows, e)
	if err != nil {
		return Each{}, err
	}
	if _, err := s.rewrite(ctx, tx, edits.writes); err != nil {
		return Each{}, err
	}
	return edits.each, s.audit.RecordPreparedTx(ctx, tx, edits.record)
}

// edits are what an edit makes of recipients.
type edits struct {
	each   Each
	writes rewrites
	record audit.Prepared
}

func edit(set *customfields.Set, rows []held, e Edit) (out edits, err error) {
	record := make([]audit.Entry, 0, len(rows))
	for i := range rows {
		w := writing(i, &rows[i])
		var v tenancy.ValidationError
		if err := collect(&v, w.change(set, e.of(set, w.before.CustomFields))); err != nil {
			return out, err
		}
		switch err := v.OrNil(); {
		case err != nil:
			out.each.fail(w.id, err)
		case !w.changes():
			out.each.Unchanged++
		default:
			out.writes.add(w)
			record = append(record, entry("recipient.updated", w.id, w.changed))
		}
	}
	out.writes.brief()
	out.each.Changed = len(out.writes.ids)
	out.record, err = audit.Prepare(record...)
	return out, err
}

// PreparedEdit is an edit of some recipients as they were when it was prepared.
type PreparedEdit struct {
	store *Store
	set   *customfields.Set
	ids   []ID
	edit  Edit
	edits edits
}

// PrepareEdit does what EditEachTx does before it writes, without a lock and in no transaction:
// so that it can go on while another one writes. Errors are of the database and of the tenant.
func (s *Store) PrepareEdit(ctx context.Context, ids []ID, e Edit) (*PreparedEdit, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.fields.Set(ctx)
	if err != nil {
		return nil, err
	}
	p := &PreparedEdit{store: s, set: set, ids: ids, edit: e}
	var rows []held
	err = s.db.ReadTrusted(ctx, heldSQL(`r.id = ANY ($2) AND `+live), []any{t.DomainID, ids}, func(found pgx.Rows) (err error) {
		rows, err = collectHeld(found)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("recipients: prepare an edit: %w", err)
	}
	p.edits, err = edit(set, rows, e)
	return p, err
}

// EditTx is EditEachTx of the recipients that it was prepared for. What was made of them is
// written when neither they nor the custom fields have changed since; else they are edited as
// they are now.
func (p *PreparedEdit) EditTx(ctx context.Context, tx *tenancy.Tx) (Each, error) {
	set, err := p.store.beginEach(ctx, tx, p.ids)
	if err != nil {
		return Each{}, err
	}
	if set.Version != p.set.Version {
		return p.store.EditEachTx(ctx, tx, p.ids, p.edit)
	}
	out, err := inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) {
		n, err := p.store.rewrite(ctx, tx, p.edits.writes)
		switch {
		case err != nil:
			return Each{}, err
		case n != int64(p.edits.each.Changed):
			return Each{}, errChangedSince
		}
		return p.edits.each, p.store.audit.RecordPreparedTx(ctx, tx, p.edits.record)
	})
	if errors.Is(err, errChangedSince) {
		return p.store.EditEachTx(ctx, tx, p.ids, p.edit)
	}
	return out, err
}

var errChangedSince = errors.New("recipients: they have changed since the edit was prepared")

// rewrites are what becomes of recipients that keep their address, each of one version. What
// none of them changes, and what all of them become, is not there for each (arrays.Once).
type rewrites struct {
	ids      []ID
	versions []int64
	names    []string
	statuses []string
	reasons  []string
	patches  []string
	named    bool // one is, or more
	stated   bool
	patched  bool
	cleared  bool // a value
}

func (r *rewrites) add(w write) {
	r.ids, r.versions = append(r.ids, w.id), append(r.versions, w.before.Version)
	r.names, r.statuses, r.reasons = append(r.names, w.name), append(r.statuses, string(w.status)), append(r.reasons, w.reason)
	r.patches = append(r.patches, string(customfields.AppendJSON(nil, w.patch)))
	r.named = r.named || w.name != w.before.Name
	r.stated = r.stated || w.status != w.before.Status || w.reason != w.before.StatusReason
	r.patched = r.patched || len(w.patch) > 0
	for _, value := range w.patch {
		r.cleared = r.cleared || value == nil
	}
}

// brief takes out what is not needed for each, once nothing is added any more.
func (r *rewrites) brief() {
	if !r.named {
		r.names = nil
	}
	if !r.stated {
		r.statuses, r.reasons = nil, nil
	}
	if !r.patched {
		r.patches = nil
	}
	r.names, r.statuses, r.reasons, r.patches = arrays.Once(r.names), arrays.Once(r.statuses), arrays.Once(r.reasons), arrays.Once(r.patches)
}

// rewrite is write for what keeps its address and need not be returned. It returns how many
// were of their version.
func (s *Store) rewrite(ctx context.Context, tx *tenancy.Tx, r rewrites) (int64, error) {
	if len(r.ids) == 0 {
		return 0, nil
	}
	const (
		status = `coalesce(w.status, ($5::text[])[1], r.status)`
		fields = `r.custom_fields || coalesce(w.patch, ($7::jsonb[])[1])`
	)
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients r SET name = coalesce(w.name, ($4::text[])[1], r.name), status = `+status+`,
			status_reason = coalesce(w.reason, ($6::text[])[1], r.status_reason),
			status_changed_at = CASE WHEN `+status+` = r.status THEN r.status_changed_at ELSE now() END,
			custom_fields = CASE WHEN $8 THEN jsonb_strip_nulls(`+fields+`) ELSE coalesce(`+fields+`, r.custom_fields) END,
			version = r.version + 1, updated_at = now()
		FROM `+fmt.Sprintf(written, `$2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::jsonb[]`, `id, version, name, status, reason, patch`)+`
		WHERE r.domain_id = w.domain_id AND r.id = w.id AND r.version = w.version`), tx.Tenant().DomainID,
		r.ids, r.versions, r.names, r.statuses, r.reasons, r.patches, r.cleared)
	if err != nil {
		return 0, customfields.Taken(fmt.Errorf("recipients: change: %w", err))
	}
	return tag.RowsAffected(), nil
}
