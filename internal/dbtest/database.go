package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/internal/backends"
)

// maxConns is the size of a test's pool.
const maxConns = 8

// releasePatience is how long a test's connections may be in use after its end.
const releasePatience = 30 * time.Second

// Template is what a test's database looks like at its start.
type Template struct {
	// Name tells templates of a test binary apart. The empty name with a nil
	// Setup is an empty database.
	Name string
	// Setup fills the template, once in a test binary. Its pool logs in as the
	// tests do. The first template with a name wins.
	Setup func(ctx context.Context, pool *pgxpool.Pool) error
	// Key, when not empty, says what Setup makes: templates with the same Name and
	// Key are the same, also in different test binaries. On a server of our own
	// Setup then runs once for all of them. KeyOf makes one from migration files.
	Key string
}

// KeyOf returns a key of the names and contents of all files.
func KeyOf(files ...fs.FS) (string, error) {
	h := sha256.New()
	for _, f := range files {
		err := fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := fs.ReadFile(f, path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(h, "%q %q\n", path, raw)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// template is a template database.
type template struct {
	once     sync.Once
	database string
	keep     bool // for other binaries
	err      error
}

// Database returns a pool on a database of the test's own, a copy of the template.
// The pool is closed and the database dropped at the end of the test. Connections that are
// still in use are given half a minute; then the test fails, with what they do, and they are
// broken off. Database ends the test when there is no database to be had.
func Database(t testing.TB, tpl Template) *pgxpool.Pool {
	t.Helper()
	// Not t.Context(): that one ends before the cleanup functions run.
	ctx := context.Background()
	pool, err := shared.database(ctx, t, tpl)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return pool
}

func (b *binary) database(ctx context.Context, t testing.TB, tpl Template) (*pgxpool.Pool, error) {
	p, err := b.postgres(ctx)
	if err != nil {
		return nil, err
	}
	source, err := b.template(ctx, p, tpl)
	if err != nil {
		return nil, err
	}
	name := uniqueName("t")
	if err := p.create(ctx, name, source); err != nil {
		return nil, err
	}
	through := os.Getenv(poolerVariable)
	if tpl.Setup == nil {
		through = "" // what is empty is there to be migrated, which takes a direct connection
	}
	pool, err := p.open(ctx, name, through)
	if err != nil {
		return nil, errors.Join(err, p.drop(ctx, name))
	}
	t.Cleanup(func() {
		if err := p.end(ctx, pool, name, releasePatience); err != nil {
			t.Errorf("dbtest: ending the test's database: %v", err)
		}
	})
	return pool, nil
}

// template returns the name of the template database, made by the first call.
func (b *binary) template(ctx context.Context, p *postgres, tpl Template) (string, error) {
	b.mu.Lock()
	tp := b.templates[tpl.Name]
	if tp == nil {
		tp = &template{}
		b.templates[tpl.Name] = tp
	}
	b.mu.Unlock()
	tp.once.Do(func() {
		if tpl.Setup == nil {
			tp.database, tp.keep = "template1", true
			return
		}
		if err := p.make(ctx, tp, tpl); err != nil {
			tp.err = fmt.Errorf("template %q: %w", tpl.Name, err)
		}
	})
	return tp.database, tp.err
}

// make makes a template database, alone on the server, unless another binary has made it.
func (p *postgres) make(ctx context.Context, tp *template, tpl Template) error {
	return p.locked(ctx, func(conn *pgx.Conn) error {
		name := uniqueName("tpl")
		if tpl.Key != "" && p.ours {
			sum := sha256.Sum256([]byte(tpl.Name + "\x00" + tpl.Key))
			name, tp.keep = "strata_dbtest_tpl_"+hex.EncodeToString(sum[:12]), true
			var made bool
			err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&made)
			if err != nil {
				return err
			}
			if made {
				tp.database = name
				return nil
			}
		}
		making := name + "_making" // what is left of a killed process has this name
		if err := p.drop(ctx, making); err != nil {
			return err
		}
		if err := p.create(ctx, making, "template1"); err != nil {
			return err
		}
		err := p.setup(ctx, making, tpl)
		if err == nil {
			err = p.exec(ctx, fmt.Sprintf("alter database %s rename to %s", making, name))
		}
		if err != nil {
			return errors.Join(err, p.drop(ctx, making))
		}
		tp.database = name
		return nil
	})
}

func (p *postgres) setup(ctx context.Context, name string, tpl Template) error {
	pool, err := p.open(ctx, name, "")
	if err != nil {
		return err
	}
	defer pool.Close()
	return tpl.Setup(ctx, pool)
}

// create makes a database as a copy of template.
func (p *postgres) create(ctx context.Context, name, source string) error {
	return p.exec(ctx, fmt.Sprintf("create database %s template %s owner %s%s",
		pgx.Identifier{name}.Sanitize(), pgx.Identifier{source}.Sanitize(), pgx.Identifier{p.role}.Sanitize(), p.copies))
}

// drop drops a database together with its connections.
func (p *postgres) drop(ctx context.Context, name string) error {
	return backends.DropDatabase(ctx, p.pool, name)
}

// end closes the pool of a database and drops it. After patience it does so although
// connections are in use, and the error says what for.
func (p *postgres) end(ctx context.Context, pool *pgxpool.Pool, name string, patience time.Duration) error {
	closed := make(chan struct{})
	go func() { // it waits for every connection in use
		defer close(closed)
		pool.Close()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var held error
	select {
	case <-closed:
	case <-timer.C:
		held = p.held(ctx, name)
	}
	return errors.Join(held, p.drop(ctx, name))
}

// held returns an error that says what the connections of a database do.
func (p *postgres) held(ctx context.Context, name string) error {
	var what *string
	err := p.pool.QueryRow(ctx, `
		select string_agg(format('%s: %s', state, left(query, 200)), '; ')
		from pg_stat_activity
		where datname = $1 and backend_type = 'client backend'`, name).Scan(&what)
	if err != nil || what == nil {
		return errors.Join(errors.New("the test ended without releasing its connections"), err)
	}
	return fmt.Errorf("the test ended while connections were in use: %s", *what)
}

// exec runs one statement as the admin.
func (p *postgres) exec(ctx context.Context, sql string) error {
	if _, err := p.pool.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// open returns a pool of the tests' login on a database, through a pooler unless that is
// empty.
func (p *postgres) open(ctx context.Context, database, pooler string) (*pgxpool.Pool, error) {
	u, err := withDatabase(p.user, database)
	if err == nil && pooler != "" {
		u, err = withPooler(u, pooler)
	}
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(u)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = maxConns
	cfg.MaxConnIdleTime = 30 * time.Second
	return pgxpool.NewWithConfig(ctx, cfg)
}

// uniqueName is unique on a server that several processes use.
func uniqueName(what string) string {
	return "strata_dbtest_" + what + "_" + strings.ToLower(rand.Text())
}
