package recipients

import (
	"context"
	"fmt"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// EditEachTx makes an edit of each of up to MaxEach recipients that are live, in the caller's
// transaction. One that the edit cannot be made of, such as because its status would become
// less strict without a reason, is among those that failed. After an error, tx goes on as
// before the call: a *customfields.TakenError means that nothing was done.
func (s *Store) EditEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID, e Edit) (Each, error) {
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) { return s.editEach(ctx, tx, ids, e) })
}

func (s *Store) editEach(ctx context.Context, tx *tenancy.Tx, ids []ID, e Edit) (out Each, err error) {
	set, err := s.beginEach(ctx, tx, ids)
	if err != nil {
		return out, err
	}
	rows, err := s.hold(ctx, tx, `r.id = ANY ($2) AND `+live, ids)
	if err != nil {
		return out, err
	}
	writes, record := make([]write, 0, len(rows)), make([]audit.Entry, 0, len(rows))
	for i := range rows {
		w := writing(i, &rows[i])
		var v tenancy.ValidationError
		if err := collect(&v, w.change(set, e.of(set, w.before.CustomFields))); err != nil {
			return out, err
		}
		switch err := v.OrNil(); {
		case err != nil:
			out.fail(w.id, err)
		case !w.changes():
			out.Unchanged++
		default:
			writes, record = append(writes, w), append(record, entry("recipient.updated", w.id, w.changed))
		}
	}
	out.Changed = len(writes)
	if err := s.rewrite(ctx, tx, writes); err != nil {
		return out, err
	}
	return out, s.audit.RecordTx(ctx, tx, record...)
}

// rewrite is write for what keeps its address and need not be returned.
func (s *Store) rewrite(ctx context.Context, tx *tenancy.Tx, writes []write) error {
	if len(writes) == 0 {
		return nil
	}
	var (
		n        = len(writes)
		ids      = make([]ID, n)
		names    = make([]string, n)
		statuses = make([]string, n)
		reasons  = make([]string, n)
		patches  = make([]string, n)
	)
	for i, w := range writes {
		ids[i], names[i], statuses[i], reasons[i] = w.id, w.name, string(w.status), w.reason
		patches[i] = string(customfields.AppendJSON(nil, w.patch))
	}
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients r SET name = w.name, status = w.status, status_reason = w.reason,
			status_changed_at = CASE WHEN w.status = r.status THEN r.status_changed_at ELSE now() END,
			custom_fields = jsonb_strip_nulls(r.custom_fields || w.patch), version = r.version + 1, updated_at = now()
		FROM `+fmt.Sprintf(written, `$2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[]`, `id, name, status, reason, patch`)+`
		WHERE r.domain_id = w.domain_id AND r.id = w.id`), tx.Tenant().DomainID, ids, names, statuses, reasons, patches)
	if err != nil {
		return customfields.Taken(fmt.Errorf("recipients: change: %w", err))
	}
	return nil
}
