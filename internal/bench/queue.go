package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

const (
	queueKind    = "bench.nothing"
	queueDomains = 20
	queueRuns    = 2000
	submitters   = 4
)

// nothing is work that is done at once: what is measured is what it costs to do any.
type nothing struct{}

func (nothing) Open(context.Context, bulk.Run) (bulk.Work, error) { return nothing{}, nil }
func (nothing) Batch(context.Context, *tenancy.Tx) (bulk.Batch, error) {
	return bulk.Batch{Processed: 1, Done: true}, nil
}
func (nothing) Close() error                                        { return nil }
func (nothing) Finish(context.Context, *tenancy.Tx, bulk.Run) error { return nil }

// measureQueue times runs from their submission to their end: while they are submitted, and
// when all of them wait before the first one begins.
func measureQueue(ctx context.Context, w *world, _ options) ([]row, error) {
	var domains []context.Context
	for range queueDomains {
		in, _, err := w.company(ctx)
		if err != nil {
			return nil, err
		}
		domains = append(domains, in)
	}
	began := time.Now()
	if err := w.submitRuns(domains, queueRuns); err != nil {
		return nil, err
	}
	submitted := time.Since(began)
	if err := w.awaitRuns(ctx); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if err := w.strata.Runner.Stop(ctx); err != nil {
		return nil, err
	}
	if err := w.submitRuns(domains, queueRuns); err != nil {
		return nil, err
	}
	began = time.Now()
	if err := w.strata.Runner.Start(ctx); err != nil {
		return nil, err
	}
	if err := w.awaitRuns(ctx); err != nil {
		return nil, err
	}
	backlog := time.Since(began)
	rate := func(d time.Duration) string { return fmt.Sprintf("%.0f runs/s", queueRuns/d.Seconds()) }
	return []row{
		{work: "submit a run", strata: submitted * submitters / queueRuns, note: rate(submitted) + fmt.Sprintf(" by %d, while others are worked on", submitters)},
		{work: "a run that does nothing, submitted to completed", strata: took / queueRuns, note: rate(took) + fmt.Sprintf(", %d domains, 4 slots", queueDomains)},
		{work: "a run that does nothing, of a backlog", strata: backlog / queueRuns, note: rate(backlog)},
	}, nil
}

// submitRuns submits n runs, in turns in the domains.
func (w *world) submitRuns(domains []context.Context, n int) error {
	var all sync.WaitGroup
	errs := make(chan error, submitters)
	for s := range submitters {
		all.Go(func() {
			for i := s; i < n; i += submitters {
				ctx := domains[i%len(domains)]
				err := w.strata.DB.InTx(ctx, func(tx *tenancy.Tx) error {
					_, err := w.strata.Runner.SubmitTx(ctx, tx, bulk.Submission{Kind: queueKind})
					return err
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs // nil when there are none
}

// awaitRuns returns when no run is left to do.
func (w *world) awaitRuns(ctx context.Context) error {
	for left := 1; left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		err := w.strata.DB.ReadTrusted(ctx, `SELECT count(*) FROM strata.runs WHERE kind = $1 AND state IN ('queued', 'processing', 'paused')`, []any{queueKind}, func(rows pgx.Rows) (err error) {
			left, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
