package dbtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/stratakit/strata/internal/backends"
)

// One server for all test binaries of a run. "go test ./..." runs a binary a package, and
// each would spend a second or two, with Docker more, on servers of its own. The first binary
// starts itself once more as a keeper: that process owns the servers, outlives the
// binary and hands out their URLs over a socket. A binary keeps its connection to the
// socket for as long as it lives, however it ends, so the keeper knows when nobody is left,
// and then ends with its servers after a short wait.

// keeperVariable holds the directory in the environment of the keeper.
const keeperVariable = "STRATA_DBTEST_KEEPER"

// keeperIdle is how long the keeper waits for the next binary.
const keeperIdle = 5 * time.Second

// inMain is set by Main: a binary that calls it can be started as the keeper.
var inMain bool

// reply is the keeper's answer to a line that names a service.
type reply struct {
	URL, SocketURL, Source string
	Kind                   backends.Kind
	Databases              int
	Error                  string
}

// fromKeeper asks the keeper for a service, and starts the keeper when there is none.
// The server lives until the returned function is called.
func fromKeeper(ctx context.Context, service string) (*reply, func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // an image may have to be pulled
	defer cancel()
	dir, err := keeperDir()
	if err != nil {
		return nil, nil, err
	}
	conn, err := dialKeeper(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r := &reply{}
	_, err = fmt.Fprintln(conn, service)
	if err == nil {
		err = json.NewDecoder(bufio.NewReader(conn)).Decode(r)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("asking the keeper of the servers: %w", err), conn.Close())
	}
	if r.Error != "" {
		return nil, nil, errors.Join(errors.New(r.Error), conn.Close())
	}
	verbose("%s: %s", service, r.Source)
	return r, conn.Close, nil
}

// socketLimit is how long the path of a socket may be; systems allow 103 bytes or more.
const socketLimit = 100

// keeperDir is the directory of the keeper for this working copy and this environment. It is
// made by whoever starts the keeper, below a directory that only we can enter.
func keeperDir() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, "1", moduleRoot())
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"STRATA_POSTGRES_", "STRATA_REDIS_", "DOCKER_", "TESTCONTAINERS_", "TMPDIR", "PATH"} {
			if strings.HasPrefix(name, prefix) {
				fmt.Fprintln(h, kv)
			}
		}
	}
	name := filepath.Join(fmt.Sprintf("strata-dbtest-%d", os.Getuid()), hex.EncodeToString(h.Sum(nil)[:6]))
	dir := filepath.Join(os.TempDir(), name)
	if len(socketOf(dir)) > socketLimit {
		dir = filepath.Join("/tmp", name)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	return dir, private(filepath.Dir(dir))
}

func moduleRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
	}
	return dir
}

func socketOf(dir string) string { return filepath.Join(dir, "socket") }

// lockOf is beside the directories of all keepers, because they come and go.
func lockOf(dir string) *flock.Flock { return flock.New(filepath.Join(filepath.Dir(dir), "lock")) }

// dialKeeper connects to the keeper. The lock makes sure that one is started once, and that
// it does not end while somebody connects: it is held until the keeper has greeted.
func dialKeeper(ctx context.Context, dir string) (net.Conn, error) {
	lock := lockOf(dir)
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socketOf(dir))
	if err != nil {
		if err := startKeeper(ctx, dir); err != nil {
			return nil, err
		}
		if conn, err = d.DialContext(ctx, "unix", socketOf(dir)); err != nil {
			return nil, err
		}
	}
	if err := awaitLine(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("the keeper of the servers does not answer: %w", err), conn.Close())
	}
	return conn, nil
}

// awaitLine reads one line, byte by byte: what follows it is for somebody else.
func awaitLine(ctx context.Context, r interface {
	io.Reader
	SetReadDeadline(time.Time) error
},
) error {
	if t, ok := ctx.Deadline(); ok {
		if err := r.SetReadDeadline(t); err != nil {
			return err
		}
	}
	b := make([]byte, 1)
	for b[0] != '\n' {
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
	}
	return r.SetReadDeadline(time.Time{})
}

// startKeeper starts this binary as the keeper and waits until it listens.
func startKeeper(ctx context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = ready.Close() }()
	// Nothing of ours is passed on: "go test" waits until its pipes are closed.
	cmd := exec.Command(self) //nolint:noctx // outlives this process
	cmd.Env = append(os.Environ(), keeperVariable+"="+dir)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{tell}
	detach(cmd)
	err = cmd.Start()
	_ = tell.Close() // now the keeper's end is the only one
	if err != nil {
		return err
	}
	if err := awaitLine(ctx, ready); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "log"))
		return fmt.Errorf("the keeper of the servers did not start: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return cmd.Process.Release()
}
