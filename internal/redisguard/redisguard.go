// Package redisguard asks a Redis that may be away: each call has a bounded time, and after
// a failure Redis is left alone for a while, so that work goes on without it instead of
// waiting for it again and again.
package redisguard

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/deadline"
)

// ErrAway is returned without asking, when there is no client or Redis failed lately.
var ErrAway = errors.New("redis is not there, or did not answer lately")

// Guard stands before a client. It is safe for concurrent use; a nil Guard is a Redis that
// is never there.
type Guard struct {
	// Client is asked.
	Client redis.UniversalClient
	// Timeout bounds each call, Rest is how long Redis is left alone after a failure.
	Timeout, Rest time.Duration
	// Now is the clock that Rest is measured with.
	Now func() time.Time

	until atomic.Int64 // when the rest ends, in nanoseconds since 1970
}

// Up reports whether Redis would be asked.
func (g *Guard) Up() bool {
	return g != nil && g.Client != nil && g.Now().UnixNano() >= g.until.Load()
}

// Ask returns what call returns, ErrAway while Redis is left alone, or the error of a
// context whose time is over. redis.Nil is an answer. call must not touch what its caller
// goes on with: when the time is over it may still run.
func Ask[T any](ctx context.Context, g *Guard, call func(context.Context, redis.UniversalClient) (T, error)) (T, error) {
	if !g.Up() {
		var zero T
		return zero, ErrAway
	}
	return Insist(ctx, g, call)
}

// Insist is Ask also while Redis is left alone: for what must not be missed because of
// somebody else's failure.
func Insist[T any](ctx context.Context, g *Guard, call func(context.Context, redis.UniversalClient) (T, error)) (T, error) {
	if g == nil || g.Client == nil {
		var zero T
		return zero, ErrAway
	}
	v, err := deadline.Enforce(ctx, g.Timeout, func(ctx context.Context) (T, error) { return call(ctx, g.Client) })
	// That the caller gave up says nothing about Redis.
	if err != nil && !errors.Is(err, redis.Nil) && ctx.Err() == nil {
		g.until.Store(g.Now().Add(g.Rest).UnixNano())
	}
	return v, err
}
