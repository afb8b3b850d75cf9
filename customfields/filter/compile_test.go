package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

var columns = []filter.Column{
	{Name: "email", Type: customfields.Text, SQL: "r.email"},
	{Name: "nickname", Type: customfields.Text, SQL: "r.nickname", Nullable: true},
	{Name: "status", Type: customfields.Text, SQL: "r.status", Options: []string{"active", "inactive"}},
	{Name: "createdAt", Type: customfields.Date, SQL: "r.created_at"},
	{Name: "score", Type: customfields.Number, SQL: "r.score", Nullable: true},
	{Name: "opted", Type: customfields.Boolean, SQL: "r.opted", Nullable: true},
}

func TestCompileRefusesWithPositionAndSuggestion(t *testing.T) {
	t.Parallel()
	s := filter.Schema{Fields: allTypes(t), Columns: columns}
	for _, c := range []struct {
		expr, message, suggestion string
		line, column              int
	}{
		{`fields.teir == "gold"`, "no field", "tier", 1, 7},
		{`emial == "x"`, "no column", "email", 1, 1},
		{`tier == "gold"`, "no column", "fields.tier", 1, 1},
		{`status == "actve"`, "none of the options", "active", 1, 11},
		{"status == \"active\" &&\n  fields.tier in [\"gold\", \"glod\"]", "none of the options", "gold", 2, 27},
		{`"vpi" in fields.tags`, "none of the options", "vip", 1, 1},
		{`fields.size > "x"`, "cannot be applied to", "", 1, 13},
		{`fields.hidden == "x"`, "no field", "", 1, 7},
		{`fields.tags.map(t, t + "x") == []`, "map() is not supported", "", 1, 16},
		{`fields.tags.exists(t, t == "vpi")`, "none of the options", "vip", 1, 28},
		{`fields.tags.exists(a, fields.tags.exists(b, fields.tags.exists(c, a == c)))`, "2 deep", "", 1, 63},
		{`fields.size < (fields.vip ? fields.size : null)`, "null has no order", "", 1, 13},
		{`(fields.vip ? fields.size : null) < 3`, "null has no order", "", 1, 35},
		{`withinLast(fields.vip ? fields.due : null, days(3))`, "null has no order", "", 1, 11},
		{`[createdAt].exists(now, withinLast(createdAt, days(7)))`, "cannot be the name of an item", "", 1, 19},
		{`fields.size / 2 > 2`, "division is not supported", "", 1, 13},
		{`fields.size % 2 == 0`, "% is not supported", "", 1, 13},
		{`fields.size + 1e20 > 2`, "between 1e-15 and 1e15", "", 1, 15},
		{`fields.size * fields.size * fields.size * fields.size * fields.size * fields.size * fields.size * fields.size * fields.size > 1`, "too much arithmetic", "", 0, 0},
		{`size(email) == 99999999999999999`, "exact up to", "", 1, 16},
		{`email.matches("a(")`, "no regular expression", "", 1, 15},
		{`email.matches("\\bx")`, "not supported", "", 1, 15},
		{`email.matches("(a{200}){200}")`, "no regular expression", "", 1, 15},
		{`email.matches("(a{100}){9}(b{100}){9}")`, "too large", "", 1, 15},
		{`email.matches(nickname)`, "must be a literal", "", 1, 15},
		{`int(fields.note) == 5`, "int() is not supported", "", 1, 4},
		{`createdAt.getHours("Mars/Olympus") == 1`, "no time zone", "", 1, 20},
		{`createdAt.getHours("US/Eastern") == 1`, "no time zone", "", 1, 20},
		{`createdAt > now - duration("soon")`, "duration() takes", "", 1, 27},
		{`createdAt > now - duration("1ns")`, "microsecond", "", 1, 27},
		{`createdAt + (now - createdAt) > now`, "literal duration", "", 1, 11},
		{`createdAt > date("tomorrow")`, "date() takes", "", 1, 17},
		{`withinLast(email, days(7))`, "cannot be applied to", "", 1, 11},
		{`withinLast(createdAt, days(1e9))`, "days() takes", "", 1, 27},
		{`events("opened").count(days(7)) > 1`, "there are no events", "", 1, 23},
		{`sms.phone == "x"`, "no column", "", 1, 1},
		{`hasAny(fields.tags, ["vpi"])`, "none of the options", "vip", 1, 22},
		{`size(email) == null`, "cannot be applied to", "", 1, 13},
		{`email`, "true or false", "", 1, 1},
		{`fields.vip < true`, "no order", "", 1, 12},
		{`fields.tags == ["vip"]`, "multi_select", "", 1, 13},
		{`createdAt > timestamp("yesterday")`, "RFC 3339", "", 1, 22},
		{`status in [5, "active"]`, "must be a text", "", 1, 12},
		{`createdAt in ["x", 5]`, "must be a date", "", 1, 15},
		{`createdAt in [timestamp("2026-01-31T00:00:00Z"), 5]`, "must be a date", "", 1, 50},
		{`email in ["a", 5]`, "must be a text", "", 1, 16},
		{`score in [1, 2u, true]`, "must be a number", "", 1, 18},
		{`opted in [true, "true"]`, "must be a boolean", "", 1, 17},
		{`fields.tier in ["gold", 5]`, "must be a text", "", 1, 25},
		{`nickname in ["a", null]`, "null cannot be in a list: use == null", "", 1, 19},
		{`fields.size in [null]`, "null cannot be in a list: use == null", "", 1, 17},
		{`email in ["a", nickname + "x"]`, "must be a literal", "", 1, 25},
		{`email == "x" &&`, "Syntax error", "", 1, 16},
		{``, "Syntax error", "", 1, 1},
		{`fields`, "", "", 1, 1},
		{`fields["tier"] == "gold"`, "", "", 1, 7},
		{`email == "` + "\x00" + `"`, "NUL", "", 1, 1},
		{`email == "\u0000"`, "NUL", "", 1, 10},
		{strings.Repeat("x", filter.MaxFilterBytes+1), "bytes", "", 1, 1},
		{strings.Repeat("!(", 50) + "opted" + strings.Repeat(")", 50), "too large", "", 0, 0},
		{strings.TrimSuffix(strings.Repeat("opted||", 400), "||"), "too large", "", 0, 0},
	} {
		_, err := filter.Compile(s, c.expr)
		var e *filter.Error
		require.ErrorAs(t, err, &e, c.expr)
		p := e.Problems[0]
		require.Contains(t, p.Message, c.message, c.expr)
		require.Equal(t, c.suggestion, p.Suggestion, c.expr)
		if c.line > 0 {
			require.Equal(t, filter.Position{Line: c.line, Column: c.column}, p.Position, "%s: %s", c.expr, p.Message)
		}
	}
}

func TestCompileAcceptsLongListsAndChains(t *testing.T) {
	t.Parallel()
	s := filter.Schema{Fields: allTypes(t), Columns: columns}
	_, err := filter.Compile(s, `fields.size in [`+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+`]`)
	require.NoError(t, err)
	_, err = filter.Compile(s, strings.TrimSuffix(strings.Repeat(`fields.vip || `, 100), " || "))
	require.NoError(t, err)
	for _, list := range []string{`email in []`, `score in [1, 2.0, 3u]`, `fields.due in [timestamp("2026-01-31T00:00:00Z")]`} {
		_, err := filter.Compile(s, list)
		require.NoError(t, err, list)
	}
}

func TestAddressesAreComparedInTheirForm(t *testing.T) {
	t.Parallel()
	columns := []filter.Column{{Name: "email", Type: customfields.Email, SQL: "r.email_norm"}, {Name: "name", Type: customfields.Text, SQL: "r.name"}}
	s := filter.Schema{Fields: allTypes(t), Columns: columns}
	for _, form := range []string{`%s == "Ada@Example.COM"`, `"ADA@example.com" == %s`, `!(%s != "Ada@example.com")`, `%s in ["x", " Ada@Example.com"]`} {
		for _, ref := range []string{"email", "fields.mail"} {
			expr := fmt.Sprintf(form, ref)
			f, err := filter.Compile(s, expr)
			require.NoError(t, err, expr)
			require.Equal(t, expr, f.String(), "as it was written")
			_, args := f.SQL(filter.Options{First: 1})
			require.Contains(t, fmt.Sprint(args...), "ada@example.com", expr)
			require.NotContains(t, fmt.Sprint(args...), "Ada", expr)
			require.True(t, f.Match(filter.Record{Columns: map[string]any{"email": "ada@example.com"}, Fields: map[string]any{"mail": "ada@example.com"}}, time.Now()), expr)
			require.False(t, f.Match(filter.Record{Columns: map[string]any{"email": "bo@example.com"}, Fields: map[string]any{"mail": "bo@example.com"}}, time.Now()), expr)
		}
	}
	f, err := filter.Compile(s, `name == "Ada@Example.com" && fields.note == "Ada@Example.com" && email < "B" && email != "No Address"`)
	require.NoError(t, err)
	sql, args := f.SQL(filter.Options{First: 1})
	require.Equal(t, 3, strings.Count(fmt.Sprint(args...), "A"), "text is compared as it is: %v", args)
	require.Contains(t, sql, `r.email_norm COLLATE "C" <`, "addresses are ordered as text is")
}

func TestFilterReferences(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(filter.Schema{Fields: allTypes(t), Columns: columns}, `fields.tier == "gold" && (email == "x" || has(fields.note)) && fields.tier != "silver"`)
	require.NoError(t, err)
	require.Equal(t, []string{"email", "fields.note", "fields.tier"}, f.References())
}

// The words are all that CEL's grammar and library know. Those that a key may be are
// tried in every place where a filter names a field.
func TestEveryKeyCanBeFiltered(t *testing.T) {
	t.Parallel()
	for _, key := range strings.Fields(`in true false null as break const continue else for function if import let loop package namespace return var void while
		fields has type int uint double bool string bytes list map null_type timestamp duration dyn size all exists exists_one filter matches contains startswith
		optional google cel math bind r b u rb br e1 x0 email`) {
		s, err := customfields.NewSet(1, []customfields.Field{{Key: key, Type: customfields.Text, Filterable: true}})
		var v *tenancy.ValidationError
		if errors.As(err, &v) {
			require.Equal(t, "reserved_key", v.Fields[0].Code, key)
			require.Contains(t, []string{"in", "true", "false", "null"}, key)
			continue
		}
		require.NoError(t, err, key)
		for _, form := range []string{`fields.%s == "x"`, `"x" != fields.%s`, `fields.%s in ["x"]`, `has(fields.%s)`, `fields.%s.contains("x")`, `(fields.%s) < email`} {
			_, err := filter.Compile(filter.Schema{Fields: s, Columns: columns}, fmt.Sprintf(form, key))
			require.NoError(t, err, form, key)
		}
	}
}

func allTypes(t testing.TB) *customfields.Set {
	t.Helper()
	s, err := customfields.NewSet(1, []customfields.Field{
		{Key: "note", Type: customfields.Text, Filterable: true},
		{Key: "size", Type: customfields.Number, Filterable: true},
		{Key: "due", Type: customfields.Date, Filterable: true},
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver", "bronze"}, Filterable: true},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"vip", "beta", "new"}, Filterable: true},
		{Key: "vip", Type: customfields.Boolean, Filterable: true},
		{Key: "site", Type: customfields.URL, Filterable: true},
		{Key: "mail", Type: customfields.Email, Filterable: true},
		{Key: "hidden", Type: customfields.Text},
	})
	require.NoError(t, err)
	return s
}
