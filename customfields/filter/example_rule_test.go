package filter_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// A visual builder edits the rule of a filter; what it has no form for is CEL.
func ExampleToRule() {
	rule, err := filter.ToRule(`fields.tier in ["gold", "silver"] && (withinLast(createdAt, days(30)) || size(name) * 2 > 9)`)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := json.MarshalIndent(rule, "", " ")
	fmt.Println(string(text))
	// Output:
	// {
	//  "all": [
	//   {
	//    "field": "fields.tier",
	//    "op": "in",
	//    "value": [
	//     "gold",
	//     "silver"
	//    ]
	//   },
	//   {
	//    "any": [
	//     {
	//      "field": "createdAt",
	//      "op": "withinLast",
	//      "value": "30d"
	//     },
	//     {
	//      "cel": "size(name) * 2 \u003e 9"
	//     }
	//    ]
	//   }
	//  ]
	// }
}

// What is wrong with a rule is told with its path.
func ExampleFromRule() {
	for _, text := range []string{
		`{"all": [{"event": "email.opened", "within": "7d", "op": ">=", "value": 2}, {"not": {"field": "fields.tags", "op": "includes", "value": "vip"}}]}`,
		`{"all": [{"field": "email", "op": "set"}, {"field": "fields.tags", "op": "hasAny", "value": "vip"}]}`,
	} {
		rule, err := filter.ParseRule([]byte(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		expr, err := filter.FromRule(rule)
		fmt.Println(expr, err)
	}
	// Output:
	// events("email.opened").count(days(7)) >= 2 && !("vip" in fields.tags) <nil>
	//  invalid rule: all[1].value: must be a list of text, with 1 to 1000 items
}

// A filter follows a field that gets another key, and is otherwise left as it was written.
func ExampleRenameField() {
	renamed, err := filter.RenameField("fields.teir == 'gold' // \"fields.teir\" was a typo\n  || has(fields.teir) && vip", "teir", "tier")
	fmt.Println(renamed, err)
	// Output:
	// fields.tier == 'gold' // "fields.teir" was a typo
	//   || has(fields.tier) && vip <nil>
}

// After a change of a record only the segments that read what has changed are asked.
func ExampleIndex() {
	set, err := customfields.NewSet(1, []customfields.Field{
		{Key: "tier", Type: customfields.Text, Filterable: true}, {Key: "renewal", Type: customfields.Date, Filterable: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	segments := filter.NewIndex[string]()
	for name, expr := range map[string]string{"best": `fields.tier == "gold"`, "due": `withinNext(fields.renewal, days(30))`, "rest": `fields.tier != "gold"`} {
		f, err := filter.Compile(filter.Schema{Fields: set}, expr)
		if err != nil {
			fmt.Println(err)
			return
		}
		segments.Put(name, f)
	}
	fmt.Println(slices.Sorted(maps.Keys(segments.Affected("fields.tier"))))
	fmt.Println(slices.Sorted(maps.Keys(segments.TimeDependent())))
	// Output:
	// [best rest]
	// [due]
}
