package dbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/backends"
)

// Keys in database 0.
const (
	leaseKey = "strata:dbtest:lease:" // + number of a database: the token of its lease
	dirtyKey = "strata:dbtest:dirty"  // set of the databases that were empty when leased
)

const (
	leaseTime = 30 * time.Second
	leaseWait = 3 * time.Minute
)

// redisServer is the server of this binary's logical databases.
type redisServer struct {
	url       string
	source    string
	databases int
	closer    func() error
	leases    *redis.Client // database 0
}

// Redis returns a client on an empty logical database of the test's own. It is emptied
// and the client closed at the end of the test.
//
// On a server from REDIS_URL a logical database that holds somebody's keys is never
// taken, and database 0 holds the leases only. Channels are shared: see the package
// comment.
func Redis(t testing.TB) redis.UniversalClient {
	t.Helper()
	ctx := context.Background()
	client, err := shared.redis(ctx, t)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return client
}

func (b *binary) redis(ctx context.Context, t testing.TB) (redis.UniversalClient, error) {
	b.mu.Lock()
	if b.rd == nil && b.rdErr == nil {
		b.rd, b.rdErr = openRedis(ctx)
	}
	rd, err := b.rd, b.rdErr
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, token, err := rd.lease(ctx)
	if err != nil {
		return nil, err
	}
	client, err := rd.client(n)
	if err != nil {
		return nil, err
	}
	end := rd.renew(n, token)
	t.Cleanup(func() {
		end()
		err := client.FlushDB(ctx).Err()
		err = errors.Join(err, client.Close(), rd.giveBack(ctx, n, token))
		if err != nil {
			t.Errorf("dbtest: giving back the test's Redis database: %v", err)
		}
	})
	return client, nil
}

func openRedis(ctx context.Context) (*redisServer, error) {
	rd := &redisServer{}
	if sharing("REDIS_URL") {
		r, closer, err := fromKeeper(ctx, "Redis")
		if err != nil {
			return nil, err
		}
		rd.url, rd.source, rd.databases, rd.closer = r.URL, r.Source, r.Databases, closer
	} else {
		server, err := backends.StartRedis(ctx, backends.Options{Log: verbose})
		if err != nil {
			return nil, err
		}
		rd.url, rd.source, rd.databases, rd.closer = server.URL, server.Source, server.Databases, server.Close
	}
	if rd.databases < 2 {
		return nil, errors.Join(
			fmt.Errorf("%s has one logical database, tests need some: raise its setting databases", rd.source),
			rd.closer())
	}
	var err error
	if rd.leases, err = rd.client(0); err != nil {
		return nil, errors.Join(err, rd.closer())
	}
	return rd, nil
}

func (rd *redisServer) client(db int) (*redis.Client, error) {
	o, err := redis.ParseURL(rd.url)
	if err != nil {
		return nil, err
	}
	o.DB = db
	o.ContextTimeoutEnabled = true
	o.PoolSize = maxConns
	return redis.NewClient(o), nil
}

func (rd *redisServer) close() error {
	return errors.Join(rd.leases.Close(), rd.closer())
}

// lease takes a free logical database, and waits for one when all are in use.
func (rd *redisServer) lease(ctx context.Context) (n int, token string, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	token = rand.Text()
	start := int(token[0])<<8 + int(token[1]) // processes that start at different places meet rarely
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for i := range rd.databases - 1 {
			n := 1 + (start+i)%(rd.databases-1)
			taken, err := rd.take(ctx, n, token)
			if err != nil {
				return 0, "", err
			}
			if taken {
				return n, token, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, "", fmt.Errorf("each of the %d logical databases of Redis (%s) is leased to a test or holds foreign keys", rd.databases, rd.source)
		case <-tick.C:
		}
	}
}

// take leases database n unless it is leased or holds keys that are not of a test.
func (rd *redisServer) take(ctx context.Context, n int, token string) (bool, error) {
	err := rd.leases.SetArgs(ctx, leaseKey+strconv.Itoa(n), token, redis.SetArgs{Mode: "NX", TTL: leaseTime}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := rd.client(n)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	size, err := c.DBSize(ctx).Result()
	if err != nil {
		return false, err
	}
	if size == 0 {
		return true, rd.leases.SAdd(ctx, dirtyKey, n).Err()
	}
	left, err := rd.leases.SIsMember(ctx, dirtyKey, n).Result()
	if err != nil {
		return false, err
	}
	if left { // by a test that was killed
		return true, c.FlushDB(ctx).Err()
	}
	return false, rd.leases.Del(ctx, leaseKey+strconv.Itoa(n)).Err()
}

// renew keeps the lease until the returned function is called.
func (rd *redisServer) renew(n int, token string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(leaseTime / 5)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// A failure is tried again; a lease that ran out is noticed at the end.
			_ = rd.leases.SetArgs(ctx, leaseKey+strconv.Itoa(n), token, redis.SetArgs{Mode: "XX", TTL: leaseTime}).Err()
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// giveBack ends the lease of a database that is empty again.
func (rd *redisServer) giveBack(ctx context.Context, n int, token string) error {
	if err := rd.leases.SRem(ctx, dirtyKey, n).Err(); err != nil {
		return err
	}
	got, err := rd.leases.GetDel(ctx, leaseKey+strconv.Itoa(n)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("the lease of database %d ran out during the test", n)
	case err != nil:
		return err
	case got != token:
		return fmt.Errorf("database %d was leased to another test", n)
	}
	return nil
}

// RedisURL returns the URL with which another process reaches the database of a test's client.
func RedisURL(t testing.TB, client redis.UniversalClient) string {
	t.Helper()
	c, ok := client.(*redis.Client)
	if !ok {
		t.Fatalf("dbtest: %T has no URL", client)
	}
	o := c.Options()
	u := url.URL{Scheme: "redis", User: url.UserPassword(o.Username, o.Password), Host: o.Addr, Path: strconv.Itoa(o.DB)}
	return u.String()
}
