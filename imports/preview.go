package imports

import (
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/gcerrors"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/tenancy"
)

func randomText() string { return strings.ToLower(rand.Text()) }

// samples is how many rows of each verdict a preview shows.
const samples = 5

// Preview returns what a commit would do: the verdicts counted, samples of each, and
// what it costs of the plan. Errors: ErrNotFound, *StateError before the file is read.
func (im *Importer) Preview(ctx context.Context, id ID) (Preview, error) {
	imp, err := im.Get(ctx, id)
	if err != nil {
		return Preview{}, err
	}
	if imp.Status == Pending || imp.Status == Validating {
		return Preview{}, &StateError{id, imp.Status, "previewed"}
	}
	p := Preview{Import: imp, ValidRows: imp.New + imp.Changed + imp.Unchanged, ErrorRows: imp.Invalid, SampleData: []SampleRow{}, SampleErrors: []SampleRow{}}
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Preview{}, err
	}
	for _, verdict := range []string{"new", "update", "unchanged", "duplicate", "invalid"} {
		rows, err := im.sample(ctx, t.DomainID, id, verdict)
		if err != nil {
			return Preview{}, err
		}
		if verdict == "invalid" {
			p.SampleErrors = append(p.SampleErrors, rows...)
		} else {
			p.SampleData = append(p.SampleData, rows...)
		}
	}
	usage, err := im.limits.Usage(ctx)
	if err != nil {
		return Preview{}, err
	}
	r := usage.Resource(billing.ResourceRecipients)
	p.Limit = &LimitBudget{Resource: r.Resource, Existing: r.Used + r.Reserved, Incoming: imp.New, Limit: r.Limit}
	return p, nil
}

func (im *Importer) sample(ctx context.Context, domain tenancy.DomainID, id ID, verdict string) (out []SampleRow, err error) {
	q := fmt.Sprintf(`SELECT row_no, verdict, email, name, status, custom_fields, errors, coalesce(duplicate_of, 0) FROM strata.import_rows
		WHERE domain_id = $1 AND import_id = $2 AND verdict = $3 ORDER BY row_no LIMIT %d`, samples)
	err = im.db.Read(ctx, q, []any{domain, id, verdict}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s SampleRow, err error) {
			var email, name, status *string
			var fields map[string]any
			if err := row.Scan(&s.Row, &s.Verdict, &email, &name, &status, &fields, &s.Errors, &s.DuplicateOf); err != nil {
				return s, err
			}
			if email != nil {
				s.Data = map[string]any{"email": *email, "customFields": fields}
				if name != nil {
					s.Data["name"] = *name
				}
				if status != nil {
					s.Data["status"] = *status
				}
			}
			return s, nil
		})
		return err
	})
	return out, err
}

// WriteErrorReport writes the rows that cannot be imported as CSV: the file's own
// columns, so that it can be corrected and uploaded again, and after them __row,
// __errors and __suggestion. It streams; a cell that a spreadsheet would take for a
// formula is written with a leading apostrophe (OWASP, CSV injection).
func (im *Importer) WriteErrorReport(ctx context.Context, id ID, w io.Writer) error {
	_, s, err := im.read(ctx, id)
	if err != nil {
		return err
	}
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	header := slices.Clone(s.plan.Format.Header)
	if err := out.Write(append(escapeAll(header), "__row", "__errors", "__suggestion")); err != nil {
		return err
	}
	err = im.db.Read(ctx, `SELECT row_no, raw, errors FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2 AND verdict = 'invalid' ORDER BY row_no`,
		[]any{t.DomainID, id}, func(rows pgx.Rows) error {
			for rows.Next() {
				var row int
				var cells []string
				var rawErrors []byte
				if err := rows.Scan(&row, &cells, &rawErrors); err != nil {
					return err
				}
				var problems []tenancy.FieldError
				if err := json.Unmarshal(rawErrors, &problems); err != nil {
					return err
				}
				for len(cells) < len(header) {
					cells = append(cells, "")
				}
				var messages, suggestions []string
				for _, p := range problems {
					messages = append(messages, p.Field+": "+p.Message)
					if p.Suggestion != "" {
						suggestions = append(suggestions, p.Field+": "+p.Suggestion)
					}
				}
				if err := out.Write(append(escapeAll(cells), strconv.Itoa(row), escape(strings.Join(messages, "; ")), escape(strings.Join(suggestions, "; ")))); err != nil {
					return err
				}
			}
			return nil
		})
	out.Flush()
	return errors.Join(err, out.Error())
}

func escapeAll(cells []string) []string {
	out := make([]string, len(cells), len(cells)+3)
	for i, c := range cells {
		out[i] = escape(c)
	}
	return out
}

// escape makes a cell safe in a spreadsheet. Numbers with a sign are left alone.
func escape(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// Sweep deletes the files and staged rows of imports that were finished or abandoned
// longer ago than Config.Keep, in every domain, and returns how many it cleaned. Run it
// once an hour or so; any number of processes may.
func (im *Importer) Sweep(ctx context.Context) (int, error) {
	type old struct {
		tenant    tenancy.Tenant
		id        ID
		objectKey string
	}
	var due []old
	err := im.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, domain_id, id, object_key FROM strata.imports
		WHERE object_key <> '' AND updated_at < $1 AND status NOT IN ('validating', 'processing') ORDER BY updated_at LIMIT 100`,
		[]any{im.cfg.Now().Add(-im.cfg.Keep)}, func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o old, err error) {
				err = row.Scan(&o.tenant.CompanyID, &o.tenant.WorkspaceID, &o.tenant.DomainID, &o.id, &o.objectKey)
				return o, err
			})
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("imports: find old imports: %w", err)
	}
	for i, o := range due {
		if err := im.bucket.Delete(ctx, o.objectKey); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return i, fmt.Errorf("imports: delete an old file: %w", err)
		}
		scoped := tenancy.WithTenant(ctx, o.tenant)
		err := im.db.InTx(scoped, func(tx *tenancy.Tx) error {
			if _, err := tx.Exec(scoped, tx.SQL(`DELETE FROM strata.import_rows WHERE domain_id = $1 AND import_id = $2`), o.tenant.DomainID, o.id); err != nil {
				return err
			}
			_, err := tx.Exec(scoped, tx.SQL(`UPDATE strata.imports SET object_key = '', status = CASE WHEN status IN ('pending', 'preview') THEN 'cancelled' ELSE status END
				WHERE domain_id = $1 AND id = $2`), o.tenant.DomainID, o.id)
			if err != nil {
				return err
			}
			return im.record(scoped, tx, "import.swept", o.id, nil)
		})
		if err != nil {
			return i, err
		}
	}
	return len(due), nil
}
