package imports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
)

// Failure list, line 34: leading zeros, +49.. and long digits stay text.
func TestFieldsAreMadeOfColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "industry", Label: "Industry", Type: customfields.Text}, customfields.Field{Key: "old_one", Type: customfields.Text})
	require.NoError(t, b.fields.Archive(ctx, "old_one"))
	columns := [][]string{{"email"}, {"Industri"}}
	want := map[string]string{}
	for _, c := range []struct {
		name, fieldKey string
		kind           customfields.Type
		values         [3]string
	}{
		{"Seats", "seats", customfields.Number, [3]string{"7", "0", "1200"}},
		{"Share", "share", customfields.Number, [3]string{"0,5", "12,25", "-3"}},
		{"Amount", "amount", customfields.Text, [3]string{"1,234", "2,000", "3,500"}}, // it could be either
		{"Born", "born", customfields.Date, [3]string{"31.12.1990", "01.02.2003", ""}},
		{"Due", "due", customfields.Text, [3]string{"01/02/2003", "", "03/04/2005"}},
		{"Leading", "leading", customfields.Text, [3]string{"00123", "00456", "1"}},
		{"Customer no", "customer_no", customfields.Text, [3]string{"1", "2", "3"}},
		{"Long", "long", customfields.Text, [3]string{"12345678901234567", "2", "3"}},
		{"Signed", "signed", customfields.Text, [3]string{"+4930123456", "+4930123457", ""}},
		{"Agreed?", "agreed", customfields.Boolean, [3]string{"yes", "No", "yes"}},
		{"Flag", "flag", customfields.Number, [3]string{"1", "0", "1"}},
		{"Web", "web", customfields.URL, [3]string{"https://example.com/a", "http://example.com", ""}},
		{"Deputy", "deputy", customfields.Text, [3]string{"b@example.com", "nobody", ""}}, // not all
		{"Tier", "tier", customfields.Select, [3]string{"gold", "silver", "gold"}},
		{"Old one", "old_one_2", customfields.Text, [3]string{"x", "", ""}},
		{"2nd", "column_18", customfields.Text, [3]string{"x", "y", "z"}},
		{"True", "true_2", customfields.Text, [3]string{"a", "b", "c"}},
		{"Empty", "empty", customfields.Text, [3]string{"", "", ""}},
	} {
		columns = append(columns, append([]string{c.name}, c.values[:]...))
		want[c.fieldKey] = c.name + " " + string(c.kind)
	}
	for i := range 12 { // the three rows again and again
		columns[0] = append(columns[0], fmt.Sprintf("%d@example.com", i))
		for n := range columns[1:] {
			c := &columns[1+n]
			if n == 0 {
				*c = append(*c, "Steel")
			} else if i >= 3 {
				*c = append(*c, (*c)[1+i%3])
			}
		}
	}
	file := table(columns...)
	require.Nil(t, b.previewed(t, file, imports.ProcessOptions{}).CreatedFields, "not unless it is asked for")
	p := b.previewed(t, file, imports.ProcessOptions{CreateFields: true})
	require.Empty(t, p.SampleErrors)
	got := map[string]string{}
	set, err := b.fields.Current(ctx)
	require.NoError(t, err)
	for _, k := range p.CreatedFields {
		got[k] = set.Field(k).Label + " " + string(set.Field(k).Type)
	}
	require.Equal(t, want, got)
	require.Equal(t, []string{"gold", "silver"}, set.Field("tier").Options)
	require.Nil(t, p.Mapping["Industri"], "it may well be a field that there is")
	require.EqualValues(t, 12, b.commit(ctx, t, p.ID).Inserted)
	again := b.previewed(t, file, imports.ProcessOptions{CreateFields: true})
	require.EqualValues(t, 12, again.Unchanged)
	require.Empty(t, again.CreatedFields, "they are there now")
	other, err := b.fields.Current(b.B.Ctx)
	require.NoError(t, err)
	require.Empty(t, other.Fields)
}

func TestFieldsOfAMappingAreMadeAllOrNone(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	c := b.Company(t, "free")
	usage, err := b.Limits.Usage(c.Ctx)
	require.NoError(t, err)
	limit := *usage.Resource(billing.ResourceCustomFields).Limit
	var file strings.Builder
	mapping := map[string]*string{"email": to("email")}
	file.WriteString("email")
	for i := range limit + 1 {
		fmt.Fprintf(&file, ",c%d", i)
		mapping[fmt.Sprintf("c%d", i)] = to(fmt.Sprintf("fields.k%d", i))
	}
	file.WriteString("\na@example.com" + strings.Repeat(",x", int(limit)+1) + "\n")
	imp, err := b.importer.CreateFromReader(c.Ctx, "x.csv", strings.NewReader(file.String()))
	require.NoError(t, err)
	var over *billing.LimitError
	_, err = b.importer.Process(c.Ctx, imp.ID, imports.ProcessOptions{Mapping: mapping, CreateFields: true})
	require.ErrorAs(t, err, &over)
	bad := map[string]*string{"email": to("email"), "c0": to("fields.k0"), "c1": to("fields.Not A Key")}
	_, err = b.importer.Process(c.Ctx, imp.ID, imports.ProcessOptions{Mapping: bad, CreateFields: true})
	require.ErrorContains(t, err, "key")
	_, err = b.importer.Process(c.Ctx, imp.ID, imports.ProcessOptions{Mapping: map[string]*string{"c0": to("fields.k0")}, CreateFields: true})
	require.ErrorContains(t, err, "one column must be email")
	set, err := b.fields.Current(c.Ctx)
	require.NoError(t, err)
	require.Empty(t, set.Fields, "a file that cannot be read makes none")

	delete(mapping, "c0")
	_, err = b.importer.Process(c.Ctx, imp.ID, imports.ProcessOptions{Mapping: mapping, CreateFields: true})
	require.NoError(t, err)
	p := b.until(c.Ctx, t, imp.ID, imports.Previewed)
	require.Len(t, p.CreatedFields, int(limit))
	require.Nil(t, p.Mapping["c0"], "what the mapping leaves out is ignored")
	require.EqualValues(t, 1, b.commit(c.Ctx, t, p.ID).Inserted)
}
