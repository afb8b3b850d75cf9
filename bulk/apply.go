package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// did is what became of rows.
type did struct {
	changed, unchanged, missing int64
	failures                    []Failure
}

// applying is one operation on some rows in one transaction.
type applying struct {
	*Operations
	tx   *tenancy.Tx
	op   *operation
	args any

	prepared applyPrepared // of all rows, to be tried first
	did
	internal int // rows that failed and nobody knows why
}

// systematic is how many rows may fail alone, one after the other, with none that succeeds,
// until what fails with an internal error is taken for the operation.
const systematic = 16

// apply does an operation on rows. What single rows are refused for is in what it returns;
// an error is not about rows. prepared is nil, or what does all of them, of which there are no
// more than an operation takes.
func (o *Operations) apply(ctx context.Context, tx *tenancy.Tx, op *operation, args any, ids []uuid.UUID, prepared applyPrepared) (did, error) {
	a := &applying{Operations: o, tx: tx, op: op, args: args, prepared: prepared}
	for part := range slices.Chunk(ids, op.max) {
		if err := a.try(ctx, part); err != nil {
			return did{}, err
		}
	}
	return a.did, nil
}

// try does rows, all or none, and when one of them is refused, each half of them.
func (a *applying) try(ctx context.Context, ids []uuid.UUID) error {
	var out Outcome
	var cause error
	err := a.tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
		cause = safely("Apply", func() (err error) {
			if do := a.prepared; do != nil {
				a.prepared = nil
				out, err = do(ctx, tx)
			} else {
				out, err = a.op.apply(ctx, tx, a.args, ids)
			}
			if err != nil {
				return err
			}
			return out.check(ids)
		})
		return cause
	})
	switch {
	case err == nil:
		return a.count(ctx, out, len(ids))
	case cause == nil, !a.usable(), !ofRow(ctx, cause):
		return err
	case len(ids) > 1:
		half := len(ids) / 2
		if err := a.try(ctx, ids[:half]); err != nil {
			return err
		}
		return a.try(ctx, ids[half:])
	}
	return a.fail(ctx, Failed{ids[0], cause})
}

// check holds an outcome to the rows, whose ids are sorted.
func (out Outcome) check(ids []uuid.UUID) error {
	if out.Changed < 0 || out.Unchanged < 0 || out.Changed+out.Unchanged+len(out.Failed) > len(ids) {
		return Permanent(fmt.Errorf("bulk: of %d rows, %d were changed, %d unchanged and %d failed", len(ids), out.Changed, out.Unchanged, len(out.Failed)))
	}
	seen := make(map[uuid.UUID]bool, len(out.Failed))
	for _, f := range out.Failed {
		if _, asked := slices.BinarySearchFunc(ids, f.ID, compareUUIDs); !asked || seen[f.ID] || f.Err == nil {
			return Permanent(fmt.Errorf("bulk: row %s failed twice, without an error, or was not asked for", f.ID))
		}
		seen[f.ID] = true
	}
	return nil
}

func (a *applying) count(ctx context.Context, out Outcome, rows int) error {
	a.changed += int64(out.Changed)
	a.unchanged += int64(out.Unchanged)
	a.missing += int64(rows - out.Changed - out.Unchanged - len(out.Failed))
	for _, f := range out.Failed {
		if err := a.fail(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// fail notes that a row was refused, or returns why when it does not look like the row's
// fault.
func (a *applying) fail(ctx context.Context, f Failed) error {
	if fault.KindOf(f.Err) == fault.Internal {
		if a.internal++; a.internal >= systematic && a.changed+a.unchanged == 0 {
			return fmt.Errorf("bulk: %s fails for every row: %w", a.op.kind, f.Err)
		}
		a.cfg.Log.WarnContext(ctx, "a row could not be done", "operation", a.op.kind, "domain", a.tx.Tenant().DomainID, "row", f.ID, "error", f.Err)
	}
	a.failures = append(a.failures, failureOf(f))
	return nil
}

// usable reports whether the transaction goes on.
func (a *applying) usable() bool {
	c := a.tx.Conn()
	return !c.IsClosed() && c.PgConn().TxStatus() == 'T'
}

// ofRow reports whether an error may be about a row, so that others can be done without it.
func ofRow(ctx context.Context, err error) bool {
	var permanent *permanentError
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &permanent) {
		return false
	}
	switch fault.KindOf(err) { //nolint:exhaustive // every other kind is about a row
	case fault.Moving, fault.Unavailable, fault.Throttled, fault.Unauthenticated:
		return false
	case fault.Internal:
	default:
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true
	}
	// Data exceptions, constraints, limits of the program such as the size of an entry of an
	// index, and what triggers raise: https://www.postgresql.org/docs/current/errcodes-appendix.html
	switch pg.Code[:min(2, len(pg.Code))] {
	case "22", "23", "44", "54", "P0":
		return true
	}
	return false
}
