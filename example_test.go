package strata_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// A program that makes a tenant, defines a field, and adds and lists recipients.
func ExampleNew() {
	ctx := context.Background()
	if err := example(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ada@example.com map[tier:gold]
	// 2 recipients
}

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

	if err := strata.Migrate(ctx, pool, nil); err != nil { // at every start, in every process
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
	ctx = tenancy.WithActor(tenancy.WithTenant(ctx, tenant), actor)
	if _, err := s.Fields.Create(ctx, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true}); err != nil {
		return err
	}

	_, err = s.Recipients.Create(ctx, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "gold"}})
	if err != nil {
		return err
	}
	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `fields.tier in ["gold", "silver"] && email.endsWith(".com")`})
	if err != nil {
		return err
	}
	for _, r := range page.Items {
		fmt.Println(r.Email, r.CustomFields)
	}

	// Your own SQL can go into the same transaction, behind the same wall.
	err = s.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := s.Recipients.CreateTx(ctx, tx, recipients.New{Email: "bo@example.org"}); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM strata.recipients WHERE domain_id = $1`, tenant.DomainID).Scan(&n); err != nil {
			return err
		}
		fmt.Println(n, "recipients")
		return nil
	})
	return err
}
