package backends

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// minRedis is the oldest supported major version.
const minRedis = 7

// Redis is a running Redis.
type Redis struct {
	// URL is a redis:// URL.
	URL string
	// Source says in words where the server comes from.
	Source string
	// Kind says the same to a program.
	Kind Kind
	// Databases is how many logical databases the server has, as far as it tells.
	Databases int

	server server
}

// StartRedis finds or starts Redis, in the order of the package comment. As miniredis
// always works, the error is about REDIS_URL, ctx or the data directory.
func StartRedis(ctx context.Context, opts Options) (*Redis, error) {
	opts, err := opts.absolute()
	if err != nil {
		return nil, err
	}
	if v := os.Getenv("REDIS_URL"); v != "" && !opts.Private {
		rd, err := environmentRedis(ctx, v)
		if err != nil {
			return nil, err
		}
		opts.logf("Redis: %s", rd.Source)
		return rd, nil
	}
	missing := &UnavailableError{
		Service: "Redis",
		Hint:    "install redis-server 7 or newer, start Docker, or set REDIS_URL",
		Tried:   []Attempt{{"environment", "REDIS_URL is not set"}},
	}
	sources := []struct {
		name  string
		kind  Kind
		start func(context.Context, Options) (*Redis, error)
	}{
		{"Docker", Docker, dockerRedis},
		{"local binary", Local, localRedis},
		{"miniredis", InProcess, inProcessRedis},
	}
	made := madeBy(opts, "redis")
	for _, s := range sources {
		if made != "" && made != s.kind {
			missing.Tried = append(missing.Tried, Attempt{s.name, fmt.Sprintf("%s holds data made by %s", opts.DataDir, made)})
			continue
		}
		rd, err := s.start(ctx, opts)
		if err == nil {
			opts.logf("Redis: %s", rd.Source)
			return rd, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("starting Redis: %w", ctx.Err())
		}
		opts.logf("Redis: not from %s: %s", s.name, oneLine(err))
		missing.Tried = append(missing.Tried, Attempt{s.name, oneLine(err)})
	}
	return nil, missing
}

// Options returns client options for the server, to be changed as needed. A client with
// them heeds deadlines of contexts, which is not go-redis's default.
func (r *Redis) Options() *redis.Options {
	o, err := redis.ParseURL(r.URL)
	if err != nil {
		panic("backends: unusable Redis URL passed its check: " + err.Error())
	}
	o.ContextTimeoutEnabled = true
	return o
}

// Restartable says whether Stop, Kill and Start can be used.
func (r *Redis) Restartable() bool { return r.server != nil && r.server.restartable() }

// Stop shuts the server down in order. Without Options.DataDir its keys are gone.
func (r *Redis) Stop(ctx context.Context) error {
	if !r.Restartable() {
		return ErrNotRestartable
	}
	return r.server.stop(ctx)
}

// Kill ends the server at once.
func (r *Redis) Kill(ctx context.Context) error {
	if !r.Restartable() {
		return ErrNotRestartable
	}
	return r.server.kill(ctx)
}

// Start starts the server again, under the same URL, after Stop or Kill.
func (r *Redis) Start(ctx context.Context) error {
	if !r.Restartable() {
		return ErrNotRestartable
	}
	return r.server.start(ctx)
}

// Close stops the server when this process started it.
func (r *Redis) Close() error {
	if r.server == nil {
		return nil
	}
	return r.server.close()
}

// environmentRedis takes the server that REDIS_URL names.
func environmentRedis(ctx context.Context, url string) (*Redis, error) {
	n, err := pingRedis(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w (correct it, or unset it to have a server found or started)", err)
	}
	return &Redis{URL: url, Source: "environment REDIS_URL", Kind: Environment, Databases: n}, nil
}

// pingRedis connects once, checks the version and returns the number of databases.
// Its error is one line and tells what to do.
func pingRedis(ctx context.Context, url string) (databases int, err error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return 0, errors.New("not a Redis URL such as redis://:password@host:6379/0")
	}
	// The client would log every refused connection.
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, o.Network, o.Addr)
	if err != nil {
		return 0, redisError(o.Addr, err)
	}
	_ = conn.Close()
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialerRetries = 1
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	if err := c.Ping(ctx).Err(); err != nil {
		return 0, redisError(o.Addr, err)
	}
	info, err := c.Info(ctx, "server").Result()
	if err == nil {
		if v := infoField(info, "redis_version"); majorOf(v) < minRedis {
			return 0, fmt.Errorf("the server at %s is Redis %s; 7 or newer is needed", o.Addr, v)
		}
	}
	databases = 1
	if m, err := c.ConfigGet(ctx, "databases").Result(); err == nil {
		if n, err := strconv.Atoi(m["databases"]); err == nil {
			databases = n
		}
	}
	return databases, nil
}

func infoField(info, name string) string {
	for line := range strings.SplitSeq(info, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}

func majorOf(version string) int {
	n, err := strconv.Atoi(digits.FindString(version))
	if err != nil {
		return minRedis // a server that does not tell is taken at its word
	}
	return n
}

// redisError words what goes wrong most often.
func redisError(addr string, err error) error {
	var dns *net.DNSError
	msg := err.Error()
	switch {
	case strings.HasPrefix(msg, "WRONGPASS"):
		return fmt.Errorf("Redis at %s refuses the password", addr)
	case strings.HasPrefix(msg, "NOAUTH"):
		return fmt.Errorf("Redis at %s wants a password: redis://:password@%s/0", addr, addr)
	case errors.As(err, &dns):
		return fmt.Errorf("host of %q is not known", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is Redis running there?", addr)
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("no answer from %s", addr)
	}
	return fmt.Errorf("cannot use Redis at %s: %s", addr, oneLine(err))
}

// redisURL builds the URL of a server of ours.
func redisURL(st state) string {
	return fmt.Sprintf("redis://:%s@%s/0", st.Password, net.JoinHostPort(st.Host, strconv.Itoa(st.Port)))
}

// redisPatience is how long Redis may take to write what it has to.
const redisPatience = 10 * time.Second
