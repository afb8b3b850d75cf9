package imports_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Whichever way a value comes, what is stored is the same, byte for byte.
func TestEveryPathStoresTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t,
		customfields.Field{Key: "note", Type: customfields.Text}, customfields.Field{Key: "size", Type: customfields.Number},
		customfields.Field{Key: "due", Type: customfields.Date}, customfields.Field{Key: "day", Type: customfields.Date, DateOnly: true},
		customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}},
		customfields.Field{Key: "tags", Type: customfields.MultiSelect, Options: []string{"vip", "new", `q"uote`}},
		customfields.Field{Key: "on", Type: customfields.Boolean}, customfields.Field{Key: "site", Type: customfields.URL}, customfields.Field{Key: "mail", Type: customfields.Email},
		customfields.Field{Key: "z", Type: customfields.Text, Default: `<&> "é" `},
	)
	number := func(n int) string { return fmt.Sprintf("person%d@example.com", n) }
	made := 0
	for _, c := range []struct {
		key, cell string
		values    []any // as they come in Go and in JSON
		stored    string
	}{
		{"note", " a b\n ", []any{" a b\n ", "a b"}, `"a b"`},
		{"note", `=é "q" \n'%`, []any{`=é "q" \n'%`}, `"=é \"q\" \\n'%"`},
		{"size", " +1e3 ", []any{1000, 1e3, "json 1000.0"}, `1000`},
		{"size", "0.1", []any{0.1}, `0.1`},
		{"size", "-0", []any{0, "json -0"}, `0`},
		{"size", "1000000000000000", []any{1e15, int64(1e15), "json 1E15"}, `1000000000000000`},
		{"size", "1.5e-7", []any{1.5e-7}, `0.00000015`},
		{"size", "0.30000000000000004", []any{0.30000000000000004, "json 0.30000000000000004441"}, `0.30000000000000004`},
		{"due", "2026-01-31T10:00:00.1234567+02:00", []any{"2026-01-31T08:00:00.123456Z", "2026-01-31 08:00:00.123456"}, `"2026-01-31T08:00:00.123456Z"`},
		{"day", "2026-01-31", []any{"2026-01-31", "2026-01-31T00:00:00Z"}, `"2026-01-31T00:00:00.000000Z"`},
		{"tier", "gold ", []any{"gold", " gold"}, `"gold"`},
		{"tags", `vip|new;vip`, []any{[]string{"vip", "new"}, []any{"new", " vip", "vip"}}, `["new", "vip"]`},
		{"tags", `q"uote`, []any{[]string{`q"uote`}}, `["q\"uote"]`},
		{"on", "YES", []any{true}, `true`},
		{"on", "0", []any{false}, `false`},
		{"site", " HTTPS://Example.COM/é ", []any{"https://example.com/é"}, `"https://example.com/%C3%A9"`},
		{"mail", "Ada@EXAMPLE.com", []any{" ada@example.com"}, `"ada@example.com"`},
		{"note", " ", []any{nil, "", " "}, ``},
	} {
		want := `{"z": "<&> \"é\""}`
		if c.stored != "" {
			want = fmt.Sprintf(`{"z": "<&> \"é\"", %q: %s}`, c.key, c.stored) // jsonb begins with the shortest key
		}
		stored := func(path string, value any, email string) {
			require.Equal(t, want, one[string](ctx, t, b, `SELECT custom_fields::text FROM strata.recipients WHERE domain_id = $1 AND email_norm = $2`, b.A.DomainID, email), "%s %v by %s", c.key, value, path)
		}
		for _, value := range c.values {
			if s, ok := value.(string); ok {
				if n, found := strings.CutPrefix(s, "json "); found {
					value = json.Number(n)
				}
			}
			fields := map[string]any{c.key: value}
			made++
			_, err := b.store.Create(ctx, recipients.New{Email: number(made), CustomFields: fields})
			require.NoError(t, err)
			stored("create", value, number(made))
			made++
			_, created, err := b.store.Upsert(ctx, recipients.New{Email: number(made), CustomFields: fields})
			require.NoError(t, err)
			require.True(t, created)
			stored("upsert", value, number(made))
			made++
			r, err := b.store.Create(ctx, recipients.New{Email: number(made)})
			require.NoError(t, err)
			_, err = b.store.Update(ctx, r.ID, recipients.Change{CustomFields: fields})
			require.NoError(t, err)
			stored("update", value, number(made))
			_, created, err = b.store.Upsert(ctx, recipients.New{Email: number(made), CustomFields: fields})
			require.NoError(t, err)
			require.False(t, created)
			stored("upsert of one that is there", value, number(made))
		}
		made += 2
		_, err := b.store.Create(ctx, recipients.New{Email: number(made)})
		require.NoError(t, err)
		quoted := `"` + strings.ReplaceAll(c.cell, `"`, `""`) + `"`
		imp := b.run(ctx, t, fmt.Sprintf("email,%s\n%s,%s\n%s,%s\n", c.key, number(made-1), quoted, number(made), quoted), imports.ProcessOptions{Delimiter: ","})
		require.EqualValues(t, 1, imp.Inserted)
		stored("import of a new one", c.cell, number(made-1))
		stored("import of one that is there", c.cell, number(made))
	}
}

// A default is for what is new, and for nothing else.
func TestDefaultsOfImportedRecipients(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	_, err := b.store.Create(ctx, recipients.New{Email: "old@example.com"}) // before there were defaults
	require.NoError(t, err)
	b.define(ctx, t,
		customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"free", "pro"}, Default: "free", Required: true},
		customfields.Field{Key: "tags", Type: customfields.MultiSelect, Options: []string{"x", "y"}, Default: []string{"x", "y"}},
		customfields.Field{Key: "note", Type: customfields.Text})
	for _, policy := range []imports.Conflict{imports.Update, imports.FillEmpty} {
		t.Run(string(policy), func(t *testing.T) {
			name := func(s string) string { return string(policy) + s + "@example.com" }
			imp := b.process(ctx, t, "email,tier,note,status\n"+name("a")+",pro,n,\n"+name("b")+",,n,inactive\n"+name("raced")+",,n,\nold@example.com,,"+string(policy)+",\n", imports.ProcessOptions{Conflict: policy})
			require.EqualValues(t, 3, imp.New)
			p, err := b.importer.Preview(ctx, imp.ID)
			require.NoError(t, err)
			require.Equal(t, map[string]any{"tier": "free", "tags": []any{"x", "y"}, "note": "n"}, p.SampleData[1].Data["customFields"], "as it will be")
			_, err = b.store.Create(ctx, recipients.New{Email: name("raced"), CustomFields: map[string]any{"tier": "pro", "tags": nil}})
			require.NoError(t, err)
			b.commit(ctx, t, imp.ID)
			for email, want := range map[string]string{
				name("a"):         `{"note": "n", "tags": ["x", "y"], "tier": "pro"}`,
				name("b"):         `{"note": "n", "tags": ["x", "y"], "tier": "free"}`,
				name("raced"):     `{"note": "n", "tier": "pro"}`,
				"old@example.com": `{"note": "update"}`,
			} {
				require.Equal(t, want, one[string](ctx, t, b, `SELECT custom_fields::text FROM strata.recipients WHERE domain_id = $1 AND email_norm = $2`, b.A.DomainID, email), email)
			}
		})
	}
}

func TestRowsOutsideOfTheConstraints(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t,
		customfields.Field{Key: "code", Type: customfields.Text, Constraints: customfields.Constraints{Pattern: `[A-Z]+`}},
		customfields.Field{Key: "seats", Type: customfields.Number, Constraints: customfields.Constraints{Min: 1}},
		customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"pro"}, ArchivedOptions: []string{"old"}},
	)
	imp := b.process(ctx, t, "email,code,seats,tier\na@example.com,AB,1,pro\nb@example.com,ab,0,old\n", imports.ProcessOptions{})
	require.Equal(t, []int64{1, 1}, []int64{imp.New, imp.Invalid})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	var got []string
	for _, e := range p.SampleErrors[0].Errors {
		got = append(got, e.Field+" "+e.Code)
	}
	require.Equal(t, []string{"customFields.code pattern_mismatch", "customFields.seats too_small", "customFields.tier archived_option"}, got, "all of them at once")

	// What was stored before stays, and may be sent back with the rest.
	r, err := b.store.Create(ctx, recipients.New{Email: "c@example.com", CustomFields: map[string]any{"tier": "pro", "seats": 1}})
	require.NoError(t, err)
	options, archived := []string{"new"}, []string{"pro", "old"}
	_, err = b.fields.Update(ctx, "tier", customfields.Change{Options: &options, ArchivedOptions: &archived})
	require.NoError(t, err)
	r, err = b.store.Update(ctx, r.ID, recipients.Change{CustomFields: r.CustomFields})
	require.NoError(t, err)
	require.Equal(t, "pro", r.CustomFields["tier"])
	_, err = b.store.Update(ctx, r.ID, recipients.Change{CustomFields: map[string]any{"tier": "old"}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, "archived_option", v.Fields[0].Code)
}
