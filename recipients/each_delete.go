package recipients

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/tenancy"
)

// DeleteEachTx deletes each of up to MaxEach recipients that are live, in the caller's
// transaction: after an error, tx goes on as before the call.
func (s *Store) DeleteEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID) (Each, error) {
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) { return s.deleteEach(ctx, tx, ids) })
}

func (s *Store) deleteEach(ctx context.Context, tx *tenancy.Tx, ids []ID) (out Each, err error) {
	if _, err := s.beginEach(ctx, tx, ids); err != nil {
		return out, err
	}
	rows, err := s.hold(ctx, tx, `r.id = ANY ($2) AND `+live, ids)
	if err != nil || len(rows) == 0 {
		return out, err
	}
	out.Changed = len(rows)
	return out, s.hide(ctx, tx, idsOf(rows))
}

// RestoreEachTx restores each of up to MaxEach recipients that are deleted, in the caller's
// transaction. Those whose address is taken fail with *EmailTakenError, and those for which
// the plan has no room with *billing.LimitError: as many as there is room for are restored, in
// the order of their ids. After an error, tx goes on as before the call; a
// *customfields.TakenError means that nothing was done.
func (s *Store) RestoreEachTx(ctx context.Context, tx *tenancy.Tx, ids []ID) (Each, error) {
	return inSavepoint(ctx, tx, func(tx *tenancy.Tx) (Each, error) { return s.restoreEach(ctx, tx, ids) })
}

func (s *Store) restoreEach(ctx context.Context, tx *tenancy.Tx, ids []ID) (out Each, err error) {
	if _, err := s.beginEach(ctx, tx, ids); err != nil {
		return out, err
	}
	rows, err := s.hold(ctx, tx, `r.id = ANY ($2) AND `+deleted, ids)
	if err != nil {
		return out, err
	}
	for len(rows) > 0 {
		if rows, err = s.freeAddresses(ctx, tx, rows, &out); err != nil || len(rows) == 0 {
			return out, err
		}
		// The limit is the last thing that refuses, when the rows stand.
		err = tx.Savepoint(ctx, func(tx *tenancy.Tx) error { return s.bringBack(ctx, tx, idsOf(rows)) })
		var over *billing.LimitError
		var pg *pgconn.PgError
		switch {
		case err == nil:
			out.Changed = len(rows)
			return out, nil
		case errors.As(err, &over):
			room := min(int(over.Remaining()), len(rows)-1)
			for _, h := range rows[room:] {
				out.fail(h.ID, &billing.LimitError{Resource: over.Resource, Existing: over.Existing + int64(room), Incoming: 1, Limit: over.Limit, Plan: over.Plan})
			}
			rows = rows[:room]
		case errors.As(err, &pg) && pg.ConstraintName == "recipients_email": // somebody has taken it just now
		default:
			return out, customfields.Taken(err)
		}
	}
	return out, nil
}

// freeAddresses returns those of deleted rows whose address nobody has, the first of several.
func (s *Store) freeAddresses(ctx context.Context, tx *tenancy.Tx, rows []held, out *Each) ([]held, error) {
	a, first := make(addresses, len(rows)), make(map[string]ID, len(rows))
	refused := make([]error, len(rows))
	for i := range rows {
		if before, twice := first[rows[i].emailNorm]; twice {
			refused[i] = &EmailTakenError{ID: before}
			continue
		}
		first[rows[i].emailNorm], a[rows[i].emailNorm] = rows[i].ID, i
	}
	var taken problems
	if err := s.findTaken(ctx, tx, a, &taken); err != nil {
		return nil, err
	}
	for _, p := range taken {
		refused[p.row] = p.err
	}
	free := slices.Clone(rows)[:0]
	for i := range rows {
		if refused[i] != nil {
			out.fail(rows[i].ID, refused[i])
			continue
		}
		free = append(free, rows[i])
	}
	return free, nil
}

// bringBack restores deleted rows, all or none.
func (s *Store) bringBack(ctx context.Context, tx *tenancy.Tx, ids []ID) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.recipients SET deleted_at = NULL, updated_at = now(), version = version + 1
		WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NOT NULL`), tx.Tenant().DomainID, ids)
	if err != nil {
		return fmt.Errorf("recipients: restore: %w", err)
	}
	if err := s.audit.RecordTx(ctx, tx, entries("recipient.restored", ids)...); err != nil {
		return err
	}
	return s.limits.Consume(ctx, tx, billing.ResourceRecipients, int64(len(ids)))
}
