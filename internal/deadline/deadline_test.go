package deadline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/deadline"
)

func TestEnforce(t *testing.T) {
	t.Parallel()
	n, err := deadline.Enforce(t.Context(), time.Hour, func(ctx context.Context) (int, error) {
		_, limited := ctx.Deadline()
		require.True(t, limited)
		return 7, nil
	})
	require.NoError(t, err)
	require.Equal(t, 7, n)
	boom := errors.New("boom")
	_, err = deadline.Enforce(t.Context(), time.Hour, func(context.Context) (int, error) { return 0, boom })
	require.ErrorIs(t, err, boom)

	deaf := make(chan struct{})
	ended := make(chan struct{})
	_, err = deadline.Enforce(t.Context(), time.Millisecond, func(context.Context) (int, error) {
		defer close(ended)
		<-deaf
		return 7, nil
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(deaf)
	<-ended

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = deadline.Enforce(ctx, time.Hour, func(ctx context.Context) (int, error) { return 0, ctx.Err() })
	require.ErrorIs(t, err, context.Canceled)
}
