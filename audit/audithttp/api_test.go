package audithttp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/audit/audithttp"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// serve returns a function that makes a GET request as one of the named actors.
func serve(t *testing.T, e *tenancytest.Env) func(who, path string) *httptest.ResponseRecorder {
	t.Helper()
	resolver, err := tenancy.NewResolver(e.DB, e.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	as := func(role string) tenancy.Actor {
		return tenancy.Actor{ID: role, Type: tenancy.ActorUser, CompanyID: e.A.CompanyID, Role: role}
	}
	actors := map[string]tenancy.Actor{
		"a": e.A.Actor, "b": e.B.Actor, "member": as(access.WorkspaceMember), "workspace admin": as(access.WorkspaceAdmin),
	}
	server, err := tenancyhttp.NewServer(resolver, func(r *http.Request) (tenancy.Actor, error) {
		if actor, ok := actors[r.Header.Get("Authorization")]; ok {
			return actor, nil
		}
		return tenancy.Actor{}, errors.New("no such token")
	}, nil)
	require.NoError(t, err)
	handler := server.Handler(audithttp.New(e.Audit))
	return func(who, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", who)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
}

func list(t *testing.T, w *httptest.ResponseRecorder) web.List[audit.Entry] {
	t.Helper()
	require.Equal(t, 200, w.Code, w.Body.String())
	var l web.List[audit.Entry]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &l))
	return l
}

func TestWhoReadsTheTrail(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	get := serve(t, e)
	workspace := "/workspaces/" + e.A.WorkspaceID.String() + "/audit"
	company := "/companies/" + e.A.CompanyID.String() + "/audit"
	for _, c := range []struct {
		who    string
		path   string
		status int
	}{
		{"", workspace, 401},
		{"", company, 401},
		{"b", workspace, 404},
		{"b", company, 404},
		{"member", workspace, 403},
		{"member", company, 403},
		{"workspace admin", workspace, 200},
		{"workspace admin", company, 403},
		{"a", workspace, 200},
		{"a", company, 200},
		{"a", company + "?page=x", 422},
		{"a", company + "?status=maybe", 422},
		{"a", company + "?from=yesterday", 422},
		{"a", company + "?actorId=%00", 422},
		{"a", company + "?pageSize=501", 422},
		{"a", company + "?cursor=x", 400},
	} {
		require.Equal(t, c.status, get(c.who, c.path).Code, "%s %s", c.who, c.path)
	}
}

func TestDescribed(t *testing.T) {
	t.Parallel()
	w := serve(t, tenancytest.Open(t))("", "/openapi.json")
	require.Equal(t, 200, w.Code)
	for _, name := range []string{"page", "cursor", "actorId", "resourceType", "from", "to"} {
		require.Contains(t, w.Body.String(), `"name":"`+name+`","in":"query"`)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	get := serve(t, e)
	_, err := e.Store.RenameWorkspace(e.A.WorkspaceCtx, e.A.WorkspaceID, "Renamed")
	require.NoError(t, err)
	company := "/companies/" + e.A.CompanyID.String() + "/audit"
	workspace := "/workspaces/" + e.A.WorkspaceID.String() + "/audit"

	all := list(t, get("a", company))
	require.Equal(t, int64(len(all.Data)), *all.Meta.Total)
	require.Equal(t, "workspace.renamed", all.Data[0].Action, "newest first")
	require.Equal(t, e.A.Actor.ID, all.Data[0].ActorID)
	inWorkspace := list(t, get("a", workspace))
	require.Less(t, len(inWorkspace.Data), len(all.Data), "a workspace sees only its own")
	for _, entry := range all.Data {
		require.Equal(t, e.A.CompanyID, entry.CompanyID)
	}

	filter := func(name, value string) web.List[audit.Entry] {
		return list(t, get("a", company+"?"+url.Values{name: {value}}.Encode()))
	}
	newest := all.Data[0]
	at := newest.OccurredAt.Format(time.RFC3339Nano)
	for name, value := range map[string]string{
		"actorId": e.A.Actor.ID, "action": "workspace.renamed", "from": at,
	} {
		got := filter(name, value)
		require.Len(t, got.Data, 1, name)
		require.Equal(t, newest, got.Data[0], name)
	}
	require.Len(t, filter("to", at).Data, len(all.Data)-1)
	require.Len(t, filter("resourceId", newest.ResourceID).Data, 2, "created and renamed")
	require.Len(t, filter("resourceType", "company").Data, 1)
	require.Len(t, filter("status", "success").Data, len(all.Data))
	none := get("a", company+"?status=failure")
	require.JSONEq(t, `{"data":[],"meta":{"total":0,"page":1,"pageSize":50,"hasMore":false}}`, none.Body.String())

	var walked []audit.Entry
	for cursor := ""; ; {
		page := list(t, get("a", company+"?pageSize=1&cursor="+cursor))
		walked = append(walked, page.Data...)
		if cursor = page.Meta.NextCursor; !page.Meta.HasMore {
			break
		}
	}
	require.Equal(t, all.Data, walked)
	require.Equal(t, all.Data[1:2], list(t, get("a", company+"?pageSize=1&page=2")).Data)
}
