package indexes_test

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
)

// A product's own table with custom fields: its lists tell what they did, and get an index.
func ExampleAdvisor_Step() {
	t := &tenancytest.Scratch{}
	defer t.Close()
	e := tenancytest.Open(t)
	ctx := t.Context()
	owner, err := pgxpool.New(ctx, dbtest.DirectURL(t, e.Pool)) // the login that migrates
	if err != nil {
		panic(err)
	}
	defer owner.Close()
	_, err = owner.Exec(ctx, `CREATE SCHEMA shop; CREATE TABLE shop.orders (domain_id uuid, id bigint, custom_fields jsonb, PRIMARY KEY (domain_id, id));
		INSERT INTO shop.orders SELECT gen_random_uuid(), i, jsonb_build_object('total', i) FROM generate_series(1, 100) i; ANALYZE shop.orders`)
	if err != nil {
		panic(err)
	}

	advisor, err := indexes.New(e.DB, &indexes.Config{
		Owner:   owner,
		Tables:  []indexes.Table{{Schema: "shop", Name: "orders"}},
		MinUses: 1, MinRows: 1, Refresh: time.Nanosecond, // for the example
	})
	if err != nil {
		panic(err)
	}
	orders, err := advisor.Of("shop", "orders")
	if err != nil {
		panic(err)
	}
	uses := []filter.Use{{Slot: "total", Type: customfields.Number, Form: filter.UseRange}} // Filter.Uses
	orders.Ran(ctx, uses, time.Second)

	plan, err := advisor.Plan(ctx)
	if err != nil {
		panic(err)
	}
	for _, action := range plan {
		fmt.Println(action.Do, "on", action.Index.Slot)
	}
	done, err := advisor.Step(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(done, "done")
	fmt.Println("ready:", orders.Ready(ctx)("total", customfields.Number))
	// Output:
	// create on total
	// 1 done
	// ready: true
}
