package redisguard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/redisguard"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	g := &redisguard.Guard{Client: redis.NewClient(&redis.Options{}), Timeout: time.Hour, Rest: time.Minute, Now: func() time.Time { return now }}
	answer := func(n int, err error) func(context.Context, redis.UniversalClient) (int, error) {
		return func(ctx context.Context, c redis.UniversalClient) (int, error) {
			_, bounded := ctx.Deadline()
			require.True(t, bounded)
			require.Equal(t, g.Client, c)
			return n, err
		}
	}
	n, err := redisguard.Ask(t.Context(), g, answer(7, nil))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	_, err = redisguard.Ask(t.Context(), g, answer(0, redis.Nil))
	require.ErrorIs(t, err, redis.Nil)
	require.True(t, g.Up(), "nothing there is an answer")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = redisguard.Ask(ended, g, answer(0, context.Canceled))
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, g.Up(), "it was the caller who gave up")

	boom := errors.New("boom")
	_, err = redisguard.Ask(t.Context(), g, answer(0, boom))
	require.ErrorIs(t, err, boom)
	require.False(t, g.Up())
	_, err = redisguard.Ask(t.Context(), g, answer(7, nil))
	require.ErrorIs(t, err, redisguard.ErrAway)
	n, err = redisguard.Insist(t.Context(), g, answer(7, nil))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	now = now.Add(time.Minute)
	require.True(t, g.Up())

	// A call that does not heed its context is not waited for.
	g.Timeout = time.Millisecond
	deaf := make(chan struct{})
	defer close(deaf)
	_, err = redisguard.Ask(t.Context(), g, func(context.Context, redis.UniversalClient) (int, error) {
		<-deaf
		return 0, nil
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, g.Up())
}

func TestNoRedis(t *testing.T) {
	t.Parallel()
	for _, g := range []*redisguard.Guard{nil, {}} {
		require.False(t, g.Up())
		call := func(context.Context, redis.UniversalClient) (int, error) { panic("asked") }
		_, err := redisguard.Ask(t.Context(), g, call)
		require.ErrorIs(t, err, redisguard.ErrAway)
		_, err = redisguard.Insist(t.Context(), g, call)
		require.ErrorIs(t, err, redisguard.ErrAway)
	}
}
