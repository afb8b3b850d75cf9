package backends

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// startTimeout bounds the start of a server whose binaries or image are there.
const startTimeout = 90 * time.Second

// Postgres is a running PostgreSQL.
type Postgres struct {
	// URL is a connection URL of a superuser, unless the server comes from
	// the environment: then it is DATABASE_URL.
	URL string
	// SocketURL reaches the same server over a socket. Empty when it has none.
	SocketURL string
	// Source says in words where the server comes from.
	Source string
	// Kind says the same to a program.
	Kind Kind

	server server // nil when the server is not ours
}

// server is what can be done with a server that this process started.
type server interface {
	restartable() bool
	start(ctx context.Context) error
	stop(ctx context.Context) error
	kill(ctx context.Context) error
	close() error
}

// StartPostgres finds or starts PostgreSQL, in the order of the package comment.
//
// An error about DATABASE_URL names host, port, user or database as needed and never
// the password. When nothing is found the error is an *UnavailableError.
func StartPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	opts, err := opts.absolute()
	if err != nil {
		return nil, err
	}
	if v := os.Getenv("DATABASE_URL"); v != "" && !opts.Private {
		pg, err := environmentPostgres(ctx, v)
		if err != nil {
			return nil, err
		}
		opts.logf("PostgreSQL: %s", pg.Source)
		return pg, nil
	}
	missing := &UnavailableError{
		Service: "PostgreSQL",
		Hint:    "install PostgreSQL 15 or newer, start Docker, or set DATABASE_URL",
		Tried:   []Attempt{{"environment", "DATABASE_URL is not set"}},
	}
	if opts.Private {
		missing.Tried[0].Reason = "not used for a server that will be stopped"
	}
	sources := []struct {
		name  string
		kind  Kind
		start func(context.Context, Options) (*Postgres, error)
	}{
		{"Docker", Docker, dockerPostgres},
		{"local binaries", Local, localPostgres},
		{"embedded download", Download, downloadedPostgres},
	}
	made := madeBy(opts, "postgres")
	for _, s := range sources {
		if made != "" && made != s.kind {
			missing.Tried = append(missing.Tried, Attempt{s.name, fmt.Sprintf("%s holds data made by %s", opts.DataDir, made)})
			continue
		}
		pg, err := s.start(ctx, opts)
		if err == nil {
			opts.logf("PostgreSQL: %s", pg.Source)
			return pg, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("starting PostgreSQL: %w", ctx.Err())
		}
		opts.logf("PostgreSQL: not from %s: %s", s.name, oneLine(err))
		missing.Tried = append(missing.Tried, Attempt{s.name, oneLine(err)})
	}
	return nil, missing
}

// madeBy returns the source that made the data directory, "" when there is none yet.
func madeBy(opts Options, service string) Kind {
	if opts.DataDir == "" {
		return ""
	}
	raw, err := os.ReadFile(filepath.Join(opts.DataDir, service+".source"))
	if err != nil {
		return ""
	}
	return Kind(raw)
}

// setMadeBy records what madeBy returns.
func setMadeBy(opts Options, service string, kind Kind) error {
	if opts.DataDir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(opts.DataDir, service+".source"), []byte(kind), 0o600)
}

// Restartable says whether Stop, Kill and Start can be used.
func (p *Postgres) Restartable() bool { return p.server != nil && p.server.restartable() }

// Stop shuts the server down in order ("fast" mode) and keeps its data.
func (p *Postgres) Stop(ctx context.Context) error {
	if !p.Restartable() {
		return ErrNotRestartable
	}
	return p.server.stop(ctx)
}

// Kill ends the server at once, without a checkpoint, as a crash would; the next Start
// recovers from the log.
func (p *Postgres) Kill(ctx context.Context) error {
	if !p.Restartable() {
		return ErrNotRestartable
	}
	return p.server.kill(ctx)
}

// Start starts the server again, under the same URL, after Stop or Kill.
func (p *Postgres) Start(ctx context.Context) error {
	if !p.Restartable() {
		return ErrNotRestartable
	}
	return p.server.start(ctx)
}

// Close stops the server when this process started it, and removes its data unless
// Options.DataDir keeps it.
func (p *Postgres) Close() error {
	if p.server == nil {
		return nil
	}
	return p.server.close()
}

// postgresURL builds the URL of a server of ours.
func postgresURL(st state) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", st.Password),
		Host: net.JoinHostPort(st.Host, strconv.Itoa(st.Port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// postgresSettings are the arguments of a server of ours.
func postgresSettings(durable bool) []string {
	if durable {
		return []string{"-c", "timezone=UTC", "-c", "max_connections=200"}
	}
	// Commits still wait for the write to the system: a killed server loses none. As many
	// tests run at once as there are processors, squared, with up to 8 connections each.
	return []string{"-c", "timezone=UTC", "-c", "max_connections=1000", "-c", "fsync=off", "-c", "full_page_writes=off"}
}
