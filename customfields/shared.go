package customfields

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/deadline"
	"github.com/stratakit/strata/tenancy"
)

const (
	redisLifetime = time.Hour
	redisBreak    = 5 * time.Second // after a failure, how long Redis is not asked
	redisTimeout  = 250 * time.Millisecond
)

// shared is the sets that all processes share, in Redis. A Redis that does not answer is
// empty: it costs a read, and no request waits for it again and again.
type shared struct {
	client    redis.UniversalClient // nil: nothing is shared
	now       func() time.Time
	downUntil atomic.Int64 // unix nanoseconds
}

func redisKey(id tenancy.WorkspaceID) string {
	return "workspace:{" + id.String() + "}:custom_field_defs"
}

// get returns the set of a workspace, if it is there in the wanted version.
func (s *shared) get(ctx context.Context, id tenancy.WorkspaceID, version int64) *Set {
	data := s.ask(ctx, func(ctx context.Context) ([]byte, error) { return s.client.Get(ctx, redisKey(id)).Bytes() })
	var set Set
	if json.Unmarshal(data, &set) != nil || set.Version != version {
		return nil
	}
	return set.indexed()
}

// put leaves a set for other processes.
func (s *shared) put(ctx context.Context, id tenancy.WorkspaceID, set *Set) {
	if data, err := json.Marshal(set); err == nil {
		s.ask(ctx, func(ctx context.Context) ([]byte, error) {
			return nil, s.client.Set(ctx, redisKey(id), data, redisLifetime).Err()
		})
	}
}

// forget drops the set of a workspace.
func (s *shared) forget(ctx context.Context, id tenancy.WorkspaceID) {
	s.ask(ctx, func(ctx context.Context) ([]byte, error) { return nil, s.client.Del(ctx, redisKey(id)).Err() })
}

// ask returns what Redis answers, or nil.
func (s *shared) ask(ctx context.Context, command func(context.Context) ([]byte, error)) []byte {
	if s.client == nil || s.now().UnixNano() < s.downUntil.Load() {
		return nil
	}
	data, err := deadline.Enforce(ctx, redisTimeout, command)
	if err == nil {
		return data
	}
	if !errors.Is(err, redis.Nil) && ctx.Err() == nil {
		s.downUntil.Store(s.now().Add(redisBreak).UnixNano())
	}
	return nil
}
