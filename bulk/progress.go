package bulk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/redisguard"
	"github.com/stratakit/strata/tenancy"
)

// Progress is how far a run is.
type Progress struct {
	JobID         RunID    `json:"jobId"`
	Kind          string   `json:"kind"`
	Status        State    `json:"status"`
	Processed     int64    `json:"processed"`
	Total         int64    `json:"total"`
	Percentage    float64  `json:"percentage"`
	RatePerSecond float64  `json:"ratePerSecond"`
	EtaSeconds    *float64 `json:"etaSeconds"` // null while it is not known

	// Version is that of the run: of two, the larger is the newer.
	Version int64 `json:"-"`
}

// Progress returns how far r is, with what Open has told of itself (Run.Report).
func (r Run) Progress() Progress {
	p := Progress{
		JobID: r.ID, Kind: r.Kind, Status: r.State, Processed: r.Processed + r.Opened, Total: r.Total, RatePerSecond: r.Rate, Version: r.Version,
	}
	switch {
	case r.State == StateCompleted:
		p.Percentage = 100
	case r.Total > 0:
		p.Percentage = min(100, 100*float64(p.Processed)/float64(r.Total))
	}
	if r.State == StateProcessing && r.Rate > 0 && r.Total > 0 {
		eta := max(0, float64(r.Total-p.Processed)/r.Rate)
		p.EtaSeconds = &eta
	}
	return p
}

// cache keeps the progress of runs in Redis, where asking every half second costs
// little. It is a hint: whoever reads it asks PostgreSQL where it is silent or stands
// still, and before believing that a run has ended.
type cache struct{ guard *redisguard.Guard }

// cached is the value of a key. The domain keeps an id that two domains gave to runs of
// theirs from telling one about the other.
type cached struct {
	Progress

	Domain  tenancy.DomainID `json:"domain"`
	Version int64            `json:"version"`
}

const (
	cacheLifetime = time.Hour
	cacheTimeout  = 250 * time.Millisecond
	cacheRest     = 2 * time.Second // after a failure: a batch must not wait for Redis each time
)

func newCache(client redis.UniversalClient) *cache {
	return &cache{&redisguard.Guard{Client: client, Timeout: cacheTimeout, Rest: cacheRest, Now: time.Now}}
}

func cacheKey(id RunID) string { return "job:{" + id.String() + "}:progress" }

// putNewer never replaces a newer version by an older one that arrives late.
var putNewer = redis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version')
if version and tonumber(version) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'progress', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)

// put tells Redis how far a run is, if it listens.
func (c *cache) put(ctx context.Context, r Run) {
	if !c.guard.Up() {
		return
	}
	b, err := json.Marshal(cached{Progress: r.Progress(), Domain: r.DomainID, Version: r.Version})
	if err != nil {
		return
	}
	_, _ = redisguard.Ask(ctx, c.guard, func(ctx context.Context, client redis.UniversalClient) (any, error) {
		return putNewer.Run(ctx, client, []string{cacheKey(r.ID)}, r.Version, b, cacheLifetime.Milliseconds()).Result()
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
		var v cached
		if b, err := answer.(*redis.StringCmd).Bytes(); err != nil || json.Unmarshal(b, &v) != nil {
			continue
		}
		v.Progress.Version = v.Version
		known[ids[i]] = v
	}
	return known
}
