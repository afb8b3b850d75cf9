// Command server serves all of Strata over HTTP, on servers it finds or starts itself,
// with one company, workspace and domain to try things on. It is an example of how a
// product wires the library, and for development only: its tokens are no secret.
//
//	go run ./examples/server          # prints ids, a token and what to type
//	go run ./examples/server -json    # the same facts as one line of JSON
//
// Its operators have River UI at /river/.
//
// Environment: ADDR (default :8080), DATABASE_URL and REDIS_URL (otherwise servers are
// found or started), STRATA_DEV_TOKENS (token=userID:companyID:role,...).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
	"github.com/stratakit/strata/imports/importshttp"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/tenancy"
)

func main() {
	asJSON := flag.Bool("json", false, "print the facts a program needs as one line of JSON")
	dataDir := flag.String("data", "", "directory for files and for servers started here (default: one in the user's cache directory)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, *dataDir, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "server:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

// facts are what somebody needs to talk to the server.
type facts struct {
	Addr        string              `json:"addr"`
	CompanyID   tenancy.CompanyID   `json:"companyId"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	DomainID    tenancy.DomainID    `json:"domainId"`
	Token       string              `json:"token"`
	AdminToken  string              `json:"adminToken"`
}

func run(ctx context.Context, dataDir string, asJSON bool) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: an address to listen on is given in ADDR", flag.Arg(0))
	}
	if os.Getenv("STRATA_ENV") == "production" {
		return errors.New("this example hands out development tokens: it does not run with STRATA_ENV=production")
	}
	addr := os.Getenv("ADDR")
	if addr == "" {
		addr = ":8080"
	}
	// First of all, because it is the likeliest to fail and costs nothing.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen: %w: free the port, or set ADDR to another", err)
	}
	defer func() { _ = listener.Close() }() // closed by Shutdown too
	if dataDir == "" {
		if dataDir, err = backends.DefaultDataDir("server"); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	servers, err := backends.Start(ctx, backends.Options{DataDir: dataDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	pool, err := pgxpool.New(ctx, servers.Postgres.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	client := redis.NewClient(servers.Redis.Options())
	defer func() { _ = client.Close() }()
	secret, err := secretOf(dataDir)
	if err != nil {
		return err
	}
	if err := strata.Migrate(ctx, pool, &strata.MigrateConfig{Log: log}); err != nil {
		return err
	}
	base := "http://" + reachable(listener.Addr())
	uploads, err := imports.OpenLocal(filepath.Join(dataDir, "uploads"), must(url.Parse(base+importshttp.UploadPath)), secret.derive("uploads"))
	if err != nil {
		return err
	}
	defer func() { _ = uploads.Bucket.Close() }()
	s, err := strata.New(ctx, pool, client, &strata.Config{Bucket: uploads.Bucket, Log: log})
	if err != nil {
		return err
	}
	f, err := seed(ctx, s)
	if err != nil {
		return err
	}
	f.Addr = base
	tokens, err := devTokens(secret, &f)
	if err != nil {
		return err
	}
	handler, err := s.Handler(tokens.principal, &strata.HandlerConfig{Uploads: uploads, Log: log})
	if err != nil {
		return err
	}
	ui, err := riverUI(ctx, s, tokens, log)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	if !asJSON {
		fmt.Printf("PostgreSQL  %s\nRedis       %s\n\n", servers.Postgres.Source, servers.Redis.Source)
	}
	announce(f, asJSON)
	err = serve(ctx, listener, beside(handler, ui), s.Runner)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, s.Stop(stopping))
}

// serve answers requests until ctx ends. Then it stops runner too, which ends the streams;
// other requests and the batches in hand finish. What is left goes on at the next start.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, runner *bulk.Runner) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	server.RegisterOnShutdown(func() {
		err := runner.Stop(stopping)
		if errors.Is(err, context.DeadlineExceeded) { // the batch in hand is rolled back, and done at the next start
			err = nil
		}
		stopped <- err
	})
	err := server.Shutdown(stopping)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were broken off: %w", err), server.Close())
	}
	return errors.Join(err, <-stopped)
}

// seed makes a company with a workspace and a domain at the first start and finds them
// again at the next, or makes anew what was deleted meanwhile.
func seed(ctx context.Context, s *strata.Strata) (facts, error) {
	const slug, domainName = "example", "example.com"
	t, err := s.Tenancy.Bootstrap(ctx, tenancy.NewCompany{Name: "Example", Slug: slug, Plan: "enterprise"}, tenancy.NewDomain{DomainName: domainName})
	if !errors.Is(err, tenancy.ErrConflict) {
		return facts{CompanyID: t.CompanyID, WorkspaceID: t.WorkspaceID, DomainID: t.DomainID}, err
	}
	company, err := s.Tenancy.CompanyBySlug(ctx, slug)
	if err != nil {
		return facts{}, err
	}
	ctx = tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: company.ID})
	d, err := s.Tenancy.First(ctx)
	if errors.Is(err, tenancy.ErrNotFound) {
		d, err = reseed(ctx, s, tenancy.NewDomain{DomainName: domainName})
	}
	if err != nil {
		return facts{}, err
	}
	return facts{CompanyID: company.ID, WorkspaceID: d.WorkspaceID, DomainID: d.ID}, nil
}

// reseed makes a domain anew, in the company's oldest workspace or in a new one.
func reseed(ctx context.Context, s *strata.Strata, domain tenancy.NewDomain) (tenancy.Domain, error) {
	workspaces, err := s.Tenancy.Workspaces(ctx, tenancy.PageRequest{PageSize: 1})
	if err != nil {
		return tenancy.Domain{}, err
	}
	if len(workspaces.Items) > 0 {
		return s.Tenancy.CreateDomain(ctx, workspaces.Items[0].ID, domain)
	}
	w, err := s.Tenancy.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "Example"})
	if err != nil {
		return tenancy.Domain{}, err
	}
	return s.Tenancy.CreateDomain(ctx, w.ID, domain)
}

func announce(f facts, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(f)
		return
	}
	fmt.Printf(`Strata serves on %[1]s

  company    %[2]s
  workspace  %[3]s
  domain     %[4]s
  token      %[5]s   (a development token of the company's owner)
  operator   %[6]s   (one of an administrator of the platform)

Try:

  curl -s -H 'Authorization: Bearer %[5]s' %[1]s/companies/%[2]s/usage
  curl -s -H 'Authorization: Bearer %[5]s' %[1]s/domains/%[4]s/recipients -d '{"email":"ada@example.com","name":"Ada"}'
  curl -s -H 'Authorization: Bearer %[5]s' -G %[1]s/domains/%[4]s/recipients --data-urlencode 'filter=email.endsWith("@example.com")'

The whole API: %[1]s/openapi.json. Background jobs, in a browser: %[1]s%[7]s/
(any name, and the operator's token as password). Stop with Ctrl-C.
`, f.Addr, f.CompanyID, f.WorkspaceID, f.DomainID, f.Token, f.AdminToken, riverPath)
}

// reachable is an address a client on this machine can use.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
