package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/tenancy"
)

// bulkChange is one change of a quarter of a domain, and the UPDATE for it. What they set is
// another value each time.
type bulkChange struct {
	work string
	args func(time int) operations.SetArgs
	sql  func(time int) string // behind SET
}

func bulkChanges() []bulkChange {
	statuses := []string{"active", "inactive"} // whatever is made is active
	return []bulkChange{
		{
			"a custom field",
			func(n int) operations.SetArgs {
				return operations.SetArgs{Set: map[string]any{"fields.code": fmt.Sprintf("B-%d", n)}}
			},
			func(n int) string { return fmt.Sprintf(`custom_fields = custom_fields || '{"code":"B-%d"}'`, n) },
		},
		{
			"the status",
			func(n int) operations.SetArgs {
				return operations.SetArgs{Set: map[string]any{"status": statuses[n%2]}}
			},
			func(n int) string { return fmt.Sprintf(`status = '%s', status_changed_at = now()`, statuses[n%2]) },
		},
	}
}

// measureBulk compares an operation on a quarter of a domain, from the request to the end of its
// run, with one UPDATE of the same rows by the login, past row-level security. The floor keeps
// no snapshot, audits nothing, survives no crash, and holds its locks for as long as it takes.
func measureBulk(ctx context.Context, w *world, o options) ([]row, error) {
	ctx, t, err := fill(ctx, w, o.filterRows)
	if err != nil {
		return nil, err
	}
	var table []row
	for _, c := range bulkChanges() {
		var submit []time.Duration
		var changed int64
		n := 0
		s, f, err := compare(ctx, o.repeat,
			func(ctx context.Context) (time.Duration, error) {
				n++
				start := time.Now()
				queued, rows, err := bulkOnce(ctx, w, c.args(n))
				took := time.Since(start)
				submit, changed = append(submit, queued), rows
				if err == nil {
					err = w.exec(ctx, `VACUUM strata.recipients`, `CHECKPOINT`)
				}
				return took, err
			},
			func(ctx context.Context) (time.Duration, error) {
				n++
				return bulkFloor(ctx, w, t, c.sql(n))
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.work, err)
		}
		table = append(table, row{
			work: fmt.Sprintf("set %s of %d of %d recipients", c.work, changed, o.filterRows-smallDomains*(o.filterRows*6/10/smallDomains)), strata: s, floor: f, budget: "1.5 x",
			note: fmt.Sprintf("queued after %s, %.0f rows/s", short(median(submit)), float64(changed)/s.Seconds()),
		})
	}
	return table, nil
}

const bulkFilter = `"partner" in fields.tags`

func bulkOnce(ctx context.Context, w *world, args operations.SetArgs) (queued time.Duration, changed int64, err error) {
	start := time.Now()
	res, err := w.strata.Operations.Submit(ctx, bulk.Request{Op: operations.Set, Args: args, Selection: bulk.Selection{Filter: bulkFilter}})
	if err != nil {
		return 0, 0, err
	}
	queued = time.Since(start)
	run, err := w.ended(ctx, res.RunID)
	if err == nil && run.Counters["changed"] != res.Rows {
		err = fmt.Errorf("of %d recipients %d were changed", res.Rows, run.Counters["changed"])
	}
	return queued, res.Rows, err
}

func bulkFloor(ctx context.Context, w *world, t tenancy.Tenant, set string) (time.Duration, error) {
	start := time.Now()
	_, err := w.pool.Exec(ctx, `UPDATE strata.recipients SET `+set+`, version = version + 1, updated_at = now()
		WHERE domain_id = $1 AND deleted_at IS NULL AND custom_fields @> '{"tags":["partner"]}'`, t.DomainID)
	took := time.Since(start)
	if err == nil {
		err = w.exec(ctx, `VACUUM strata.recipients`, `CHECKPOINT`)
	}
	return took, err
}
