package dbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/internal/backends"
)

const (
	leaseKey  = "strata:dbtest:lease:" // + number, in database 0
	markerKey = "strata:dbtest"        // in a leased database
	leaseTime = 30 * time.Second
)

// redisServer is the server of this binary's logical databases.
type redisServer struct {
	server *backends.Redis
	leases *redis.Client // database 0
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
	client := rd.client(n)
	renewed := rd.renew(n, token)
	t.Cleanup(func() {
		err := client.FlushDB(ctx).Err()
		err = errors.Join(err, client.Close(), renewed(), rd.giveBack(ctx, n, token))
		if err != nil {
			t.Errorf("dbtest: giving back the test's Redis database: %v", err)
		}
	})
	return client, nil
}

func openRedis(ctx context.Context) (*redisServer, error) {
	server, err := backends.StartRedis(ctx, backends.Options{Log: verbose})
	if err != nil {
		return nil, err
	}
	if server.Databases < 2 {
		return nil, errors.Join(
			fmt.Errorf("%s has one logical database, tests need some: raise its setting databases", server.Source),
			server.Close())
	}
	rd := &redisServer{server: server}
	rd.leases = rd.client(0)
	return rd, nil
}

func (rd *redisServer) client(db int) *redis.Client {
	o := rd.server.Options()
	o.DB = db
	o.PoolSize = maxConns
	return redis.NewClient(o)
}

func (rd *redisServer) close() error {
	return errors.Join(rd.leases.Close(), rd.server.Close())
}

// lease takes a free logical database, and waits for one when all are in use.
func (rd *redisServer) lease(ctx context.Context) (n int, token string, err error) {
	token = rand.Text()
	start := int(token[0])<<8 + int(token[1]) // processes that start at different places meet rarely
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for i := range rd.server.Databases - 1 {
			n := 1 + (start+i)%(rd.server.Databases-1)
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
			return 0, "", ctx.Err()
		case <-tick.C:
		}
	}
}

func (rd *redisServer) take(ctx context.Context, n int, token string) (bool, error) {
	err := rd.leases.SetArgs(ctx, leaseKey+strconv.Itoa(n), token, redis.SetArgs{Mode: "NX", TTL: leaseTime}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c := rd.client(n)
	defer func() { _ = c.Close() }()
	size, err := c.DBSize(ctx).Result()
	if err != nil {
		return false, err
	}
	if size > 0 {
		// Left by a test that was killed, or somebody's.
		switch left, err := c.Exists(ctx, markerKey).Result(); {
		case err != nil:
			return false, err
		case left == 0:
			return false, nil // the lease runs out by itself; nobody else looks again soon
		}
		if err := c.FlushDB(ctx).Err(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// renew keeps the lease until the returned function is called.
func (rd *redisServer) renew(n int, token string) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var lost error
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
	return func() error {
		cancel()
		wg.Wait()
		return lost
	}
}

// giveBack ends the lease.
func (rd *redisServer) giveBack(ctx context.Context, n int, token string) error {
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
