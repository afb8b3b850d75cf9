package customfields_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

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

func TestNormalizeHasOneFormPerType(t *testing.T) {
	t.Parallel()
	s := allTypes(t)
	for _, c := range []struct {
		key  string
		in   any
		want any // nil: not set
	}{
		{"note", " inner  space stays\n", "inner  space stays"},
		{"note", " \t", nil},
		{"note", "", nil},
		{"note", nil, nil},
		{"size", 1.5, 1.5},
		{"size", json.Number("12"), 12.0},
		{"size", 7, 7.0},
		{"size", uint8(7), 7.0},
		{"size", int64(-1e15), -1e15},
		{"size", float32(0.5), 0.5},
		{"size", json.Number("1e-400"), 0.0},
		{"size", json.Number("0.1"), 0.1},
		{"size", math.Copysign(0, -1), 0.0},
		{"size", 1e15, 1e15},
		{"due", "2026-01-31", "2026-01-31T00:00:00.000000Z"},
		{"due", "2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00.000000Z"},
		{"due", "2026-01-31 10:00", "2026-01-31T10:00:00.000000Z"},
		{"tier", " gold ", "gold"},
		{"tier", "", nil},
		{"tags", []any{"vip", " new", "vip"}, []string{"new", "vip"}},
		{"tags", []any{}, nil},
		{"vip", false, false},
		{"site", "HTTPS://EXAMPLE.com/Path", "https://example.com/Path"},
		{"site", " https://Bücher.example/é?q=a b ", "https://b%C3%BCcher.example/%C3%A9?q=a b"},
		{"site", "https://example.com/?q=a #", "https://example.com/?q=a"},
		{"site", "http://192.0.2.1:8080/a/../b#c", "http://192.0.2.1:8080/a/../b#c"},
		{"site", "http://[2001:DB8::1]:65535", "http://[2001:db8::1]:65535"},
		{"site", "https://a_b.example.", "https://a_b.example."},
		{"site", "https://example.com/" + strings.Repeat("é", 338), "https://example.com/" + strings.Repeat("%C3%A9", 338)},
		{"mail", " Ada@EXAMPLE.com ", "ada@example.com"},
	} {
		got, err := s.Normalize(map[string]any{c.key: c.in})
		require.NoError(t, err, "%s %v", c.key, c.in)
		if c.want == nil {
			require.Empty(t, got)
			continue
		}
		require.Equal(t, map[string]any{c.key: c.want}, got)
		again, err := s.Normalize(got)
		require.NoError(t, err)
		require.Equal(t, got, again, "the normal form is its own normal form")
	}
}

func TestNormalizeReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := allTypes(t)
	_, err := s.Normalize(map[string]any{
		"note": "nul\x00", "size": "12", "due": "03/04/26", "tier": "Gold", "tags": []any{"vip", "other"}, "vip": "yes",
		"site": "javascript:alert(1)", "mail": "nobody", "nope": 1,
	})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	codes := map[string]string{}
	for _, f := range v.Fields {
		codes[strings.TrimPrefix(f.Field, "customFields.")] = f.Code
		require.NotContains(t, f.Value, "\x00")
		require.NotEmpty(t, f.Message)
		if f.Field == "customFields.tier" {
			require.Equal(t, "gold", f.Suggestion)
		}
	}
	require.Equal(t, map[string]string{
		"note": "invalid_text", "size": "wrong_type", "due": "invalid_date", "tier": "unknown_option", "tags": "unknown_option", "vip": "wrong_type",
		"site": "invalid_url", "mail": "invalid_email", "nope": "unknown_field",
	}, codes)
	for _, bad := range []any{1e15 + 1, math.NaN(), math.Inf(1), json.Number("1e400"), true, []any{1}, map[string]any{}} {
		_, err := s.Normalize(map[string]any{"size": bad})
		require.Error(t, err, "%v", bad)
	}
}

func TestRequired(t *testing.T) {
	t.Parallel()
	s, err := customfields.NewSet(1, []customfields.Field{{Key: "a", Type: customfields.Text, Required: true}, {Key: "b", Type: customfields.Number, Required: true}})
	require.NoError(t, err)
	_, err = s.Normalize(map[string]any{"b": "x"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2, "one for the missing a, one for the wrong b, which is not missing too")
	set, unset, err := s.NormalizePatch(nil, map[string]any{"b": 2})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"b": 2.0}, set)
	require.Empty(t, unset)
	_, _, err = s.NormalizePatch(nil, map[string]any{"a": nil})
	require.ErrorAs(t, err, &v)
}

func TestNormalizeTextReadsCells(t *testing.T) {
	t.Parallel()
	s := allTypes(t)
	got, err := s.NormalizeText(map[string]string{
		"note": " a, b ", "size": " 1e3 ", "due": "2026-01-31", "tier": "gold", "tags": "new; vip|new", "vip": "YES", "site": "", "mail": "A@example.com",
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"note": "a, b", "size": 1000.0, "due": "2026-01-31T00:00:00.000000Z", "tier": "gold", "tags": []string{"new", "vip"}, "vip": true, "mail": "a@example.com",
	}, got)
	require.JSONEq(t, `{"note":"a, b","size":1000,"due":"2026-01-31T00:00:00.000000Z","tier":"gold","tags":["new","vip"],"vip":true,"mail":"a@example.com"}`,
		string(customfields.AppendJSON(nil, got)))
	for _, bad := range []map[string]string{
		{"size": "1,5"},
		{"size": "0x10"},
		{"size": "NaN"},
		{"size": "Inf"},
		{"size": "1_000"},
		{"vip": "maybe"},
		{"tags": "vip,new"},
		{"due": "31.01.2026"},
		{"size": "1e400"},
		{"size": "12%"},
		{"size": "1 000"},
		{"size": "١٢"},
		{"size": "--1"},
		{"size": "1e16"},
		{"size": "."},
		{"size": "infinity"},
		{"due": "2026-02-30"},
		{"due": "2026-01-31T24:00"},
		{"due": "0000-01-01"},
		{"due": "10000-01-01"},
		{"due": "2026-01-31T10:00:00" + "+25:00"},
	} {
		_, err := s.NormalizeText(bad)
		require.Error(t, err, "%v", bad)
	}
}

func TestAppendJSONAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		"plain", `q"uote`, "back\\slash", "tab\t", "new\nline", "\u2028", "é", "<b>", "", 0.0, 1.0, -1.5, 1e15, 1e-7, 0.1, 5e-324, 123456789.125, true, false,
		[]string{},
		[]string{"a", `"`},
	} {
		want, err := json.Marshal(v)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(customfields.AppendValue(nil, v)))
	}
}

func TestDefinitionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []customfields.Field{
		{Key: "Upper", Type: customfields.Text},
		{Key: "", Type: customfields.Text},
		{Key: "1a", Type: customfields.Text},
		{Key: "a-b", Type: customfields.Text},
		{Key: "a'b", Type: customfields.Text},
		{Key: strings.Repeat("a", 64), Type: customfields.Text},
		{Key: "a", Type: "json"},
		{Key: "a"},
		{Key: "a", Type: customfields.Select},
		{Key: "a", Type: customfields.Select, Options: []string{"x", "x"}},
		{Key: "a", Type: customfields.Select, Options: []string{" "}},
		{Key: "a", Type: customfields.Text, Options: []string{"x"}},
		{Key: "a", Type: customfields.MultiSelect, Options: []string{"x;y"}},
		{Key: "true", Type: customfields.Text},
		{Key: "false", Type: customfields.Text},
		{Key: "null", Type: customfields.Text},
		{Key: "in", Type: customfields.Text},
		{Key: "a", Type: customfields.Text, Label: "\x00"},
		{Key: "a", Type: customfields.Text, Label: strings.Repeat("x", 201)},
	} {
		_, err := customfields.NewSet(1, []customfields.Field{bad})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, "%+v", bad)
	}
}

func TestFieldsOfOneKeyAreRefused(t *testing.T) {
	t.Parallel()
	_, err := customfields.NewSet(1, []customfields.Field{{Key: "a", Type: customfields.Text}, {Key: "b", Type: customfields.Text}, {Key: "a", Type: customfields.Number}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, "duplicate", v.Fields[0].Code)
	require.Equal(t, "a", v.Fields[0].Value)
}

// What a request can hold of mistakes must not make an answer many times its size.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	s := allTypes(t)
	values := map[string]any{"teir": "gold", "size": "x"}
	for i := range 70_000 {
		values[fmt.Sprintf("z%d", i)] = 1
	}
	_, err := s.Normalize(values)
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 22, "the wrong size, 20 by name, and how many more")
	require.Equal(t, "customFields.size", v.Fields[0].Field)
	require.Equal(t, tenancy.FieldError{Field: "customFields.teir", Code: "unknown_field", Message: "the workspace has no such field", Suggestion: "tier"}, v.Fields[1])
	require.Equal(t, tenancy.FieldError{Field: "customFields", Code: "unknown_field", Message: "… and 69981 more unknown fields"}, v.Fields[21])

	many := make([]string, 501)
	for i := range many {
		many[i] = "vip"
	}
	_, err = s.Normalize(map[string]any{"tags": many})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "too_long", v.Fields[0].Code)
	got, err := s.Normalize(map[string]any{"tags": many[:500]})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"tags": []string{"vip"}}, got)

	_, err = customfields.NewSet(1, []customfields.Field{{Key: "a", Type: customfields.Select, Options: make([]string, 501)}})
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 1)
}

// Moving options changes what people see, and no value.
func TestListsHaveOneFormWhateverTheOrderOfTheOptions(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{{"vip", "beta", "new"}, {"new", "vip", "beta"}} {
		s, err := customfields.NewSet(1, []customfields.Field{{Key: "tags", Type: customfields.MultiSelect, Options: options}})
		require.NoError(t, err)
		got, err := s.Normalize(map[string]any{"tags": []any{"vip", "new", "beta", "new"}})
		require.NoError(t, err)
		require.Equal(t, map[string]any{"tags": []string{"beta", "new", "vip"}}, got)
	}
}

// A field that was archived leaves values behind. Whoever sends a record back as it was
// read is told what to do about them, and null clears them.
func TestArchivedFields(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, err := customfields.NewSet(1, []customfields.Field{
		{Key: "b", Type: customfields.Text, Required: true, ArchivedAt: &now}, {Key: "a", Type: customfields.Text, ArchivedAt: &now}, {Key: "c", Type: customfields.Text},
	})
	require.NoError(t, err)
	require.Nil(t, s.Field("a"))
	require.Equal(t, []string{"a", "b"}, s.Archived)
	set, unset, err := s.NormalizePatch(nil, map[string]any{"a": nil, "b": nil, "c": "x"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"c": "x"}, set)
	require.Equal(t, []string{"a", "b"}, unset)
	_, _, err = s.NormalizePatch(nil, map[string]any{"a": "x", "d": nil})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"archived_field", "unknown_field"}, []string{v.Fields[0].Code, v.Fields[1].Code}, "a null for a key that never was is a mistake")
	_, err = s.Normalize(map[string]any{"c": "x"})
	require.NoError(t, err, "an archived field is not required")
}
