package tenancytest_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancytest"
)

// A product's test, over its own tables in every schema. The pool is on a database to which
// strata.Migrate and the product's own migrations were applied.
func Example() {
	var pool *pgxpool.Pool

	test := func(t *testing.T) { tenancytest.Prove(t, pool, nil) }
	_ = test
}

// Where Prove cannot find values that a table accepts, the product gives some.
func ExampleConfig() {
	var pool *pgxpool.Pool
	serial := 0

	test := func(t *testing.T) {
		tenancytest.Prove(t, pool, &tenancytest.Config{
			Schemas: []string{"shop"},
			Rows: map[string]func(tenancy.Tenant) map[string]any{
				"shop.invoices": func(tenancy.Tenant) map[string]any {
					serial++
					return map[string]any{"number": fmt.Sprintf("INV-%06d", serial)}
				},
			},
		})
	}
	_ = test
}
