package backends

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ownDatabases is how many logical databases a Redis of ours has: tests take one each.
const ownDatabases = 4096

// localRedis starts redis-server from this machine.
func localRedis(ctx context.Context, opts Options) (*Redis, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("no redis-server in PATH")
	}
	out, err := exec.CommandContext(ctx, bin, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", bin, err)
	}
	if majorOf(string(out)) < minRedis {
		return nil, fmt.Errorf("%s is older than 7: %s", bin, strings.TrimSpace(string(out)))
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	u, err := findServerUser()
	if err != nil {
		return nil, err
	}
	h, shared, err := openRedisHome(ctx, u, opts)
	if err != nil {
		return nil, err
	}
	if shared != nil {
		return &Redis{
			URL:    redisURL(*shared),
			Source: shared.Source + ", shared with the process that started it", Kind: Local, Databases: ownDatabases,
		}, nil
	}
	s := &localRedisServer{home: h, user: u, bin: bin}
	if err := s.bring(ctx); err != nil {
		h.release()
		return nil, err
	}
	if err := setMadeBy(opts, "redis", Local); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Redis{
		URL: redisURL(s.st), Source: s.st.Source,
		Kind: Local, Databases: ownDatabases, server: s,
	}, nil
}

func openRedisHome(ctx context.Context, u *serverUser, opts Options) (*home, *state, error) {
	if opts.DataDir == "" {
		h, err := tempHome(u, opts.Durable)
		return h, nil, err
	}
	return keptHome(ctx, u, filepath.Join(opts.DataDir, "redis"), func(ctx context.Context, st state) error {
		_, err := pingRedis(ctx, redisURL(st))
		return err
	})
}

// localRedisServer is a Redis that runs as our child.
type localRedisServer struct {
	home *home
	user *serverUser
	bin  string
	st   state
	proc *process
}

func (s *localRedisServer) bring(ctx context.Context) error {
	var err error
	if s.st, err = s.home.load(); err != nil {
		return fmt.Errorf("%s: %w", s.home.dir, err)
	}
	s.st.Source = "local binary " + s.bin
	if s.st.Password == "" {
		s.st.Password = newPassword()
	}
	if err := s.home.settle(ctx); err != nil {
		return err
	}
	if err := s.user.mkdir(s.home.data()); err != nil {
		return err
	}
	return s.start(ctx)
}

// start runs the server and waits until it answers.
func (s *localRedisServer) start(ctx context.Context) error {
	if err := onFreePort(ctx, &s.st, s.proc, s.startOnce); err != nil {
		return err
	}
	return s.home.save(s.st)
}

func (s *localRedisServer) startOnce(ctx context.Context) error {
	// In a file, because everybody can read a command line.
	conf := filepath.Join(s.home.dir, "redis.conf")
	appendOnly := "no"
	if s.home.kept {
		appendOnly = "yes"
	}
	text := strings.Join([]string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(s.st.Port),
		"requirepass " + s.st.Password,
		"dir " + strconv.Quote(s.home.data()),
		"databases " + strconv.Itoa(ownDatabases),
		`save ""`,
		"appendonly " + appendOnly,
		"daemonize no",
		"",
	}, "\n")
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), s.user.own(conf)); err != nil {
		return err
	}
	cmd := exec.Command(s.bin, conf) //nolint:noctx // ends by signal
	cmd.Dir, cmd.Env = s.home.data(), serverEnv()
	p, err := startProcess(cmd, s.user, s.home.log(), syscall.SIGTERM)
	if err != nil {
		return err
	}
	err = p.await(ctx, func(ctx context.Context) error {
		_, err := pingRedis(ctx, redisURL(s.st))
		return err
	})
	if err != nil {
		return errors.Join(err, p.stop(syscall.SIGTERM, redisPatience))
	}
	s.proc = p
	return nil
}

func (s *localRedisServer) restartable() bool { return true }

func (s *localRedisServer) stop(context.Context) error {
	return s.proc.stop(syscall.SIGTERM, redisPatience)
}

func (s *localRedisServer) kill(context.Context) error {
	return s.proc.stop(syscall.SIGKILL, redisPatience)
}

func (s *localRedisServer) close() error {
	err := s.proc.stop(syscall.SIGTERM, redisPatience)
	if s.home.kept {
		s.st.Ready = false
		err = errors.Join(err, s.home.save(s.st))
	}
	s.home.release()
	return err
}
