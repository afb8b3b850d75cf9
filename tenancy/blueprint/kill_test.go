package blueprint_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/blueprint"
)

// childVariable makes this test binary a process that applies blueprints in the database
// it names: two workspaces, then it stands still in the middle of the third, says so on
// its output, and waits to be killed.
const childVariable = "STRATA_BLUEPRINT_CHILD"

func child() int {
	fmt.Fprintln(os.Stderr, standStill(os.Getenv(childVariable)))
	return 1
}

func standStill(url string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	db, err := tenancy.NewDB(pool, nil)
	if err != nil {
		return err
	}
	recorder, err := audit.NewRecorder(db, nil)
	if err != nil {
		return err
	}
	calls := 0
	cfg := mortal()
	cfg.Workers, cfg.Log = 1, slog.Default()
	s, err := blueprint.NewStore(db, recorder, cfg, campaigns(func(ctx context.Context, tx *tenancy.Tx, o blueprint.Order[campaign]) error {
		if calls++; calls < 3 {
			return nil
		}
		// What it has written by now must not stay.
		if _, err := tx.Exec(ctx, `INSERT INTO items (deployment_id, workspace_id, title, seats, owner) VALUES (gen_random_uuid(), $1, 'half', 0, '')`, tx.Tenant().WorkspaceID); err != nil {
			return err
		}
		fmt.Println(tx.Tenant().WorkspaceID)
		time.Sleep(within) // its parent kills it
		return errors.New("nobody killed it")
	}))
	if err != nil {
		return err
	}
	return s.Work(ctx)
}

func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	w := open(t, 5)
	s := w.store(t, mortal(), nil)
	run := w.deploy(t, s, w.create(t, s, campaign{Title: "Welcome"}), 0, blueprint.All())

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, w.Pool))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	held := bufio.NewScanner(out)
	require.True(t, held.Scan())
	victim, err := tenancy.ParseID[tenancy.Workspace](held.Text())
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "killed")
	run, err = s.Run(w.A.CompanyCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, []int{run.Applied, run.Pending})

	working(t, s)
	run = w.await(t, s, run.ID)
	require.Equal(t, 5, run.Applied)
	for id, o := range w.outcomes(t, s, run.ID) {
		c, applied := w.item(t, id)
		require.Equal(t, []any{"Welcome", 1}, []any{c.Title, applied})
		if id == victim {
			require.Greater(t, o.Attempts, 1)
		}
	}
	var rows int
	require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM items`).Scan(&rows))
	require.Equal(t, 5, rows, "nothing half done")
}
