package customfieldshttp_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

func TestEverythingOfADefinition(t *testing.T) {
	t.Parallel()
	w := open(t)
	f := w.define(t, `{"key":"seats","type":"number","description":"How many","constraints":{"min":1,"max":100},"default":5,"required":true}`)
	require.Equal(t, []any{"How many", customfields.Constraints{Min: 1.0, Max: 100.0}, 5.0, true}, []any{f.Description, f.Constraints, f.Default, f.Required})
	answer := w.Do(t, "a", "GET", w.fields+"/seats")
	require.Equal(t, f, tenancytest.RequireData[customfields.Field](t, answer, 200))
	require.Equal(t, `"1"`, answer.Header().Get("ETag"))
	require.Contains(t, answer.Body.String(), `"constraints":{"min":1,"max":100}`)
	require.Contains(t, answer.Body.String(), `"default":5`)

	due := w.define(t, `{"key":"due","type":"date","dateOnly":true,"constraints":{"min":"2026-01-01"},"default":"2026-01-31"}`)
	require.Equal(t, []any{true, "2026-01-01T00:00:00.000000Z", "2026-01-31T00:00:00.000000Z"}, []any{due.DateOnly, due.Constraints.Min, due.Default})
	plain := w.define(t, `{"key":"plain","type":"text","constraints":{}}`)
	require.Zero(t, plain.Constraints)
	body := w.Do(t, "a", "GET", w.fields+"/plain").Body.String()
	for _, name := range []string{"constraints", "dateOnly", "default", "description", "archivedOptions", "prepared"} {
		require.NotContains(t, body, name)
	}

	patch := func(body string, status int) customfields.Field {
		return tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "PATCH", w.fields+"/seats", body), status)
	}
	f = patch(`{"label":"Seats"}`, 200)
	require.Equal(t, []any{5.0, 100.0, int64(2)}, []any{f.Default, f.Constraints.Max, f.Version}, "what is not named stays")
	f = patch(`{"default":null,"constraints":{"max":4},"version":2}`, 200)
	require.Equal(t, []any{nil, customfields.Constraints{Max: 4.0}}, []any{f.Default, f.Constraints})
	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", w.fields+"/seats", `{"label":"x","version":2}`), 409, "version_conflict")

	w.define(t, `{"key":"tags","type":"multi_select","options":["a","b"],"archivedOptions":["c"]}`)
	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", w.fields+"/tags", `{"options":["a"]}`), 409, "option_removed")
	f = tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "PATCH", w.fields+"/tags", `{"options":["a","c"],"archivedOptions":["b"]}`), 200)
	require.Equal(t, [][]string{{"a", "c"}, {"b"}}, [][]string{f.Options, f.ArchivedOptions})

	for body, want := range map[string]string{
		`{"key":"x","type":"text","constraints":{"min":1}}`:                     "constraints.min",
		`{"key":"x","type":"number","constraints":{"min":"a"}}`:                 "constraints.min",
		`{"key":"x","type":"text","constraints":{"pattern":"("}}`:               "constraints.pattern",
		`{"key":"x","type":"number","default":"many"}`:                          "default",
		`{"key":"x","type":"select","options":["a"],"archivedOptions":["a"]}`:   "archivedOptions",
		`{"key":"x","type":"text","dateOnly":true}`:                             "dateOnly",
		`{"key":"x","type":"text","constraints":{"minLength":5,"maxLength":1}}`: "constraints.maxLength",
	} {
		e := tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields, body), 422, "validation_failed")
		require.Len(t, e.Errors, 1, body)
		require.Equal(t, want, e.Errors[0].Field)
	}
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields, `{"key":"x","type":"text","constraints":{"most":1}}`), 400, "unknown_field")
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, tier)
	ask := func(match string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "PATCH", w.fields+"/tier", strings.NewReader(`{"label":"x"}`))
		r.Header.Set("Authorization", "a")
		r.Header.Set("If-Match", match)
		answer := httptest.NewRecorder()
		w.Handler.ServeHTTP(answer, r)
		return answer
	}
	answer := ask(`"1"`)
	require.Equal(t, []any{200, `"2"`}, []any{answer.Code, answer.Header().Get("ETag")})
	tenancytest.RequireError(t, ask(`"1"`), 409, "version_conflict")
	for _, never := range []string{`"x"`, `"02"`, `W/"2"`, `"1", "3"`} {
		tenancytest.RequireError(t, ask(never), 409, "version_conflict")
	}
	for _, wrong := range []string{`2`, `"2`, `*, "2"`} {
		tenancytest.RequireError(t, ask(wrong), 400, "malformed_if_match")
	}
	require.Equal(t, `"3"`, ask(`"7", "2"`).Header().Get("ETag"))
	require.Equal(t, 200, ask(`*`).Code)
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := open(t)
	for i := range 5 {
		w.define(t, fmt.Sprintf(`{"key":"k%d","type":"text"}`, i))
	}
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.fields+"/k1").Code)
	get := func(query string) ([]string, string) {
		answer := w.Do(t, "member", "GET", w.fields+query)
		list := tenancytest.RequireList[customfields.Field](t, answer)
		keys := []string{}
		for _, f := range list.Data {
			keys = append(keys, f.Key)
		}
		return keys, list.Meta.NextCursor
	}
	for query, want := range map[string][]string{
		"": {"k0", "k2", "k3", "k4", "k1"}, "?archived=true": {"k1"}, "?archived=false": {"k0", "k2", "k3", "k4"},
		"?pageSize=2": {"k0", "k2"}, "?pageSize=2&page=3": {"k1"}, "?pageSize=2&cursor=k3": {"k4", "k1"}, "?page=4": {},
	} {
		keys, _ := get(query)
		require.Equal(t, want, keys, query)
	}
	_, next := get("?pageSize=2")
	require.Equal(t, "k2", next)
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.fields+"?archived=perhaps"), 422, "validation_failed")
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.fields+"?cursor=nope"), 400, "invalid_cursor")
	require.NotNil(t, tenancytest.RequireData[customfields.Field](t, w.Do(t, "member", "GET", w.fields+"/k1"), 200).ArchivedAt, "an archived one can be read")
	tenancytest.RequireError(t, w.Do(t, "a", "GET", w.fields+"/nope"), 404, "custom_field_not_found")
}

func TestUniqueFields(t *testing.T) {
	t.Parallel()
	w := open(t)
	store, err := recipients.NewStore(w.DB, w.registry, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.define(t, `{"key":"code","type":"text"}`)
	for _, email := range []string{"a@example.com", "b@example.com"} {
		_, err := store.Create(w.A.Ctx, recipients.New{Email: email, CustomFields: map[string]any{"code": "x"}})
		require.NoError(t, err)
	}
	answer := w.Do(t, "a", "PATCH", w.fields+"/code", `{"unique":true}`)
	tenancytest.RequireError(t, answer, 409, "values_not_unique")
	require.Contains(t, answer.Body.String(), `"count":1`)
	require.Contains(t, answer.Body.String(), `"values":[{"value":"x","records":2}]`)
	f := tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "GET", w.fields+"/code"), 200)
	require.Equal(t, []any{false, ""}, []any{f.Unique, f.UniqueState})
	_, _, err = store.Upsert(w.A.Ctx, recipients.New{Email: "b@example.com", CustomFields: map[string]any{"code": "y"}})
	require.NoError(t, err)
	f = tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "PATCH", w.fields+"/code", `{"unique":true}`), 200)
	require.Equal(t, []any{true, ""}, []any{f.Unique, f.UniqueState})
	require.True(t, w.define(t, `{"key":"badge","type":"number","unique":true}`).Unique)
	f = tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "PATCH", w.fields+"/code", `{"unique":false}`), 200)
	require.Equal(t, []any{false, ""}, []any{f.Unique, f.UniqueState})
	for _, body := range []string{`{"key":"x","type":"boolean","unique":true}`, `{"key":"x","type":"text","default":"a","unique":true}`} {
		e := tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields, body), 422, "validation_failed")
		require.Equal(t, "unique", e.Errors[0].Field)
	}
}
