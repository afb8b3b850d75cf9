package customfields

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stratakit/strata/tenancy"
)

// uniqueBatch is how many records, or values, one transaction takes: whoever writes one of
// them waits for it.
const uniqueBatch = 2_000

// maxDuplicates is how many values a DuplicatesError names.
const maxDuplicates = 20

// claimAll enters the values of f in every record of the workspace, or finds those that
// several records of a domain have. It is done when each record has its value for itself.
func (r *Registry) claimAll(ctx context.Context, f Field) (*DuplicatesError, error) {
	all := &DuplicatesError{Key: f.Key}
	err := r.eachDomain(ctx, false, func(ctx context.Context, t tenancy.Tenant) error {
		for {
			clashes, err := r.claimDomain(ctx, t, f)
			if err != nil || !clashes {
				return err
			}
			found, err := r.duplicates(ctx, t, f)
			if err != nil {
				return err
			}
			if found.Count > 0 {
				all.Count += found.Count
				all.Values = append(all.Values, found.Values...)
				return nil
			}
			// What clashed has been changed since, or its value was entered by its own writer.
			if whole, err := r.claimed(ctx, t, f); err != nil || whole {
				return err
			}
		}
	})
	if err != nil || all.Count == 0 {
		return nil, err
	}
	slices.SortStableFunc(all.Values, func(a, b Duplicate) int { return int(b.Records - a.Records) })
	all.Values = all.Values[:min(len(all.Values), maxDuplicates)]
	return all, nil
}

// claimDomain enters the values of a domain's records, in batches, and reports whether some
// were there already. Records are locked, so that none gets another value meanwhile without
// giving back the one that was entered.
func (r *Registry) claimDomain(ctx context.Context, t tenancy.Tenant, f Field) (clashes bool, err error) {
	var after pgtype.UUID
	after.Valid = true // the nil UUID is before all others
	for rows := int64(uniqueBatch); rows == uniqueBatch; {
		var there int64
		next := after
		err := r.db.InTx(ctx, func(tx *tenancy.Tx) error {
			var still bool
			err := tx.QueryRow(ctx, tx.SQL(`SELECT unique_state = 'building' AND unique_run = $3 FROM strata.custom_fields WHERE workspace_id = $1 AND id = $2 FOR SHARE`),
				t.WorkspaceID, f.ID, f.uniqueRun).Scan(&still)
			if err != nil {
				return err
			}
			if !still {
				return fmt.Errorf("key %q: %w", f.Key, ErrUniqueBusy)
			}
			return tx.QueryRow(ctx, tx.SQL(`
				WITH batch AS MATERIALIZED (
					SELECT id, company_id, workspace_id, custom_fields->>$2 AS value FROM `+r.values+`
					WHERE domain_id = $1 AND id > $3 AND deleted_at IS NULL ORDER BY id LIMIT $4 FOR NO KEY UPDATE
				), entered AS (
					INSERT INTO strata.custom_field_uniques (domain_id, slot, hash, company_id, workspace_id, record_id)
					SELECT $1, $2, strata.unique_value_hash(value) AS hash, company_id, workspace_id, id FROM batch WHERE value IS NOT NULL ORDER BY hash
					ON CONFLICT DO NOTHING RETURNING 1
				)
				SELECT count(*), coalesce((array_agg(id ORDER BY id DESC))[1], $3), count(value) - (SELECT count(*) FROM entered) FROM batch`),
				t.DomainID, f.Slot, after, uniqueBatch).Scan(&rows, &next, &there)
		})
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "40P01" && ctx.Err() == nil { // writers lock records in another order
			continue
		}
		if err != nil {
			return false, fmt.Errorf("customfields: enter the values of a field: %w", err)
		}
		after, clashes = next, clashes || there > 0
	}
	return clashes, nil
}

// duplicates finds the values of f that several records of a domain have.
func (r *Registry) duplicates(ctx context.Context, t tenancy.Tenant, f Field) (*DuplicatesError, error) {
	found := &DuplicatesError{}
	err := r.db.Read(ctx, `SELECT left(value, 100), records, count(*) OVER () FROM (
			SELECT custom_fields->>$2 AS value, count(*) AS records FROM `+r.values+`
			WHERE domain_id = $1 AND deleted_at IS NULL AND custom_fields->>$2 IS NOT NULL GROUP BY 1 HAVING count(*) > 1) d
		ORDER BY records DESC, value LIMIT $3`, []any{t.DomainID, f.Slot, maxDuplicates}, func(rows pgx.Rows) error {
		for rows.Next() {
			var d Duplicate
			if err := rows.Scan(&d.Value, &d.Records, &found.Count); err != nil {
				return err
			}
			found.Values = append(found.Values, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("customfields: find values that are not unique: %w", err)
	}
	return found, nil
}

// claimed reports whether each record of a domain has its value for itself.
func (r *Registry) claimed(ctx context.Context, t tenancy.Tenant, f Field) (whole bool, err error) {
	err = r.db.Read(ctx, `SELECT NOT EXISTS (
			SELECT custom_fields->>$2, id FROM `+r.values+` WHERE domain_id = $1 AND deleted_at IS NULL AND custom_fields->>$2 IS NOT NULL
				AND NOT EXISTS (SELECT FROM strata.custom_field_uniques u WHERE u.domain_id = $1 AND u.slot = $2
					AND u.hash = strata.unique_value_hash(custom_fields->>$2) AND u.record_id = id))`,
		[]any{t.DomainID, f.Slot}, func(rows pgx.Rows) (err error) {
			whole, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
			return err
		})
	return whole, err
}
