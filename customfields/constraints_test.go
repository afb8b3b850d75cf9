package customfields_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// codes are what is wrong, by field.
func codes(t *testing.T, err error) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err == nil {
		return out
	}
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	for _, f := range v.Fields {
		require.NotEmpty(t, f.Message)
		out[f.Field] = f.Code
	}
	return out
}

func oneField(t *testing.T, f customfields.Field) *customfields.Set {
	t.Helper()
	f.Key = "f"
	s, err := customfields.NewSet(1, []customfields.Field{f})
	require.NoError(t, err)
	return s
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	bounds := customfields.Constraints{Min: -1, Max: json.Number("2.5")}
	days := customfields.Constraints{Min: "2026-01-01", Max: "2026-12-31T00:00:00Z"}
	for _, c := range []struct {
		name  string
		field customfields.Field
		good  []any
		bad   map[string][]any // by code
	}{
		{"number", customfields.Field{Type: customfields.Number, Constraints: bounds}, []any{-1, 0, 2.5}, map[string][]any{"too_small": {-1.01, -1e15}, "too_great": {2.51, 3}}},
		{"date", customfields.Field{Type: customfields.Date, Constraints: days}, []any{"2026-01-01", "2026-12-31", "2026-06-01T10:00:00Z"}, map[string][]any{
			"too_small": {"2025-12-31", "2026-01-01T00:00:00+01:00"}, "too_great": {"2026-12-31T00:00:01Z"},
		}},
		{"day", customfields.Field{Type: customfields.Date, DateOnly: true, Constraints: days}, []any{"2026-01-01", "2026-01-01T00:00", "2026-03-01T01:00:00+01:00", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}, map[string][]any{
			"not_a_day": {"2026-03-01T10:00:00Z", "2026-03-01T00:00:00+01:00", "2026-03-01T00:00:00.000001Z"}, "too_small": {"2025-12-31"},
		}},
		{"length", customfields.Field{Type: customfields.Text, Constraints: customfields.Constraints{MinLength: 2, MaxLength: 3}}, []any{"ab", "éé", "日本語", " ab  "}, map[string][]any{
			"too_short": {"a", " a "}, "too_long": {"abcd"},
		}},
		{"pattern", customfields.Field{Type: customfields.Text, Constraints: customfields.Constraints{Pattern: `[A-Z]{2}|\d+`}}, []any{"AB", "1234"}, map[string][]any{
			"pattern_mismatch": {"ABC", "AB1", "x12", "12\nAB", "A"},
		}},
		{"email", customfields.Field{Type: customfields.Email, Constraints: customfields.Constraints{Pattern: `.*@example\.com`}}, []any{"Ada@EXAMPLE.com"}, map[string][]any{
			"pattern_mismatch": {"ada@example.org"}, "invalid_email": {"ada"},
		}},
		{"url", customfields.Field{Type: customfields.URL, Constraints: customfields.Constraints{Pattern: `https://.*`, MaxLength: 20}}, []any{"HTTPS://example.com"}, map[string][]any{
			"pattern_mismatch": {"http://example.com"}, "too_long": {"https://example.com/a/b"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := oneField(t, c.field)
			for _, v := range c.good {
				got, err := s.Normalize(map[string]any{"f": v})
				require.NoError(t, err, "%v", v)
				if text, ok := v.(string); ok {
					cell, err := s.NormalizeText(map[string]string{"f": text})
					require.NoError(t, err)
					require.Equal(t, got, cell)
				}
			}
			for code, values := range c.bad {
				for _, v := range values {
					_, err := s.Normalize(map[string]any{"f": v})
					require.Equal(t, map[string]string{"customFields.f": code}, codes(t, err), "%v", v)
					if text, ok := v.(string); ok {
						_, err = s.NormalizeText(map[string]string{"f": text})
						require.Equal(t, map[string]string{"customFields.f": code}, codes(t, err), "%v", v)
					}
				}
			}
		})
	}
}

func TestConstraintsAreChecked(t *testing.T) {
	t.Parallel()
	type constraints = customfields.Constraints
	for name, c := range map[string]struct {
		field customfields.Field
		want  map[string]string
	}{
		"a bound of text":         {customfields.Field{Type: customfields.Text, Constraints: constraints{Min: 1}}, map[string]string{"constraints.min": "not_allowed"}},
		"a bound that is no date": {customfields.Field{Type: customfields.Date, Constraints: constraints{Min: 5}}, map[string]string{"constraints.min": "wrong_type"}},
		"a bound that is too far": {customfields.Field{Type: customfields.Number, Constraints: constraints{Max: 1e16}}, map[string]string{"constraints.max": "invalid_number"}},
		"bounds the wrong way":    {customfields.Field{Type: customfields.Number, Constraints: constraints{Min: 2, Max: 1}}, map[string]string{"constraints.max": "out_of_range"}},
		"a day with a time":       {customfields.Field{Type: customfields.Date, DateOnly: true, Constraints: constraints{Max: "2026-01-01T10:00"}}, map[string]string{"constraints.max": "not_a_day"}},
		"days of a number":        {customfields.Field{Type: customfields.Number, DateOnly: true}, map[string]string{"dateOnly": "not_allowed"}},
		"a length of a number":    {customfields.Field{Type: customfields.Number, Constraints: constraints{MinLength: 1}}, map[string]string{"constraints.minLength": "not_allowed"}},
		"lengths": {customfields.Field{Type: customfields.Email, Constraints: constraints{MinLength: -1, MaxLength: 255}}, map[string]string{
			"constraints.minLength": "out_of_range", "constraints.maxLength": "out_of_range",
		}},
		"lengths the wrong way":      {customfields.Field{Type: customfields.Text, Constraints: constraints{MinLength: 3, MaxLength: 2}}, map[string]string{"constraints.maxLength": "out_of_range"}},
		"a pattern of a select":      {customfields.Field{Type: customfields.Select, Options: []string{"a"}, Constraints: constraints{Pattern: "a"}}, map[string]string{"constraints.pattern": "not_allowed"}},
		"a pattern that is none":     {customfields.Field{Type: customfields.Text, Constraints: constraints{Pattern: "("}}, map[string]string{"constraints.pattern": "invalid_pattern"}},
		"a pattern that breaks out":  {customfields.Field{Type: customfields.Text, Constraints: constraints{Pattern: "a)|(b"}}, map[string]string{"constraints.pattern": "invalid_pattern"}},
		"a pattern of another kind":  {customfields.Field{Type: customfields.Text, Constraints: constraints{Pattern: `(?=a)`}}, map[string]string{"constraints.pattern": "invalid_pattern"}},
		"a pattern that is too long": {customfields.Field{Type: customfields.Text, Constraints: constraints{Pattern: strings.Repeat("a", 501)}}, map[string]string{"constraints.pattern": "invalid_text"}},
		"a default of another type":  {customfields.Field{Type: customfields.Number, Default: "1"}, map[string]string{"default": "wrong_type"}},
		"a default out of bounds":    {customfields.Field{Type: customfields.Number, Constraints: constraints{Max: 1}, Default: 2}, map[string]string{"default": "too_great"}},
		"a default that is archived": {customfields.Field{Type: customfields.Select, Options: []string{"a"}, ArchivedOptions: []string{"b"}, Default: "b"}, map[string]string{"default": "archived_option"}},
		"an option in both lists":    {customfields.Field{Type: customfields.Select, Options: []string{"a"}, ArchivedOptions: []string{"a"}}, map[string]string{"archivedOptions": "duplicate"}},
		"no option that is live":     {customfields.Field{Type: customfields.Select, ArchivedOptions: []string{"a"}}, map[string]string{"options": "out_of_range"}},
		"a long description":         {customfields.Field{Type: customfields.Text, Description: strings.Repeat("x", 2001)}, map[string]string{"description": "invalid_text"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.field.Key = "f"
			_, err := customfields.NewSet(1, []customfields.Field{c.field})
			require.Equal(t, c.want, codes(t, err))
		})
	}
}

// A default is for what was not said: null says that there is no value.
func TestDefaults(t *testing.T) {
	t.Parallel()
	s, err := customfields.NewSet(1, []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"free", "pro"}, Default: " free", Required: true},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"x", "y"}, Default: []any{"y", "x"}},
		{Key: "since", Type: customfields.Date, Default: "2026-01-31"},
		{Key: "off", Type: customfields.Boolean, Default: false},
		{Key: "none", Type: customfields.Text, Default: ""},
	})
	require.NoError(t, err)
	all := map[string]any{"tier": "free", "tags": []string{"x", "y"}, "since": "2026-01-31T00:00:00.000000Z", "off": false}
	require.Equal(t, all, s.Defaults())
	got, err := s.Normalize(nil)
	require.NoError(t, err)
	require.Equal(t, all, got)
	set, unset, defaulted, err := s.NormalizeNew(map[string]any{"tier": "pro", "tags": nil, "since": ""})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tier": "pro", "off": false}, set)
	require.Equal(t, []string{"since", "tags"}, unset)
	require.Equal(t, []string{"off"}, defaulted)
	_, err = s.Normalize(map[string]any{"tier": nil})
	require.Equal(t, map[string]string{"customFields.tier": "required"}, codes(t, err))
	set, _, err = s.NormalizePatch(nil, map[string]any{"tags": []any{"x"}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tags": []string{"x"}}, set, "never on update")
	got, err = s.NormalizeText(map[string]string{"tier": " ", "off": "yes"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tier": "free", "tags": []string{"x", "y"}, "since": "2026-01-31T00:00:00.000000Z", "off": true}, got, "an empty cell says nothing")

	data, err := json.Marshal(s) // as it goes through Redis
	require.NoError(t, err)
	var back customfields.Set
	require.NoError(t, json.Unmarshal(data, &back))
	again, err := customfields.NewSet(1, back.Fields)
	require.NoError(t, err)
	require.Equal(t, all, again.Defaults())
}

// An archived option stays where it is, and goes nowhere else.
func TestArchivedOptions(t *testing.T) {
	t.Parallel()
	s, err := customfields.NewSet(1, []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold"}, ArchivedOptions: []string{"old", "older"}},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"vip", "new"}, ArchivedOptions: []string{"beta", "alpha"}},
	})
	require.NoError(t, err)
	both := map[string]string{"customFields.tier": "archived_option", "customFields.tags": "archived_option"}
	values := map[string]any{"tier": "old", "tags": []any{"vip", "beta"}}
	_, err = s.Normalize(values)
	require.Equal(t, both, codes(t, err))
	_, err = s.NormalizeText(map[string]string{"tier": "old", "tags": "beta"})
	require.Equal(t, both, codes(t, err))
	_, _, err = s.NormalizePatch(map[string]any{"tier": "older", "tags": []any{"alpha"}}, values)
	require.Equal(t, both, codes(t, err), "other archived options than the record has")
	set, _, err := s.NormalizePatch(map[string]any{"tier": "old", "tags": []any{"beta", "new"}}, values)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tier": "old", "tags": []string{"beta", "vip"}}, set)
	_, err = s.Normalize(map[string]any{"tier": "olde"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, "unknown_option", v.Fields[0].Code)
	require.NotContains(t, v.Fields[0].Message+v.Fields[0].Suggestion, "older", "what is archived is not suggested")
}

func TestDefinitionsAreKept(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	ctx := e.A.WorkspaceCtx
	made := map[string]customfields.Field{}
	for _, f := range []customfields.Field{
		{Key: "code", Type: customfields.Text, Description: " What it is ", Constraints: customfields.Constraints{MinLength: 2, MaxLength: 5, Pattern: `[A-Z]+`}, Default: "AB"},
		{Key: "seats", Type: customfields.Number, Constraints: customfields.Constraints{Min: 1, Max: 100}, Default: 5},
		{Key: "due", Type: customfields.Date, DateOnly: true, Constraints: customfields.Constraints{Min: "2026-01-01"}, Default: "2026-01-31"},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"b", "a"}, ArchivedOptions: []string{"c"}, Default: []string{"b", "a"}},
	} {
		out, err := r.Create(ctx, f)
		require.NoError(t, err)
		require.EqualValues(t, 1, out.Version)
		got, err := r.Get(ctx, f.Key)
		require.NoError(t, err)
		require.Equal(t, out, got)
		made[f.Key] = got
	}
	require.Equal(t, customfields.Constraints{Min: 1.0, Max: 100.0}, made["seats"].Constraints)
	require.Equal(t, "What it is", made["code"].Description)
	for _, r := range []*customfields.Registry{r, registry(t, e, e.Redis, nil), registry(t, e, nil, nil)} { // Redis, and without it
		set, err := r.Set(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]any{"code": "AB", "seats": 5.0, "due": "2026-01-31T00:00:00.000000Z", "tags": []string{"a", "b"}}, set.Defaults())
		_, err = set.Normalize(map[string]any{"code": "abc", "seats": 101, "due": "2026-01-31T10:00", "tags": []any{"c"}})
		require.Equal(t, map[string]string{
			"customFields.code": "pattern_mismatch", "customFields.seats": "too_great", "customFields.due": "not_a_day", "customFields.tags": "archived_option",
		}, codes(t, err))
	}

	// What is not said stays, and what the definition would not take as a whole is refused.
	label := "Seats"
	f, err := r.Update(ctx, "seats", customfields.Change{Label: &label, Version: 1})
	require.NoError(t, err)
	require.Equal(t, []any{made["seats"].Constraints, made["seats"].Default, int64(2)}, []any{f.Constraints, f.Default, f.Version})
	_, err = r.Update(ctx, "seats", customfields.Change{Label: &label, Version: 1})
	require.ErrorIs(t, err, customfields.ErrVersion)
	_, err = r.Update(ctx, "seats", customfields.Change{Constraints: &customfields.Constraints{Max: 4}})
	require.Equal(t, map[string]string{"default": "too_great"}, codes(t, err))
	var none any
	f, err = r.Update(ctx, "seats", customfields.Change{Constraints: &customfields.Constraints{Max: 4}, Default: &none})
	require.NoError(t, err)
	require.Equal(t, []any{customfields.Constraints{Max: 4.0}, nil}, []any{f.Constraints, f.Default})

	// An option is archived and restored, and cannot be left out.
	options := func(live, archived []string) error {
		_, err := r.Update(ctx, "tags", customfields.Change{Options: &live, ArchivedOptions: &archived, Default: &none})
		return err
	}
	require.ErrorIs(t, options([]string{"a"}, []string{"c"}), customfields.ErrOptionInUse)
	require.ErrorIs(t, options([]string{"a", "b"}, nil), customfields.ErrOptionInUse)
	require.NoError(t, options([]string{"a", "c"}, []string{"b"}))
	set, err := r.Set(ctx)
	require.NoError(t, err)
	_, err = set.Normalize(map[string]any{"tags": []any{"c"}})
	require.NoError(t, err)

	_, err = r.Get(e.B.WorkspaceCtx, "seats")
	require.ErrorIs(t, err, customfields.ErrNotFound, "another tenant's")
	require.NoError(t, r.Archive(ctx, "seats"))
	f, err = r.Get(ctx, "seats")
	require.NoError(t, err)
	require.NotNil(t, f.ArchivedAt)
}

func TestPagesOfFields(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, nil, nil)
	ctx := e.A.WorkspaceCtx
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		_, err := r.Create(ctx, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
	require.NoError(t, r.Archive(ctx, "b"))
	page := func(q customfields.Query) tenancy.Page[customfields.Field] {
		p, err := r.Page(ctx, q)
		require.NoError(t, err)
		return p
	}
	yes, no := true, false
	require.Equal(t, []string{"a", "c", "d", "e", "b"}, keys(page(customfields.Query{}).Items))
	require.Equal(t, []string{"b"}, keys(page(customfields.Query{Archived: &yes}).Items))
	first := page(customfields.Query{Archived: &no, PageRequest: tenancy.PageRequest{PageSize: 3}})
	require.Equal(t, []string{"a", "c", "d"}, keys(first.Items))
	require.Equal(t, []any{int64(4), true, "d"}, []any{first.Total, first.HasMore, first.NextCursor})
	require.Equal(t, []string{"e"}, keys(page(customfields.Query{Archived: &no, PageRequest: tenancy.PageRequest{PageSize: 3, Cursor: "d"}}).Items))
	last := page(customfields.Query{Archived: &no, PageRequest: tenancy.PageRequest{PageSize: 3, Page: 2}})
	require.Equal(t, []string{"e"}, keys(last.Items))
	require.Equal(t, []any{int64(4), false, ""}, []any{last.Total, last.HasMore, last.NextCursor})
	require.Empty(t, page(customfields.Query{PageRequest: tenancy.PageRequest{Page: 9}}).Items)
	_, err := r.Page(ctx, customfields.Query{PageRequest: tenancy.PageRequest{Cursor: "nope"}})
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	_, err = r.Page(ctx, customfields.Query{PageRequest: tenancy.PageRequest{PageSize: 501}})
	require.Equal(t, map[string]string{"pageSize": "out_of_range"}, codes(t, err))
	require.Empty(t, func() []customfields.Field {
		p, err := r.Page(e.B.WorkspaceCtx, customfields.Query{})
		require.NoError(t, err)
		return p.Items
	}())
}
