// Package deadline holds calls to their time when they do not do so themselves.
package deadline

import (
	"context"
	"time"
)

// Enforce calls fn with a context of at most d and returns what it returns, or the
// context's error once that time is over although fn has not returned: go-redis heeds a
// context's deadline only with Options.ContextTimeoutEnabled, which is the caller's to set.
// Such an fn goes on by itself until its client gives up, so it must not touch what its
// caller goes on with: it returns what it found.
func Enforce[T any](ctx context.Context, d time.Duration, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := fn(ctx)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
