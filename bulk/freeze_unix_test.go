//go:build unix

package bulk_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
)

// A process that stands still in the middle of a batch loses it and its run, as one that
// died does, and changes nothing when it goes on.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.runner(t, &addOne{size: 10}, quick())
	run := w.submit(t, w.A.Ctx, r, 100)
	cmd, in := w.heldChild(t, heldVariable+"=1")
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

// So does one that stands still in Open, whether that notices or not.
func TestFrozenInOpen(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"told", "unaware"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := openPrepared(t)
			r := w.preparer(t)
			run := w.submit(t, w.A.Ctx, r, 100)
			cmd, in := w.heldChild(t, openingVariable+"="+how)
			require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))

			start(t, r)
			done := await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
			require.NoError(t, in.Close())
			require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
			require.NoError(t, cmd.Wait(), "it ends in order")
			still, err := r.Get(w.A.Ctx, run.ID)
			require.NoError(t, err)
			require.Equal(t, done, still)
			w.tookOver(t, r, still, map[string]int{"child": openedByChild, "test": 100 - openedByChild}, 1)
		})
	}
}
