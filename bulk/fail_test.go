package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

func TestFailingBatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	broken := true
	h := &addOne{size: 10}
	h.done = func(_ context.Context, _ *tenancy.Tx, after int64) error {
		if after > 50 && broken {
			return errors.New("secret of the house")
		}
		return nil
	}
	h.finish = func(ctx context.Context, tx *tenancy.Tx, _ bulk.Run) error {
		var n int
		return tx.QueryRow(ctx, `SELECT count(*) FROM items`).Scan(&n)
	}
	r := w.runner(t, h, quick())
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 100)
	failed := await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	require.Equal(t, 3, failed.Failures)
	require.EqualValues(t, 50, failed.Processed, "the batch that failed was rolled back")
	require.Equal(t, "secret of the house", failed.Error)
	require.Equal(t, "internal error", failed.PublicError())
	require.Equal(t, []bulk.State{bulk.StateFailed}, w.finishes(t, run.ID))
	page, err := w.Audit.List(w.A.Ctx, audit.Query{Action: "run.failed"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, audit.Failure, page.Items[0].Status)
	require.Equal(t, "internal error", page.Items[0].ErrorMessage)

	stop(t, r)
	broken = false
	again, err := r.Retry(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, again.State)
	require.NoError(t, r.Start(t.Context()))
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 100)
	require.Equal(t, []string{"run.submitted", "run.failed", "run.retried", "run.completed"}, w.entries(t, w.A.Ctx, run.ID))
}

func TestPanicAndPermanent(t *testing.T) {
	t.Parallel()
	w := open(t)
	finishing := 0
	h := &addOne{size: 10}
	h.before = func(context.Context, *tenancy.Tx, int64) error {
		return bulk.Permanent(fault.New(fault.Invalid, "bad_file", "the file is empty"))
	}
	h.finish = func(context.Context, *tenancy.Tx, bulk.Run) error {
		if finishing++; finishing == 1 {
			panic("finish")
		}
		return nil
	}
	r := w.runner(t, h, quick())
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 100)
	failed := await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	require.Equal(t, "bad_file", failed.ErrorCode)
	require.Equal(t, "the file is empty", failed.PublicError())
	require.Equal(t, []bulk.State{bulk.StateFailed}, w.finishes(t, run.ID), "what failed to finish is finished later, once")
	stop(t, r)
	require.Equal(t, 2, finishing)
}

// coded is somebody else's error that happens to have a code.
type coded struct{}

func (coded) Error() string { return "password=hunter2" }
func (coded) Code() string  { return "E7" }

// What is told of an error goes by its kind, whatever else it is joined with.
func TestPublicError(t *testing.T) {
	t.Parallel()
	w := open(t)
	bad := fault.New(fault.Invalid, "bad_file", "the file is empty")
	secret := errors.New("password=hunter2")
	causes := map[bulk.RunID]error{}
	h := &addOne{open: func(_ context.Context, run bulk.Run) error { return bulk.Permanent(causes[run.ID]) }}
	r := w.runner(t, h, quick())
	cases := []struct {
		cause              error
		code, public, kept string
	}{
		{fmt.Errorf("row 7: %w", bad), "bad_file", "row 7: the file is empty", "row 7: the file is empty"},
		{fmt.Errorf("%w: %w", bad, secret), "bad_file", "the file is empty", "the file is empty"},
		{coded{}, "internal", "internal error", "password=hunter2"},
		{fault.New(fault.Internal, "no_tenant", "password=hunter2"), "internal", "internal error", "password=hunter2"},
	}
	runs := make([]bulk.Run, len(cases))
	for i, c := range cases {
		runs[i] = w.submit(t, w.A.Ctx, r, 1)
		causes[runs[i].ID] = c.cause
	}
	died := w.submit(t, w.A.Ctx, r, 1)
	w.change(t, `UPDATE strata.runs SET state = 'processing', lease = gen_random_uuid(), lease_until = now(), failures = 2,
		error = 'the file is empty', error_code = 'bad_file' WHERE id = $1`, died.ID)
	start(t, r)
	for i, c := range cases {
		failed := await(t, w.A.Ctx, r, runs[i].ID, bulk.StateFailed)
		require.Equal(t, []string{c.code, c.public, c.kept}, []string{failed.ErrorCode, failed.PublicError(), failed.Error})
	}
	failed := await(t, w.A.Ctx, r, died.ID, bulk.StateFailed)
	require.Equal(t, []string{"bad_file", "the file is empty"}, []string{failed.ErrorCode, failed.PublicError()}, "what was said before it died")
}

func TestConflictsAreTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	conflicts := 0
	h := &addOne{size: 10}
	h.done = func(ctx context.Context, tx *tenancy.Tx, after int64) error {
		if after == 30 && conflicts < 3 {
			conflicts++
			_, err := tx.Exec(ctx, []string{`DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$`, `DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`}[conflicts%2]) // a deadlock, a serialization failure
			return err
		}
		return nil
	}
	cfg := quick()
	cfg.MaxFailures, cfg.Slice = 1, time.Minute
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 100)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 100)
	stop(t, r)
	require.Equal(t, 3, conflicts)
}
