package backends

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// tempPrefix starts the names of the temporary directories of servers.
const tempPrefix = "strata-backends-"

// home is the directory of one server: data/, server.log, socket/, and, when it stays,
// state.json. Whoever holds the lock file beside it owns the server.
type home struct {
	dir  string
	kept bool // the data stays
	lock *flock.Flock
}

// state is what another process needs to share a running server, and the next start to
// open the data again.
type state struct {
	Source   string `json:"source"`
	Password string `json:"password"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Ready    bool   `json:"ready"`
}

// tempHome makes the directory of a server whose data goes away with it.
func tempHome(u *serverUser, durable bool) (*home, error) {
	root, err := tempRoot(u, durable)
	if err != nil {
		return nil, err
	}
	sweep(os.TempDir(), memoryRoot, root)
	dir, err := os.MkdirTemp(root, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("no temporary directory: %w", err)
	}
	h := &home{dir: dir, lock: flock.New(filepath.Join(dir, "owner.lock"))}
	if _, err := h.lock.TryLock(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := u.own(dir); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// memoryRoot is a file system in memory. There, a test's database is made in 25 ms where a
// disk takes 50 to 400 (measured on PostgreSQL 15 with 60 tables of 3 indexes).
const memoryRoot = "/dev/shm"

// memoryNeeded is how much has to be free there: databases of tests, and the 1 GB that the
// write-ahead log may take.
const memoryNeeded = 4 << 30

// tempRoot is where temporary directories go: in memory when there is plenty, else usually
// os.TempDir, but root's TMPDIR may be closed to the user that runs the servers.
func tempRoot(u *serverUser, durable bool) (string, error) {
	if !durable && freeBytes(memoryRoot) >= memoryNeeded && u.canEnter(filepath.Join(memoryRoot, "x")) == nil {
		return memoryRoot, nil
	}
	first := u.canEnter(filepath.Join(os.TempDir(), "x"))
	if first == nil {
		return os.TempDir(), nil
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if u.canEnter(filepath.Join(dir, "x")) == nil {
			return dir, nil
		}
	}
	return "", first
}

// sweep removes temporary directories whose process was killed before it could.
func sweep(roots ...string) {
	var old []string
	for _, root := range roots {
		if found, err := filepath.Glob(filepath.Join(root, tempPrefix+"*")); err == nil {
			old = append(old, found...)
		}
	}
	for _, dir := range old {
		fi, err := os.Stat(dir)
		// A young one without lock is just being made.
		if err != nil || time.Since(fi.ModTime()) < time.Minute {
			continue
		}
		l := flock.New(filepath.Join(dir, "owner.lock"))
		if ok, err := l.TryLock(); err == nil && ok {
			if len(processesIn(filepath.Join(dir, "data"))) == 0 {
				_ = os.RemoveAll(dir) // the next sweep tries again
			}
			_ = l.Close()
		}
	}
}

// keptHome opens the directory of a server whose data stays. When another process owns it
// and its server answers to shared, that server's state is returned and home is nil.
func keptHome(ctx context.Context, u *serverUser, dir string, shared func(context.Context, state) error) (*home, *state, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, nil, fmt.Errorf("data directory: %w", err)
	}
	if err := u.canEnter(dir); err != nil {
		return nil, nil, err
	}
	if err := u.mkdir(dir); err != nil {
		return nil, nil, fmt.Errorf("data directory: %w", err)
	}
	h := &home{dir: dir, kept: true, lock: flock.New(filepath.Join(dir, "owner.lock"))}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		mine, err := h.lock.TryLock()
		if err != nil {
			return nil, nil, fmt.Errorf("data directory %s: %w", dir, err)
		}
		if mine {
			return h, nil, nil
		}
		// Somebody else's: take part, or wait until it is started or gone.
		st, err := h.load()
		if err == nil && st.Ready {
			if err = shared(ctx, st); err == nil {
				return nil, &st, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("data directory %s is in use by another process whose server does not answer: %w", dir, err)
		case <-tick.C:
		}
	}
}

// settle waits until no process of a dead owner works in the data directory any more.
func (h *home) settle(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		pids := processesIn(h.data())
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Signal(os.Interrupt)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d still works in %s", pids[0], h.data())
		case <-tick.C:
		}
	}
}

func (h *home) data() string { return filepath.Join(h.dir, "data") }
func (h *home) log() string  { return filepath.Join(h.dir, "server.log") }

func (h *home) load() (state, error) {
	var st state
	raw, err := os.ReadFile(filepath.Join(h.dir, "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(raw, &st)
}

func (h *home) save(st state) error {
	if !h.kept {
		return nil
	}
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	name := filepath.Join(h.dir, "state.json")
	if err := os.WriteFile(name+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// release gives the directory up and removes it unless its data stays.
func (h *home) release() {
	if !h.kept {
		_ = os.RemoveAll(h.dir)
	}
	_ = h.lock.Close()
}

// newPassword returns 130 random bits.
func newPassword() string { return strings.ToLower(rand.Text()) }
