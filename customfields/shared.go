package customfields

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/redisguard"
	"github.com/stratakit/strata/tenancy"
)

const (
	redisLifetime = time.Hour
	redisRest     = 5 * time.Second // after a failure, how long Redis is not asked
	redisTimeout  = 250 * time.Millisecond
)

// shared is the sets that all processes share, in Redis. A Redis that does not answer is
// empty: it costs a read.
type shared struct{ guard *redisguard.Guard }

func newShared(client redis.UniversalClient, now func() time.Time) *shared {
	return &shared{&redisguard.Guard{Client: client, Timeout: redisTimeout, Rest: redisRest, Now: now}}
}

func redisKey(id tenancy.WorkspaceID) string {
	return "workspace:{" + id.String() + "}:custom_field_defs"
}

// get returns the set of a workspace, if it is there in the wanted version.
func (s *shared) get(ctx context.Context, id tenancy.WorkspaceID, version int64) *Set {
	data, err := redisguard.Ask(ctx, s.guard, func(ctx context.Context, c redis.UniversalClient) ([]byte, error) {
		return c.Get(ctx, redisKey(id)).Bytes()
	})
	var set Set
	if err != nil || json.Unmarshal(data, &set) != nil || set.Version != version {
		return nil
	}
	return set.indexed()
}

// put leaves a set for other processes.
func (s *shared) put(ctx context.Context, id tenancy.WorkspaceID, set *Set) {
	if data, err := json.Marshal(set); err == nil {
		_, _ = redisguard.Ask(ctx, s.guard, func(ctx context.Context, c redis.UniversalClient) (string, error) {
			return c.Set(ctx, redisKey(id), data, redisLifetime).Result()
		})
	}
}

// forget drops the set of a workspace. One that stays is not believed: its version is old.
func (s *shared) forget(ctx context.Context, id tenancy.WorkspaceID) {
	_, _ = redisguard.Ask(ctx, s.guard, func(ctx context.Context, c redis.UniversalClient) (int64, error) {
		return c.Del(ctx, redisKey(id)).Result()
	})
}
