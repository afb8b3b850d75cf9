package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/stratakit/strata/tenancy"
)

// operator is the Handler of the runs of one operation.
type operator struct {
	*Operations
	op *operation
}

var _ Handler = (*operator)(nil)

// operating is such a run that is opened.
type operating struct {
	*operator
	run   Run
	args  any
	after int64 // the place of the last target that was done
	size  int
	ahead ahead
}

// Open reads the arguments. They were checked when they were given; what has changed since
// is found with each row.
func (h *operator) Open(ctx context.Context, run Run) (Work, error) {
	w := &operating{operator: h, run: run, size: min(firstBatch, h.op.max)}
	var stored runArgs
	err := json.Unmarshal(run.Args, &stored)
	if err == nil {
		w.args, _, err = h.op.read(stored.Args)
	}
	if err == nil && run.Cursor != nil {
		err = json.Unmarshal(run.Cursor, &w.after)
	}
	if err != nil {
		return nil, Permanent(fmt.Errorf("bulk: open a run of %s: %w", h.op.kind, err))
	}
	w.ahead.begin(ctx)
	return w, nil
}

// Finish has nothing to do: the targets stay for as long as the run does.
func (h *operator) Finish(context.Context, *tenancy.Tx, Run) error { return nil }

// Batch does the next targets.
func (w *operating) Batch(ctx context.Context, tx *tenancy.Tx) (Batch, error) {
	next := w.ahead.take(w.after)
	ids := next.ids
	if ids == nil {
		var err error
		if ids, err = nextTargets(ctx, tx.Read, w.run, w.after, w.size); err != nil {
			return Batch{}, err
		}
	}
	if len(ids) == 0 && w.after < w.run.Total {
		return Batch{}, Permanent(errors.New("bulk: the targets of the run are gone"))
	}
	start := w.runner.cfg.Now()
	w.lookAhead(w.after+int64(len(ids)), w.size)
	done, err := w.apply(ctx, tx, w.op, w.args, ids, next.do)
	if err != nil {
		return Batch{}, err
	}
	if err := storeFailures(ctx, tx, w.run, w.after, ids, done.failures); err != nil {
		return Batch{}, err
	}
	w.after += int64(len(ids))
	w.size = nextSize(len(ids), w.op.max, w.runner.cfg.Now().Sub(start), w.cfg.BatchTime)
	return Batch{
		Cursor: w.after, Processed: int64(len(ids)), Done: w.after >= w.run.Total,
		Counters: map[string]int64{
			"changed": done.changed, "unchanged": done.unchanged, "missing": done.missing, "failed": int64(len(done.failures)),
		},
	}, nil
}

// Close ends what is being prepared.
func (w *operating) Close() error {
	w.ahead.end()
	return nil
}

// nextSize is how many rows take the time that a batch is to take, when so many took so
// long: at most twice as many, and at least half.
func nextSize(rows, limit int, took, target time.Duration) int {
	want := 2 * rows
	if took > 0 {
		want = min(want, int(float64(rows)*float64(target)/float64(took)))
	}
	return min(max(want, rows/2, 1), limit)
}

// storeFailures writes which targets were refused: ids are those behind after.
func storeFailures(ctx context.Context, tx *tenancy.Tx, run Run, after int64, ids []uuid.UUID, failures []Failure) error {
	if len(failures) == 0 {
		return nil
	}
	place := make(map[uuid.UUID]int64, len(ids))
	for i, id := range ids {
		place[id] = after + 1 + int64(i)
	}
	var (
		n        = len(failures)
		seqs     = make([]int64, n)
		targets  = make([]uuid.UUID, n)
		codes    = make([]string, n)
		messages = make([]string, n)
	)
	for i, f := range failures {
		seqs[i], targets[i], codes[i], messages[i] = place[f.ID], f.ID, f.Code, f.Message
	}
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.run_failures (domain_id, run_id, company_id, seq, target_id, code, message)
		SELECT $1, $2, $3, f.* FROM unnest($4::bigint[], $5::uuid[], $6::text[], $7::text[]) AS f`),
		run.DomainID, run.ID, run.CompanyID, seqs, targets, codes, messages)
	if err != nil {
		return fmt.Errorf("bulk: store what failed: %w", err)
	}
	return nil
}
