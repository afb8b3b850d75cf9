package customfields_test

import (
	"context"
	"fmt"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
)

// A workspace defines its fields, and values are held to them.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	s, err := strata.New(ctx, env.Pool, env.Redis, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()
	for _, f := range []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
		{Key: "seats", Type: customfields.Number, Filterable: true},
		{Key: "renewal", Type: customfields.Date, Filterable: true},
	} {
		if _, err := s.Fields.Create(ctx, f); err != nil {
			fmt.Println(err)
		}
	}
	set, err := s.Fields.Set(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Normalize(map[string]any{"tier": "gold", "renewal": "2026-01-31"}))
	fmt.Println(set.NormalizeText(map[string]string{"seats": " 12 ", "tier": ""}))
	_, err = set.Normalize(map[string]any{"tier": "glod", "seats": "many"})
	fmt.Println(err)
	// Output:
	// map[renewal:2026-01-31T00:00:00.000000Z tier:gold] <nil>
	// map[seats:12] <nil>
	// invalid input: customFields.seats: must be a number; customFields.tier: must be one of "gold", "silver"
}
