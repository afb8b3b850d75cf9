package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// facts are what is counted of the staged rows once the file is read, for warnings.
type facts struct {
	StatusKept int64  `json:"statusKept,omitempty"` // rows whose status is laxer than that of their recipient
	Wrong      []tell `json:"wrong,omitempty"`      // the commonest errors
}

type tell struct {
	Field string `json:"field"`
	Code  string `json:"code"`
	Rows  int64  `json:"rows"`
}

// commonest is how many kinds of errors a warning names.
const commonest = 3

// note counts the facts and keeps them with the plan.
func (s staging) note(ctx context.Context, tx *tenancy.Tx) error {
	var f facts
	domain := tx.Tenant().DomainID
	if s.policy == Update { // the others take no status from the file
		if _, err := tx.Exec(ctx, byKey); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, tx.SQL(`SELECT count(*) FROM strata.import_rows i, LATERAL (SELECT r.status FROM strata.recipients r WHERE r.domain_id = $1 AND r.id = i.recipient_id OFFSET 0) r
			WHERE i.domain_id = $1 AND i.import_id = $2 AND (i.verdict = 'unchanged' OR i.verdict = 'update' AND i.round = $3) AND i.status IS NOT NULL
				AND `+recipients.StatusSQL(`r.status`, `i.status`)+` <> i.status`), domain, s.id, s.round).Scan(&f.StatusKept)
		if err != nil {
			return fmt.Errorf("count statuses that are kept: %w", err)
		}
	}
	err := tx.Read(ctx, `SELECT e->>'field' AS field, e->>'code' AS code, count(*) AS rows FROM strata.import_rows i, jsonb_array_elements(i.errors) e
		WHERE i.domain_id = $1 AND i.import_id = $2 AND i.errors IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $3`, []any{domain, s.id, commonest}, func(rows pgx.Rows) (err error) {
		f.Wrong, err = pgx.CollectRows(rows, pgx.RowToStructByName[tell])
		return err
	})
	if err != nil {
		return fmt.Errorf("count the kinds of errors: %w", err)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.imports SET plan = jsonb_set(plan, '{facts}', $3) WHERE domain_id = $1 AND id = $2`), domain, s.id, raw)
	return err
}

// warn says what can be seen in the header and in what became of it.
func (c *columns) warn(suggestions []Suggestion) (out []Warning) {
	for _, name := range c.header {
		if isAddress(name) {
			out = append(out, Warning{Code: "header_is_data", Column: name, Message: "the header has an email address in it: does the file begin with a row instead of the names of its columns? That row is not imported"})
			break
		}
	}
	var ignored []string
	for i, name := range c.header {
		if c.free(i) && name != "" && !isReportColumn(name) {
			ignored = append(ignored, name)
		}
	}
	if len(ignored) == 0 {
		return out
	}
	message := "nothing is taken from the columns " + list(ignored)
	for _, s := range suggestions {
		if s.Confidence == Likely {
			message += fmt.Sprintf("; %q may be %s: %s", s.Column, s.Target, s.Why)
		}
	}
	return append(out, Warning{Code: "columns_ignored", Message: message})
}

// many is the part of a file that must be invalid to be worth a warning: one in so many.
const many = 5

// warnings are those that the rows give cause for.
func (p plan) warnings(i Import) (out []Warning) {
	if n := p.Facts.StatusKept; n > 0 {
		out = append(out, Warning{Code: "status_kept", Column: p.columnOf("status"), Message: fmt.Sprintf(
			"%d rows would make the status of a recipient laxer, such as active for unsubscribed: those keep their status", n)})
	}
	if i.Invalid*many > i.TotalRows {
		kinds := make([]string, len(p.Facts.Wrong))
		for n, w := range p.Facts.Wrong {
			where := p.columnOf(w.Field)
			if where == "" {
				where = w.Field
			}
			kinds[n] = fmt.Sprintf("%s in %d rows (%s)", w.Code, w.Rows, where)
		}
		out = append(out, Warning{Code: "many_invalid", Message: fmt.Sprintf("%d of %d rows cannot be imported; most often: %s", i.Invalid, i.TotalRows, strings.Join(kinds, ", "))})
	}
	return out
}
