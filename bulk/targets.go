package bulk

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratakit/strata/tenancy"
)

// perRow is how many targets a row of strata.run_targets has: each row is an entry of an index
// and a check of a foreign key.
const perRow = 1_000

// storeTargets writes the targets of a run, in the transaction that makes it.
func storeTargets(ctx context.Context, tx *tenancy.Tx, run Run, ids []uuid.UUID) error {
	first := int64(1)
	var b pgx.Batch
	for chunk := range slices.Chunk(ids, perRow) {
		b.Queue(tx.SQL(`INSERT INTO strata.run_targets (domain_id, run_id, first, company_id, ids) VALUES ($1, $2, $3, $4, $5)`),
			run.DomainID, run.ID, first, run.CompanyID, binary(chunk))
		first += int64(len(chunk))
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("bulk: store the targets of a run: %w", err)
	}
	return nil
}

// binary is ids as pgx sends and reads them without a detour by text, which costs as much as all
// the rest of it.
func binary(ids []uuid.UUID) []pgtype.UUID {
	out := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		out[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	return out
}

// nextTargets returns up to n targets of a run behind the first after of them.
func nextTargets(ctx context.Context, read reader, run Run, after int64, n int) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := read(ctx, `SELECT ids[$3::bigint - first + 2:] FROM strata.run_targets
		WHERE domain_id = $1 AND run_id = $2 AND first > $3::bigint + 1 - $4::bigint AND first <= $3::bigint + $5::bigint ORDER BY first`,
		[]any{run.DomainID, run.ID, after, perRow, n}, func(rows pgx.Rows) error {
			var part []pgtype.UUID
			_, err := pgx.ForEachRow(rows, []any{&part}, func() error {
				for _, id := range part {
					ids = append(ids, id.Bytes)
				}
				return nil
			})
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("bulk: read the targets of a run: %w", err)
	}
	return ids[:min(n, len(ids))], nil
}

// reader is Read of a transaction or of a DB.
type reader func(ctx context.Context, sql string, args []any, scan func(pgx.Rows) error) error
