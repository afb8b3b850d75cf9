package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/internal/backends"
)

// login is the role that pools log in as.
const login = "strata_test"

// setupLock is the advisory lock that keeps work on roles and templates apart, in
// all processes that use one server.
const setupLock = 0x7374726174610001

// poolerVariable holds host:port of a pooler before the server of DATABASE_URL. The pools of
// tests then go through it, as those of a product may; what migrates does not.
const poolerVariable = "STRATA_TEST_POOLER"

// binary is what a test binary holds: its servers and its templates.
type binary struct {
	mu        sync.Mutex
	pg        *postgres
	pgErr     error
	rd        *redisServer
	rdErr     error
	templates map[string]*template
}

// postgres is the server of this binary's databases.
type postgres struct {
	url    string // the same in all processes
	source string
	admin  string        // URL for CREATE DATABASE
	user   string        // URL of the pools' login, on another database
	role   string        // the login
	ours   bool          // not from the environment: goes away with all it has
	copies string        // how CREATE DATABASE copies, "" for the server's default
	pool   *pgxpool.Pool // of admin
	closer func() error
}

// shared is the one piece of state a test binary needs: servers live as long as it does.
var shared = &binary{templates: map[string]*template{}}

// postgres returns the server, started by the first call.
func (b *binary) postgres(ctx context.Context) (*postgres, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pg == nil && b.pgErr == nil {
		b.pg, b.pgErr = openPostgres(ctx)
	}
	return b.pg, b.pgErr
}

func openPostgres(ctx context.Context) (*postgres, error) {
	p := &postgres{}
	var socket string
	if sharing("DATABASE_URL") {
		r, closer, err := fromKeeper(ctx, "PostgreSQL")
		if err != nil {
			return nil, err
		}
		p.url, socket, p.source, p.closer = r.URL, r.SocketURL, r.Source, closer
	} else {
		server, err := backends.StartPostgres(ctx, backends.Options{Log: verbose})
		if err != nil {
			return nil, err
		}
		p.url, socket, p.source, p.closer = server.URL, server.SocketURL, server.Source, server.Close
	}
	p.admin = p.url
	if socket != "" {
		p.admin = socket
	}
	if p.ours = os.Getenv("DATABASE_URL") == ""; p.ours {
		// Copying files needs a checkpoint, which is cheap on a server of ours: with
		// four tests at a time a database takes 22 ms instead of 32.
		p.copies = " strategy file_copy"
	}
	cfg, err := pgxpool.ParseConfig(p.admin)
	if err != nil {
		return nil, errors.Join(err, p.closer())
	}
	cfg.MaxConns = 4
	if p.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.closer())
	}
	if err := p.prepareLogin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the role of the tests on %s: %w", p.source, err), p.close())
	}
	return p, nil
}

func (p *postgres) close() error {
	p.pool.Close()
	return p.closer()
}

// verbose is seen with go test -v only.
func verbose(format string, args ...any) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, "dbtest: "+format+"\n", args...)
	}
}

// prepareLogin makes the login of the tests when the given one is a superuser.
func (p *postgres) prepareLogin(ctx context.Context) error {
	return p.locked(ctx, func(conn *pgx.Conn) error {
		var super bool
		err := conn.QueryRow(ctx, "select rolsuper, rolname from pg_roles where rolname = current_user").Scan(&super, &p.role)
		if err != nil {
			return err
		}
		if !super {
			p.user = p.admin
			return nil
		}
		// Every process derives the same password, so none invalidates another's.
		sum := sha256.Sum256([]byte("dbtest login for " + p.url))
		password := hex.EncodeToString(sum[:16])
		var exists bool
		if err := conn.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", login).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			if _, err := conn.Exec(ctx, "create role "+login); err != nil {
				return err
			}
		}
		_, err = conn.Exec(ctx, "alter role "+login+
			" login createrole createdb nosuperuser nobypassrls noreplication password '"+password+"'")
		if err != nil {
			return err
		}
		p.role = login
		p.user, err = withUser(p.admin, login, password)
		return err
	})
}

// locked runs f on a connection that holds setupLock.
func (p *postgres) locked(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // releases the lock
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(setupLock)); err != nil {
		return err
	}
	return f(conn)
}

// withUser changes the login of a URL.
func withUser(raw, user, password string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(user, password)
	q := u.Query()
	q.Del("user")
	q.Del("password")
	if u.Host == "" { // a socket: the login goes into the query
		u.User = nil
		q.Set("user", user)
		q.Set("password", password)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// withDatabase changes the database of a URL.
func withDatabase(raw, database string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.Path = "/" + database
	q := u.Query()
	q.Del("dbname")
	q.Del("database")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// withPooler changes the address of a URL. PgBouncer knows prepared statements from 1.21 on
// only, and of a newer one they would have to be allowed.
func withPooler(raw, address string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.Host = address
	q := u.Query()
	q.Set("default_query_exec_mode", "cache_describe")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Pooled reports whether a pooler stands before the databases of tests.
func Pooled() bool { return os.Getenv(poolerVariable) != "" }

// PoolURL returns the URL with which another process gets a pool like pool.
func PoolURL(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	u, err := url.Parse(pool.Config().ConnString())
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	q := u.Query()
	q.Set("pool_max_conns", strconv.Itoa(maxConns))
	u.RawQuery = q.Encode()
	return u.String()
}

// DirectURL returns the URL of a test's database that leads past the pooler, if there is one:
// for a program that migrates.
func DirectURL(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	p, err := shared.postgres(context.Background())
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	u, err := withDatabase(p.user, pool.Config().ConnConfig.Database)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return u
}
