package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// world is the servers, Strata wired on them, and a pool for what is written by hand.
type world struct {
	pool   *pgxpool.Pool
	redis  *redis.Client
	strata *strata.Strata
	about  string
	close  func() error

	// For processes of their own.
	postgresURL, redisURL string

	companies int
}

func openWorld(ctx context.Context) (_ *world, err error) {
	var closers []func() error
	closeAll := func() error {
		var err error
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	servers, err := backends.Start(ctx, backends.Options{Durable: true})
	if err != nil {
		return nil, err
	}
	closers = append(closers, servers.Close)
	pool, drop, err := ownDatabase(ctx, servers.Postgres.URL)
	if err != nil {
		return nil, err
	}
	closers = append(closers, drop)
	client := redis.NewClient(servers.Redis.Options())
	closers = append(closers, client.Close)
	extensions, err := extend()
	if err != nil {
		return nil, err
	}
	if err := strata.Migrate(ctx, pool, &strata.MigrateConfig{Extensions: extensions}); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "strata-bench-")
	if err != nil {
		return nil, err
	}
	closers = append(closers, func() error { return os.RemoveAll(dir) })
	uploads, err := imports.OpenLocal(filepath.Join(dir, "uploads"), &url.URL{Scheme: "http", Host: "localhost"}, make([]byte, 32))
	if err != nil {
		return nil, err
	}
	closers = append(closers, uploads.Bucket.Close)
	catalog, err := billing.NewCatalog()
	if err != nil {
		return nil, err
	}
	s, err := strata.New(ctx, pool, client, &strata.Config{Bucket: uploads.Bucket, Catalog: catalog, Extensions: extensions, Runner: bulk.Config{Queue: "bench"}, Indexes: indexes.Config{Manual: true}})
	if err != nil {
		return nil, err
	}
	closers = append(closers, func() error { return s.Stop(context.WithoutCancel(ctx)) })
	if err := s.Runner.Register(queueKind, nothing{}); err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	w := &world{pool: pool, redis: client, strata: s, close: closeAll, redisURL: servers.Redis.URL}
	if w.postgresURL, err = urlOf(servers.Postgres.URL, pool); err != nil {
		return nil, err
	}
	w.about = fmt.Sprintf("PostgreSQL: %s; Redis: %s", servers.Postgres.Source, servers.Redis.Source)
	return w, nil
}

// ownDatabase makes a database that only this run uses, because scenarios empty tables, on
// the server found. It returns a pool on it, and what closes the pool and drops the database,
// also when ctx is done.
func ownDatabase(ctx context.Context, serverURL string) (*pgxpool.Pool, func() error, error) {
	whole := context.WithoutCancel(ctx)
	server, err := pgxpool.New(whole, serverURL)
	if err != nil {
		return nil, nil, err
	}
	name := "strata_bench_" + strings.ToLower(rand.Text())
	if _, err := server.Exec(whole, "CREATE DATABASE "+name); err != nil {
		server.Close()
		return nil, nil, fmt.Errorf("making a database for the benchmark: %w", err)
	}
	drop := func() error {
		defer server.Close()
		return backends.DropDatabase(whole, server, name)
	}
	cfg := server.Config()
	cfg.ConnConfig.Database = name
	pool, err := pgxpool.NewWithConfig(whole, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return pool, func() error { pool.Close(); return drop() }, nil
}

// urlOf returns the URL of the database of pool on the server.
func urlOf(serverURL string, pool *pgxpool.Pool) (string, error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return "", fmt.Errorf("the server is not named by a URL: %w", err)
	}
	u.Path = "/" + pool.Config().ConnConfig.Database
	return u.String(), nil
}

// company makes a company with the fields of the generated files, and returns a context
// in its domain.
func (w *world) company(ctx context.Context) (context.Context, tenancy.Tenant, error) {
	w.companies++
	tenant, err := w.strata.Tenancy.Bootstrap(ctx,
		tenancy.NewCompany{Name: fmt.Sprintf("Bench %d %s", w.companies, tenancy.NewID[world]()), Plan: "enterprise"},
		tenancy.NewDomain{DomainName: fmt.Sprintf("bench-%d-%s.example", w.companies, tenancy.NewID[world]())})
	if err != nil {
		return nil, tenant, err
	}
	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), tenancy.Actor{ID: "bench", Type: tenancy.ActorUser, CompanyID: tenant.CompanyID, Role: access.CompanyOwner})
	for _, f := range []customfields.Field{
		{Key: "plan", Label: "Plan", Type: customfields.Select, Options: []string{"free", "team", "business"}, Filterable: true},
		{Key: "seats", Label: "Seats", Type: customfields.Number, Filterable: true},
		{Key: "score", Label: "Score", Type: customfields.Number, Filterable: true},
		{Key: "signed_up", Label: "Signed up", Type: customfields.Date, Filterable: true},
		{Key: "newsletter", Label: "Newsletter", Type: customfields.Boolean, Filterable: true},
		{Key: "tags", Label: "Tags", Type: customfields.MultiSelect, Options: []string{"vip", "beta", "partner", "trial"}, Filterable: true},
		{Key: "city", Label: "City", Type: customfields.Text, Filterable: true},
		{Key: "code", Label: "Code", Type: customfields.Text, Filterable: true},
	} {
		if _, err := w.strata.Fields.Create(ctx, f); err != nil {
			return nil, tenant, err
		}
	}
	return ctx, tenant, nil
}

// exec runs statements of a floor, as the login.
func (w *world) exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if _, err := w.pool.Exec(ctx, q); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	return nil
}
