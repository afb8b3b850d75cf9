package imports_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// firstFields are the custom fields of the first sample.
func firstFields(p imports.Preview) any { return p.SampleData[0].Data["customFields"] }

func (b *bundle) previewed(t *testing.T, file string, o imports.ProcessOptions) imports.Preview {
	t.Helper()
	p, err := b.importer.Preview(b.A.Ctx, b.process(b.A.Ctx, t, file, o).ID)
	require.NoError(t, err)
	return p
}

// refused returns what Process says is wrong.
func (b *bundle) refused(t *testing.T, file string, o imports.ProcessOptions) []string {
	t.Helper()
	imp, err := b.importer.CreateFromReader(b.A.Ctx, "x.csv", strings.NewReader(file))
	require.NoError(t, err)
	_, err = b.importer.Process(b.A.Ctx, imp.ID, o)
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	return said(v)
}

func TestConstantJoinedAndSplitColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "source", Type: customfields.Text, Required: true, Filterable: true}, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold"}},
		customfields.Field{Key: "first", Type: customfields.Text}, customfields.Field{Key: "last", Type: customfields.Text, Filterable: true}, customfields.Field{Key: "address", Type: customfields.Text},
		customfields.Field{Key: "age", Type: customfields.Number})
	file := "Mail,Person,Street,No\na@example.com, Ada  van der Berg ,Main St,7\nb@example.com,Bo,,\n"
	o := imports.ProcessOptions{
		Mapping:   map[string]*string{"Mail": to("email")},
		Constants: map[string]string{"fields.source": " fair 2026", "fields.tier": "gold", "status": "inactive"},
		Join:      map[string][]string{"fields.address": {"No", "Street"}},
		Split:     map[string][]string{"Person": {"fields.first", "fields.last"}},
	}
	p := b.previewed(t, file, o)
	require.Equal(t, map[string]any{"source": "fair 2026", "tier": "gold", "first": "Ada", "last": "van der Berg", "address": "7 Main St"}, firstFields(p))
	require.Equal(t, map[string]any{"source": "fair 2026", "tier": "gold", "first": "Bo"}, p.SampleData[1].Data["customFields"])
	require.Equal(t, "inactive", p.SampleData[0].Data["status"])
	require.Equal(t, o.Join, p.Join)
	require.Equal(t, o.Split, p.Split)
	require.Equal(t, o.Constants, p.Constants)
	require.Equal(t, map[string]*string{"Mail": to("email"), "Person": nil, "Street": to("fields.address"), "No": to("fields.address")}, p.Mapping)
	done := b.commit(ctx, t, p.ID)
	require.EqualValues(t, 2, done.Inserted)
	page, err := b.store.List(ctx, recipients.Query{Filter: `fields.source == "fair 2026" && status == "inactive" && fields.last == "van der Berg"`})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)

	// What an Import says of itself means the same when it is said again.
	again := b.previewed(t, file, imports.ProcessOptions{Mapping: p.Mapping, Join: p.Join, Split: p.Split, Constants: p.Constants, Formats: p.Formats})
	require.EqualValues(t, 2, again.Unchanged)

	for want, o := range map[string]imports.ProcessOptions{
		"options.constants.email not_allowed":             {Constants: map[string]string{"email": "a@example.com"}},
		"options.constants.fields.ag unknown_target":      {Constants: map[string]string{"fields.ag": "7"}},
		"options.constants.fields.age required":           {Constants: map[string]string{"fields.age": " "}},
		"options.join.fields.age not_allowed":             {Join: map[string][]string{"fields.age": {"Person", "No"}}},
		"options.join.name unknown_column No":             {Join: map[string][]string{"name": {"Person", "Noo"}}},
		"options.join.name out_of_range":                  {Join: map[string][]string{"name": {"Person"}}},
		"options.split.Person out_of_range":               {Split: map[string][]string{"Person": {"name"}}},
		"options.split.Person not_allowed":                {Split: map[string][]string{"Person": {"name", "fields.age"}}},
		"options.split.Person unknown_target fields.last": {Split: map[string][]string{"Person": {"name", "fields.lst"}}},
		"mapping.Person duplicate":                        {Mapping: map[string]*string{"Mail": to("email"), "Person": to("name")}, Join: map[string][]string{"fields.address": {"Person", "No"}}},
		"mapping.Street duplicate":                        {Mapping: map[string]*string{"Mail": to("email"), "Street": to("fields.source")}, Constants: map[string]string{"fields.source": "x"}},
	} {
		require.Contains(t, strings.Join(b.refused(t, file, o), "\n"), want)
	}
	require.Equal(t, []string{"options.constants.fields.age invalid_number"}, b.refused(t, file, imports.ProcessOptions{Constants: map[string]string{"fields.age": "old", "fields.source": "x"}}), "as a cell would be")
}

// The row of a recipient that is gone is reported in the columns of the file, as they are written.
func TestReportOfColumnsThatWereReadOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "born", Type: customfields.Date}, customfields.Field{Key: "sum", Type: customfields.Number}, customfields.Field{Key: "a", Type: customfields.Text}, customfields.Field{Key: "b", Type: customfields.Text},
		customfields.Field{Key: "source", Type: customfields.Text})
	r, err := b.store.Create(ctx, recipients.New{Email: "gone@example.com"})
	require.NoError(t, err)
	file := "email,Last name,First name,born,sum,Words\ngone@example.com,Berg,Ada,31/12/2026 14:30,\"1234,5\",one two three\n"
	imp := b.process(ctx, t, file, imports.ProcessOptions{Split: map[string][]string{"Words": {"fields.a", "fields.b"}}, Constants: map[string]string{"fields.source": "fair"}})
	require.Equal(t, map[string][]string{"name": {"First name", "Last name"}}, imp.Join)
	require.NoError(t, b.store.Delete(ctx, r.ID))
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Skipped)
	var report bytes.Buffer
	require.NoError(t, b.importer.WriteErrorReport(ctx, imp.ID, &report))
	require.Contains(t, report.String(), `gone@example.com,,Ada Berg,31/12/2026 14:30:00,"1234,5",one two three,2,`)
}

func TestSuggestionsByNameAndByValues(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "industry", Type: customfields.Text}, customfields.Field{Key: "tier", Label: "Customer tier", Type: customfields.Select, Options: []string{"gold", "silver"}})
	p := b.previewed(t, "Kontakt,Surname,Given name,Industri,Klasse,Consent for e-mail\nada@example.com,Berg,Ada,Steel,gold,yes\n,Only,Bo,Coal,silver,no\n", imports.ProcessOptions{})
	require.Equal(t, map[string]*string{"Kontakt": to("email"), "Surname": to("name"), "Given name": to("name"), "Industri": nil, "Klasse": nil, "Consent for e-mail": nil}, p.Mapping,
		"what is no more than likely is for a person to confirm")
	require.Equal(t, "Ada Berg", p.SampleData[0].Data["name"])
	require.Equal(t, []imports.Suggestion{
		{Column: "Kontakt", Target: "email", Confidence: imports.Sure, Why: "it is the only column that has email addresses"},
		{Column: "Surname", Target: "name", Confidence: imports.Sure, Why: "it is a part of the name: Given name Surname"},
		{Column: "Given name", Target: "name", Confidence: imports.Sure, Why: "it is a part of the name: Given name Surname"},
		{Column: "Industri", Target: "fields.industry", Confidence: imports.Likely, Why: "it is called nearly so"},
		{Column: "Klasse", Target: "fields.tier", Confidence: imports.Likely, Why: "its values are options of the field Customer tier"},
	}, p.Suggestions)
	require.Equal(t, "Kontakt", p.SampleErrors[0].Errors[0].Column)

	// Of two that speak of email, the one with addresses.
	p = b.previewed(t, "work email,email allowed\na@example.com,yes\n", imports.ProcessOptions{})
	require.Equal(t, to("email"), p.Mapping["work email"])
	require.Empty(t, b.previewed(t, "email,name\na@example.com,A\n", imports.ProcessOptions{Mapping: map[string]*string{"email": to("email")}}).Suggestions, "nothing is guessed where a mapping says it")
	for _, file := range []string{"work email,home email\na@example.com,b@example.com\n", "one,two\na@example.com,b@example.com\n"} {
		imp, err := b.importer.CreateFromReader(ctx, "x.csv", strings.NewReader(file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.ErrorContains(t, err, "several columns could be the email address")
	}
}
