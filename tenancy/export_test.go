package tenancy

import (
	"context"
	"time"
)

// ChangesChannel is the channel of the messages.
const ChangesChannel = changesChannel

// SetPace sets how long Run waits between two sweeps.
func (r *Resolver) SetPace(subscribed, alone time.Duration) {
	r.pace = pace{sweepSubscribed: subscribed, sweepAlone: alone, resubscribe: time.Millisecond}
}

// SetRedisTimeout sets how long a call to Redis may take.
func (r *Resolver) SetRedisTimeout(d time.Duration) { r.redis.guard.Timeout = d }

// RedisUp reports whether the breaker is closed.
func (r *Resolver) RedisUp() bool { return r.redis.up() }

// Subscribed reports whether messages arrive.
func (r *Resolver) Subscribed() bool { return r.subscribed.Load() }

// Sweeper returns the sweep of a process that begins now.
func (r *Resolver) Sweeper() func(context.Context) error {
	done := r.notSwept()
	return func(ctx context.Context) error { return r.sweep(ctx, done) }
}

// ServerProblems judges a release of PostgreSQL.
func ServerProblems(version int) []Problem { return serverProblems(version) }
