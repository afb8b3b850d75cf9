package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

// Delete hides a recipient and frees its address, its unique values and its place in the
// plan; Restore brings it back until it is purged (Config.PurgeAfter). Errors: ErrNotFound,
// ErrVersion.
func (s *Store) Delete(ctx context.Context, id ID, versions ...IfVersion) error {
	_, err := inTx(ctx, s, func(tx *tenancy.Tx) ([]ID, error) { return s.remove(ctx, tx, []ID{id}, versions) })
	return alone(err)
}

// DeleteTx is Delete in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) DeleteTx(ctx context.Context, tx *tenancy.Tx, id ID, versions ...IfVersion) error {
	_, err := inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]ID, error) { return s.remove(ctx, tx, []ID{id}, versions) })
	return alone(err)
}

// DeleteMany is Delete for up to MaxBatch recipients, all or none. Errors: ErrTooMany,
// *tenancy.ValidationError with the rows that are not there.
func (s *Store) DeleteMany(ctx context.Context, ids []ID) error {
	_, err := many(inTx(ctx, s, func(tx *tenancy.Tx) ([]ID, error) { return s.remove(ctx, tx, ids, nil) }))
	return err
}

// DeleteManyTx is DeleteMany in the caller's transaction: after an error, tx goes on as before
// the call.
func (s *Store) DeleteManyTx(ctx context.Context, tx *tenancy.Tx, ids []ID) error {
	_, err := many(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]ID, error) { return s.remove(ctx, tx, ids, nil) }))
	return err
}

func (s *Store) remove(ctx context.Context, tx *tenancy.Tx, ids []ID, versions []IfVersion) ([]ID, error) {
	if _, err := s.begin(ctx, tx, len(ids)); err != nil || len(ids) == 0 {
		return nil, err
	}
	_, wrong, err := s.holdIDs(ctx, tx, ids, live, versions)
	if err != nil {
		return nil, err
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	return ids, s.hide(ctx, tx, ids)
}

// hide deletes recipients that are live and held.
func (s *Store) hide(ctx context.Context, tx *tenancy.Tx, ids []ID) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients SET deleted_at = now(), updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL`), tx.Tenant().DomainID, ids)
	if err != nil {
		return fmt.Errorf("recipients: delete: %w", err)
	}
	if err := s.audit.RecordTx(ctx, tx, entries("recipient.deleted", ids)...); err != nil {
		return err
	}
	return s.limits.Release(ctx, tx, billing.ResourceRecipients, int64(len(ids)))
}

// Restore brings a deleted recipient back as it was. Values that the definitions would not
// take any more stay, as they do in a recipient that was there all the time. Errors:
// ErrNotFound for one that is not there or not deleted, ErrVersion, *EmailTakenError,
// *customfields.TakenError, *billing.LimitError.
func (s *Store) Restore(ctx context.Context, id ID, versions ...IfVersion) (Recipient, error) {
	return one(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.restore(ctx, tx, []ID{id}, versions) }))
}

// RestoreTx is Restore in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) RestoreTx(ctx context.Context, tx *tenancy.Tx, id ID, versions ...IfVersion) (Recipient, error) {
	return one(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.restore(ctx, tx, []ID{id}, versions) }))
}

// RestoreMany is Restore for up to MaxBatch recipients, all or none, and returns them in the
// order of ids. Errors: ErrTooMany, *tenancy.ValidationError with all that is wrong with any
// row, *billing.LimitError.
func (s *Store) RestoreMany(ctx context.Context, ids []ID) ([]Recipient, error) {
	return many(inTx(ctx, s, func(tx *tenancy.Tx) ([]Recipient, error) { return s.restore(ctx, tx, ids, nil) }))
}

// RestoreManyTx is RestoreMany in the caller's transaction: after an error, tx goes on as
// before the call.
func (s *Store) RestoreManyTx(ctx context.Context, tx *tenancy.Tx, ids []ID) ([]Recipient, error) {
	return many(inSavepoint(ctx, tx, func(tx *tenancy.Tx) ([]Recipient, error) { return s.restore(ctx, tx, ids, nil) }))
}

func (s *Store) restore(ctx context.Context, tx *tenancy.Tx, ids []ID, versions []IfVersion) ([]Recipient, error) {
	set, err := s.begin(ctx, tx, len(ids))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, wrong, err := s.holdIDs(ctx, tx, ids, deleted, versions)
	if err != nil {
		return nil, err
	}
	a, byID, values := make(addresses, len(ids)), make(map[ID]int, len(ids)), make([]map[string]any, len(ids))
	for i, h := range rows {
		if h.ID.IsZero() {
			continue // it is among what is wrong
		}
		if _, twice := byID[h.ID]; !twice {
			a.add(i, h.emailNorm, &wrong)
		}
		byID[h.ID], values[i] = i, h.CustomFields
	}
	out := make([]Recipient, len(ids))
	err = s.claim(ctx, tx, a, &wrong, func() error {
		err := tx.Read(ctx, `UPDATE strata.recipients r SET deleted_at = NULL, updated_at = now(), version = r.version + 1
			WHERE r.domain_id = $1 AND r.id = ANY ($2) AND r.deleted_at IS NOT NULL RETURNING `+recipientColumns, []any{tx.Tenant().DomainID, ids}, func(found pgx.Rows) error {
			restored, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (Recipient, error) { return scanRecipient(set, row) })
			for _, r := range restored {
				out[byID[r.ID]] = r
			}
			return err
		})
		if err != nil {
			return takenValues(set, values, fmt.Errorf("recipients: restore: %w", err))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.audit.RecordTx(ctx, tx, entries("recipient.restored", ids)...); err != nil {
		return nil, err
	}
	return out, s.limits.Consume(ctx, tx, billing.ResourceRecipients, int64(len(ids)))
}
