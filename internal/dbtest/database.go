package dbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxConns is the size of a test's pool.
const maxConns = 8

// Template is what a test's database looks like at its start.
type Template struct {
	// Name tells templates of a test binary apart. The empty name with a nil
	// Setup is an empty database.
	Name string
	// Setup fills the template, once in a test binary. Its pool logs in as the
	// tests do. The first template with a name wins.
	Setup func(ctx context.Context, pool *pgxpool.Pool) error
}

// template is a template database.
type template struct {
	once     sync.Once
	database string
	err      error
}

// Database returns a pool on a database of the test's own, a copy of the template.
// The pool is closed and the database dropped at the end of the test, also when the test
// leaves connections open. It ends the test when there is no database to be had.
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
	pool, err := p.pool(ctx, name)
	if err != nil {
		return nil, errors.Join(err, p.drop(ctx, name))
	}
	t.Cleanup(func() {
		pool.Close()
		if err := p.drop(ctx, name); err != nil {
			t.Errorf("dbtest: dropping the test's database: %v", err)
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
			tp.database = "template1"
			return
		}
		name := uniqueName("tpl")
		if err := p.create(ctx, name, "template1"); err != nil {
			tp.err = err
			return
		}
		tp.database = name
		if err := p.setup(ctx, name, tpl); err != nil {
			tp.err = fmt.Errorf("setup of template %q: %w", tpl.Name, err)
		}
	})
	return tp.database, tp.err
}

// setup runs a template's Setup, alone on the server.
func (p *postgres) setup(ctx context.Context, name string, tpl Template) error {
	return p.locked(ctx, func(*pgx.Conn) error {
		pool, err := p.pool(ctx, name)
		if err != nil {
			return err
		}
		defer pool.Close()
		return tpl.Setup(ctx, pool)
	})
}

// create makes a database as a copy of template.
func (p *postgres) create(ctx context.Context, name, source string) error {
	return p.exec(ctx, fmt.Sprintf("create database %s template %s owner %s",
		pgx.Identifier{name}.Sanitize(), pgx.Identifier{source}.Sanitize(), pgx.Identifier{p.role}.Sanitize()))
}

// drop drops a database together with its connections.
func (p *postgres) drop(ctx context.Context, name string) error {
	return p.exec(ctx, fmt.Sprintf("drop database if exists %s with (force)", pgx.Identifier{name}.Sanitize()))
}

// exec runs one statement on a connection of its own.
func (p *postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (p *postgres) pool(ctx context.Context, database string) (*pgxpool.Pool, error) {
	u, err := withDatabase(p.user, database)
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
