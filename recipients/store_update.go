package recipients

import (
	"context"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
)

// Update changes a recipient. A change that changes nothing gives it no new version and is
// not audited. Errors: ErrNotFound, ErrVersion, *EmailTakenError, *customfields.TakenError,
// *tenancy.ValidationError.
func (s *Store) Update(ctx context.Context, id ID, c Change) (Recipient, error) {
	return one(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.update(ctx, tx, []ID{id}, c) }))
}

// UpdateTx is Update in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) UpdateTx(ctx context.Context, tx *tenancy.Tx, id ID, c Change) (Recipient, error) {
	return one(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.update(ctx, tx, []ID{id}, c) }))
}

// UpdateMany makes the same change of up to MaxBatch recipients, all or none, and returns them
// in the order of ids. Errors: ErrTooMany, *customfields.TakenError, *tenancy.ValidationError
// with all that is wrong with any row.
func (s *Store) UpdateMany(ctx context.Context, ids []ID, c Change) ([]Recipient, error) {
	return many(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.update(ctx, tx, ids, c) }))
}

// UpdateManyTx is UpdateMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (s *Store) UpdateManyTx(ctx context.Context, tx *tenancy.Tx, ids []ID, c Change) ([]Recipient, error) {
	return many(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.update(ctx, tx, ids, c) }))
}

func (s *Store) update(ctx context.Context, tx *tenancy.Tx, ids []ID, c Change) ([]Recipient, error) {
	set, err := s.begin(ctx, tx, len(ids))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if c.Email != nil && len(ids) > 1 {
		return nil, &tenancy.ValidationError{Fields: []tenancy.FieldError{{Field: "email", Code: "not_allowed", Message: "cannot be the same of several recipients"}}}
	}
	var versions []IfVersion
	if c.Version != 0 {
		versions = []IfVersion{IfVersion(c.Version)}
	}
	rows, wrong, err := s.holdIDs(ctx, tx, ids, live, versions)
	if err != nil {
		return nil, err
	}
	refused := map[int]bool{}
	for _, p := range wrong {
		refused[p.row] = true
	}
	out := make([]Recipient, len(ids))
	writes, record, moved := make([]write, 0, len(ids)), make([]audit.Entry, 0, len(ids)), addresses{}
	for i := range rows {
		if refused[i] {
			continue
		}
		w := writing(i, &rows[i])
		var v tenancy.ValidationError
		if err := collect(&v, w.change(set, c)); err != nil {
			return nil, err
		}
		if err := v.OrNil(); err != nil {
			wrong.add(i, err)
			continue
		}
		if !w.changes() {
			out[i] = rows[i].named(set)
			continue
		}
		if w.emailNorm != rows[i].emailNorm {
			moved[w.emailNorm] = i
		}
		writes, record = append(writes, w), append(record, entry("recipient.updated", w.id, w.changed))
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	save := func() error {
		updated, err := s.write(ctx, tx, set, len(ids), writes)
		for row, r := range updated {
			out[row] = r
		}
		return err
	}
	if len(moved) > 0 {
		err = s.claim(ctx, tx, moved, &wrong, save)
	} else {
		err = save()
	}
	if err != nil {
		return nil, err
	}
	return out, s.audit.RecordTx(ctx, tx, record...)
}
