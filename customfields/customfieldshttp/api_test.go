package customfieldshttp_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/customfieldshttp"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	*tenancytest.HTTP
	registry *customfields.Registry
	manager  *lifecycle.Manager
	fields   string // the path of company A's fields
	check    string // and of its filter check
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	var err error
	w.registry, err = customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(w.DB, w.registry, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.manager, err = lifecycle.NewManager(w.DB, w.registry, w.Audit, &lifecycle.Config{Tables: recipients.FieldTables()})
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, customfieldshttp.New(w.registry, store.Filter), customfieldshttp.NewChanges(w.manager))
	w.fields = "/workspaces/" + w.A.WorkspaceID.String() + "/custom-fields"
	w.check = "/workspaces/" + w.A.WorkspaceID.String() + "/filters/check"
	return w
}

// define creates a field that must be in order.
func (w *world) define(t *testing.T, body string) customfields.Field {
	t.Helper()
	return tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "POST", w.fields, body), 201)
}

const tier = `{"key":"tier","label":"Tier","type":"select","options":["gold","silver"],"required":true,"filterable":true,"position":2}`

func TestOneField(t *testing.T) {
	t.Parallel()
	w := open(t)
	answer := w.Do(t, "a", "POST", w.fields, tier)
	f := tenancytest.RequireData[customfields.Field](t, answer, 201)
	require.False(t, f.ID.IsZero())
	shape := func(f customfields.Field, label, options string) string {
		return fmt.Sprintf(`{"id":"%s","key":"tier","slot":"tier","label":%q,"type":"select","options":%s,"required":true,"unique":false,"filterable":true,"position":2,"version":%d,"createdAt":%q,"updatedAt":%q}`,
			f.ID, label, options, f.Version, f.CreatedAt.Format(time.RFC3339Nano), f.UpdatedAt.Format(time.RFC3339Nano))
	}
	require.JSONEq(t, `{"data":`+shape(f, "Tier", `["gold","silver"]`)+`}`, answer.Body.String())

	answer = w.Do(t, "a", "PATCH", w.fields+"/tier", `{"label":"Level","options":["bronze","silver","gold"]}`)
	changed := tenancytest.RequireData[customfields.Field](t, answer, 200)
	require.Equal(t, f.ID, changed.ID)
	require.True(t, changed.UpdatedAt.After(f.UpdatedAt))
	require.JSONEq(t, `{"data":`+shape(changed, "Level", `["bronze","silver","gold"]`)+`}`, answer.Body.String())

	answer = w.Do(t, "a", "GET", w.fields)
	require.Equal(t, 200, answer.Code)
	require.JSONEq(t, `{"data":[`+shape(changed, "Level", `["bronze","silver","gold"]`)+`],"meta":{"total":1,"page":1,"pageSize":50,"hasMore":false}}`, answer.Body.String())

	answer = w.Do(t, "a", "DELETE", w.fields+"/tier")
	require.Equal(t, []any{204, ""}, []any{answer.Code, answer.Body.String()})
	for _, method := range []string{"DELETE", "PATCH"} {
		tenancytest.RequireError(t, w.Do(t, "a", method, w.fields+"/tier", `{}`), 404, "custom_field_not_found")
	}
	tenancytest.RequireError(t, w.Do(t, "a", "POST", w.fields, tier), 409, "key_taken")
}

func TestDefaultsOfAField(t *testing.T) {
	t.Parallel()
	w := open(t)
	f := w.define(t, `{"key":"note","type":"text"}`)
	require.Equal(t, "note", f.Label)
	require.True(t, f.Filterable)
	require.False(t, f.Required)
	require.False(t, w.define(t, `{"key":"secret","type":"text","filterable":false}`).Filterable)
	f = tenancytest.RequireData[customfields.Field](t, w.Do(t, "a", "PATCH", w.fields+"/note", `{"required":true,"filterable":false,"position":7}`), 200)
	require.Equal(t, []any{"note", true, false, 7}, []any{f.Label, f.Required, f.Filterable, f.Position})
}

func TestListIsInOrderWithTheArchivedLast(t *testing.T) {
	t.Parallel()
	w := open(t)
	answer := w.Do(t, "member", "GET", w.fields)
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, answer.Body.String())
	for i, key := range []string{"gone", "second", "first"} {
		w.define(t, fmt.Sprintf(`{"key":%q,"type":"text","position":%d}`, key, 10-i))
	}
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.fields+"/gone").Code)
	w.define(t, `{"key":"third","type":"number","position":11}`)
	list := tenancytest.RequireList[customfields.Field](t, w.Do(t, "member", "GET", w.fields))
	keys := make([]string, len(list.Data))
	for i, f := range list.Data {
		keys[i] = f.Key
		require.Equal(t, f.Key == "gone", f.ArchivedAt != nil, f.Key)
	}
	require.Equal(t, []string{"first", "second", "third", "gone"}, keys)
	require.EqualValues(t, 4, *list.Meta.Total)
}

// codes are the fields of an error with what is wrong with them.
func codes(e web.Error) []string {
	out := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		out[i] = f.Field + " " + f.Code
	}
	return out
}

func TestErrors(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, tier)
	many := `"` + strings.Repeat(`x","`, 3) + `y"`
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
		errors             []string
	}{
		{"POST", w.fields, ``, 400, "malformed", nil},
		{"POST", w.fields, `{"key":`, 400, "malformed", nil},
		{"POST", w.fields, `[]`, 400, "malformed", nil},
		{"POST", w.fields, `{"key":"a","type":"text"}{}`, 400, "trailing_data", nil},
		{"POST", w.fields, `{"key":"a","type":"text","colour":"red"}`, 400, "unknown_field", []string{"colour unknown_field"}},
		{"POST", w.fields, `{"key":"a","type":"text","label":"\u0000"}`, 400, "invalid_text", nil},
		{"POST", w.fields, `{"key":"a","type":"text","required":"yes"}`, 422, "validation_failed", []string{"required wrong_type"}},
		{"POST", w.fields, `{"options":["x"]}`, 422, "validation_failed", []string{"key required", "type required", "options not_allowed"}},
		{
			"POST", w.fields, `{"key":"A key","type":"colour","label":"` + strings.Repeat("x", 201) + `","options":["x"]}`, 422, "validation_failed",
			[]string{"key invalid_key", "label invalid_text", "type unknown_type", "options not_allowed"},
		},
		{"POST", w.fields, `{"key":"a","type":"select"}`, 422, "validation_failed", []string{"options out_of_range"}},
		{"POST", w.fields, `{"key":"a","type":"multi_select","options":["a;b",""]}`, 422, "validation_failed", []string{"options invalid_text", "options invalid_text"}},
		{"POST", w.fields, `{"key":"a","type":"select","options":[` + many + `]}`, 422, "validation_failed", []string{"options duplicate", "options duplicate"}},
		{"POST", w.fields, `{"key":"a","type":"text","position":3000000000}`, 422, "validation_failed", []string{"position out_of_range"}},
		{"POST", w.fields, tier, 409, "key_taken", nil},
		{"PATCH", w.fields + "/tier", `{"key":"level"}`, 400, "unknown_field", []string{"key unknown_field"}},
		{"PATCH", w.fields + "/tier", `{"type":"text"}`, 400, "unknown_field", []string{"type unknown_field"}},
		{"PATCH", w.fields + "/tier", `{`, 400, "malformed", nil},
		{"PATCH", w.fields + "/tier", `{"position":-3000000000,"options":[]}`, 422, "validation_failed", []string{"position out_of_range", "options out_of_range"}},
		{"PATCH", w.fields + "/tier", `{"options":["gold"]}`, 409, "option_removed", nil},
		{"PATCH", w.fields + "/nope", `{}`, 404, "custom_field_not_found", nil},
		{"DELETE", w.fields + "/nope", ``, 404, "custom_field_not_found", nil},
		{"DELETE", w.fields + "/" + strings.Repeat("x", 500), ``, 404, "custom_field_not_found", nil},
		{"POST", w.check, `{}`, 422, "validation_failed", []string{"filter required"}},
		{"POST", w.check, `{"filter":""}`, 422, "validation_failed", []string{"filter required"}},
		{"POST", w.check, `{"filter":"true","rule":{"all":[]}}`, 422, "validation_failed", []string{"rule not_allowed"}},
		{"POST", w.check, `{"filter":1}`, 422, "validation_failed", []string{"filter wrong_type"}},
		{"POST", w.check, `{"rule":null}`, 422, "invalid_rule", []string{"rule "}},
		{"POST", w.check, `{"rule":{"all":[{"felid":"email"}]}}`, 422, "invalid_rule", []string{"rule.all[0].felid "}},
		{"POST", w.check, `{"filter":"true","page":1}`, 400, "unknown_field", []string{"page unknown_field"}},
		{"POST", w.check, `{"filter":`, 400, "malformed", nil},
		{"POST", w.fields, `"` + strings.Repeat("x", 1<<20) + `"`, 413, "too_large", nil},
	} {
		name := c.method + " " + c.path + " " + c.body[:min(len(c.body), 80)]
		answer := w.Do(t, "a", c.method, c.path, c.body)
		require.Equal(t, c.status, answer.Code, "%s: %s", name, answer.Body.String())
		require.ElementsMatch(t, c.errors, codes(tenancytest.RequireError(t, answer, c.status, c.code)), name)
	}
	list := tenancytest.RequireList[customfields.Field](t, w.Do(t, "a", "GET", w.fields))
	require.Len(t, list.Data, 1, "nothing was changed")
	require.Equal(t, []string{"gold", "silver"}, list.Data[0].Options)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"nobody", "GET", w.fields, ``, 401},
		{"nobody", "POST", w.check, `{"filter":"true"}`, 401},
		{"member", "GET", w.fields, ``, 200},
		{"member", "POST", w.check, `{"filter":"name == \"x\""}`, 200},
		{"member", "POST", w.fields, tier, 403},
		{"workspace admin", "POST", w.fields, tier, 201},
		{"member", "PATCH", w.fields + "/tier", `{"label":"x"}`, 403},
		{"member", "DELETE", w.fields + "/tier", ``, 403},
		{"workspace admin", "PATCH", w.fields + "/tier", `{"label":"x"}`, 200},
		{"workspace admin", "DELETE", w.fields + "/tier", ``, 204},
	} {
		answer := w.Do(t, c.who, c.method, c.path, c.body)
		require.Equal(t, c.status, answer.Code, "%s %s %s: %s", c.who, c.method, c.path, answer.Body.String())
	}
}

func TestPlanLimit(t *testing.T) {
	t.Parallel()
	w := open(t)
	small := w.Company(t, "free") // 10 custom fields
	w.HTTP.Actors["small"] = small.Actor
	path := "/workspaces/" + small.WorkspaceID.String() + "/custom-fields"
	create := func(i int) *httptest.ResponseRecorder {
		return w.Do(t, "small", "POST", path, fmt.Sprintf(`{"key":"k%d","type":"text"}`, i))
	}
	for i := range 10 {
		require.Equal(t, 201, create(i).Code)
	}
	answer := create(10)
	tenancytest.RequireError(t, answer, 402, "limit_exceeded")
	var limit map[string]any
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &limit))
	delete(limit, "message")
	require.Equal(t, map[string]any{
		"statusCode": 402.0, "code": "limit_exceeded", "resource": "custom_fields", "existing": 10.0, "incoming": 1.0, "limit": 10.0,
	}, limit)
	require.Len(t, tenancytest.RequireList[customfields.Field](t, w.Do(t, "small", "GET", path)).Data, 10)
	require.Equal(t, 204, w.Do(t, "small", "DELETE", path+"/k0").Code)
	require.Equal(t, 201, create(10).Code, "an archived field counts no more")
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.define(t, tier)
	_, err := w.registry.Create(w.B.WorkspaceCtx, customfields.Field{Key: "own", Type: customfields.Text})
	require.NoError(t, err)
	w.define(t, `{"key":"level","type":"text"}`)
	run, err := w.manager.Convert(w.A.WorkspaceCtx, "level", customfields.Number, nil)
	require.NoError(t, err)
	before := w.Do(t, "a", "GET", w.fields).Body.String()
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.Handler, Routes: w.Routes, Values: map[string]string{"key": "tier", "runID": run.ID.String()},
		Bodies: map[string]string{
			"createCustomField": `{"key":"new","type":"text"}`, "updateCustomField": `{"label":"Taken over"}`,
			"checkFilter":       `{"filter":"fields.tier == \"gold\""}`,
			"renameCustomField": `{"key":"taken_over"}`, "convertCustomField": `{"type":"text"}`, "removeCustomFieldOption": `{"option":"gold","force":true}`,
		},
		Untenanted: []string{"GET /openapi.json", "GET /healthz", "GET /readyz"},
	})
	require.Equal(t, before, w.Do(t, "a", "GET", w.fields).Body.String(), "nothing was changed")

	own := w.Do(t, "b", "GET", strings.Replace(w.fields, w.A.WorkspaceID.String(), w.B.WorkspaceID.String(), 1))
	require.NotContains(t, own.Body.String(), "tier")
	require.Len(t, tenancytest.RequireList[customfields.Field](t, own).Data, 1)
	asked := w.Do(t, "b", "POST", strings.Replace(w.check, w.A.WorkspaceID.String(), w.B.WorkspaceID.String(), 1), `{"filter":"fields.tier == \"gold\""}`)
	tenancytest.RequireError(t, asked, 422, "invalid_filter")
	require.NotContains(t, asked.Body.String(), "gold")

	// A word of another workspace's is as unknown as any, however near it is, and whether or
	// not the same filter was in order there.
	w.define(t, `{"key":"secret_project","type":"select","options":["falcon"]}`)
	for near, body := range map[string]string{
		`"secret_projekt": that no workspace has`: `{"filter":"fields.secret_projekt == \"falkon\""}`,
		"the very one":           `{"filter":"fields.secret_project == \"falcon\""}`,
		"the very one in a rule": `{"rule":{"field":"fields.secret_project","op":"==","value":"falcon"}}`,
		"its option":             `{"rule":{"field":"fields.own","op":"in","value":["falkon",{"field":"fields.secret_projekt"}]}}`,
	} {
		there := w.Do(t, "a", "POST", w.check, body)
		here := w.Do(t, "b", "POST", strings.Replace(w.check, w.A.WorkspaceID.String(), w.B.WorkspaceID.String(), 1), body)
		require.Equal(t, 422, here.Code, "%s: %s", near, here.Body.String())
		require.NotContains(t, here.Body.String(), "suggestion", near)
		if strings.Contains(body, "projekt") {
			require.Contains(t, there.Body.String(), `"suggestion":"secret_project"`, near)
			continue
		}
		require.Equal(t, 200, there.Code, "%s: %s", near, there.Body.String())
	}
}

func TestDescribed(t *testing.T) {
	t.Parallel()
	w := open(t)
	var document struct {
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	require.NoError(t, json.Unmarshal(w.Do(t, "", "GET", "/openapi.json").Body.Bytes(), &document))
	require.Equal(t, []string{"key", "type"}, document.Components.Schemas["CustomfieldshttpCreateRequest"].Required)
}
