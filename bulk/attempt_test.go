package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// attempts returns the attempts at a run, the oldest first.
func attempts(t *testing.T, ctx context.Context, r *bulk.Runner, id bulk.RunID) []bulk.Attempt {
	t.Helper()
	newest, err := r.Attempts(ctx, id)
	require.NoError(t, err)
	list := make([]bulk.Attempt, len(newest))
	for i, a := range newest {
		require.Equal(t, len(newest)-i, a.Number)
		require.Equal(t, a.Outcome == "", a.Ended == nil)
		list[len(newest)-1-i] = a
	}
	return list
}

func outcomes(list []bulk.Attempt) (all []bulk.AttemptOutcome) {
	for _, a := range list {
		all = append(all, a.Outcome)
	}
	return all
}

// Everything that was done at a run is in the job log, with where errors came from.
func TestJobLog(t *testing.T) {
	t.Parallel()
	w := open(t)
	calls := 0
	h := &addOne{size: 10}
	h.before = func(context.Context, *tenancy.Tx, int64) error {
		switch calls++; calls {
		case 1:
			return fmt.Errorf("step two: %w", errors.Join(io.ErrUnexpectedEOF, &tenancy.ValidationError{}))
		case 2:
			panic("out of order")
		}
		return nil
	}
	cfg := quick()
	cfg.Slice, cfg.Worker = time.Nanosecond, "tester"
	r := w.runner(t, h, cfg)
	run := w.submit(t, w.A.Ctx, r, 25)
	require.Empty(t, attempts(t, w.A.Ctx, r, run.ID))
	start(t, r)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 25)
	log := attempts(t, w.A.Ctx, r, run.ID)
	require.Equal(t, []bulk.AttemptOutcome{bulk.AttemptFailed, bulk.AttemptFailed, bulk.AttemptSliced, bulk.AttemptSliced, bulk.AttemptCompleted}, outcomes(log))
	var processed []int64
	for _, a := range log {
		processed = append(processed, a.Processed)
		require.Equal(t, "tester", a.Worker)
		require.False(t, a.Ended.Before(a.Began))
	}
	require.Equal(t, []int64{0, 0, 10, 10, 5}, processed)
	require.Contains(t, log[0].Stack, "Batch returned\n*fmt.wrapError: step two: unexpected EOF")
	require.Contains(t, log[0].Stack, "*errors.errorString: unexpected EOF\n")
	require.Contains(t, log[0].Stack, "*tenancy.ValidationError: ")
	require.Equal(t, "panic: out of order", log[1].Error)
	require.Equal(t, "internal error", log[1].PublicError())
	require.Contains(t, log[1].Stack, "attempt_test.go", "where it panicked")
	require.Empty(t, log[4].Error+log[4].Stack)
}

// A run that this process cannot do is passed on to one that can, and fails only when there is none.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.MaxFailures = 1
	refused := 0
	here := w.runner(t, &addOne{size: 10, open: func(context.Context, bulk.Run) error {
		refused++
		return bulk.Elsewhere(fmt.Errorf("not here: %w", bulk.ErrState))
	}}, cfg)
	run := w.submit(t, w.A.Ctx, here, 25)
	start(t, here)
	require.Eventually(t, func() bool {
		got, err := here.Get(w.A.Ctx, run.ID)
		require.NoError(t, err)
		return len(attempts(t, w.A.Ctx, here, run.ID)) >= 3 && got.State == bulk.StateQueued && got.Failures == 0 && got.PublicError() == "not here: the job's state does not allow this"
	}, within, time.Millisecond)
	there := w.runner(t, &addOne{size: 10}, cfg)
	start(t, there)
	got := await(t, w.A.Ctx, here, run.ID, bulk.StateCompleted)
	require.Empty(t, got.Error)
	w.exact(t, got, 25)
	require.GreaterOrEqual(t, refused, 3)

	cfg.OrphanAfter = 400 * time.Millisecond
	alone := w.runner(t, &addOne{size: 10, open: func(context.Context, bulk.Run) error { return bulk.Elsewhere(bulk.ErrState) }}, cfg)
	require.NoError(t, here.Stop(t.Context()))
	require.NoError(t, there.Stop(t.Context()))
	run = w.submit(t, w.B.Ctx, alone, 25)
	start(t, alone)
	require.Equal(t, "wrong_state", await(t, w.B.Ctx, alone, run.ID, bulk.StateFailed).ErrorCode)
}

// What was asked of a run, and of its process, is an outcome too; an attempt that goes on has
// none yet.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.Slice = time.Minute
	opening := make(chan bulk.RunID)
	h := &addOne{size: 10, open: func(ctx context.Context, run bulk.Run) error {
		opening <- run.ID
		<-ctx.Done()
		return ctx.Err()
	}}
	r := w.runner(t, h, cfg)
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 20)
	<-opening
	require.Equal(t, []bulk.AttemptOutcome{""}, outcomes(attempts(t, w.A.Ctx, r, run.ID)))
	_, err := r.Pause(w.A.Ctx, run.ID)
	require.NoError(t, err)
	await(t, w.A.Ctx, r, run.ID, bulk.StatePaused)
	_, err = r.Resume(w.A.Ctx, run.ID)
	require.NoError(t, err)
	<-opening
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Stop(ctx), context.Canceled)
	start(t, r)
	<-opening
	_, err = r.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	await(t, w.A.Ctx, r, run.ID, bulk.StateCancelled)
	require.Equal(t, []bulk.AttemptOutcome{bulk.AttemptPaused, bulk.AttemptInterrupted, bulk.AttemptCancelled}, outcomes(attempts(t, w.A.Ctx, r, run.ID)))
}

// A process that is killed on the last attempt leaves a dead letter with its job log, and
// nobody has to ask for it.
func TestKilledOnTheLastAttempt(t *testing.T) {
	t.Parallel()
	w := open(t)
	cfg := quick()
	cfg.MaxFailures = 1
	h := &addOne{size: 10}
	r := w.runner(t, h, cfg)
	run := w.submit(t, w.A.Ctx, r, 100)
	cmd, _ := w.heldChild(t, heldVariable+"=1")
	start(t, r)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "killed")

	failed := await(t, w.A.Ctx, r, run.ID, bulk.StateFailed)
	require.Equal(t, "internal error", failed.PublicError())
	require.Contains(t, failed.Error, "died")
	require.Equal(t, []bulk.State{bulk.StateFailed}, w.finishes(t, run.ID))
	letters, err := r.List(w.A.Ctx, bulk.ListQuery{State: bulk.StateFailed})
	require.NoError(t, err)
	require.Len(t, letters.Items, 1)
	log := attempts(t, w.A.Ctx, r, run.ID)
	require.Equal(t, []bulk.AttemptOutcome{bulk.AttemptDied}, outcomes(log))
	require.EqualValues(t, 20, log[0].Processed)
	require.Contains(t, log[0].Worker, ":"+strconv.Itoa(cmd.Process.Pid))
	page, err := w.Audit.List(w.A.Ctx, audit.Query{Action: "run.failed"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)

	_, err = r.Retry(w.A.Ctx, run.ID)
	require.NoError(t, err)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 100)
	require.Equal(t, bulk.AttemptDied, attempts(t, w.A.Ctx, r, run.ID)[0].Outcome)
}

func TestPublicArgs(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{}, quick())
	run, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", Args: map[string]any{
		"set": "a", "apiKey": "k-1", "PASSWORD": "hunter2", "count": 3, "token": nil,
		"target": []any{map[string]any{"client_secret": map[string]any{"is": "s"}, "url": "https://example.com", "X-Auth-Token": "t-1"}},
	}})
	require.NoError(t, err)
	require.JSONEq(t, `{"set": "a", "apiKey": "[redacted]", "PASSWORD": "[redacted]", "count": 3, "token": null,
		"target": [{"client_secret": "[redacted]", "url": "https://example.com", "X-Auth-Token": "[redacted]"}]}`, string(run.PublicArgs()))
	require.JSONEq(t, `null`, string(bulk.Run{}.PublicArgs()))
}
