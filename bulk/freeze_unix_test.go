//go:build unix

package bulk_test

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
)

// A process that stands still in the middle of a batch loses it and its run, as one that
// died does, and changes nothing when it goes on.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	run := w.submit(t, w.A.Ctx, r, 100)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, w.Pool), heldVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", said)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))

	start(t, r)
	done := await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	w.exact(t, done, 100)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait(), "it ends in order")
	still, err := r.Get(w.A.Ctx, run.ID)
	require.NoError(t, err)
	require.Equal(t, done, still)
	w.exact(t, still, 100)
	require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
}
