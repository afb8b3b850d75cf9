package tenancyhttp

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// sweptAtOnce is how many keys are looked up and deleted in one go.
const sweptAtOnce = 1000

// SweepIdempotencyKeys deletes the keys of every company whose 24 hours are over, in
// batches, and returns how many. Run it every few minutes; any number of processes may.
// Nothing depends on it but the size of the table.
func SweepIdempotencyKeys(ctx context.Context, db *tenancy.DB) (int, error) {
	swept := 0
	for {
		found, deleted, err := sweepKeys(ctx, db)
		swept += deleted
		if err != nil {
			return swept, fmt.Errorf("tenancyhttp: sweep idempotency keys: %w", err)
		}
		if found < sweptAtOnce {
			return swept, nil
		}
	}
}

func sweepKeys(ctx context.Context, db *tenancy.DB) (found, deleted int, err error) {
	scopes := map[tenancy.CompanyID][][]byte{}
	err = db.ReadTrusted(ctx, `SELECT company_id, scope FROM strata.idempotency_keys WHERE expires_at <= now() ORDER BY expires_at LIMIT $1`,
		[]any{sweptAtOnce}, func(rows pgx.Rows) error {
			var company tenancy.CompanyID
			var scope []byte
			_, err := pgx.ForEachRow(rows, []any{&company, &scope}, func() error {
				found++
				scopes[company] = append(scopes[company], scope)
				return nil
			})
			return err
		})
	if err != nil {
		return 0, 0, err
	}
	for company, scopes := range scopes {
		err := db.InTx(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: company}), func(tx *tenancy.Tx) error {
			// One that was claimed anew in the meantime stays.
			tag, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.idempotency_keys WHERE company_id = $1 AND scope = ANY($2) AND expires_at <= now()`), company, scopes)
			deleted += int(tag.RowsAffected())
			return err
		})
		if err != nil {
			return found, deleted, err
		}
	}
	return found, deleted, nil
}
