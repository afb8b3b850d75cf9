package imports

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// takenBy is the SQL for: another recipient than the one with this address has the value.
const takenBy = `EXISTS (SELECT FROM strata.custom_field_uniques u JOIN strata.recipients r ON r.domain_id = u.domain_id AND r.id = u.record_id
	WHERE u.domain_id = $1 AND u.slot = k.slot AND u.hash = strata.unique_value_hash(v.value) AND r.email_norm <> v.email_norm)`

// unused is the SQL for: the policy does not write the value, because the recipient has one.
func unused(policy Conflict) string {
	if policy != FillEmpty {
		return `false`
	}
	return `coalesce((SELECT r.custom_fields->k.slot IS NOT NULL FROM strata.recipients r WHERE r.domain_id = $1 AND ` + addressIs(`v.email_norm`) + `), false)`
}

const takenMessage = `another recipient of the domain has this value`

// markTaken judges rows with a value of a unique field that another recipient has, or an
// earlier row of the file, as invalid. It looks at what is there before the import: a value
// that its owner gives up in the same file is taken.
func (s staging) markTaken(ctx context.Context, tx *tenancy.Tx) error {
	keys, slots, err := s.im.fields.UniqueTx(ctx, tx)
	if err != nil || len(keys) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`
		WITH v AS MATERIALIZED (
			SELECT i.row_no, i.email_norm, i.verdict, k.key, k.slot, i.custom_fields->>k.slot AS value,
				first_value(i.row_no) OVER (PARTITION BY k.key, i.custom_fields->>k.slot ORDER BY i.verdict <> 'unchanged', i.row_no) AS first
			FROM strata.import_rows i, unnest($3::text[], $4::text[]) k(key, slot)
			WHERE i.domain_id = $1 AND i.import_id = $2 AND (i.verdict = 'unchanged' OR i.verdict IN ('new', 'update') AND i.round = $5) AND i.custom_fields->>k.slot IS NOT NULL
		), judged AS MATERIALIZED (
			SELECT v.*, `+takenBy+` AS taken FROM v, LATERAL (SELECT v.slot) k WHERE v.verdict <> 'unchanged' AND NOT `+unused(s.policy)+`
		), wrong AS MATERIALIZED (
			SELECT row_no, jsonb_agg(jsonb_build_object('field', 'customFields.' || key, 'value', left(value, 80), 'code', 'value_taken',
				'message', CASE WHEN taken THEN '`+takenMessage+`' ELSE 'row ' || first || ' has this value too' END) ORDER BY key) AS errors
			FROM judged WHERE taken OR first <> row_no GROUP BY row_no
		)
		`+judgeRows(`'invalid'`, `wrong`)), tx.Tenant().DomainID, s.id, keys, slots, s.round)
	if err != nil {
		return fmt.Errorf("find values that are taken: %w", err)
	}
	return nil
}

// markTaken writes the reason to those of the next rows whose values have been taken since
// they were judged, and returns them: they are skipped. A value that is taken even later ends
// the batch, which bulk tries again.
func (w *commitWork) markTaken(ctx context.Context, tx *tenancy.Tx) (rows []int32, err error) {
	keys, slots, err := w.im.fields.UniqueTx(ctx, tx)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	err = tx.Read(ctx, `
		WITH next AS MATERIALIZED (
			SELECT row_no, email_norm, custom_fields FROM strata.import_rows
			WHERE domain_id = $1 AND import_id = $2 AND round = $7 AND verdict IN ('new', 'update') AND email_norm > $5 ORDER BY email_norm LIMIT $6
		), v AS MATERIALIZED (
			SELECT n.row_no, n.email_norm, k.key, k.slot, n.custom_fields->>k.slot AS value,
				row_number() OVER (PARTITION BY k.key, n.custom_fields->>k.slot ORDER BY n.email_norm) > 1 AS again
			FROM next n, unnest($3::text[], $4::text[]) k(key, slot) WHERE n.custom_fields->>k.slot IS NOT NULL
		), wrong AS MATERIALIZED (
			SELECT v.row_no, jsonb_agg(jsonb_build_object('field', 'customFields.' || v.key, 'value', left(v.value, 80), 'code', 'value_taken', 'message', '`+takenMessage+`') ORDER BY v.key) AS errors
			FROM v, LATERAL (SELECT v.slot) k WHERE NOT `+unused(w.policy)+` AND (v.again OR `+takenBy+`)
			GROUP BY v.row_no
		)
		`+explainRows(`wrong`)+` RETURNING i.row_no`,
		[]any{tx.Tenant().DomainID, w.id, keys, slots, w.cursor.After, w.im.cfg.BatchRows, w.round}, func(found pgx.Rows) (err error) {
			rows, err = pgx.CollectRows(found, pgx.RowTo[int32])
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("find values that are taken: %w", err)
	}
	return rows, nil
}
