package tenancy_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
)

// line is a client of the test's Redis whose connections a test can cut.
type line struct {
	*redis.Client
	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func newLine(t *testing.T, e *tenancytest.Env) *line {
	t.Helper()
	l := &line{}
	own := e.Redis.(*redis.Client).Options()
	l.Client = redis.NewClient(&redis.Options{
		Addr: own.Addr, Username: own.Username, Password: own.Password, DB: own.DB,
		MaxRetries: -1, DialerRetries: 1, Dialer: l.dial,
	})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, errors.New("the line is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *line) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

// watch is a hook that is shown every command, and after it runs every answer.
type watch struct{ before, after func(redis.Cmder) }

func (w watch) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if w.before != nil {
			w.before(cmd)
		}
		err := next(ctx, cmd)
		if w.after != nil {
			w.after(cmd)
		}
		return err
	}
}

func (w watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if w.before != nil {
				w.before(cmd)
			}
		}
		return next(ctx, cmds)
	}
}

// silent returns a client of a server that takes connections and never answers. The
// client itself would wait for ever.
func silent(t *testing.T) *redis.Client {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns []net.Conn
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	}()
	client := redis.NewClient(&redis.Options{
		Addr: listener.Addr().String(), MaxRetries: -1, DialerRetries: 1, ReadTimeout: -1, WriteTimeout: -1,
	})
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
		for _, c := range conns {
			_ = c.Close()
		}
		_ = client.Close()
	})
	return client
}
