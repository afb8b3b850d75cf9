package accesshttp_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/access/accesshttp"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	*tenancytest.HTTP
	store *access.Store
	guard *access.Guard

	company, workspace string // company A's paths
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	resolver, err := tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	hierarchy, err := tenancy.NewStore(w.DB, w.Audit, &tenancy.StoreConfig{Resolver: resolver})
	require.NoError(t, err)
	w.guard, err = access.NewGuard(w.DB, nil, nil)
	require.NoError(t, err)
	w.store, err = access.NewStore(w.guard, hierarchy, w.Audit)
	require.NoError(t, err)
	w.HTTP = &tenancytest.HTTP{Actors: w.Env.Actors()}
	server, err := tenancyhttp.NewServer(resolver, w.Principal, &tenancyhttp.Config{Guard: w.guard, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	apis := []web.API{accesshttp.New(w.store, w.guard)}
	w.Handler, w.Routes = server.Handler(apis...), server.Routes(apis...)
	w.company, w.workspace = "/companies/"+w.A.CompanyID.String(), "/workspaces/"+w.A.WorkspaceID.String()
	return w
}

// knows lets somebody, of whom nothing but an id is known, make requests.
func (w *world) knows(names ...string) {
	for _, name := range names {
		w.HTTP.Actors[name] = tenancy.Actor{ID: name, Type: tenancy.ActorUser, CompanyID: w.A.CompanyID}
	}
}

func TestMembersOverHTTP(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.knows("ann", "bob", "olga")
	members := w.workspace + "/members"
	tenancytest.RequireError(t, w.Do(t, "ann", "GET", members), 404, "not_found")
	answer := w.Do(t, "a", "POST", members, `{"actorId":"ann","email":"Ann@Example.com","role":"workspace_admin"}`)
	m := tenancytest.RequireData[access.Member](t, answer, 201)
	require.JSONEq(t, fmt.Sprintf(`{"data":{"actorId":"ann","email":"ann@example.com","role":"workspace_admin","workspaceId":"%s","createdAt":%q}}`,
		w.A.WorkspaceID, m.CreatedAt.Format(time.RFC3339Nano)), answer.Body.String())
	tenancytest.RequireError(t, w.Do(t, "a", "POST", members, `{"actorId":"ann","role":"workspace_admin"}`), 409, "already_member")

	// From then on she works there, and only there.
	require.Len(t, tenancytest.RequireList[access.Member](t, w.Do(t, "ann", "GET", members)).Data, 1)
	tenancytest.RequireData[access.Member](t, w.Do(t, "ann", "POST", members, `{"actorId":"bob","role":"workspace_member"}`), 201)
	tenancytest.RequireError(t, w.Do(t, "bob", "GET", members), 403, "forbidden")
	tenancytest.RequireError(t, w.Do(t, "ann", "GET", w.company+"/members"), 403, "forbidden")
	tenancytest.RequireError(t, w.Do(t, "ann", "POST", w.company+"/members", `{"actorId":"ann","role":"company_owner"}`), 403, "forbidden")
	e := tenancytest.RequireError(t, w.Do(t, "ann", "POST", members, `{"actorId":"x","role":"company_admin"}`), 422, "validation_failed")
	require.Equal(t, []string{"role", "wrong_level"}, []string{e.Errors[0].Field, e.Errors[0].Code})
	for body, fields := range map[string]string{
		`{}`: "actorId role", `{"actorId":"","email":"x","role":"nope"}`: "actorId email role", `{"actorId":"x","role":"workspace_admi"}`: "role",
	} {
		e := tenancytest.RequireError(t, w.Do(t, "a", "POST", members, body), 422, "validation_failed")
		var got []string
		for _, f := range e.Errors {
			got = append(got, f.Field)
		}
		require.Equal(t, fields, strings.Join(got, " "), body)
	}
	tenancytest.RequireError(t, w.Do(t, "a", "POST", members, `{"actorId":"x","role":"workspace_member","workspaceId":"y"}`), 400, "unknown_field")

	require.Equal(t, access.WorkspaceAdmin, tenancytest.RequireData[access.Member](t, w.Do(t, "ann", "PATCH", members+"/bob", `{"role":"workspace_admin"}`), 200).Role)
	require.Equal(t, 200, w.Do(t, "bob", "GET", members).Code, "at once")
	tenancytest.RequireError(t, w.Do(t, "ann", "PATCH", members+"/nobody", `{"role":"workspace_admin"}`), 404, "member_not_found")
	require.Equal(t, 204, w.Do(t, "ann", "DELETE", members+"/bob").Code)
	tenancytest.RequireError(t, w.Do(t, "bob", "GET", members), 404, "not_found")
	tenancytest.RequireError(t, w.Do(t, "ann", "DELETE", members+"/bob"), 404, "member_not_found")

	// An id is the product's own, whatever is in it.
	for _, odd := range []string{"auth0|5/ü %2F?", "https://login.example/users/5", "a//b/", ".", "..", "x/../y", "a;b=c&d#e+f", "日本 語"} {
		body, err := json.Marshal(map[string]string{"actorId": odd, "role": access.WorkspaceMember})
		require.NoError(t, err)
		tenancytest.RequireData[access.Member](t, w.Do(t, "a", "POST", members, string(body)), 201)
		one := members + "/" + strings.ReplaceAll(url.PathEscape(odd), ".", "%2E")
		answer := w.Do(t, "a", "PATCH", one, `{"role":"workspace_admin"}`)
		require.Equal(t, 200, answer.Code, odd)
		require.Equal(t, odd, tenancytest.RequireData[access.Member](t, answer, 200).ActorID)
		require.Equal(t, 204, w.Do(t, "a", "DELETE", one).Code, odd)
	}

	// The company's.
	owner := w.company + "/members/olga"
	tenancytest.RequireData[access.Member](t, w.Do(t, "a", "POST", w.company+"/members", `{"actorId":"olga","role":"company_owner"}`), 201)
	tenancytest.RequireError(t, w.Do(t, "olga", "DELETE", owner), 409, "last_owner")
	tenancytest.RequireError(t, w.Do(t, "admin", "PATCH", owner, `{"role":"company_admin"}`), 409, "last_owner")
	list := tenancytest.RequireList[access.Member](t, w.Do(t, "olga", "GET", w.company+"/members?everywhere=true&pageSize=1"))
	require.Equal(t, "ann", list.Data[0].ActorID)
	require.EqualValues(t, 2, *list.Meta.Total)
	next := tenancytest.RequireList[access.Member](t, w.Do(t, "olga", "GET", w.company+"/members?everywhere=true&cursor="+list.Meta.NextCursor))
	require.Equal(t, "olga", next.Data[0].ActorID)
	require.Len(t, tenancytest.RequireList[access.Member](t, w.Do(t, "olga", "GET", w.company+"/members?everywhere=true&actorId=ann")).Data, 1)
	require.Empty(t, tenancytest.RequireList[access.Member](t, w.Do(t, "olga", "GET", w.company+"/members?actorId=ann")).Data)
	tenancytest.RequireError(t, w.Do(t, "olga", "GET", w.company+"/members?everywhere=yes"), 422, "validation_failed")
}

func TestRolesOverHTTP(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.knows("ann")
	roles := w.company + "/roles"
	answer := w.Do(t, "a", "POST", roles, `{"key":"editor","name":"Editor","level":"workspace","permissions":["recipients.read","recipients.manage"]}`)
	require.Equal(t, 201, answer.Code, answer.Body.String())
	require.JSONEq(t, `{"data":{"key":"editor","name":"Editor","level":"workspace","permissions":["recipients.read","recipients.manage"],"builtIn":false}}`, answer.Body.String())
	tenancytest.RequireError(t, w.Do(t, "a", "POST", roles, `{"key":"editor","level":"workspace","permissions":[]}`), 409, "role_exists")
	e := tenancytest.RequireError(t, w.Do(t, "a", "POST", roles, `{"key":"x","level":"workspace","permissions":["recipients.raed"]}`), 422, "validation_failed")
	require.Equal(t, []string{"permissions[0]", "recipients.read"}, []string{e.Errors[0].Field, e.Errors[0].Suggestion})
	tenancytest.RequireError(t, w.Do(t, "workspace admin", "POST", roles, `{"key":"x","level":"workspace","permissions":[]}`), 403, "forbidden")
	w.HTTP.Actors["adam"] = tenancy.Actor{ID: "adam", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID, Role: access.CompanyAdmin}
	tenancytest.RequireError(t, w.Do(t, "adam", "POST", roles, `{"key":"x","level":"company","permissions":["company_owners.manage"]}`), 403, "exceeds_own_permissions")

	tenancytest.RequireData[access.Member](t, w.Do(t, "a", "POST", w.workspace+"/members", `{"actorId":"ann","role":"editor"}`), 201)
	keys := func(path string) (out []string) {
		for _, r := range tenancytest.RequireList[access.Role](t, w.Do(t, "a", "GET", path)).Data {
			out = append(out, r.Key)
		}
		return out
	}
	require.Equal(t, []string{"company_owner", "company_admin", "workspace_admin", "workspace_member", "editor"}, keys(roles))
	require.Equal(t, []string{"workspace_admin", "workspace_member", "editor"}, keys(w.workspace+"/roles"))
	tenancytest.RequireError(t, w.Do(t, "ann", "GET", w.workspace+"/roles"), 403, "forbidden")

	inUse := w.Do(t, "a", "DELETE", roles+"/editor")
	tenancytest.RequireError(t, inUse, 409, "role_in_use")
	require.Contains(t, inUse.Body.String(), `"members":1`)
	r := tenancytest.RequireData[access.Role](t, w.Do(t, "a", "PATCH", roles+"/editor", `{"permissions":["roles.read"]}`), 200)
	require.Equal(t, []access.Permission{access.RolesRead}, r.Permissions)
	require.Equal(t, 200, w.Do(t, "ann", "GET", w.workspace+"/roles").Code, "at once, for all who have it")
	require.Equal(t, 204, w.Do(t, "a", "DELETE", w.workspace+"/members/ann").Code)
	require.Equal(t, 204, w.Do(t, "a", "DELETE", roles+"/editor").Code)
	tenancytest.RequireError(t, w.Do(t, "a", "PATCH", roles+"/company_owner", `{"name":"x"}`), 404, "role_not_found")

	permissions := tenancytest.RequireList[access.Definition](t, w.Do(t, "a", "GET", w.company+"/permissions")).Data
	require.Equal(t, w.guard.Catalog().Definitions(), permissions)
	require.NotEmpty(t, permissions[0].Summary)
}

func TestMembersOfACompanyAreNobodyElsesBusiness(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.store.CreateRole(w.A.CompanyCtx, access.Role{Key: "editor", Level: access.LevelWorkspace})
	require.NoError(t, err)
	for _, ctx := range []struct {
		of   *tenancytest.Company
		role string
	}{{w.A, "editor"}, {w.B, access.WorkspaceMember}} {
		_, err = w.store.AddMember(ctx.of.WorkspaceCtx, access.NewMember{ActorID: "in " + ctx.of.Actor.ID, Role: ctx.role})
		require.NoError(t, err)
	}
	before := w.Do(t, "a", "GET", w.company+"/members?everywhere=true").Body.String()
	const add, role = `{"actorId":"intruder","role":"workspace_member"}`, `{"role":"workspace_member"}`
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.Handler, Routes: w.Routes,
		Values: map[string]string{"actorID": url.PathEscape("in " + w.A.Actor.ID), "key": "editor"},
		Bodies: map[string]string{
			"addMember": add, "addCompanyMember": add, "updateMember": role, "updateCompanyMember": role,
			"createRole": `{"key":"mine","level":"company","permissions":[]}`, "updateRole": `{"name":"Mine"}`,
		},
		Untenanted: []string{"GET /openapi.json", "GET /healthz", "GET /readyz"},
	})
	require.Equal(t, before, w.Do(t, "a", "GET", w.company+"/members?everywhere=true").Body.String(), "nothing was changed")
	roles, err := w.store.Roles(w.A.CompanyCtx)
	require.NoError(t, err)
	require.Equal(t, "editor", roles[4].Name)
}

func TestRequire(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.store.AddMember(w.A.WorkspaceCtx, access.NewMember{ActorID: "ann", Role: access.WorkspaceMember})
	require.NoError(t, err)
	reached := 0
	handler := accesshttp.Require(w.guard, access.RecipientsRead)(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		reached++
		rw.WriteHeader(http.StatusNoContent)
	}))
	serve := func(actor tenancy.Actor) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(tenancy.WithActor(w.A.WorkspaceCtx, actor), http.MethodGet, "/", http.NoBody)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		return rec
	}
	ann := tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID}
	require.Equal(t, 204, serve(ann).Code)
	require.Equal(t, 204, serve(tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}).Code)
	tenancytest.RequireError(t, serve(tenancy.Actor{ID: "bob", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID}), 404, "not_found")
	tenancytest.RequireError(t, serve(w.B.Actor), 404, "not_found")
	tenancytest.RequireError(t, serve(tenancy.Actor{Type: tenancy.ActorSystem}), 401, "unauthenticated")
	nobody := httptest.NewRecorder()
	handler.ServeHTTP(nobody, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	tenancytest.RequireError(t, nobody, 401, "unauthenticated")
	manage := accesshttp.Require(w.guard, access.RecipientsManage)(handler)
	forbidden := httptest.NewRecorder()
	manage.ServeHTTP(forbidden, httptest.NewRequestWithContext(tenancy.WithActor(w.A.WorkspaceCtx, ann), http.MethodGet, "/", http.NoBody))
	tenancytest.RequireError(t, forbidden, 403, "forbidden")
	require.Equal(t, 2, reached)
}
