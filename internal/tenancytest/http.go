package tenancytest

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// HTTP serves APIs to principals whose token is their name in Actors: "a" and "b" own the
// two companies, "member" and "workspace admin" belong to the first, "admin" to the
// platform.
type HTTP struct {
	Handler http.Handler
	Routes  []web.Route
	Actors  map[string]tenancy.Actor
}

// Serve returns a server of apis. A nil cfg is legal.
func (e *Env) Serve(t testing.TB, cfg *tenancyhttp.Config, apis ...web.API) *HTTP {
	t.Helper()
	var c tenancyhttp.Config
	if cfg != nil {
		c = *cfg
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	resolver, err := tenancy.NewResolver(e.DB, e.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	h := &HTTP{Actors: e.Actors()}
	server, err := tenancyhttp.NewServer(resolver, h.Principal, &c)
	require.NoError(t, err)
	h.Handler, h.Routes = server.Handler(apis...), server.Routes(apis...)
	return h
}

// Actors returns the principals of HTTP.
func (e *Env) Actors() map[string]tenancy.Actor {
	as := func(role string) tenancy.Actor {
		return tenancy.Actor{ID: role, Type: tenancy.ActorUser, CompanyID: e.A.CompanyID, Role: role}
	}
	return map[string]tenancy.Actor{
		"a": e.A.Actor, "b": e.B.Actor,
		"member": as(access.WorkspaceMember), "workspace admin": as(access.WorkspaceAdmin),
		"admin": {ID: "root", Type: tenancy.ActorAdmin},
	}
}

// Principal says who makes r.
func (h *HTTP) Principal(r *http.Request) (tenancy.Actor, error) {
	if actor, ok := h.Actors[r.Header.Get("Authorization")]; ok {
		return actor, nil
	}
	return tenancy.Actor{}, errors.New("no such token")
}

// Do makes a request as somebody, with a body when there is one.
func (h *HTTP) Do(t testing.TB, who, method, path string, body ...string) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, h.Handler, who, method, path, body...)
}

func do(t testing.TB, handler http.Handler, who, method, path string, body ...string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader = http.NoBody
	if len(body) > 0 {
		reader = strings.NewReader(body[0])
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	r.Header.Set("Authorization", who)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// RequireData reads the answer {"data": T}.
func RequireData[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	var d web.Data[T]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &d), w.Body.String())
	return d.Data
}

// RequireList reads the answer {"data": [...], "meta": {...}}.
func RequireList[T any](t testing.TB, w *httptest.ResponseRecorder) web.List[T] {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var l web.List[T]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &l), w.Body.String())
	return l
}

// RequireError holds an answer to the documented shape of errors.
func RequireError(t testing.TB, w *httptest.ResponseRecorder, status int, code string) web.Error {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var e web.Error
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e), w.Body.String())
	require.Equal(t, []any{status, code}, []any{e.StatusCode, e.Code})
	require.NotEmpty(t, e.Message)
	require.NotContains(t, w.Body.String(), ".go:", "never a stack")
	return e
}
