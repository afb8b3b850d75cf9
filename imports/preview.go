package imports

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// samples is how many rows of each verdict a preview shows.
const samples = 5

// Preview returns what a commit would do: the verdicts counted, samples of each, and,
// while the import waits for its commit, what that costs of the plan. Errors: ErrNotFound, *StateError before the file is
// read, and of a report that corrects another import (Correct): that one is to be previewed.
func (im *Importer) Preview(ctx context.Context, id ID) (Preview, error) {
	imp, stored, err := im.read(ctx, id)
	if err != nil {
		return Preview{}, err
	}
	if imp.Status == Pending || imp.Status == Validating || !imp.Corrects.IsZero() {
		return Preview{}, &StateError{id, imp.Status, "previewed"}
	}
	p := Preview{Import: imp, ValidRows: imp.New + imp.Changed + imp.Unchanged, ErrorRows: imp.Invalid, SampleData: []SampleRow{}, SampleErrors: []SampleRow{}}
	same, err := im.warnOfSameFile(ctx, imp)
	if err != nil {
		return Preview{}, err
	}
	p.Warnings = slices.Concat(same, p.Warnings, stored.plan.warnings(imp))
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return Preview{}, err
	}
	for _, v := range []struct {
		verdict string
		count   int64
		to      *[]SampleRow
	}{
		{"new", imp.New, &p.SampleData},
		{"update", imp.Changed, &p.SampleData},
		{"unchanged", imp.Unchanged, &p.SampleData},
		{"duplicate", imp.Duplicate, &p.SampleData},
		{"invalid", imp.Invalid, &p.SampleErrors},
	} {
		if v.count == 0 { // do not look for what is not there
			continue
		}
		rows, err := im.sample(ctx, t.DomainID, imp, stored.plan, v.verdict)
		if err != nil {
			return Preview{}, err
		}
		if v.verdict == "new" {
			if err := im.addDefaults(ctx, id, rows); err != nil {
				return Preview{}, err
			}
		}
		*v.to = append(*v.to, rows...)
	}
	if imp.Status != Previewed { // what it committed is in the count already
		return p, nil
	}
	if p.EstimatedSeconds, err = im.estimate(ctx, imp); err != nil {
		return Preview{}, err
	}
	usage, err := im.limits.Usage(ctx)
	if err != nil {
		return Preview{}, err
	}
	r := usage.Resource(billing.ResourceRecipients)
	p.Limit = &LimitBudget{Resource: r.Resource, Existing: r.Used + r.Reserved, Incoming: imp.New, Limit: r.Limit}
	if p.Limit.Limit != nil {
		p.Limit.Over = max(0, p.Limit.Existing+p.Limit.Incoming-*p.Limit.Limit)
	}
	return p, nil
}

// usualRate is how many rows a second are assumed where reading the file was over too soon to
// tell.
const usualRate = 30_000

// commitPace is how many times as long it takes to write a row as to read and check it:
// internal/bench measures 1.6 with 200,000 rows, and more of them are slower.
const commitPace = 2

func (im *Importer) estimate(ctx context.Context, i Import) (seconds int64, err error) {
	run, err := im.runner.Get(ctx, bulk.RunID(i.ID))
	if err != nil && !errors.Is(err, bulk.ErrNotFound) { // it may have been deleted, or be too long ago
		return 0, err
	}
	rate := run.Rate
	if rate < 1 {
		rate = usualRate
	}
	return int64(math.Ceil(float64(i.New+i.Changed) * commitPace / rate)), nil
}

func (im *Importer) sample(ctx context.Context, domain tenancy.DomainID, imp Import, p plan, verdict string) (out []SampleRow, err error) {
	q := fmt.Sprintf(`SELECT row_no, verdict, email, name, status, custom_fields, enrollments, errors, coalesce(duplicate_of, 0) FROM strata.import_rows
		WHERE domain_id = $1 AND import_id = $2 AND verdict = $3 AND (round = $4 OR verdict NOT IN ('new', 'update')) ORDER BY row_no LIMIT %d`, samples)
	err = im.db.Read(ctx, q, []any{domain, imp.ID, verdict, imp.Round}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s SampleRow, err error) {
			var email, name, status *string
			var staged map[string]any
			var products enrollments
			var wrong []tenancy.FieldError
			if err := row.Scan(&s.Row, &s.Verdict, &email, &name, &status, &staged, &products, &wrong, &s.DuplicateOf); err != nil {
				return s, err
			}
			for _, e := range wrong {
				s.Errors = append(s.Errors, RowError{p.columnOf(e.Field), e})
			}
			if email != nil {
				fields := map[string]any{}
				for i, value := range p.values(staged, nil) {
					if value != nil {
						fields[strings.TrimPrefix(p.Targets[i], fieldPrefix)] = value
					}
				}
				s.Data = map[string]any{"email": *email, "customFields": fields}
				if len(products) > 0 {
					s.Data["extensions"] = products
				}
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

// addDefaults shows new recipients as they will be.
func (im *Importer) addDefaults(ctx context.Context, id ID, rows []SampleRow) error {
	_, s, err := im.read(ctx, id)
	if err != nil {
		return err
	}
	for _, row := range rows {
		fields, ok := row.Data["customFields"].(map[string]any)
		for key, value := range s.plan.Defaults {
			if _, given := fields[key]; ok && !given {
				fields[key] = value
			}
		}
	}
	return nil
}
