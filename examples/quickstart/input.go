package main

import (
	_ "embed" // the registry is part of the program
	"io"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/sampledata"
)

// govDomains is the registry of US .gov domains (CISA, CC0): data/README.md.
//
//go:embed data/gov-domains.csv
var govDomains string

// scenario is how one input is imported, and three questions about it.
type scenario struct {
	fileName string
	fields   []customfields.Field
	mapping  map[string]*string // nil: recognised by the column names
	filters  []string
}

func to(target string) *string { return &target }

func (o options) scenario() scenario {
	switch {
	case o.file != "":
		return scenario{fileName: o.file, filters: []string{`status == "active"`, `name != ""`, `email.endsWith(".com")`}}
	case o.rows > 0:
		return scenario{
			fileName: "generated.csv",
			fields: []customfields.Field{
				{Key: "plan", Label: "Plan", Type: customfields.Select, Options: []string{"free", "team", "business"}, Filterable: true},
				{Key: "seats", Label: "Seats", Type: customfields.Number, Filterable: true},
				{Key: "score", Label: "Score", Type: customfields.Number, Filterable: true},
				{Key: "signed_up", Label: "Signed up", Type: customfields.Date, Filterable: true},
				{Key: "newsletter", Label: "Newsletter", Type: customfields.Boolean, Filterable: true},
				{Key: "tags", Label: "Tags", Type: customfields.MultiSelect, Options: []string{"vip", "beta", "partner", "trial"}, Filterable: true},
				{Key: "city", Label: "City", Type: customfields.Text, Filterable: true},
			},
			filters: []string{
				`fields.plan == "business" && "vip" in fields.tags`,
				`fields.seats > 450 && fields.newsletter`,
				`fields.city in ["Oslo", "Malmö"] && fields.signed_up >= timestamp("2024-01-01T00:00:00Z")`,
			},
		}
	}
	return scenario{
		fileName: "gov-domains.csv",
		fields: []customfields.Field{
			{Key: "gov_domain", Label: "Domain name", Type: customfields.Text, Filterable: true},
			{Key: "domain_type", Label: "Domain type", Type: customfields.Select, Filterable: true, Options: []string{
				"City", "City - Election", "County", "County - Election", "State or territory", "State or territory - Election", "Special district",
				"Special district - Election", "School district", "Tribal", "Tribal - Election", "Interstate",
				"Federal", "Federal - Executive", "Federal - Legislative", "Federal - Judicial",
			}},
			{Key: "suborganization", Label: "Suborganization", Type: customfields.Text, Filterable: true},
			{Key: "city", Label: "City", Type: customfields.Text, Filterable: true},
			{Key: "state", Label: "State", Type: customfields.Text, Filterable: true},
		},
		mapping: map[string]*string{
			"Security contact email": to("email"), "Organization name": to("name"),
			"Domain name": to("fields.gov_domain"), "Domain type": to("fields.domain_type"), "Suborganization name": to("fields.suborganization"),
			"City": to("fields.city"), "State": to("fields.state"),
		},
		filters: []string{
			`fields.state == "OH" && fields.domain_type in ["City", "County"]`,
			`email.endsWith(".gov") && !has(fields.suborganization)`,
			`name.contains("Water") || fields.city == "Cleveland"`,
		},
	}
}

// generate streams n generated rows, seven of every thousand of which cannot be imported.
func generate(n int) io.ReadCloser {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(sampledata.CSV(w, n, 7)) }()
	return r
}
