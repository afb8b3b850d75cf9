package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	redisLifetime = time.Hour
	redisBreak    = 5 * time.Second // after a failure, how long Redis is not asked
	redisTimeout  = 500 * time.Millisecond
)

// redisTier is the middle tier: entries all processes share. Every method is legal on
// nil and treats a Redis that does not answer as empty.
type redisTier struct {
	client    redis.UniversalClient
	now       func() time.Time
	downUntil atomic.Int64 // unix nanoseconds
}

func newRedisTier(client redis.UniversalClient, now func() time.Time) *redisTier {
	return &redisTier{client: client, now: now}
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

func (r *redisTier) up() bool { return r != nil && r.now().UnixNano() >= r.downUntil.Load() }

func (r *redisTier) failed(err error) {
	if err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, context.Canceled) {
		r.downUntil.Store(r.now().Add(redisBreak).UnixNano())
	}
}

func (r *redisTier) get(ctx context.Context, key scopeKey) (Tenant, bool) {
	if !r.up() {
		return Tenant{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	data, err := r.client.HGet(ctx, key.redisKey(), "tenant").Bytes()
	r.failed(err)
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
	if err != nil {
		return
	}
	r.store(ctx, key, t.Version, data)
}

// forget leaves a tombstone that outranks every value read before version.
func (r *redisTier) forget(ctx context.Context, key scopeKey, version int64) {
	r.store(ctx, key, version, nil)
}

func (r *redisTier) store(ctx context.Context, key scopeKey, version int64, data []byte) {
	if !r.up() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r.failed(setIfNewer.Run(ctx, r.client, []string{key.redisKey()}, version, data, redisLifetime.Milliseconds()).Err())
}

// publish tells every process to forget a company.
func (r *redisTier) publish(ctx context.Context, company CompanyID) {
	if !r.up() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r.failed(r.client.Publish(ctx, changesChannel, company.String()).Err())
}

// changesChannel carries the id of a company of which something changed.
const changesChannel = "strata:tenancy:changed"
