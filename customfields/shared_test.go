package customfields_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// commands counts what a client is asked to do, connecting aside.
type commands struct{ n atomic.Int64 }

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "get", "set", "del":
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func counted(t *testing.T, o *redis.Options) (*redis.Client, *commands) {
	t.Helper()
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	c := &commands{}
	client.AddHook(c)
	return client, c
}

// deafPort is an address where somebody takes connections and never says a word.
func deafPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var taken sync.WaitGroup
	taken.Go(func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		taken.Wait()
	})
	return l.Addr().String()
}

// Nothing here ends before the client has given up, and with a deaf Redis it never does.
func TestRegistryWorksWithoutARedisThatAnswers(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	nobody := func(*testing.T) string { return "127.0.0.1:1" }
	for name, addr := range map[string]func(*testing.T) string{"refused": nobody, "deaf": deafPort} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.Company(t, "pro")
			client, asked := counted(t, &redis.Options{Addr: addr(t), ReadTimeout: -1, MaxRetries: -1})
			var now atomic.Int64
			r := registry(t, e, client, &customfields.Config{Now: func() time.Time { return time.Unix(now.Load(), 0) }})
			_, err := r.Set(c.Ctx)
			require.NoError(t, err)
			require.EqualValues(t, 1, asked.n.Load())
			for _, key := range []string{"a", "b"} {
				_, err := r.Create(c.Ctx, customfields.Field{Key: key, Type: customfields.Text})
				require.NoError(t, err)
				set, err := r.Set(c.Ctx)
				require.NoError(t, err)
				require.NotNil(t, set.Field(key))
			}
			require.EqualValues(t, 1, asked.n.Load(), "after a failure it is left alone")
			now.Add(5)
			require.NoError(t, r.Archive(c.Ctx, "a"))
			set, err := r.Set(c.Ctx)
			require.NoError(t, err)
			require.Nil(t, set.Field("a"))
			require.EqualValues(t, 2, asked.n.Load(), "and then tried once more")
		})
	}
}

// A transaction has a connection in its hand that others wait for.
func TestSetTxAsksNoRedis(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	client, asked := counted(t, e.Redis.(*redis.Client).Options())
	ctx := e.A.WorkspaceCtx
	_, err := registry(t, e, nil, nil).Create(ctx, customfields.Field{Key: "tier", Type: customfields.Text})
	require.NoError(t, err)
	r := registry(t, e, client, nil)
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		set, err := r.SetTx(ctx, tx)
		require.NoError(t, err)
		require.NotNil(t, set.Field("tier"))
		return nil
	}))
	require.Zero(t, asked.n.Load())
	other := registry(t, e, client, nil)
	_, err = other.Set(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, asked.n.Load(), "get and set")
}
