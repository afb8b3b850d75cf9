package tenancyhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func page[T any](t *testing.T, rec *httptest.ResponseRecorder) web.List[T] {
	t.Helper()
	require.Equal(t, 200, rec.Code, rec.Body.String())
	var l web.List[T]
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &l))
	return l
}

func TestCompanies(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	c := data[tenancy.Company](t, w.do(t, "admin", http.MethodPost, "/companies", `{"name":"Acme GmbH","plan":"free"}`), 201)
	require.Equal(t, []any{"acme-gmbh", "free", tenancy.AccessFull}, []any{c.Slug, c.Plan, c.Access})
	requireError(t, w.do(t, "admin", http.MethodPost, "/companies", `{"name":"Acme GmbH"}`), 409, "already_exists")
	requireError(t, w.do(t, "admin", http.MethodPost, "/companies", `{"name":"X","plan":"none"}`), 422, "validation_failed")
	url := "/companies/" + c.ID.String()
	require.Equal(t, c, data[tenancy.Company](t, w.do(t, "admin", http.MethodGet, url), 200))
	require.Equal(t, "New", data[tenancy.Company](t, w.do(t, "admin", http.MethodPatch, url, `{"name":" New "}`), 200).Name)

	require.JSONEq(t, `{"data":{"domainSwitcher":false,"persons":false,"workspaceSwitcher":false,"companyLibrary":false,"blueprints":false,"companyDefaults":false,"crossWorkspaceReports":false}}`,
		w.do(t, "admin", http.MethodGet, url+"/features").Body.String())
	data[tenancy.Workspace](t, w.do(t, "admin", http.MethodPost, url+"/workspaces", `{"name":"One"}`), 201)
	requireError(t, w.do(t, "admin", http.MethodPost, url+"/workspaces", `{"name":"Two"}`), 402, "limit_exceeded")

	rec := w.do(t, "admin", http.MethodDelete, url)
	require.Equal(t, 204, rec.Code)
	require.Empty(t, rec.Body.String())
	requireError(t, w.do(t, "admin", http.MethodGet, url), 404, "not_found")
}

func TestWorkspacesAndDomains(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{Prefix: "/api/v1"})
	company := path("/api/v1/companies/{companyID}", w.A)
	ws := data[tenancy.Workspace](t, w.do(t, "a", http.MethodPost, company+"/workspaces", `{"name":"EMEA","slug":"emea"}`), 201)
	require.Equal(t, w.A.CompanyID, ws.CompanyID)
	requireError(t, w.do(t, "a", http.MethodPost, company+"/workspaces", `{"name":"EMEA","slug":"emea"}`), 409, "already_exists")

	first := page[tenancy.Workspace](t, w.do(t, "a", http.MethodGet, company+"/workspaces?pageSize=1"))
	require.Len(t, first.Data, 1)
	require.Equal(t, web.Meta{Total: web.Total(2), Page: 1, PageSize: 1, HasMore: true, NextCursor: w.A.WorkspaceID.String()}, first.Meta)
	second := page[tenancy.Workspace](t, w.do(t, "a", http.MethodGet, company+"/workspaces?pageSize=1&cursor="+first.Meta.NextCursor))
	require.Equal(t, ws.ID, second.Data[0].ID)
	require.Nil(t, second.Meta.Total)
	require.Equal(t, second.Data, page[tenancy.Workspace](t, w.do(t, "a", http.MethodGet, company+"/workspaces?pageSize=1&page=2")).Data)

	url := "/api/v1/workspaces/" + ws.ID.String()
	require.Equal(t, "EMEA", data[tenancy.Workspace](t, w.do(t, "member", http.MethodGet, url), 200).Name)
	require.Equal(t, "Europe", data[tenancy.Workspace](t, w.do(t, "a", http.MethodPatch, url, `{"name":"Europe"}`), 200).Name)

	empty := w.do(t, "a", http.MethodGet, url+"/domains")
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, empty.Body.String())
	d := data[tenancy.Domain](t, w.do(t, "a", http.MethodPost, url+"/domains", `{"domainName":"Example.COM."}`), 201)
	require.Equal(t, "example.com", d.DomainName)
	requireError(t, w.do(t, "a", http.MethodPost, url+"/domains", `{"domainName":"example.com"}`), 409, "already_exists")
	e := requireError(t, w.do(t, "a", http.MethodPost, url+"/domains", `{"domainName":"nope"}`), 422, "validation_failed")
	require.Equal(t, "domainName", e.Errors[0].Field)
	require.Equal(t, d.ID, page[tenancy.Domain](t, w.do(t, "member", http.MethodGet, url+"/domains")).Data[0].ID)

	require.Equal(t, 204, w.do(t, "a", http.MethodDelete, url).Code)
	requireError(t, w.do(t, "a", http.MethodGet, url), 404, "not_found")
	requireError(t, w.do(t, "a", http.MethodGet, url+"/domains"), 404, "not_found")
}
