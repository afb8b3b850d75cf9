package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// enrolling is a row that says something of extensions, and the recipient that it is about.
type enrolling struct {
	Row       int32
	Verdict   string
	Recipient recipients.ID
	Values    map[string]map[string]json.RawMessage // by extension and column

	changes bool
	wrong   []tenancy.FieldError
}

// lookAtEnrollments judges rows of the round, whose recipients are there, by what extensions have
// of these: what is enrolled or changed there is an update, and what cannot be is wrong.
func (s staging) lookAtEnrollments(ctx context.Context, tx *tenancy.Tx, numbers []int32) error {
	if len(s.extensions) == 0 || s.policy == Skip { // then nothing is done to a recipient that is there
		return nil
	}
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return err
	}
	var found []*enrolling
	err := tx.Read(ctx, `SELECT i.* FROM unnest($3::int[]) AS w (row_no), LATERAL (
			SELECT row_no, verdict, recipient_id, enrollments FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND row_no = w.row_no AND round = $4
				AND verdict IN ('update', 'unchanged') AND enrollments IS NOT NULL OFFSET 0) i`,
		[]any{tx.Tenant().DomainID, s.id, numbers, s.round}, func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, scanEnrolling)
			return err
		})
	if err != nil {
		return fmt.Errorf("read what is said of extensions: %w", err)
	}
	if _, err := tx.Exec(ctx, asUsual); err != nil {
		return err
	}
	for left := found; len(left) > 0; {
		var now []*enrolling
		now, left = distinct(left)
		for _, x := range s.extensions {
			result, err := x.LookEachTx(ctx, tx, puts(x, now), s.policy == FillEmpty)
			if err == nil {
				_, err = note(x, now, result)
			}
			if err != nil {
				return err
			}
		}
	}
	var judged []int32
	var verdicts []string
	var errs []*string
	for _, e := range found {
		switch {
		case len(e.wrong) > 0:
			raw, err := json.Marshal(e.wrong)
			if err != nil {
				return err
			}
			text := string(raw)
			judged, verdicts, errs = append(judged, e.Row), append(verdicts, "invalid"), append(errs, &text)
		case e.changes:
			judged, verdicts, errs = append(judged, e.Row), append(verdicts, "update"), append(errs, nil)
		}
	}
	if len(judged) == 0 {
		return nil
	}
	_, err = tx.Exec(ctx, tx.SQL(judgeRows(`verdict`, `unnest($3::int[], $4::text[], $5::jsonb[]) AS w (row_no, verdict, errors)`)), tx.Tenant().DomainID, s.id, judged, verdicts, errs)
	if err != nil {
		return fmt.Errorf("judge what is said of extensions: %w", err)
	}
	return nil
}

func scanEnrolling(row pgx.CollectableRow) (*enrolling, error) {
	e := &enrolling{}
	return e, row.Scan(&e.Row, &e.Verdict, &e.Recipient, &e.Values)
}

// distinct takes of rows the first of each recipient.
func distinct(all []*enrolling) (first, left []*enrolling) {
	seen := make(map[recipients.ID]bool, len(all))
	for _, e := range all {
		if len(first) == recipients.MaxEach || seen[e.Recipient] {
			left = append(left, e)
			continue
		}
		seen[e.Recipient] = true
		first = append(first, e)
	}
	return first, left
}

// puts are what rows say of an extension.
func puts(x *recipients.AnyEnrollments, rows []*enrolling) []recipients.Put {
	out := make([]recipients.Put, 0, len(rows))
	for _, e := range rows {
		if values, ok := e.Values[x.Name()]; ok {
			out = append(out, recipients.Put{ID: e.Recipient, Values: values})
		}
	}
	return out
}

// note writes down with each row what came of it in an extension, and returns those that were
// refused.
func note(x *recipients.AnyEnrollments, rows []*enrolling, result recipients.PutResult) (refused []*enrolling, err error) {
	at := make(map[recipients.ID]*enrolling, len(rows))
	for _, e := range rows {
		at[e.Recipient] = e
	}
	for _, c := range result.Changed {
		at[c.ID].changes = true
	}
	for _, f := range result.Failed {
		wrong, err := rowErrors(x.Name(), f.Err)
		if err != nil {
			return nil, err
		}
		e := at[f.ID]
		e.wrong = append(e.wrong, wrong...)
		refused = append(refused, e)
	}
	return refused, nil
}

// markTakenInExtensions judges rows as invalid that give a recipient a value of a unique column
// which another recipient has, or an earlier row of the file.
func (s staging) markTakenInExtensions(ctx context.Context, tx *tenancy.Tx) error {
	for _, x := range s.extensions {
		kept := map[Conflict]string{Update: `false`, Skip: `i.recipient_id IS NOT NULL`, FillEmpty: x.EnrolledInSQL(`i.recipient_id`)}[s.policy]
		taken := x.TakenSQL(`v.value`, `v.recipient_id`)
		for _, column := range slices.Sorted(mapKeys(taken)) {
			if err := s.markTakenIn(ctx, tx, x.Name(), column, kept, taken[column]); err != nil {
				return fmt.Errorf("find values of extension %q that are taken: %w", x.Name(), err)
			}
		}
	}
	return nil
}

func (s staging) markTakenIn(ctx context.Context, tx *tenancy.Tx, extension, column, kept, taken string) error {
	if _, err := tx.Exec(ctx, byKey); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, tx.SQL(`
		WITH v AS MATERIALIZED (
			SELECT i.row_no, i.recipient_id, i.enrollments->$3->>$4 AS value, first_value(i.row_no) OVER (PARTITION BY i.enrollments->$3->>$4 ORDER BY i.row_no) AS first
			FROM strata.import_rows i WHERE i.domain_id = $1 AND i.import_id = $2 AND i.verdict IN ('new', 'update') AND i.round = $5 AND i.enrollments->$3->>$4 IS NOT NULL AND NOT `+kept+`
		), wrong AS MATERIALIZED (
			SELECT row_no, jsonb_build_array(jsonb_build_object('field', $3 || '.' || $4, 'value', left(value, 80), 'code', 'value_taken',
				'message', CASE WHEN taken THEN '`+takenMessage+`' ELSE 'row ' || first || ' has this value too' END)) AS errors
			FROM (SELECT v.*, `+taken+` AS taken FROM v) looked WHERE taken OR first <> row_no
		)
		`+judgeRows(`'invalid'`, `wrong`)), tx.Tenant().DomainID, s.id, extension, column, s.round)
	return err
}
