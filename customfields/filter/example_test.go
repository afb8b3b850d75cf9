package filter_test

import (
	"fmt"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// A filter becomes a condition with parameters, or an error that says where and why.
func ExampleCompile() {
	set, err := customfields.NewSet(1, []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true},
		{Key: "seats", Type: customfields.Number, Filterable: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	columns := []filter.Column{{Name: "email", Type: customfields.Text, SQL: "r.email_norm"}}
	schema := filter.Schema{Fields: set, Columns: columns}

	f, err := filter.Compile(schema, `fields.tier == "gold" && email.endsWith("@example.com")`)
	if err != nil {
		fmt.Println(err)
		return
	}
	condition, args := f.SQL(filter.Options{First: 2}) // $1 is the domain
	fmt.Println(condition)
	fmt.Println(args)
	fmt.Println(f.References())

	_, err = filter.Compile(schema, `fields.teir == "gold"`)
	fmt.Println(err)
	// Output:
	// ((r.custom_fields @> $2::jsonb) AND (right(r.email_norm COLLATE "C", length($3::text COLLATE "C")) = $3::text COLLATE "C"))
	// [{"tier":"gold"} @example.com]
	// [email fields.tier]
	// invalid filter: 1:7: the workspace has no field "teir" that can be filtered (did you mean "tier"?)
}
