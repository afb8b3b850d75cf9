package tenancyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestTimeout(t *testing.T) {
	t.Parallel()
	wait := func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return fmt.Errorf("secret query: %w", r.Context().Err())
	}
	bounded := func(long bool) web.Route {
		return web.Route{
			Method: http.MethodGet, Path: fmt.Sprintf("/long-%t", long), Name: fmt.Sprint(long), Long: long,
			Handle: func(w http.ResponseWriter, r *http.Request) error {
				_, limited := r.Context().Deadline()
				return web.WriteData(w, http.StatusOK, limited)
			},
		}
	}
	slow := web.Route{Method: http.MethodGet, Path: "/slow", Name: "slow", Handle: wait}
	w := open(t, tenancyhttp.Config{Timeout: time.Millisecond}, slow)
	e := requireError(t, w.do(t, "a", http.MethodGet, "/slow"), 503, "timeout")
	require.NotContains(t, e.Message, "secret")
	require.Contains(t, w.log.String(), "secret query", "the operator learns what was slow")

	w = open(t, tenancyhttp.Config{}, bounded(false), bounded(true))
	require.True(t, data[bool](t, w.do(t, "a", http.MethodGet, "/long-false"), 200), "there is a limit unless it is taken away")
	require.False(t, data[bool](t, w.do(t, "a", http.MethodGet, "/long-true"), 200))
	w = open(t, tenancyhttp.Config{Timeout: -1}, bounded(false))
	require.False(t, data[bool](t, w.do(t, "a", http.MethodGet, "/long-false"), 200))
}

// A client that stops in the middle of its body is not waited for, whatever the route
// makes of contexts.
func TestTimeoutHoldsTheBodyToo(t *testing.T) {
	t.Parallel()
	received := make(chan error, 1)
	w := open(t, tenancyhttp.Config{Timeout: 3 * time.Second},
		web.Route{Method: http.MethodPost, Path: "/json", Name: "json", Request: struct{}{}, Handle: func(_ http.ResponseWriter, r *http.Request) error {
			return web.DecodeJSON(r, new(struct{}))
		}},
		web.Route{Method: http.MethodPut, Path: "/file", Name: "file", Long: true, Handle: func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			received <- err
			return err
		}})
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	send := func(method, path string, body io.Reader, length int64) int {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, body)
		require.NoError(t, err)
		r.Header.Set("Authorization", "a")
		r.ContentLength = length
		res, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	stuck := func(begin string) io.Reader {
		r, out := io.Pipe()
		go func() { _, _ = io.WriteString(out, begin) }() // and no more
		t.Cleanup(func() { _ = out.Close() })
		return r
	}
	require.Equal(t, 503, send(http.MethodPost, "/json", stuck(`{"a"`), 50))
	require.Equal(t, 503, send(http.MethodPut, "/file", stuck("abc"), 50))
	require.ErrorIs(t, <-received, context.DeadlineExceeded)

	// A file takes as long as it takes: each part has the time anew.
	parts, out := io.Pipe()
	go func() {
		for range 4 {
			<-time.After(time.Second)
			_, _ = io.WriteString(out, "0123456789")
		}
		_ = out.Close()
	}()
	require.Equal(t, 200, send(http.MethodPut, "/file", parts, 40))
	require.NoError(t, <-received)
	require.Equal(t, 400, send(http.MethodPost, "/json", strings.NewReader("["), 1), "the connection goes on")
}

// A stream ends when it could not be opened any more.
func TestStreamDoesNotOutliveItsAdmission(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	w := open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodGet, Path: "/companies/{companyID}/stream", Name: "stream", Long: true, Permission: string(access.CompanyRead),
		Handle: func(w http.ResponseWriter, r *http.Request) error {
			began <- struct{}{}
			<-r.Context().Done()
			return web.WriteData(w, http.StatusOK, "ended")
		},
	})
	for what, end := range map[string]func(){
		"suspended": func() {
			_, err := w.store.SetCompanySuspended(w.B.CompanyCtx, true)
			require.NoError(t, err)
		},
		"deleted": func() { require.NoError(t, w.store.DeleteCompany(w.A.CompanyCtx)) },
	} {
		who, company := "a", w.A
		if what == "suspended" {
			who, company = "b", w.B
		}
		answer := make(chan *httptest.ResponseRecorder, 1)
		go func() { answer <- w.do(t, who, http.MethodGet, path("/companies/{companyID}/stream", company)) }()
		<-began
		end()
		require.Equal(t, "ended", data[string](t, <-answer, 200), what)
	}
}

func TestPrincipalThatCannotBeKnownIsNotAStranger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("expired"), 401, "unauthenticated"},
		{tenancy.ErrNotFound, 401, "unauthenticated"},
		{fmt.Errorf("sessions: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), 503, "unavailable"},
		{fmt.Errorf("sessions: %w", context.DeadlineExceeded), 503, "timeout"},
	} {
		w := open(t, tenancyhttp.Config{})
		w.refuse = c.err
		requireError(t, w.do(t, "unknown", http.MethodGet, path("/companies/{companyID}", w.A)), c.status, c.code)
	}
}

func TestClientBehindProxies(t *testing.T) {
	t.Parallel()
	type seen struct {
		Actor tenancy.Actor `json:"actor"`
	}
	route := probe(http.MethodGet, "/companies/{companyID}/who", nil)
	direct := open(t, tenancyhttp.Config{}, route)
	behind := open(t, tenancyhttp.Config{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48"),
	}}, route)
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"10.0.0.1:5", nil, "10.0.0.1"},
		{"10.0.0.1:5", []string{"203.0.113.9"}, "203.0.113.9"},
		{"[::ffff:10.0.0.1]:5", []string{"203.0.113.9"}, "203.0.113.9"},
		{"[2001:db8:1::1]:5", []string{"2001:db8:9::1"}, "2001:db8:9::1"},
		{"10.0.0.1:5", []string{"1.1.1.1, 203.0.113.9, 10.2.2.2"}, "203.0.113.9"},
		{"10.0.0.1:5", []string{"1.1.1.1", "203.0.113.9:4711"}, "203.0.113.9"},
		{"10.0.0.1:5", []string{"203.0.113.9, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:5", []string{"'; DROP, 10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1:5", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"198.51.100.7:5", []string{"203.0.113.9"}, "198.51.100.7"},
		{"[fe80::1%eth0]:5", nil, "fe80::1"},
		{"@", []string{"203.0.113.9"}, "@"},
	} {
		r := behind.request(t, "a", http.MethodGet, path("/companies/{companyID}/who", behind.A))
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.forwarded
		require.Equal(t, c.want, data[seen](t, behind.serve(r), 200).Actor.IP, "%s %v", c.peer, c.forwarded)
	}
	r := direct.request(t, "a", http.MethodGet, path("/companies/{companyID}/who", direct.A))
	r.RemoteAddr = "10.0.0.1:5"
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	require.Equal(t, "10.0.0.1", data[seen](t, direct.serve(r), 200).Actor.IP, "nobody is trusted unasked")
}

func TestPathsThatAreNoText(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodGet, Path: "/companies/{companyID}/things/{key}", Name: "thing",
		Handle: func(http.ResponseWriter, *http.Request) error { panic("nobody looks for it") },
	})
	for _, key := range []string{"%00", "a%00b", "%ff", "%C3%28"} {
		requireError(t, w.do(t, "a", http.MethodGet, path("/companies/{companyID}/things/", w.A)+key), 404, "not_found")
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{Prefix: "/api"})
	server, err := tenancyhttp.NewServer(new(tenancy.Resolver), func(*http.Request) (tenancy.Actor, error) { return tenancy.Actor{}, nil }, nil)
	require.NoError(t, err)
	all := server.Routes(tenancyhttp.New(w.store))
	require.Len(t, all, len(tenancyhttp.New(w.store).Routes())+3)
	for _, rt := range all {
		rec := w.do(t, "", rt.Method, "/api"+path(rt.Path, w.A))
		require.Equal(t, map[bool]int{true: 200, false: 401}[rt.Public], rec.Code, rt.Path)
	}
}
