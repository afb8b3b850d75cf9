package settingshttp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
	"github.com/stratakit/strata/tenancy/settings/settingshttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	greeting = settings.NewKey("ui.greeting", settings.Spec[string]{Default: "Hello", Summary: "What the first page says"})
	maxRows  = settings.NewKey("imports.max_rows", settings.Spec[int64]{Default: 1000, Mode: settings.RestrictOnly, Tighten: settings.Min[int64]})
)

type world struct {
	*tenancytest.Env
	*tenancytest.HTTP
	store                      *settings.Store
	company, workspace, domain string // the paths of company A's settings
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	registry, err := settings.NewRegistry(greeting, maxRows)
	require.NoError(t, err)
	w.store, err = settings.NewStore(w.DB, w.Store, w.Audit, registry, nil)
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, settingshttp.New(w.store))
	w.company = "/companies/" + w.A.CompanyID.String() + "/settings"
	w.workspace = "/workspaces/" + w.A.WorkspaceID.String() + "/settings"
	w.domain = "/domains/" + w.A.DomainID.String() + "/settings"
	return w
}

func TestSettings(t *testing.T) {
	t.Parallel()
	w := open(t)
	answer := w.Do(t, "a", "GET", w.workspace)
	require.JSONEq(t, `{"data":[
		{"key":"ui.greeting","value":"Hello","source":"system","mode":"inheritable","locked":false,"summary":"What the first page says"},
		{"key":"imports.max_rows","value":1000,"source":"system","mode":"restrict_only","locked":false}
	],"meta":{"total":2,"page":1,"pageSize":2,"hasMore":false}}`, answer.Body.String())

	all := tenancytest.RequireList[settings.Setting](t, w.Do(t, "a", "PATCH", w.company, `{"values":{"ui.greeting":"Hi"}}`)).Data
	require.Len(t, all, 1, "those that were named")
	require.Equal(t, []any{"ui.greeting", settings.SourceCompany, w.A.Actor.ID}, []any{all[0].Key, all[0].Source, all[0].SetBy})
	all = tenancytest.RequireList[settings.Setting](t, w.Do(t, "a", "PATCH", w.workspace, `{"values":{"imports.max_rows":10,"ui.greeting":"Yo"}}`)).Data
	require.Len(t, all, 2)
	x := tenancytest.RequireData[settings.Setting](t, w.Do(t, "a", "GET", w.workspace+"/ui.greeting"), 200)
	require.JSONEq(t, `"Yo"`, string(x.Value))
	require.Equal(t, settings.SourceWorkspace, x.Source)
	require.Len(t, x.Shadowed, 2)
	require.JSONEq(t, `"Hi"`, string(tenancytest.RequireData[settings.Setting](t, w.Do(t, "a", "GET", w.company+"/ui.greeting"), 200).Value))
	require.JSONEq(t, `10`, string(tenancytest.RequireList[settings.Setting](t, w.Do(t, "a", "GET", w.domain)).Data[1].Value))

	require.Equal(t, 200, w.Do(t, "a", "PATCH", w.company, `{"locked":{"ui.greeting":true}}`).Code)
	x = tenancytest.RequireData[settings.Setting](t, w.Do(t, "a", "GET", w.workspace+"/ui.greeting"), 200)
	require.JSONEq(t, `"Hi"`, string(x.Value))
	require.True(t, x.Locked)
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.company+"/ui.greeting").Code)
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.workspace+"/ui.greeting").Code)
	tenancytest.RequireError(t, w.Do(t, "a", "DELETE", w.workspace+"/ui.greeting"), 404, "setting_not_set")
	require.JSONEq(t, `"Hello"`, string(tenancytest.RequireData[settings.Setting](t, w.Do(t, "a", "GET", w.workspace+"/ui.greeting"), 200).Value))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
		fields             map[string]string
	}{
		{"PATCH", w.workspace, `{"values":{"ui.greting":"x","imports.max_rows":2000}}`, 422, "validation_failed", map[string]string{"values.ui.greting": "unknown_key", "values.imports.max_rows": "too_lax"}},
		{"PATCH", w.workspace, `{"values":{"ui.greeting":null}}`, 422, "validation_failed", map[string]string{"values.ui.greeting": "null"}},
		{"PATCH", w.workspace, `{"values":{"ui.greeting":5}}`, 422, "validation_failed", map[string]string{"values.ui.greeting": "wrong_type"}},
		{"PATCH", w.workspace, `{}`, 422, "validation_failed", map[string]string{"values": "required"}},
		{"PATCH", w.workspace, `{"values":[]}`, 422, "validation_failed", map[string]string{"values": "wrong_type"}},
		{"PATCH", w.workspace, `{"ui.greeting":"x"}`, 400, "unknown_field", map[string]string{"ui.greeting": "unknown_field"}},
		{"PATCH", w.workspace, `{"values":{},"locked":{"ui.greeting":true}}`, 400, "unknown_field", map[string]string{"locked": "unknown_field"}},
		{"PATCH", w.company, `{"locked":{"ui.greeting":true,"ui.greting":false}}`, 422, "validation_failed", map[string]string{"locked.ui.greeting": "not_set", "locked.ui.greting": "unknown_key"}},
		{"GET", w.workspace + "/ui.greting", ``, 404, "setting_not_found", nil},
		{"DELETE", w.workspace + "/ui.greting", ``, 404, "setting_not_found", nil},
		{"DELETE", w.domain + "/ui.greeting", ``, 404, "setting_not_set", nil},
	} {
		name := c.method + " " + c.path + " " + c.body
		got := tenancytest.RequireError(t, w.Do(t, "a", c.method, c.path, c.body), c.status, c.code)
		fields := map[string]string{}
		for _, f := range got.Errors {
			fields[f.Field] = f.Code
		}
		if c.fields == nil {
			c.fields = map[string]string{}
		}
		require.Equal(t, c.fields, fields, name)
	}
	all, err := w.store.List(w.A.Ctx)
	require.NoError(t, err)
	for _, x := range all {
		require.Equal(t, settings.SourceSystem, x.Source, "nothing was set")
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"nobody", "GET", w.workspace, ``, 401},
		{"member", "GET", w.workspace, ``, 200},
		{"member", "GET", w.workspace + "/ui.greeting", ``, 200},
		{"workspace admin", "GET", w.company, ``, 403},
		{"workspace admin", "GET", w.company + "/ui.greeting", ``, 403},
		{"member", "GET", w.domain, ``, 200},
		{"member", "PATCH", w.workspace, `{"values":{"ui.greeting":"x"}}`, 403},
		{"workspace admin", "PATCH", w.workspace, `{"values":{"ui.greeting":"x"}}`, 200},
		{"workspace admin", "PATCH", w.company, `{"values":{"ui.greeting":"x"}}`, 403},
		{"member", "DELETE", w.workspace + "/ui.greeting", ``, 403},
		{"workspace admin", "DELETE", w.company + "/ui.greeting", ``, 403},
		{"workspace admin", "DELETE", w.workspace + "/ui.greeting", ``, 204},
		{"a", "PATCH", w.company, `{"values":{"ui.greeting":"x"}}`, 200},
		{"admin", "DELETE", w.company + "/ui.greeting", ``, 204},
	} {
		answer := w.Do(t, c.who, c.method, c.path, c.body)
		require.Equal(t, c.status, answer.Code, "%s %s %s: %s", c.who, c.method, c.path, answer.Body.String())
	}
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, greeting.Set(w.A.CompanyCtx, w.store, "Hi"))
	require.NoError(t, greeting.Set(w.A.WorkspaceCtx, w.store, "Yo"))
	routes := append([]web.Route{}, w.Routes...)
	for i := range routes { // a key is nobody's: only whose value it is differs
		routes[i].Path = strings.ReplaceAll(routes[i].Path, "{setting}", "ui.greeting")
	}
	body := `{"values":{"ui.greeting":"x"}}`
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.Handler, Routes: routes,
		Bodies:     map[string]string{"updateWorkspaceSettings": body, "updateCompanySettings": body},
		Untenanted: []string{"GET /healthz", "GET /readyz", "GET /openapi.json"},
	})
	x, err := w.store.Explain(w.A.Ctx, "ui.greeting")
	require.NoError(t, err)
	require.JSONEq(t, `"Yo"`, string(x.Value))
	own, err := greeting.Get(w.B.Ctx, w.store)
	require.NoError(t, err)
	require.Equal(t, "Hello", own)
	require.ErrorIs(t, w.store.Clear(tenancy.WithTenant(w.B.Ctx, tenancy.Tenant{CompanyID: w.B.CompanyID}), "ui.greeting"), settings.ErrNotSet)
}
