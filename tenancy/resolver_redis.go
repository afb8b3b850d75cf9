package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/deadline"
)

const (
	redisLifetime = time.Hour
	redisBreak    = 5 * time.Second // after a failure, how long Redis is not asked
	redisTimeout  = 500 * time.Millisecond
	redisPipeline = 500 // tombstones sent at once, in one such time
)

// redisTier is the middle tier: entries all processes share. It treats a Redis that does
// not answer as empty; get, set and publish are legal on nil.
type redisTier struct {
	client    redis.UniversalClient
	now       func() time.Time
	timeout   time.Duration
	downUntil atomic.Int64 // unix nanoseconds
}

func newRedisTier(client redis.UniversalClient, now func() time.Time) *redisTier {
	return &redisTier{client: client, now: now, timeout: redisTimeout}
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

func (r *redisTier) up() bool { return r != nil && r.now().UnixNano() >= r.downUntil.Load() }

// failed opens the breaker after an error of Redis. That the caller of ctx gave up says
// nothing about Redis.
func (r *redisTier) failed(ctx context.Context, err error) {
	if err != nil && !errors.Is(err, redis.Nil) && ctx.Err() == nil {
		r.downUntil.Store(r.now().Add(redisBreak).UnixNano())
	}
}

func (r *redisTier) get(ctx context.Context, key scopeKey) (Tenant, bool) {
	if !r.shared(key) {
		return Tenant{}, false
	}
	data, err := deadline.Enforce(ctx, r.timeout, func(ctx context.Context) ([]byte, error) {
		return r.client.HGet(ctx, key.redisKey(), "tenant").Bytes()
	})
	r.failed(ctx, err)
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
	_, err = deadline.Enforce(ctx, r.timeout, func(ctx context.Context) (any, error) {
		return setIfNewer.Run(ctx, r.client, []string{key.redisKey()}, t.Version, data, redisLifetime.Milliseconds()).Result()
	})
	r.failed(ctx, err)
}

// tombstone outranks every value of key that was read before version.
type tombstone struct {
	key     scopeKey
	version int64
}

// forget leaves tombstones, also while the breaker is open.
func (r *redisTier) forget(ctx context.Context, tombstones []tombstone) error {
	for some := range slices.Chunk(tombstones, redisPipeline) {
		_, err := deadline.Enforce(ctx, r.timeout, func(ctx context.Context) ([]redis.Cmder, error) {
			return r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, t := range some {
					// Eval, not Run: a pipeline cannot send the script after learning that it is not known.
					setIfNewer.Eval(ctx, p, []string{t.key.redisKey()}, t.version, "", redisLifetime.Milliseconds())
				}
				return nil
			})
		})
		if err != nil {
			r.failed(ctx, err)
			return err
		}
	}
	return nil
}

// publish tells every process to forget a company, also while the breaker is open.
func (r *redisTier) publish(ctx context.Context, company CompanyID) {
	if r == nil {
		return
	}
	_, err := deadline.Enforce(ctx, r.timeout, func(ctx context.Context) (int64, error) {
		return r.client.Publish(ctx, changesChannel, company.String()).Result()
	})
	r.failed(ctx, err)
}

// changesChannel carries the id of a company of which something changed.
const changesChannel = "strata:tenancy:changed"
