package clock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/clock"
)

func TestInFuture(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.False(t, clock.InFuture(time.Time{}))
	require.False(t, clock.InFuture(now))
	require.False(t, clock.InFuture(now.Add(4*time.Minute)), "a clock may be ahead of ours")
	require.True(t, clock.InFuture(now.Add(time.Hour)))
}
