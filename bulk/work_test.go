package bulk_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
)

func TestRunCompletes(t *testing.T) {
	t.Parallel()
	w := open(t)
	h := &addOne{size: 100}
	r := w.runner(t, h, quick())
	start(t, r)
	run := w.submit(t, w.A.Ctx, r, 950)
	require.Equal(t, bulk.StateQueued, run.State)
	require.Equal(t, w.A.Actor.ID, run.RequestedBy)
	done := await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	w.exact(t, done, 950)
	require.NotNil(t, done.StartedAt)
	require.NotNil(t, done.FinishedAt)
	require.Greater(t, done.Version, run.Version)
	require.Equal(t, []bulk.State{bulk.StateCompleted}, w.finishes(t, run.ID))
	stop(t, r)
	require.Equal(t, w.A.Actor, h.actors[0], "who asked for it works on it")
	require.Equal(t, h.opened, h.closed)
}
