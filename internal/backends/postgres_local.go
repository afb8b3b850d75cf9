package backends

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// localPostgres starts PostgreSQL from the binaries of this machine.
func localPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	found, reasons := findBinaries(ctx)
	if len(found) == 0 {
		if len(reasons) > 0 {
			return nil, errors.New(strings.Join(reasons, ", "))
		}
		return nil, errors.New("no postgres and initdb in PATH or /usr/lib/postgresql/*/bin")
	}
	return runPostgres(ctx, opts, found, Local, "local binaries")
}

// localServer is a PostgreSQL that runs as our child.
type localServer struct {
	home    *home
	user    *serverUser
	bin     binaries
	durable bool
	st      state
	proc    *process
}

// runPostgres starts one of the binaries on a temporary or kept data directory.
func runPostgres(ctx context.Context, opts Options, found []binaries, kind Kind, words string) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	u, err := findServerUser()
	if err != nil {
		return nil, err
	}
	h, shared, err := openPostgresHome(ctx, u, opts)
	if err != nil {
		return nil, err
	}
	if shared != nil {
		return &Postgres{
			URL:    postgresURL(*shared),
			Source: shared.Source + ", shared with the process that started it", Kind: kind,
		}, nil
	}
	s := &localServer{home: h, user: u, durable: opts.Durable}
	if err := s.bring(ctx, found, words); err != nil {
		h.release()
		return nil, err
	}
	if err := setMadeBy(opts, "postgres", kind); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Postgres{
		URL:       postgresURL(s.st),
		SocketURL: s.socketURL(), Source: s.st.Source, Kind: kind, server: s,
	}, nil
}

func openPostgresHome(ctx context.Context, u *serverUser, opts Options) (*home, *state, error) {
	if opts.DataDir == "" {
		h, err := tempHome(u, opts.Durable)
		return h, nil, err
	}
	return keptHome(ctx, u, filepath.Join(opts.DataDir, "postgres"), func(ctx context.Context, st state) error {
		return pingPostgres(ctx, postgresURL(st))
	})
}

// bring makes the data directory when there is none, and starts the server.
func (s *localServer) bring(ctx context.Context, found []binaries, words string) error {
	var err error
	if s.st, err = s.home.load(); err != nil {
		return fmt.Errorf("%s: %w", s.home.dir, err)
	}
	if s.bin, err = s.choose(found); err != nil {
		return err
	}
	s.st.Source = fmt.Sprintf("%s %s (PostgreSQL %d)", words, s.bin.dir, s.bin.major)
	if err := s.home.settle(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.home.data(), "PG_VERSION")); err != nil {
		if err := s.initdb(ctx); err != nil {
			return fmt.Errorf("initdb: %w", err)
		}
	}
	// A pid file without a process is left from a kill. PostgreSQL would look at the
	// number alone and refuse when some other process has it now.
	if err := os.Remove(filepath.Join(s.home.data(), "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.start(ctx)
}

// choose returns the first binaries that can open the data directory.
func (s *localServer) choose(found []binaries) (binaries, error) {
	raw, err := os.ReadFile(filepath.Join(s.home.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return found[0], nil
	}
	if err != nil {
		return binaries{}, err
	}
	want := strings.TrimSpace(string(raw))
	for _, b := range found {
		if strconv.Itoa(b.major) == want {
			return b, nil
		}
	}
	return binaries{}, fmt.Errorf("%s was made by PostgreSQL %s, and only %d is here: install %s, or use another directory",
		s.home.data(), want, found[0].major, want)
}

// initdb makes the cluster beside its final place and moves it there when it is whole.
func (s *localServer) initdb(ctx context.Context) error {
	making := s.home.data() + ".making"
	if err := errors.Join(os.RemoveAll(making), os.RemoveAll(s.home.data())); err != nil {
		return err
	}
	if err := s.user.mkdir(making); err != nil {
		return err
	}
	s.st.Password = newPassword()
	pw := filepath.Join(s.home.dir, "password")
	if err := errors.Join(os.WriteFile(pw, []byte(s.st.Password), 0o600), s.user.own(pw)); err != nil {
		return err
	}
	defer func() { _ = os.Remove(pw) }()
	args := []string{
		"-D", making, "-U", "postgres", "--pwfile=" + pw, "-E", "UTF8",
		"--auth-local=trust", "--auth-host=scram-sha-256",
	}
	if !s.durable {
		args = append(args, "--no-sync")
	}
	locale := "C.UTF-8" // upper and lower work beyond ASCII, and comparing is fast
	if runtime.GOOS != "linux" {
		locale = "C"
	}
	if err := run(ctx, s.user, s.home.dir, filepath.Join(s.bin.dir, "initdb"), append(args, "--locale="+locale)...); err != nil {
		return err
	}
	if err := s.home.save(s.st); err != nil {
		return err
	}
	return os.Rename(making, s.home.data())
}

// start runs the server and waits until it takes connections.
func (s *localServer) start(ctx context.Context) error {
	if err := onFreePort(ctx, &s.st, s.proc, s.startOnce); err != nil {
		return err
	}
	return s.home.save(s.st)
}

func (s *localServer) startOnce(ctx context.Context) error {
	args := append([]string{
		"-D", s.home.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.st.Port), "-k", s.socketDir(),
	}, postgresSettings(s.durable)...)
	if dir := s.socketDir(); dir != "" {
		if err := s.user.mkdir(dir); err != nil {
			return err
		}
	}
	// Without checkpoint when the data goes away anyway, with one when it stays.
	var death os.Signal = syscall.SIGQUIT
	if s.home.kept {
		death = syscall.SIGINT
	}
	cmd := exec.Command(filepath.Join(s.bin.dir, "postgres"), args...) //nolint:noctx // ends by signal
	cmd.Dir, cmd.Env = s.home.dir, serverEnv()
	p, err := startProcess(cmd, s.user, s.home.log(), death)
	if err != nil {
		return err
	}
	err = p.await(ctx, func(ctx context.Context) error {
		return pingPostgres(ctx, postgresURL(s.st))
	})
	if err != nil {
		return errors.Join(err, p.stop(syscall.SIGQUIT, 10*time.Second))
	}
	s.proc = p
	return nil
}

// socketDir is empty when the path would be too long for a socket, or when the data stays:
// then other processes come by TCP.
func (s *localServer) socketDir() string {
	dir := filepath.Join(s.home.dir, "socket")
	if s.home.kept || len(dir) > 80 || runtime.GOOS == "windows" {
		return ""
	}
	return dir
}

func (s *localServer) socketURL() string {
	dir := s.socketDir()
	if dir == "" {
		return ""
	}
	q := url.Values{"host": {dir}, "port": {strconv.Itoa(s.st.Port)}, "user": {"postgres"}}
	return "postgres:///postgres?" + q.Encode()
}

func (s *localServer) restartable() bool { return true }

func (s *localServer) stop(context.Context) error {
	return s.proc.stop(syscall.SIGINT, 30*time.Second)
}

func (s *localServer) kill(context.Context) error {
	return s.proc.stop(syscall.SIGQUIT, 10*time.Second)
}

func (s *localServer) close() error {
	var err error
	switch {
	case s.home.kept:
		err = s.proc.stop(syscall.SIGINT, 30*time.Second)
		s.st.Ready = false
		err = errors.Join(err, s.home.save(s.st))
	default:
		err = s.proc.stop(syscall.SIGQUIT, 10*time.Second)
	}
	s.home.release()
	return err
}
