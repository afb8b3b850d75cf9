package tenancyhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	_, err := tenancyhttp.NewServer(nil, nil, nil)
	require.Error(t, err)
	principal := func(*http.Request) (tenancy.Actor, error) { return tenancy.Actor{}, nil }
	for _, prefix := range []string{"/", "api", "/api/", "/{x}", "/a b"} {
		_, err = tenancyhttp.NewServer(new(tenancy.Resolver), principal, &tenancyhttp.Config{Prefix: prefix})
		require.Error(t, err, prefix)
	}
	_, err = tenancyhttp.NewServer(new(tenancy.Resolver), principal, &tenancyhttp.Config{MaxBody: -1})
	require.Error(t, err)
}

func TestNoPrincipal(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	for _, rt := range tenancyhttp.New(w.store).Routes() {
		for _, who := range []string{"", "unknown", "zero"} {
			rec := w.do(t, who, rt.Method, path(rt.Path, w.A))
			requireError(t, rec, 401, "unauthenticated")
			require.Equal(t, "Bearer", rec.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestNoRoute(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{Prefix: "/api"})
	for _, p := range []string{"/", "/api", "/api/", "/api/nothing", "/companies"} {
		requireError(t, w.do(t, "a", http.MethodGet, p), 404, "not_found")
	}
	company := path("/companies/{companyID}", w.A)
	for _, p := range []string{"//api" + company, "/api//" + company, "/api/x/.." + company, "/api" + company + "/"} {
		requireError(t, w.do(t, "a", http.MethodGet, p), 404, "not_found") // not a redirect in HTML
	}
	rec := w.do(t, "a", http.MethodPut, "/api"+path("/companies/{companyID}", w.A))
	requireError(t, rec, 405, "method_not_allowed")
	require.Equal(t, "DELETE, GET, HEAD, PATCH", rec.Header().Get("Allow"))
	require.NotEmpty(t, rec.Header().Get("X-Request-Id"))
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	echo := func(id string) string {
		r := w.request(t, "a", http.MethodGet, "/healthz")
		r.Header.Set("X-Request-Id", id)
		return w.serve(r).Header().Get("X-Request-Id")
	}
	require.Equal(t, "req-1", echo("req-1"))
	require.Equal(t, strings.Repeat("x", 128), echo(strings.Repeat("x", 128)))
	for _, bad := range []string{"", strings.Repeat("x", 129), "a b", "a\x00", "ä", "a\n"} {
		got := echo(bad)
		require.Len(t, got, 36)
		require.NotEqual(t, got, echo(bad), "each request has its own")
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{MaxBody: 100})
	post := func(body string) *httptest.ResponseRecorder {
		return w.do(t, "a", http.MethodPost, path("/companies/{companyID}/workspaces", w.A), body)
	}
	e := requireError(t, post(`{"name":"X","colour":"red"}`), 400, "unknown_field")
	require.Equal(t, "colour", e.Errors[0].Field)
	requireError(t, post(`{"name":`), 400, "malformed")
	requireError(t, post(``), 400, "malformed")
	requireError(t, post(`{"name":"X"} 1`), 400, "trailing_data")
	requireError(t, post(`{"name":"X","slug":"\u0000"}`), 400, "invalid_text")
	requireError(t, post(`{"name":"`+strings.Repeat("x", 100)+`"}`), 413, "too_large")
	e = requireError(t, post(`{}`), 422, "validation_failed")
	require.Equal(t, "name", e.Errors[0].Field)
	e = requireError(t, post(`{"name":"X","slug":"Not a slug"}`), 422, "validation_failed")
	require.Equal(t, []web.FieldError{{Field: "slug", Code: "invalid_slug", Message: e.Errors[0].Message}}, e.Errors)
	e = requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}/workspaces?page=x&pageSize=y", w.A)), 422, "validation_failed")
	require.Len(t, e.Errors, 2)
	requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}/workspaces?pageSize=501", w.A)), 422, "validation_failed")
	requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}/workspaces?cursor=x", w.A)), 400, "invalid_cursor")
	requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}/workspaces?page=9223372036854775807", w.A)), 422, "validation_failed")
}

func TestHandlersThatFail(t *testing.T) {
	t.Parallel()
	fails := func(name string, handle func(http.ResponseWriter, *http.Request) error) web.Route {
		return web.Route{Method: http.MethodGet, Path: "/" + name, Name: name, Handle: handle}
	}
	w := open(t, tenancyhttp.Config{},
		fails("panic", func(http.ResponseWriter, *http.Request) error { panic("secret") }),
		fails("error", func(http.ResponseWriter, *http.Request) error { return errors.New("secret") }),
		fails("limit", func(http.ResponseWriter, *http.Request) error {
			return &billing.LimitError{Resource: "domains", Existing: 1, Incoming: 1, Limit: 1, Plan: "free"}
		}),
		fails("late-panic", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			panic("secret")
		}),
		fails("late-error", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("half"))
			return errors.New("secret")
		}),
		fails("stream", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("one"))
			w.(http.Flusher).Flush()
			return http.NewResponseController(w).Flush()
		}))
	for _, name := range []string{"panic", "error"} {
		r := w.request(t, "a", http.MethodGet, "/"+name)
		r.Header.Set("X-Request-Id", "req-"+name)
		rec := w.serve(r)
		requireError(t, rec, 500, "internal")
		require.NotContains(t, rec.Body.String(), "secret")
		require.Contains(t, w.log.String(), "requestId=req-"+name)
	}
	require.Contains(t, w.log.String(), "secret")

	rec := w.do(t, "a", http.MethodGet, "/limit")
	requireError(t, rec, 402, "limit_exceeded")
	require.JSONEq(t, `{"statusCode":402,"code":"limit_exceeded","message":"plan free allows 1 domains: there are 1, and 1 more would be 1 too many",
		"resource":"domains","existing":1,"incoming":1,"limit":1}`, rec.Body.String())

	for _, name := range []string{"late-panic", "late-error"} {
		require.PanicsWithValue(t, http.ErrAbortHandler, func() { w.do(t, "a", http.MethodGet, "/"+name) }, "half an answer is broken off")
	}
	rec = w.do(t, "a", http.MethodGet, "/stream")
	require.Equal(t, "one", rec.Body.String())
	require.True(t, rec.Flushed)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var down error
	w := open(t, tenancyhttp.Config{Prefix: "/api", Ready: func(context.Context) error { return down }})
	for _, p := range []string{"/healthz", "/api/healthz", "/readyz", "/api/readyz"} {
		rec := w.do(t, "", http.MethodGet, p)
		require.Equal(t, 200, rec.Code)
		require.JSONEq(t, `{"status":"ok"}`, rec.Body.String())
	}
	down = errors.New("secret")
	rec := w.do(t, "", http.MethodGet, "/readyz")
	requireError(t, rec, 503, "not_ready")
	require.NotContains(t, rec.Body.String(), "secret")
	require.Equal(t, 200, w.do(t, "", http.MethodGet, "/healthz").Code)
	require.Equal(t, 200, open(t, tenancyhttp.Config{}).do(t, "", http.MethodGet, "/readyz").Code)
}
