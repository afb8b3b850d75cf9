package backends

import (
	"context"

	"github.com/alicebob/miniredis/v2"
)

// inProcessRedis starts miniredis, a Redis for tests written in Go.
func inProcessRedis(context.Context, Options) (*Redis, error) {
	password := newPassword()
	m := miniredis.NewMiniRedis()
	m.RequireAuth(password)
	if err := m.Start(); err != nil {
		return nil, err
	}
	return &Redis{
		URL:    "redis://:" + password + "@" + m.Addr() + "/0",
		Source: "miniredis in process (development only)", Kind: InProcess, Databases: ownDatabases,
		server: (*miniServer)(m),
	}, nil
}

// miniServer keeps its keys over stop and start; the listener goes away, which is what
// a client sees of a Redis that is down.
type miniServer miniredis.Miniredis

func (m *miniServer) start(context.Context) error { return (*miniredis.Miniredis)(m).Restart() }

func (m *miniServer) restartable() bool { return true }

func (m *miniServer) stop(context.Context) error {
	(*miniredis.Miniredis)(m).Close()
	return nil
}

func (m *miniServer) kill(ctx context.Context) error { return m.stop(ctx) }

func (m *miniServer) close() error {
	(*miniredis.Miniredis)(m).Close()
	return nil
}
