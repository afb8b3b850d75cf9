package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// prepare is what an Open does outside of any batch, and may have to do again: it notes up to
// limit items of a run that nobody has noted, ten in a transaction.
func prepare(ctx context.Context, db *tenancy.DB, run bulk.Run, by string, limit int) error {
	for n := 0; n < limit; n += 10 {
		err := db.InTx(ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO prepared (set, id, by) SELECT set, id, $2 FROM items i
				WHERE set = $1 AND NOT EXISTS (SELECT FROM prepared p WHERE p.set = i.set AND p.id = i.id) ORDER BY id LIMIT 10 ON CONFLICT DO NOTHING`, run.ID.String(), by)
			return err
		})
		if err != nil {
			return err
		}
		run.Report(int64(n+10), 0)
	}
	return nil
}

// openedByChild is how many items the Open of a child prepares before it stands still.
const openedByChild = 30

// opening is a process that stands still in Open.
func opening(url string) error {
	db, err := connect(url)
	if err != nil {
		return err
	}
	released := make(chan struct{})
	h := &addOne{size: 10, open: func(ctx context.Context, run bulk.Run) error {
		defer close(released)
		if err := prepare(ctx, db, run, "child", openedByChild); err != nil {
			return err
		}
		fmt.Println("held")
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return err
		}
		if os.Getenv(openingVariable) == "told" {
			<-ctx.Done()
		}
		run.Report(1_000_000, 1_000_000)
		return nil
	}}
	h.done = func(context.Context, *tenancy.Tx, int64) error { return errors.New("a batch of who lost its run") }
	cfg := quick()
	cfg.Lease, cfg.MaxWorkers, cfg.MaxFailures = time.Second, 1, 50 // with one worker it takes nothing over from itself
	r, err := begin(url, nil, cfg, adding(h))
	if err != nil {
		return err
	}
	<-released
	return r.Stop(context.Background())
}

// openPrepared returns a world in which items can be prepared.
func openPrepared(t *testing.T) *world {
	t.Helper()
	w := open(t)
	_, err := w.Pool.Exec(t.Context(), `CREATE TABLE prepared (set text, id bigint, by text NOT NULL, PRIMARY KEY (set, id));
		GRANT SELECT, INSERT ON prepared TO strata_app`)
	require.NoError(t, err)
	return w
}

// preparer returns a Runner that is not started, whose handler prepares in Open all there is.
// It ends no slice: whoever takes a run over is the last.
func (w *world) preparer(t *testing.T) *bulk.Runner {
	t.Helper()
	cfg := quick()
	cfg.Slice = time.Hour
	return w.runner(t, &addOne{size: 10, open: func(ctx context.Context, run bulk.Run) error {
		return prepare(ctx, w.DB, run, "test", int(run.Total))
	}}, cfg)
}

// tookOver holds a run that is done to who prepared how many of its items, and to how many
// processes have died over it.
func (w *world) tookOver(t *testing.T, r *bulk.Runner, run bulk.Run, by map[string]int, died int) {
	t.Helper()
	total, got := 0, map[string]int{}
	rows, err := w.Pool.Query(t.Context(), `SELECT by, count(*)::int FROM prepared WHERE set = $1 GROUP BY by`, run.ID.String())
	require.NoError(t, err)
	var who string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&who, &n}, func() error {
		got[who] = n
		total += n
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, by, got)
	w.exact(t, run, total)
	require.Zero(t, run.Opened)
	require.EqualValues(t, total, run.Total)
	require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
	attempts, err := r.Attempts(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Len(t, attempts, died+1, "%+v", attempts)
	require.Equal(t, []any{bulk.AttemptCompleted, int64(total)}, []any{attempts[0].Outcome, attempts[0].Processed})
	for _, a := range attempts[1:] {
		require.Equal(t, []any{bulk.AttemptDied, int64(0)}, []any{a.Outcome, a.Processed})
	}
}

// When a process is killed while Open works, others open the run anew, and what is done there
// is done once.
func TestKilledInOpen(t *testing.T) {
	t.Parallel()
	w := openPrepared(t)
	r := w.preparer(t)
	run := w.submit(t, w.A.Ctx, r, 100)
	const kills = 2
	for range kills {
		cmd, _ := w.heldChild(t, openingVariable+"=told")
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}
	start(t, r)
	done := await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	w.tookOver(t, r, done, map[string]int{"child": kills * openedByChild, "test": 100 - kills*openedByChild}, kills)
}
