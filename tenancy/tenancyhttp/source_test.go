package tenancyhttp_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// product is a product's own mux behind Protect. It answers with what the context holds.
func product(t *testing.T, sources ...tenancyhttp.Source) *world {
	t.Helper()
	w := open(t, tenancyhttp.Config{Sources: sources})
	say := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tenant, _ := tenancy.TenantFrom(r.Context())
		_ = web.WriteJSON(rw, http.StatusOK, map[string]any{
			"level": tenant.Level().String(), "company": tenant.CompanyID, "domain": tenant.DomainID, "actor": tenancy.ActorFrom(r.Context()).ID,
		})
	})
	mux := http.NewServeMux()
	mux.Handle("/campaigns", w.server.Protect(access.RecipientsRead, say))
	mux.Handle("/domains/{domainID}/campaigns", w.server.Protect(access.RecipientsRead, say))
	w.handler = mux
	return w
}

func TestSourcesOfTheTenant(t *testing.T) {
	t.Parallel()
	w := product(t, tenancyhttp.FromPath, tenancyhttp.FromHeader(tenancy.LevelDomain, "X-Domain-Id"),
		tenancyhttp.FromHost("app.example.com"),
		func(r *http.Request) (tenancyhttp.Named, error) { // a product's own: a cookie
			c, err := r.Cookie("company")
			if err != nil {
				return tenancyhttp.Named{}, nil
			}
			id, err := tenancy.ParseID[tenancy.Company](c.Value)
			return tenancyhttp.Named{CompanyID: id}, err
		})
	own, err := w.store.Company(w.A.CompanyCtx)
	require.NoError(t, err)
	other, err := w.store.Company(w.B.CompanyCtx)
	require.NoError(t, err)
	inPath := func(c string) string { return "/domains/" + c + "/campaigns" }
	a, b := w.A.DomainID.String(), w.B.DomainID.String()
	company := func(id tenancy.CompanyID) string { return "company=" + id.String() }

	for name, c := range map[string]struct {
		who, path, host, header, cookie string
		level, code                     string // of the answer
	}{
		"none":                              {level: "none"},
		"path":                              {path: inPath(a), level: "domain"},
		"header":                            {header: a, level: "domain"},
		"host":                              {host: own.Slug + ".app.example.com", level: "company"},
		"host in capitals, dot and port":    {host: "COMPANY-1.App.Example.com.:8443", level: "company"},
		"a function":                        {cookie: company(w.A.CompanyID), level: "company"},
		"all, agreeing":                     {path: inPath(a), header: a, host: own.Slug + ".app.example.com", cookie: company(w.A.CompanyID), level: "domain"},
		"the host is the base":              {host: "app.example.com", level: "none"},
		"another host":                      {host: "company-1.app.example.com.evil.example", level: "none"},
		"a slug that nobody has":            {host: "nobody.app.example.com", code: "not_found"},
		"no slug":                           {host: "a.b.app.example.com", code: "not_found"},
		"a header that is no id":            {header: "x", code: "not_found"},
		"somebody else's path":              {path: inPath(b), code: "not_found"},
		"somebody else's header":            {header: b, code: "not_found"},
		"somebody else's host":              {host: other.Slug + ".app.example.com", code: "not_found"},
		"own path, somebody else's header":  {path: inPath(a), header: b, code: "not_found"},
		"own header, somebody else's host":  {header: a, host: other.Slug + ".app.example.com", code: "not_found"},
		"own path, somebody else's cookie":  {path: inPath(a), cookie: company(w.B.CompanyID), code: "not_found"},
		"a platform admin and two mixed up": {who: "admin", path: inPath(a), header: b, code: "tenant_mismatch"},
		"an admin, host and path mixed up":  {who: "admin", path: inPath(a), host: other.Slug + ".app.example.com", code: "tenant_mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.path == "" {
				c.path = "/campaigns"
			}
			if c.who == "" {
				c.who = "a"
			}
			r := w.request(t, c.who, http.MethodGet, c.path)
			if c.host != "" {
				r.Host = c.host
			}
			if c.header != "" {
				r.Header.Set("X-Domain-Id", c.header)
			}
			if c.cookie != "" {
				r.Header.Set("Cookie", c.cookie)
			}
			rec := w.serve(r)
			switch c.code {
			case "":
				require.Equal(t, 200, rec.Code, rec.Body)
				require.Contains(t, rec.Body.String(), `"level":"`+c.level+`"`)
				if c.level != "none" {
					require.Contains(t, rec.Body.String(), w.A.CompanyID.String())
				}
			case "tenant_mismatch":
				requireError(t, rec, 400, c.code)
			default:
				requireError(t, rec, 404, c.code)
			}
		})
	}

	t.Run("a header twice", func(t *testing.T) {
		t.Parallel()
		r := w.request(t, "a", http.MethodGet, "/campaigns")
		r.Header["X-Domain-Id"] = []string{a, a}
		require.Equal(t, 200, w.serve(r).Code)
		r.Header["X-Domain-Id"] = []string{a, b}
		requireError(t, w.serve(r), 400, "tenant_mismatch")
	})
	t.Run("two domains of one company", func(t *testing.T) {
		t.Parallel()
		second, err := tenancy.DomainFrom(w.Domain(t, w.A, "second.example"))
		require.NoError(t, err)
		r := w.request(t, "a", http.MethodGet, inPath(a))
		r.Header.Set("X-Domain-Id", second.DomainID.String())
		requireError(t, w.serve(r), 400, "tenant_mismatch")
	})
}

// Whoever is nobody does not learn from the server's own routes which companies there are, nor
// how they are.
func TestOwnRoutesTellOfNoTenant(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{Sources: []tenancyhttp.Source{tenancyhttp.FromPath, tenancyhttp.FromHost("app.example.com")}})
	_, err := w.store.SetCompanySuspended(w.A.CompanyCtx, true)
	require.NoError(t, err)
	for _, p := range []string{"/healthz", "/readyz", "/openapi.json"} {
		for _, slug := range []string{"company-1", "company-2", "nobody"} {
			r := w.request(t, "", http.MethodGet, p)
			r.Host = slug + ".app.example.com"
			require.Equal(t, 200, w.serve(r).Code, "%s at %s", p, slug)
		}
	}
}

func TestProtect(t *testing.T) {
	t.Parallel()
	w := product(t, tenancyhttp.FromPath)
	mine := "/domains/" + w.A.DomainID.String() + "/campaigns"
	requireError(t, w.do(t, "", http.MethodGet, mine), 401, "unauthenticated")
	requireError(t, w.do(t, "b", http.MethodGet, mine), 404, "not_found")
	requireError(t, w.do(t, "stranger", http.MethodGet, mine), 404, "not_found")
	rec := w.do(t, "member", http.MethodGet, mine)
	require.Equal(t, 200, rec.Code, rec.Body)
	require.Contains(t, rec.Body.String(), `"actor":"m"`)
	require.NotEmpty(t, rec.Header().Get("X-Request-Id"))
	require.Equal(t, 200, w.do(t, "member", http.MethodGet, "/campaigns").Code, "what its role allows, without a tenant")
	w.actors["nowhere"] = tenancy.Actor{ID: "n", Type: tenancy.ActorUser, Role: access.CompanyOwner}
	requireError(t, w.do(t, "nowhere", http.MethodGet, "/campaigns"), 403, "forbidden") // of no company, its role counts nowhere

	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
		return w.store.SetSubscriptionTx(w.A.CompanyCtx, tx, "free", tenancy.AccessReadOnly)
	}))
	require.Equal(t, 200, w.do(t, "a", http.MethodGet, mine).Code)
	requireError(t, w.do(t, "a", http.MethodPost, mine), 403, "subscription_read_only")
}
