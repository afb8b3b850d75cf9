package tenancyhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// probe is a route that only says which tenant and actor it ran with.
func probe(method, path string, more func(*web.Route)) web.Route {
	rt := web.Route{Method: method, Path: path, Name: method + path, Handle: func(w http.ResponseWriter, r *http.Request) error {
		t, err := tenancy.TenantFrom(r.Context())
		if err != nil {
			return err
		}
		return web.WriteData(w, http.StatusOK, map[string]any{"tenant": t, "actor": tenancy.ActorFrom(r.Context())})
	}}
	if more != nil {
		more(&rt)
	}
	return rt
}

func TestNobodySeesAnotherCompany(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{},
		probe(http.MethodGet, "/domains/{domainID}/probe", nil),
		probe(http.MethodPost, "/domains/{domainID}/probe", nil),
		probe(http.MethodGet, "/companies/{companyID}/deep/{workspaceID}/{domainID}", nil))
	nobody := tenancy.NewID[tenancy.Domain]().String()
	all := append(tenancyhttp.New(w.store).Routes(),
		probe(http.MethodGet, "/domains/{domainID}/probe", nil),
		probe(http.MethodPost, "/domains/{domainID}/probe", nil),
		probe(http.MethodGet, "/companies/{companyID}/deep/{workspaceID}/{domainID}", nil))
	checked := 0
	for _, rt := range all {
		if !strings.Contains(rt.Path, "{") {
			continue
		}
		checked++
		absent := w.do(t, "b", rt.Method, strings.NewReplacer("{companyID}", nobody, "{workspaceID}", nobody, "{domainID}", nobody).Replace(rt.Path), `{}`)
		requireError(t, absent, 404, "not_found")
		for _, who := range []string{"b", "nowhere"} {
			foreign := w.do(t, who, rt.Method, path(rt.Path, w.A), `{}`)
			requireError(t, foreign, 404, "not_found")
			require.Equal(t, absent.Body.String(), foreign.Body.String(), "%s %s tells what is there", rt.Method, rt.Path)
		}
		for _, bad := range []string{"x", strings.Repeat("0", 36), "00000000-0000-0000-0000-000000000000"} {
			malformed := w.do(t, "b", rt.Method, strings.NewReplacer("{companyID}", bad, "{workspaceID}", bad, "{domainID}", bad).Replace(rt.Path), `{}`)
			require.Equal(t, absent.Body.String(), malformed.Body.String())
		}
	}
	require.Equal(t, 19, checked)
	got := data[tenancy.Company](t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}", w.A)), 200)
	require.Equal(t, "Company 1", got.Name, "nothing was changed or deleted")
}

func TestIDsOfAPathMustAgree(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, probe(http.MethodGet, "/companies/{companyID}/deep/{workspaceID}/{domainID}", nil),
		probe(http.MethodGet, "/companies/{companyID}/up/{workspaceID}", nil))
	deep := "/companies/{companyID}/deep/{workspaceID}/{domainID}"
	require.Equal(t, 200, w.do(t, "a", http.MethodGet, path(deep, w.A)).Code)
	other, err := w.store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other"})
	require.NoError(t, err)
	for _, p := range []string{
		path("/companies/"+w.B.CompanyID.String()+"/deep/{workspaceID}/{domainID}", w.A),
		path("/companies/{companyID}/deep/"+w.B.WorkspaceID.String()+"/{domainID}", w.A),
		path("/companies/{companyID}/deep/"+other.ID.String()+"/{domainID}", w.A),
		path("/companies/{companyID}/deep/{workspaceID}/"+w.B.DomainID.String(), w.A),
		path("/companies/"+w.B.CompanyID.String()+"/up/{workspaceID}", w.A),
	} {
		for _, who := range []string{"a", "b", "admin"} {
			requireError(t, w.do(t, who, http.MethodGet, p), 404, "not_found")
		}
	}
}

func TestRolesDecide(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	read := 0
	for _, rt := range tenancyhttp.New(w.store).Routes() {
		p := path(rt.Path, w.A)
		if strings.Contains(rt.Path, "{") {
			requireError(t, w.do(t, "stranger", rt.Method, p, `{}`), 404, "not_found")
		} else {
			requireError(t, w.do(t, "stranger", rt.Method, p, `{}`), 403, "forbidden")
		}
		if rt.Reads() && access.Allows(access.WorkspaceMember, access.Permission(rt.Permission)) {
			read++
			require.Equal(t, 200, w.do(t, "member", rt.Method, p).Code, p)
			continue
		}
		requireError(t, w.do(t, "member", rt.Method, p, `{}`), 403, "forbidden")
	}
	require.Equal(t, 5, read, "the company, its features, the workspace, its domains, one of them")
	requireError(t, w.do(t, "a", http.MethodPost, "/companies", `{"name":"X"}`), 403, "forbidden")
	requireError(t, w.do(t, "a", http.MethodGet, "/companies"), 403, "forbidden")
}

func TestStateOfTheTenantDecides(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, probe(http.MethodPost, "/domains/{domainID}/write", nil),
		probe(http.MethodPost, "/domains/{domainID}/search", func(rt *web.Route) { rt.Read = true }),
		probe(http.MethodGet, "/domains/{domainID}/read", nil),
		probe(http.MethodGet, "/domains/{domainID}/usage", func(rt *web.Route) { rt.WhenBlocked = true }),
		probe(http.MethodPost, "/domains/{domainID}/buy", func(rt *web.Route) { rt.WhenBlocked = true }),
		probe(http.MethodPost, "/domains/{domainID}/cancel-move", func(rt *web.Route) { rt.WhileMoving = true }))
	status := func(method, p string) int { return w.do(t, "a", method, path("/domains/{domainID}"+p, w.A)).Code }
	three := func() []int {
		return []int{status(http.MethodPost, "/write"), status(http.MethodPost, "/search"), status(http.MethodGet, "/read")}
	}
	subscribe := func(a tenancy.Access) {
		require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
			return w.store.SetSubscriptionTx(w.A.CompanyCtx, tx, "enterprise", a)
		}))
	}
	require.Equal(t, []int{200, 200, 200}, three())
	subscribe(tenancy.AccessReadOnly)
	require.Equal(t, []int{403, 200, 200}, three())
	requireError(t, w.do(t, "a", http.MethodPatch, path("/companies/{companyID}", w.A), `{"name":"x"}`), 403, "subscription_read_only")
	subscribe(tenancy.AccessBlocked)
	require.Equal(t, []int{403, 403, 403}, three())
	require.Equal(t, 200, status(http.MethodGet, "/usage"))
	require.Equal(t, 403, status(http.MethodPost, "/buy"), "only reads get through")
	requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}", w.A)), 403, "subscription_blocked")
	subscribe(tenancy.AccessFull)
	_, err := w.store.SetCompanySuspended(w.A.CompanyCtx, true)
	require.NoError(t, err)
	require.Equal(t, []int{403, 403, 403}, three())
	require.Equal(t, 403, status(http.MethodGet, "/usage"))
	requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}", w.A)), 403, "suspended")
	requireError(t, w.do(t, "b", http.MethodGet, path("/companies/{companyID}", w.A)), 404, "not_found")
	_, err = w.store.SetCompanySuspended(w.A.CompanyCtx, false)
	require.NoError(t, err)
	require.Equal(t, []int{200, 200, 200}, three())

	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE strata.domains SET moving_since = now() WHERE company_id = $1`, w.A.CompanyID)
		if err != nil {
			return err
		}
		return w.store.SetSubscriptionTx(w.A.CompanyCtx, tx, "enterprise", tenancy.AccessFull) // and the resolver hears of it
	}))
	require.Equal(t, []int{423, 200, 200}, three(), "a domain that moves is read")
	require.Equal(t, 200, status(http.MethodPost, "/cancel-move"))
	requireError(t, w.do(t, "a", http.MethodPost, path("/domains/{domainID}/write", w.A)), 423, "domain_moving")
}

func TestContextOfAHandler(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, probe(http.MethodGet, "/domains/{domainID}/who", nil),
		probe(http.MethodGet, "/workspaces/{workspaceID}/public", func(rt *web.Route) { rt.Public = true }))
	type seen struct {
		Tenant tenancy.Tenant `json:"tenant"`
		Actor  tenancy.Actor  `json:"actor"`
	}
	r := w.request(t, "a", http.MethodGet, path("/domains/{domainID}/who", w.A))
	r.RemoteAddr = "[2001:db8::7]:1234"
	r.Header.Set("User-Agent", "test/1")
	r.Header.Set("X-Request-Id", "abc-1")
	got := data[seen](t, w.serve(r), 200)
	require.Equal(t, []any{w.A.CompanyID, w.A.WorkspaceID, w.A.DomainID}, []any{got.Tenant.CompanyID, got.Tenant.WorkspaceID, got.Tenant.DomainID})
	want := w.A.Actor
	want.IP, want.UserAgent, want.RequestID = "2001:db8::7", "test/1", "abc-1"
	require.Equal(t, want, got.Actor)

	behindProxy := w.A.Actor
	behindProxy.IP = "203.0.113.9"
	w.actors["proxied"] = behindProxy
	require.Equal(t, "203.0.113.9", data[seen](t, w.do(t, "proxied", http.MethodGet, path("/domains/{domainID}/who", w.A)), 200).Actor.IP)

	got = data[seen](t, w.do(t, "", http.MethodGet, path("/workspaces/{workspaceID}/public", w.A)), 200)
	require.Equal(t, w.A.WorkspaceID, got.Tenant.WorkspaceID, "a public route knows its tenant")
	require.Equal(t, "192.0.2.1", got.Actor.IP)
}
