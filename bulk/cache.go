package bulk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/redisguard"
	"github.com/stratakit/strata/tenancy"
)

// cache keeps the progress of runs in Redis, where asking every half second costs
// little. It is a hint: whoever reads it asks PostgreSQL where it is silent or stands
// still, and before believing that a run has ended.
type cache struct {
	guard *redisguard.Guard
	heard func(cached) // by this process: told of what it puts itself too
}

// cached is the value of a key. The domain keeps an id that two domains gave to runs of
// theirs from telling one about the other.
type cached struct {
	Progress

	Domain  tenancy.DomainID `json:"domain"`
	Version int64            `json:"version"`
	Started int64            `json:"started"`
}

const (
	cacheLifetime = time.Hour
	cacheTimeout  = 250 * time.Millisecond
	cacheRest     = 2 * time.Second // after a failure: a batch must not wait for Redis each time
	relisten      = time.Second     // after a failure
)

// newsChannel carries each value that is put, so that whoever watches need not wait for its
// next look. A message that is lost is made up for by that.
const newsChannel = "strata:job:progress"

func newCache(client redis.UniversalClient, heard func(cached)) *cache {
	return &cache{&redisguard.Guard{Client: client, Timeout: cacheTimeout, Rest: cacheRest, Now: time.Now}, heard}
}

func cacheKey(id RunID) string { return "job:{" + id.String() + "}:progress" }

// putNewer never replaces a newer version by an older one that arrives late.
var putNewer = redis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version')
if version and tonumber(version) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'progress', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.pcall('PUBLISH', ARGV[4], ARGV[2]) -- a user of Redis may lack the right to the channel
return 1`)

// put tells the hub and Redis, if it listens, how far a run is.
func (c *cache) put(ctx context.Context, r Run) {
	p := r.Progress()
	v := cached{Progress: p, Domain: r.DomainID, Version: p.Version, Started: p.started}
	c.heard(v)
	if !c.guard.Up() {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	_, _ = redisguard.Ask(ctx, c.guard, func(ctx context.Context, client redis.UniversalClient) (any, error) {
		return putNewer.Run(ctx, client, []string{cacheKey(r.ID)}, r.Version, b, cacheLifetime.Milliseconds(), newsChannel).Result()
	})
}

// get returns what Redis knows of runs, in one round trip.
func (c *cache) get(ctx context.Context, ids []RunID) map[RunID]cached {
	if len(ids) == 0 {
		return nil
	}
	answers, _ := redisguard.Ask(ctx, c.guard, func(ctx context.Context, client redis.UniversalClient) ([]redis.Cmder, error) {
		return client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, id := range ids {
				p.HGet(ctx, cacheKey(id), "progress")
			}
			return nil
		})
	})
	known := make(map[RunID]cached, len(answers))
	for i, answer := range answers {
		b, err := answer.(*redis.StringCmd).Bytes()
		if err != nil {
			continue
		}
		if v, ok := parse(b); ok {
			known[ids[i]] = v
		}
	}
	return known
}

func parse(b []byte) (v cached, ok bool) {
	err := json.Unmarshal(b, &v)
	v.Progress.Version, v.Progress.started = v.Version, v.Started
	return v, err == nil
}

// listen tells of what other processes put, until ctx ends.
func (c *cache) listen(ctx context.Context) {
	if c.guard.Client == nil {
		return
	}
	sub := c.guard.Client.Subscribe(ctx, newsChannel)
	defer func() { _ = sub.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // Receive does not watch ctx
	defer stop()
	for ctx.Err() == nil {
		m, err := sub.Receive(ctx)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(relisten):
			}
			continue
		}
		if m, ok := m.(*redis.Message); ok {
			if v, ok := parse([]byte(m.Payload)); ok {
				c.heard(v)
			}
		}
	}
}
