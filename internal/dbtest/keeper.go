package dbtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/stratakit/strata/internal/backends"
)

// keeper is the process that owns the servers.
type keeper struct {
	dir     string
	pg      func() (*backends.Postgres, error)
	rd      func() (*backends.Redis, error)
	mu      sync.Mutex
	started []func() error // ends the servers
}

// keep serves until nobody is connected for keeperIdle, and returns the exit status.
func keep(dir string) int {
	ctx := context.Background()
	logf := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	k := &keeper{dir: dir}
	k.pg = sync.OnceValues(func() (*backends.Postgres, error) {
		pg, err := backends.StartPostgres(ctx, backends.Options{Log: logf})
		if err == nil {
			k.atEnd(pg.Close)
		}
		return pg, err
	})
	k.rd = sync.OnceValues(func() (*backends.Redis, error) {
		rd, err := backends.StartRedis(ctx, backends.Options{Log: logf})
		if err == nil {
			k.atEnd(rd.Close)
		}
		return rd, err
	})
	if err := k.listen(ctx); err != nil {
		logf("%v", err)
		return 1
	}
	code := 0
	for _, f := range k.started {
		if err := f(); err != nil {
			logf("%v", err)
			code = 1
		}
	}
	if code == 0 {
		if err := k.leave(); err != nil {
			logf("%v", err)
			return 1
		}
	}
	return code
}

// leave removes the directory unless the next keeper has it by now. With an error it stays,
// for its log.
func (k *keeper) leave() error {
	lock := lockOf(k.dir)
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(socketOf(k.dir)); err == nil {
		return nil
	}
	return os.RemoveAll(k.dir)
}

func (k *keeper) atEnd(f func() error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started = append(k.started, f)
}

// listen returns when nobody is connected for keeperIdle.
func (k *keeper) listen(ctx context.Context) error {
	socket := socketOf(k.dir)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	joined := make(chan int)
	go k.accept(l, joined)
	ready := os.NewFile(3, "ready")
	if _, err := fmt.Fprintln(ready, "ready"); err != nil {
		return err
	}
	_ = ready.Close()

	clients := 0
	idle := time.NewTimer(keeperIdle)
	lock := lockOf(k.dir)
	for {
		select {
		case n := <-joined:
			clients += n
			idle.Reset(keeperIdle)
		case <-idle.C:
			if clients > 0 {
				continue // until one leaves
			}
			free, err := lock.TryLock()
			if err != nil {
				return err
			}
			if !free { // somebody is about to connect
				idle.Reset(keeperIdle)
				continue
			}
			return errors.Join(l.Close(), lock.Close())
		}
	}
}

// accept greets a client once it is counted.
func (k *keeper) accept(l net.Listener, joined chan<- int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			joined <- 1
			k.serve(conn)
			joined <- -1
		}()
	}
}

// serve answers one client and waits for its end.
func (k *keeper) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if err := json.NewEncoder(conn).Encode(k.answer(lines.Text())); err != nil {
			return
		}
	}
}

func (k *keeper) answer(service string) reply {
	switch service {
	case "PostgreSQL":
		pg, err := k.pg()
		if err != nil {
			return reply{Error: err.Error()}
		}
		return reply{URL: pg.URL, SocketURL: pg.SocketURL, Source: pg.Source, Kind: pg.Kind}
	case "Redis":
		rd, err := k.rd()
		if err != nil {
			return reply{Error: err.Error()}
		}
		return reply{URL: rd.URL, Source: rd.Source, Kind: rd.Kind, Databases: rd.Databases}
	default:
		return reply{Error: "unknown service " + service}
	}
}
