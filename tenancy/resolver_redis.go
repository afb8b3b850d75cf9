package tenancy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/redisguard"
)

const (
	redisLifetime = time.Hour
	redisRest     = 5 * time.Second // after a failure, how long Redis is not asked
	redisTimeout  = 500 * time.Millisecond
	redisPipeline = 500 // tombstones sent at once, in one such time
)

// redisTier is the middle tier: entries all processes share. It treats a Redis that does
// not answer as empty; get, set and publish are legal on nil.
type redisTier struct{ guard *redisguard.Guard }

func newRedisTier(client redis.UniversalClient, now func() time.Time) *redisTier {
	return &redisTier{&redisguard.Guard{Client: client, Timeout: redisTimeout, Rest: redisRest, Now: now}}
}

// key is the documented key; the braces are real, so that all keys of one owner share
// a cluster slot.
func (k scopeKey) redisKey() string { return k.level.String() + ":{" + k.id.String() + "}:context" }

// setIfNewer stores a value under its version unless a newer version is there already.
// An empty value is a tombstone: the reader goes to PostgreSQL, and a writer that read
// before the change cannot put the old value back.
var setIfNewer = redis.NewScript(`
local have = redis.call('HGET', KEYS[1], 'version')
if have and tonumber(have) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'tenant', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)

// shared reports whether Redis is asked for key: it knows ids only.
func (r *redisTier) shared(key scopeKey) bool { return key.slug == "" && r.up() }

func (r *redisTier) up() bool { return r != nil && r.guard.Up() }

func (r *redisTier) get(ctx context.Context, key scopeKey) (Tenant, bool) {
	if !r.shared(key) {
		return Tenant{}, false
	}
	data, err := redisguard.Ask(ctx, r.guard, func(ctx context.Context, c redis.UniversalClient) ([]byte, error) {
		return c.HGet(ctx, key.redisKey(), "tenant").Bytes()
	})
	if err != nil || len(data) == 0 {
		return Tenant{}, false
	}
	var t Tenant
	if json.Unmarshal(data, &t) != nil || t.Level() != key.level {
		return Tenant{}, false
	}
	return t, true
}

func (r *redisTier) set(ctx context.Context, key scopeKey, t Tenant) {
	data, err := json.Marshal(t)
	if err != nil || !r.shared(key) {
		return
	}
	_, _ = redisguard.Ask(ctx, r.guard, func(ctx context.Context, c redis.UniversalClient) (any, error) {
		return setIfNewer.Run(ctx, c, []string{key.redisKey()}, t.Version, data, redisLifetime.Milliseconds()).Result()
	})
}

// tombstone outranks every value of key that was read before version.
type tombstone struct {
	key     scopeKey
	version int64
}

// forget leaves tombstones, also in a Redis that failed lately.
func (r *redisTier) forget(ctx context.Context, tombstones []tombstone) error {
	for some := range slices.Chunk(tombstones, redisPipeline) {
		_, err := redisguard.Insist(ctx, r.guard, func(ctx context.Context, c redis.UniversalClient) ([]redis.Cmder, error) {
			return c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, t := range some {
					// Eval, not Run: a pipeline cannot send the script after learning that it is not known.
					setIfNewer.Eval(ctx, p, []string{t.key.redisKey()}, t.version, "", redisLifetime.Milliseconds())
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish tells every process to forget a company, also through a Redis that failed lately.
func (r *redisTier) publish(ctx context.Context, company CompanyID) {
	if r == nil {
		return
	}
	_, _ = redisguard.Insist(ctx, r.guard, func(ctx context.Context, c redis.UniversalClient) (int64, error) {
		return c.Publish(ctx, changesChannel, company.String()).Result()
	})
}

// changesChannel carries the id of a company of which something changed.
const changesChannel = "strata:tenancy:changed"
