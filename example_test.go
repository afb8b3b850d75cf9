package strata_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// A program that works in a domain that is there.
func program(ctx context.Context, pool *pgxpool.Pool, client *redis.Client, domainID tenancy.DomainID, actor tenancy.Actor) error {
	if err := strata.Migrate(ctx, pool, nil); err != nil { // at every start, in every process
		return err
	}
	s, err := strata.New(ctx, pool, client, nil) // a nil client is legal: everything works, slower
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop(ctx) }()

	// Everything happens in the scope of a tenant, done by somebody.
	tenant, err := s.Resolver.ResolveDomain(ctx, domainID)
	if err != nil {
		return err
	}
	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), actor)

	ada, err := s.Recipients.Create(ctx, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "gold"}})
	if err != nil {
		return err
	}
	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `fields.tier in ["gold", "silver"] && email.endsWith(".com")`})
	if err != nil {
		return err
	}
	fmt.Println(len(page.Items), page.Items[0].Email)

	// Your own SQL in the same transaction: GRANT on your table TO strata_app.
	return s.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := s.Recipients.CreateTx(ctx, tx, recipients.New{Email: "bo@example.com"}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO outbox (recipient_id, kind) VALUES ($1, 'welcome')`, ada.ID)
		return err
	})
}

func ExampleNew() {
	ctx := context.Background()
	if err := example(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 1 ada@example.com
}

// example makes the tenant that program works in.
func example(ctx context.Context) error {
	servers, err := backends.Start(ctx, backends.Options{Private: true}) // yours have URLs instead
	if err != nil {
		return err
	}
	defer func() { _ = servers.Close() }()
	pool, err := pgxpool.New(ctx, servers.Postgres.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	client := redis.NewClient(servers.Redis.Options())
	defer func() { _ = client.Close() }()
	if err := strata.Migrate(ctx, pool, nil); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE outbox (recipient_id uuid, kind text); GRANT INSERT ON outbox TO strata_app`); err != nil {
		return err
	}
	s, err := strata.New(ctx, pool, client, nil)
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop(ctx) }()
	tenant, err := s.Tenancy.Bootstrap(ctx, tenancy.NewCompany{Name: "Acme"}, tenancy.NewDomain{DomainName: "acme.example"})
	if err != nil {
		return err
	}
	actor := tenancy.Actor{ID: "u1", Type: tenancy.ActorUser, CompanyID: tenant.CompanyID}
	scoped := tenancy.WithActor(tenancy.WithTenant(ctx, tenant), actor)
	if _, err := s.Fields.Create(scoped, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true}); err != nil {
		return err
	}
	return program(ctx, pool, client, tenant.DomainID, actor)
}

// The README shows program as it is here, where it is compiled and run.
func TestReadmeShowsTheProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	shown, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), "\n"+shown)
}
