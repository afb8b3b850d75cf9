package tenancytest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
)

// Isolation is what RequireIsolation needs to know.
type Isolation struct {
	// Handler serves Routes (tenancyhttp.Server.Routes) below Prefix. Its principal
	// function takes the tokens of HTTP: HTTP.Principal is one.
	Handler http.Handler
	Routes  []web.Route
	Prefix  string
	// Values are the values of the path parameters below the tenant, such as the id of a
	// recipient, of things that are there in the domain of company A.
	Values map[string]string
	// Bodies holds a body that the route of that Name accepts. Otherwise it is {}.
	Bodies map[string]string
	// Untenanted lists the routes, as "METHOD /path", that name no tenant. Each of them
	// has to be protected in a way of its own.
	Untenanted []string
}

var (
	pathParameter = regexp.MustCompile(`\{(\w+)(?:\.\.\.)?\}`)
	tenantIDs     = []string{"companyID", "workspaceID", "domainID"}
)

// RequireIsolation holds every route to this: to company B everything of company A is
// not there. Whichever ids of a path are A's, the answer is 404, and byte for byte the
// one that ids give that nobody has. What is A's is there for A. The caller looks
// afterwards whether anything was changed.
func (e *Env) RequireIsolation(t *testing.T, in Isolation) {
	t.Helper()
	theirs, own, absent := map[string]string{}, map[string]string{}, map[string]string{}
	for i, name := range tenantIDs {
		theirs[name] = []string{e.A.CompanyID.String(), e.A.WorkspaceID.String(), e.A.DomainID.String()}[i]
		own[name] = []string{e.B.CompanyID.String(), e.B.WorkspaceID.String(), e.B.DomainID.String()}[i]
		absent[name] = "01900000-0000-7000-8000-000000000000"
	}
	for name, value := range in.Values {
		theirs[name], own[name], absent[name] = value, value, "absent"
		if len(value) == 36 {
			absent[name] = "01900000-0000-7000-8000-000000000000"
		}
	}
	var untenanted []string
	for _, rt := range in.Routes {
		names := parameters(rt)
		if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(tenantIDs, n) }) {
			untenanted = append(untenanted, rt.Method+" "+rt.Path)
			continue
		}
		for _, name := range names {
			require.Contains(t, theirs, name, "%s %s: Values must have a %s of company A", rt.Method, rt.Path, name)
		}
		t.Run(rt.Method+" "+rt.Path, func(t *testing.T) { in.route(t, rt, names, theirs, own, absent) })
	}
	require.ElementsMatch(t, in.Untenanted, untenanted, "routes that name no tenant")
}

func (in Isolation) route(t *testing.T, rt web.Route, names []string, theirs, own, absent map[string]string) {
	t.Helper()
	ask := func(who string, values map[string]string) (int, string) {
		path := pathParameter.ReplaceAllStringFunc(rt.Path, func(p string) string { return values[strings.Trim(p, "{}.")] })
		body := in.Bodies[rt.Name]
		if body == "" {
			body = `{}`
		}
		w := do(t, in.Handler, who, rt.Method, in.Prefix+path, body)
		return w.Code, w.Body.String()
	}
	hidden := func(theirs, absent map[string]string, what string) {
		status, got := ask("b", theirs)
		require.Equal(t, http.StatusNotFound, status, "%s of company A: %s", what, got)
		_, nothing := ask("b", absent)
		require.Equal(t, nothing, got, "%s: the answer tells what is there", what)
	}
	if rt.Reads() && rt.Method == http.MethodGet && rt.ContentType != "text/event-stream" {
		status, got := ask("a", theirs)
		require.NotEqual(t, http.StatusNotFound, status, "company A must have what it is about: %s", got)
	}
	hidden(theirs, absent, "everything")
	if len(names) == 1 {
		return
	}
	for _, name := range names {
		with := func(value string) map[string]string {
			mixed := map[string]string{}
			for n, v := range own {
				mixed[n] = v
			}
			mixed[name] = value
			return mixed
		}
		hidden(with(theirs[name]), with(absent[name]), name)
	}
}

func parameters(rt web.Route) []string {
	var names []string
	for _, m := range pathParameter.FindAllStringSubmatch(rt.Path, -1) {
		names = append(names, m[1])
	}
	return names
}
