package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterNodes is how many a cluster has; fewer than three it refuses to be.
const clusterNodes = 3

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// RedisCluster starts a Redis Cluster of three nodes for this test and returns a client. It
// needs redis-server on this machine and skips the test where there is none: to one server
// that stands in for a cluster every key has the same place.
func RedisCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("a Redis Cluster needs redis-server in PATH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var nodes []clusterNode
	var addresses []string
	for range clusterNodes {
		n := startClusterNode(ctx, t, bin)
		nodes = append(nodes, n)
		addresses = append(addresses, n.address())
	}
	if err := join(ctx, nodes); err != nil {
		t.Fatalf("dbtest: making a Redis Cluster: %v", err)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses, ContextTimeoutEnabled: true, PoolSize: maxConns})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

type clusterNode struct{ port, bus int }

func (n clusterNode) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// startClusterNode tries again when somebody was quicker to take a port that was free.
func startClusterNode(ctx context.Context, t testing.TB, bin string) clusterNode {
	t.Helper()
	var last error
	for range 5 {
		n := clusterNode{freePort(ctx, t), freePort(ctx, t)}
		cmd := exec.Command(bin, "--bind", "127.0.0.1", "--port", strconv.Itoa(n.port), "--cluster-port", strconv.Itoa(n.bus), //nolint:noctx // ends with the test
			"--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--protected-mode", "no")
		if err := cmd.Start(); err != nil {
			t.Fatalf("dbtest: %v", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		last = n.answers(ctx, ended)
		if last == nil {
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				if err := <-ended; err == nil {
					t.Error("dbtest: a node of the Redis Cluster ended by itself")
				}
			})
			return n
		}
		_ = cmd.Process.Kill()
	}
	t.Fatalf("dbtest: a node of a Redis Cluster does not start: %v", last)
	return clusterNode{}
}

func freePort(ctx context.Context, t testing.TB) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// answers waits until the node does, or has ended.
func (n clusterNode) answers(ctx context.Context, ended chan error) error {
	c := redis.NewClient(&redis.Options{Addr: n.address()})
	defer func() { _ = c.Close() }()
	return poll(ctx, func() error {
		select {
		case err := <-ended:
			ended <- err
			return errors.Join(errEnded, err)
		default:
			return c.Ping(ctx).Err()
		}
	})
}

var errEnded = errors.New("the process has ended")

// poll calls f until it returns nil, or ctx or the process ends.
func poll(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// join gives each node its part of the slots and makes them know each other.
func join(ctx context.Context, nodes []clusterNode) error {
	for i, n := range nodes {
		c := redis.NewClient(&redis.Options{Addr: n.address()})
		defer func() { _ = c.Close() }()
		if err := c.ClusterAddSlotsRange(ctx, i*slots/len(nodes), (i+1)*slots/len(nodes)-1).Err(); err != nil {
			return err
		}
		if err := c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if err := c.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus).Err(); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		c := redis.NewClient(&redis.Options{Addr: n.address()})
		defer func() { _ = c.Close() }()
		err := poll(ctx, func() error {
			all, err := c.ClusterShards(ctx).Result()
			if err != nil {
				return err
			}
			if len(all) < len(nodes) {
				return fmt.Errorf("%s knows %d nodes", n.address(), len(all))
			}
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && !strings.Contains(info, "cluster_state:ok") {
				err = errors.New("the cluster is not ready")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
