package backends

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// process is a server that dies with us.
type process struct {
	cmd     *exec.Cmd
	logPath string
	done    chan struct{} // closed when the server has ended
}

// startProcess starts cmd with its output appended to logPath. deathSignal is what the
// server gets when this process ends without stopping it.
func startProcess(cmd *exec.Cmd, u *serverUser, logPath string, deathSignal os.Signal) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	prepare(cmd, u, deathSignal)

	p := &process{cmd: cmd, logPath: logPath, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux delivers the parent death signal when the thread that
		// forked ends, not the process, so that thread stays with the
		// server until the server has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // a server ending is seen through done, why through its log
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop sends sig and waits; a server that takes longer than patience is killed.
func (p *process) stop(sig os.Signal, patience time.Duration) error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = p.cmd.Process.Kill()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %s and was killed", p.cmd.Path, patience)
	}
}

// whyEnded returns the line of the log that explains the end best.
func (p *process) whyEnded() string {
	raw, err := os.ReadFile(p.logPath)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	return explain(string(raw))
}

// telling is how PostgreSQL, its tools and Redis mark the line that says what is wrong.
var telling = regexp.MustCompile(`(?i)(FATAL:|PANIC:|error:|# Fatal|# Could not|# Failed|Permission denied)`)

func explain(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for _, l := range lines {
		if telling.MatchString(l) {
			return strings.TrimSpace(l)
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// await polls ready until it returns nil, the server ends or ctx is done.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	// A foreign server on our port may keep ready waiting after ours has ended.
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-rctx.Done():
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(rctx)
		if err == nil && p.running() {
			return nil
		}
		select {
		case <-p.done:
			return errEnded{p.whyEnded()}
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		case <-tick.C:
		}
	}
}

// errEnded says that the server ended while it was expected to start.
type errEnded struct{ why string }

func (e errEnded) Error() string { return e.why }

// portTaken says whether err is a server that found its port in use.
func portTaken(err error) bool {
	var e errEnded
	return errors.As(err, &e) && (strings.Contains(e.why, "could not create any TCP/IP sockets") ||
		strings.Contains(e.why, "could not bind") || strings.Contains(e.why, "Address already in use") ||
		strings.Contains(e.why, "Failed listening on port"))
}

// freePort returns a loopback port that was free a moment ago. Whoever uses it tries
// again with another one when it is gone.
func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free loopback port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// onFreePort runs a server unless before, its process, still runs. The first time it looks
// for a port that is free; after that the URL is known and has to stay, and somebody's
// outgoing connection that got the port meanwhile is given 5 s to go.
func onFreePort(ctx context.Context, st *state, before *process, start func(context.Context) error) error {
	if before != nil && before.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	st.Host = "127.0.0.1"
	for try := 0; ; try++ {
		if st.Port == 0 || before == nil && try > 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			st.Port = port
		}
		err := start(ctx)
		switch {
		case err == nil:
			st.Ready = true
			return nil
		case !portTaken(err):
			return err
		case before == nil && try == 10, try == 50:
			return fmt.Errorf("port %d is taken", st.Port)
		case before != nil:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// run runs a command to its end as u and returns its output in the error.
func run(ctx context.Context, u *serverUser, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = serverEnv()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	prepare(cmd, u, os.Kill)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		if s := strings.TrimSpace(out.String()); s != "" {
			return errors.New(explain(s))
		}
		return err
	}
	return nil
}

// serverEnv is the environment of a server: nothing of ours, so that no PG* variable
// of the shell changes it.
func serverEnv() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	for _, k := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SystemRoot"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}
