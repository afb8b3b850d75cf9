// Command quickstart runs Strata once from end to end: it makes a tenant, defines custom
// fields, imports a file of recipients with a preview, filters them, and shows the usage
// and the audit trail. Nothing has to be installed or started for it.
//
//	go run ./examples/quickstart                 # the US .gov registry, 16,539 real rows
//	go run ./examples/quickstart -file my.csv    # any CSV with an email column
//	go run ./examples/quickstart -rows 200000    # generated rows
//
// It keeps its database in a directory, so that a second run finds what the first one
// imported.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/tenancy"
)

func main() {
	var o options
	flag.StringVar(&o.file, "file", "", "a CSV file to import instead of the .gov registry")
	flag.IntVar(&o.rows, "rows", 0, "generate and import so many rows instead")
	flag.StringVar(&o.dataDir, "data", "", "directory for files and for servers started here (default: one in the user's cache directory)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

type options struct {
	file    string
	rows    int
	dataDir string
}

func run(ctx context.Context, o options) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: a file is given with -file", flag.Arg(0))
	}
	input, err := o.open() // before anything is started
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }()
	if o.dataDir == "" {
		if o.dataDir, err = backends.DefaultDataDir("quickstart"); err != nil {
			return err
		}
	}
	servers, err := backends.Start(ctx, backends.Options{DataDir: o.dataDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	fmt.Printf("PostgreSQL  %s\nRedis       %s\n", servers.Postgres.Source, servers.Redis.Source)

	pool, err := pgxpool.New(ctx, servers.Postgres.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	client := redis.NewClient(servers.Redis.Options())
	defer func() { _ = client.Close() }()

	// What a product does at its start: migrate, wire, start.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := strata.Migrate(ctx, pool, &strata.MigrateConfig{Log: log}); err != nil {
		return err
	}
	uploads, err := imports.OpenLocal(filepath.Join(o.dataDir, "uploads"), &url.URL{Scheme: "http", Host: "localhost"}, make([]byte, 32)) // nobody uploads to this program
	if err != nil {
		return err
	}
	defer func() { _ = uploads.Bucket.Close() }()
	s, err := strata.New(ctx, pool, client, &strata.Config{Bucket: uploads.Bucket, Log: log, Runner: bulk.Config{Queue: "quickstart"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(ctx, s)) }()
	if err := s.Start(ctx); err != nil {
		return err
	}

	// From here on everything happens in the scope of one tenant, done by one person.
	tenant, err := findOrCreateTenant(ctx, s)
	if err != nil {
		return err
	}
	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), tenancy.Actor{ID: "quickstart", Type: tenancy.ActorUser, CompanyID: tenant.CompanyID})
	return tour(ctx, s, o, input)
}

// stop lets the batch in hand finish, but not for ever: a server may have stopped to answer.
func stop(ctx context.Context, s *strata.Strata) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // the batch is rolled back, and done at the next start
}

// open returns the input, or says what is wrong with it.
func (o options) open() (io.ReadCloser, error) {
	switch {
	case o.file != "" && o.rows != 0:
		return nil, errors.New("give -file or -rows, not both")
	case o.rows < 0:
		return nil, fmt.Errorf("-rows %d: give a positive number", o.rows)
	case o.rows > 0:
		return generate(o.rows), nil
	case o.file == "":
		return io.NopCloser(strings.NewReader(govDomains)), nil
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: give a CSV file", o.file)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func findOrCreateTenant(ctx context.Context, s *strata.Strata) (tenancy.Tenant, error) {
	t, err := s.Tenancy.Bootstrap(ctx, tenancy.NewCompany{Name: "Quickstart", Plan: "enterprise"}, tenancy.NewDomain{DomainName: "quickstart.example"})
	if !errors.Is(err, tenancy.ErrConflict) {
		return t, err
	}
	company, err := s.Tenancy.CompanyBySlug(ctx, "quickstart")
	if err != nil {
		return t, err
	}
	d, err := s.Tenancy.First(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: company.ID}))
	if errors.Is(err, tenancy.ErrNotFound) {
		err = errors.New("the company \"quickstart\" of this database has no domain any more: delete the company, or give another directory with -data")
	}
	if err != nil {
		return t, err
	}
	return s.Resolver.ResolveDomain(ctx, d.ID)
}
