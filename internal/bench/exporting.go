package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/tenancy"
)

// copied are the columns of an export as CSV, by hand.
const copied = `r.id, r.email, r.name, r.status, r.status_reason, r.status_changed_at, r.person_id, r.version, r.created_at, r.updated_at,
	r.custom_fields->>'city', r.custom_fields->>'code', r.custom_fields->>'newsletter', r.custom_fields->>'plan',
	r.custom_fields->>'score', r.custom_fields->>'seats', r.custom_fields->>'signed_up', r.custom_fields->>'tags'`

// measureExports compares exports of a whole domain, from the request to the file, with COPY
// of the same columns as CSV into a file. The floor escapes no formulas, knows no formats, and
// leaves half a file where it dies.
func measureExports(ctx context.Context, w *world, o options) ([]row, error) {
	if err := w.exec(ctx, `TRUNCATE strata.recipients, strata.recipient_counts CASCADE`); err != nil {
		return nil, err
	}
	ctx, t, err := w.company(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := w.pool.Exec(ctx, fillSQL, t.DomainID, t.CompanyID, t.WorkspaceID, o.filterRows, 0); err != nil {
		return nil, err
	}
	if err := w.exec(ctx, `VACUUM (ANALYZE) strata.recipients`, `CHECKPOINT`); err != nil {
		return nil, err
	}
	var table []row
	for _, format := range []exports.Format{exports.CSV, exports.JSONL, exports.XLSX} {
		var size int64
		var heap uint64
		s, f, err := compare(ctx, o.repeat,
			timed(func(ctx context.Context) (err error) {
				peak := watchHeap()
				size, err = exportOnce(ctx, w, format, o.filterRows)
				heap = max(heap, peak())
				return err
			}),
			timed(func(ctx context.Context) error { return copyOut(ctx, w, t) }))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", format, err)
		}
		table = append(table, row{
			work: fmt.Sprintf("export of %d rows x 18 columns as %s, against COPY TO STDOUT (FORMAT csv)", o.filterRows, format), strata: s, floor: f,
			note: fmt.Sprintf("%.0f rows/s, %d MB, at most %d MB of heap in use", float64(o.filterRows)/s.Seconds(), size>>20, heap>>20),
		})
	}
	return table, nil
}

func exportOnce(ctx context.Context, w *world, format exports.Format, rows int) (size int64, err error) {
	answer, err := w.strata.Exports.Export(ctx, exports.Request{Format: format})
	if err != nil {
		return 0, err
	}
	if err := w.await(ctx, bulk.RunID(answer.ID)); err != nil {
		return 0, err
	}
	e, err := w.strata.Exports.Get(ctx, answer.ID)
	if err == nil && e.Download.Rows != int64(rows) {
		err = fmt.Errorf("the file has %d of %d rows", e.Download.Rows, rows)
	}
	if err != nil {
		return 0, err
	}
	return e.Download.Size, nil
}

// copyOut is the floor.
func copyOut(ctx context.Context, w *world, t tenancy.Tenant) (err error) {
	dir, err := os.MkdirTemp("", "strata-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := os.Create(filepath.Join(dir, "copy.csv"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out := bufio.NewWriterSize(f, 1<<16)
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Conn().PgConn().CopyTo(ctx, out, fmt.Sprintf(`COPY (SELECT %s FROM strata.recipients r WHERE r.domain_id = '%s' AND r.deleted_at IS NULL ORDER BY r.id) TO STDOUT (FORMAT csv, HEADER)`, copied, t.DomainID))
	if err != nil {
		return err
	}
	return out.Flush()
}

// watchHeap looks at the heap of this process until the returned function is called, which
// returns the most that was in use.
func watchHeap() (peak func() uint64) {
	runtime.GC()
	stop := make(chan struct{})
	var most uint64
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() uint64 {
		close(stop)
		done.Wait()
		return most
	}
}
