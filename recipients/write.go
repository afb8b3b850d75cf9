package recipients

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// write is what becomes of one recipient that the transaction has locked.
type write struct {
	row       int // of the call
	id        ID
	before    *held
	email     string
	emailNorm string
	name      string
	status    Status
	reason    string
	patch     map[string]any // by slot; nil: no value any more
	changed   []string       // the fields and keys that differ
}

func writing(row int, h *held) write {
	return write{row: row, id: h.ID, before: h, email: h.Email, emailNorm: h.emailNorm, name: h.Name, status: h.Status, reason: h.StatusReason}
}

func (w *write) changes() bool { return len(w.changed) > 0 }

// text sets one of the texts of a recipient and notes whether it differs.
func (w *write) text(field string, at *string, value string) {
	if *at != value {
		*at, w.changed = value, append(w.changed, field)
	}
}

// restate gives a status; a reason is that of the new one.
func (w *write) restate(status Status, reason string) {
	if w.status == status {
		return
	}
	w.status, w.reason, w.changed = status, reason, append(w.changed, "status")
}

// values gives custom fields, of which keys were named.
func (w *write) values(set *customfields.Set, keys []string, values map[string]any, unset []string) {
	w.patch = map[string]any{}
	for slot, value := range values {
		if stored, ok := w.before.CustomFields[slot]; !ok || !same(stored, value) {
			w.patch[slot] = value
		}
	}
	for _, slot := range unset {
		if _, ok := w.before.CustomFields[slot]; ok {
			w.patch[slot] = nil
		}
	}
	if len(w.patch) == 0 {
		return
	}
	n := len(w.changed)
	for _, key := range keys {
		slot := key
		if f := set.Field(key); f != nil {
			slot = f.Slot
		} else if s, ok := set.ArchivedSlots[key]; ok {
			slot = s
		}
		if _, differs := w.patch[slot]; differs {
			w.changed = append(w.changed, key)
		}
	}
	if len(w.changed) == n { // only in the slot of a field that is being converted
		w.changed = append(w.changed, keys...)
	}
}

// same reports whether a value read from JSON is the normalised one.
func same(stored, value any) bool {
	if list, ok := value.([]string); ok {
		texts := make([]any, len(list))
		for i, s := range list {
			texts[i] = s
		}
		value = texts
	}
	return reflect.DeepEqual(stored, value)
}

// merge is what an upsert makes of a recipient that is there: in as it was given and n as it
// is stored.
func (w *write) merge(set *customfields.Set, in New, n normalized) {
	if n.name != "" {
		w.text("name", &w.name, n.name)
	}
	if n.stated {
		switch {
		case n.status == w.status && n.reason != "":
			w.text("statusReason", &w.reason, n.reason)
		case n.status.strictness() >= w.status.strictness():
			w.restate(n.status, n.reason)
		}
	}
	values := maps.Clone(n.fields)
	for _, slot := range n.defaulted {
		delete(values, slot)
	}
	w.values(set, slices.Sorted(maps.Keys(in.CustomFields)), values, n.cleared)
}

// change is what an update makes of a recipient, or what is wrong with that.
func (w *write) change(set *customfields.Set, c Change) error {
	var v tenancy.ValidationError
	note := func(problem *tenancy.FieldError) bool {
		if problem != nil {
			v.Fields = append(v.Fields, *problem)
		}
		return problem == nil
	}
	if c.Email != nil {
		if norm, problem := NormalizeEmail(*c.Email); note(problem) {
			w.emailNorm = norm
			w.text("email", &w.email, strings.TrimSpace(*c.Email))
		}
	}
	if c.Name != nil {
		if name, problem := NormalizeName(*c.Name); note(problem) {
			w.text("name", &w.name, name)
		}
	}
	reason := ""
	if c.StatusReason != nil {
		var problem *tenancy.FieldError
		reason, problem = normalizeReason(*c.StatusReason)
		note(problem)
	}
	status := w.status
	if c.Status != nil {
		if given, problem := parseStatus(string(*c.Status)); note(problem) {
			status = given
		}
	}
	switch {
	case status.strictness() < w.status.strictness() && reason == "":
		note(noReason(w.status))
	case status != w.status:
		w.restate(status, reason)
	case c.StatusReason != nil:
		w.text("statusReason", &w.reason, reason)
	}
	if len(c.CustomFields) > 0 {
		values, unset, err := set.NormalizePatch(w.before.CustomFields, c.CustomFields)
		if err := collect(&v, err); err != nil {
			return err
		}
		w.values(set, slices.Sorted(maps.Keys(c.CustomFields)), values, unset)
	}
	return v.OrNil()
}

// named is the recipient as it goes out: its custom fields by their keys.
func (h *held) named(set *customfields.Set) Recipient {
	r := h.Recipient
	r.CustomFields = set.Named(maps.Clone(r.CustomFields))
	return r
}

// written is what an UPDATE joins to the rows it writes: arrays, and what their elements are
// called. OFFSET 0 keeps from the planner which domain it is, and so that it takes a domain it
// has not met for empty, reads all of that for the join, or compares each row with each: it
// looks every row up by its key.
const written = `(SELECT $1::uuid AS domain_id, u.* FROM unnest(%s) AS u (%s) OFFSET 0) w`

// write writes recipients of a call with some rows, and returns them by their rows.
func (s *Store) write(ctx context.Context, tx *tenancy.Tx, set *customfields.Set, rows int, writes []write) (map[int]Recipient, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	var (
		n        = len(writes)
		ids      = make([]ID, n)
		emails   = make([]string, n)
		norms    = make([]string, n)
		names    = make([]string, n)
		statuses = make([]string, n)
		reasons  = make([]string, n)
		patches  = make([]string, n)
		values   = make([]map[string]any, rows)
		byID     = make(map[ID]int, n)
	)
	for i, w := range writes {
		ids[i], emails[i], norms[i], names[i], statuses[i], reasons[i] = w.id, w.email, w.emailNorm, w.name, string(w.status), w.reason
		patches[i] = string(customfields.AppendJSON(nil, w.patch))
		values[w.row], byID[w.id] = w.patch, w.row
	}
	out := make(map[int]Recipient, n)
	err := tx.Read(ctx, `UPDATE strata.recipients r SET email = w.email, email_norm = w.email_norm, name = w.name, status = w.status, status_reason = w.reason,
			status_changed_at = CASE WHEN w.status = r.status THEN r.status_changed_at ELSE now() END,
			custom_fields = jsonb_strip_nulls(r.custom_fields || w.patch), version = r.version + 1, updated_at = now()
		FROM `+fmt.Sprintf(written, `$2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[]`, `id, email, email_norm, name, status, reason, patch`)+`
		WHERE r.domain_id = w.domain_id AND r.id = w.id RETURNING `+recipientColumns,
		[]any{tx.Tenant().DomainID, ids, emails, norms, names, statuses, reasons, patches}, func(found pgx.Rows) error {
			written, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (Recipient, error) { return scanRecipient(set, row) })
			for _, r := range written {
				out[byID[r.ID]] = r
			}
			return err
		})
	if err != nil {
		return nil, takenValues(set, values, fmt.Errorf("recipients: change: %w", err))
	}
	return out, nil
}
