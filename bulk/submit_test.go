package bulk_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// hold makes an INSERT or UPDATE of runs that meets a condition wait in its middle, with
// no lock that it waits for. reached returns once one does, release lets all go on.
func (w *world) hold(t *testing.T, event, condition string) (reached, release func()) {
	t.Helper()
	_, err := w.Pool.Exec(t.Context(), fmt.Sprintf(`CREATE SEQUENCE held; CREATE TABLE released ();
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
			PERFORM nextval('held');
			WHILE NOT EXISTS (SELECT FROM released) LOOP PERFORM pg_sleep(0.01); END LOOP;
			RETURN new;
		END $$;
		CREATE TRIGGER hold BEFORE %s ON strata.runs FOR EACH ROW WHEN (%s) EXECUTE FUNCTION hold()`, event, condition))
	require.NoError(t, err)
	reached = func() {
		t.Helper()
		require.Eventually(t, func() (held bool) {
			require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT is_called FROM held`).Scan(&held))
			return held
		}, within, 10*time.Millisecond)
	}
	release = func() {
		t.Helper()
		_, err := w.Pool.Exec(t.Context(), `INSERT INTO released DEFAULT VALUES`)
		require.NoError(t, err)
	}
	return reached, release
}

func TestDedup(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	s := bulk.Submission{Kind: "add_one", Args: addOneArgs{"none"}, DedupKey: "x"}
	first, err := submit(w.A.Ctx, w.DB, r, s)
	require.NoError(t, err)
	w.refused(t, r, s, first.ID)
	_, err = submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", ID: first.ID})
	require.ErrorIs(t, err, bulk.ErrAlreadyRunning, "an id is used once")
	_, err = submit(w.B.Ctx, w.DB, r, s)
	require.NoError(t, err, "another domain's")
	_, err = submit(w.A.CompanyCtx, w.DB, r, s)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = r.Cancel(w.A.Ctx, first.ID)
	require.NoError(t, err)
	second, err := submit(w.A.Ctx, w.DB, r, s)
	require.NoError(t, err, "the first has ended")
	s.ID = first.ID
	w.refused(t, r, s, second.ID)
}

// refused submits what an active run keeps out, and goes on in the same transaction.
func (w *world) refused(t *testing.T, r *bulk.Runner, s bulk.Submission, active bulk.RunID) {
	t.Helper()
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := r.SubmitTx(w.A.Ctx, tx, s)
		var running *bulk.AlreadyRunningError
		require.ErrorAs(t, err, &running)
		require.ErrorIs(t, err, bulk.ErrAlreadyRunning)
		require.Equal(t, active, running.RunID)
		require.Equal(t, map[string]any{"jobId": active.String()}, running.Details())
		require.Equal(t, fault.Conflict, fault.KindOf(err))
		_, err = tx.Exec(w.A.Ctx, `SELECT 1`)
		return err
	}), "the transaction goes on")
}

// A run that ends while its id is submitted again starts over.
func TestSubmitWhileTheRunEnds(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	run := w.submit(t, w.A.Ctx, r, 10)
	reached, release := w.hold(t, "INSERT", "true")
	submitted := make(chan error, 1)
	go func() {
		_, err := submit(w.A.Ctx, w.DB, r, bulk.Submission{Kind: "add_one", ID: run.ID, Args: addOneArgs{run.ID.String()}})
		submitted <- err
	}()
	reached()
	_, err := r.Cancel(w.A.Ctx, run.ID)
	require.NoError(t, err)
	release()
	require.NoError(t, <-submitted)
	start(t, r)
	w.exact(t, await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted), 10)
}

// Retry names the run that has the key, also when it was submitted in that moment.
func TestRetryOfWhatRunsAgain(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	s := bulk.Submission{Kind: "add_one", Args: addOneArgs{"none"}, DedupKey: "x"}
	failed, err := submit(w.A.Ctx, w.DB, r, s)
	require.NoError(t, err)
	w.change(t, `UPDATE strata.runs SET state = 'failed', finished_at = now()`)
	reached, release := w.hold(t, "UPDATE", "old.state = 'failed'")
	retried := make(chan error, 1)
	go func() {
		_, err := r.Retry(w.A.Ctx, failed.ID)
		retried <- err
	}()
	reached()
	active, err := submit(w.A.Ctx, w.DB, r, s)
	require.NoError(t, err)
	release()
	err = <-retried
	for range 2 { // in that moment, and later
		var running *bulk.AlreadyRunningError
		require.ErrorAs(t, err, &running)
		require.Equal(t, active.ID, running.RunID)
		_, err = r.Retry(w.A.Ctx, failed.ID)
	}
}
