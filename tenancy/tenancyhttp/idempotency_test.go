package tenancyhttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// keyed makes a POST with an Idempotency-Key.
func (w *world) keyed(t *testing.T, who, key, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := w.request(t, who, http.MethodPost, path, body)
	r.Header.Set("Idempotency-Key", key)
	return w.serve(r)
}

// workspaces is how many the company has.
func (w *world) workspaces(t *testing.T, c *tenancytest.Company) int {
	t.Helper()
	page, err := w.store.Workspaces(c.CompanyCtx, tenancy.PageRequest{})
	require.NoError(t, err)
	return len(page.Items)
}

const newWorkspaces = "/companies/{companyID}/workspaces"

func requireReplayed(t *testing.T, first, again *httptest.ResponseRecorder) {
	t.Helper()
	require.Equal(t, first.Code, again.Code, again.Body.String())
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	for _, h := range []string{"Content-Type", "X-Content-Type-Options", "Cache-Control", "ETag"} {
		require.Equal(t, first.Header().Get(h), again.Header().Get(h), h)
	}
}

func TestKeyedRequestIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{Prefix: "/api"})
	p := "/api" + path(newWorkspaces, w.A)
	first := w.keyed(t, "a", "k-1", p, `{"name":"Sales"}`)
	require.Equal(t, 201, first.Code, first.Body.String())
	require.Empty(t, first.Header().Get("Idempotency-Replayed"))
	requireReplayed(t, first, w.keyed(t, "a", "k-1", p, `{"name":"Sales"}`))
	requireReplayed(t, first, w.keyed(t, "a", "k-1", p, `{"name":"Sales"}`))
	require.Equal(t, 2, w.workspaces(t, w.A))

	requireError(t, w.keyed(t, "a", "k-1", p, `{"name":"Other"}`), 422, "idempotency_key_reused")
	requireError(t, w.keyed(t, "a", "k-1", p+"?x=1", `{"name":"Sales"}`), 422, "idempotency_key_reused")
	require.Equal(t, 2, w.workspaces(t, w.A))
	require.Equal(t, 201, w.keyed(t, "a", "k-2", p, `{"name":"Other"}`).Code)
	require.Equal(t, 201, w.do(t, "a", http.MethodPost, p, `{"name":"Third"}`).Code, "without a key nothing is remembered")
	require.Equal(t, 4, w.workspaces(t, w.A))
}

// As the draft has it, the first answer stands whether it was a success or an error.
func TestErrorsOfTheRequestAreReplayed(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	p := path(newWorkspaces, w.A)
	for key, body := range map[string]string{"k-1": `{"name":""}`, "k-2": `{"name":`, "k-3": `{"name":"X","slug":"Not a slug"}`} {
		first := w.keyed(t, "a", key, p, body)
		require.GreaterOrEqual(t, first.Code, 400)
		requireReplayed(t, first, w.keyed(t, "a", key, p, body))
	}
	require.Equal(t, 201, w.do(t, "a", http.MethodPost, p, `{"name":"X","slug":"sales"}`).Code)
	taken := w.keyed(t, "a", "k-4", p, `{"name":"X","slug":"sales"}`)
	requireError(t, taken, 409, "already_exists")
	requireReplayed(t, taken, w.keyed(t, "a", "k-4", p, `{"name":"X","slug":"sales"}`))
}

func TestNobodyElseHasTheKey(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	colleague, key := w.A.Actor, w.A.Actor
	colleague.ID, key.Type = "colleague", tenancy.ActorAPIKey
	w.actors["colleague"], w.actors["key"] = colleague, key
	nobody := w.A.Actor
	nobody.ID = ""
	w.actors["nobody"] = nobody

	seen := map[string]bool{}
	for _, c := range []struct {
		who string
		of  *tenancytest.Company
	}{{"a", w.A}, {"b", w.B}, {"colleague", w.A}, {"key", w.A}, {"admin", w.A}, {"admin", w.B}} {
		got := w.keyed(t, c.who, "same", path(newWorkspaces, c.of), `{"name":"`+c.who+`"}`)
		require.Equal(t, 201, got.Code, got.Body.String())
		require.Empty(t, got.Header().Get("Idempotency-Replayed"))
		require.False(t, seen[got.Body.String()])
		seen[got.Body.String()] = true
	}
	require.Equal(t, 201, w.keyed(t, "a", "same", path("/workspaces/{workspaceID}/domains", w.A), `{"domainName":"x.example"}`).Code, "another path, another request")
	requireError(t, w.keyed(t, "nobody", "same", path(newWorkspaces, w.A), `{"name":"X"}`), 400, "idempotency_key_unusable")

	// What is answered first of all is who may ask.
	for who, status := range map[string]int{"b": 404, "member": 403, "": 401} {
		got := w.keyed(t, who, "same", path(newWorkspaces, w.A), `{"name":"a"}`)
		require.Equal(t, status, got.Code)
		require.Empty(t, got.Header().Get("Idempotency-Replayed"))
	}
	demoted := w.A.Actor
	demoted.Role = "workspace_member"
	w.actors["a"] = demoted
	requireError(t, w.keyed(t, "a", "same", path(newWorkspaces, w.A), `{"name":"a"}`), 403, "forbidden")
}

func TestPlatformHasKeysToo(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	other := w.actors["admin"]
	other.ID = "other"
	w.actors["other"] = other
	first := w.keyed(t, "admin", "k", "/companies", `{"name":"Acme"}`)
	require.Equal(t, 201, first.Code, first.Body.String())
	requireReplayed(t, first, w.keyed(t, "admin", "k", "/companies", `{"name":"Acme"}`))
	requireError(t, w.keyed(t, "admin", "k", "/companies", `{"name":"Acme 2"}`), 422, "idempotency_key_reused")
	second := w.keyed(t, "other", "k", "/companies", `{"name":"Acme 2"}`)
	require.Equal(t, 201, second.Code)
	require.NotEqual(t, first.Body.String(), second.Body.String())
}

func TestEqualRequestsAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	p := path(newWorkspaces, w.A)
	answers := make([]*httptest.ResponseRecorder, 20)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.keyed(t, "a", "k", p, `{"name":"Sales"}`) })
	}
	all.Wait()
	created := 0
	for _, a := range answers {
		switch {
		case a.Code == 409:
			requireError(t, a, 409, "idempotency_in_progress")
			require.Equal(t, "1", a.Header().Get("Retry-After"))
		case a.Header().Get("Idempotency-Replayed") == "":
			created++
			require.Equal(t, 201, a.Code, a.Body.String())
		default:
			require.Equal(t, 201, a.Code, a.Body.String())
		}
	}
	require.Equal(t, 1, created)
	require.Equal(t, 2, w.workspaces(t, w.A))
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{MaxBody: 100})
	p := path(newWorkspaces, w.A)
	for _, key := range []string{"", " ", "a b", "ä", "a\x00", "a\t", strings.Repeat("k", 256)} {
		e := requireError(t, w.keyed(t, "a", key, p, `{"name":"Sales"}`), 400, "invalid_idempotency_key")
		require.Contains(t, e.Message, "1 to 255")
	}
	r := w.request(t, "a", http.MethodPost, p, `{"name":"Sales"}`)
	r.Header["Idempotency-Key"] = []string{"a", "b"}
	requireError(t, w.serve(r), 400, "invalid_idempotency_key")
	requireError(t, w.keyed(t, "a", "k", p, `{"name":"`+strings.Repeat("x", 100)+`"}`), 413, "too_large")
	require.Equal(t, 1, w.workspaces(t, w.A))
	require.Equal(t, 201, w.keyed(t, "a", strings.Repeat("k", 255), p, `{"name":"Sales"}`).Code)
	require.Equal(t, 201, w.keyed(t, "a", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, p, `{"name":"Sales 2"}`).Code, "the form of the draft")
	require.Equal(t, 200, w.keyedGet(t).Code, "a key means nothing to what only reads")
}

func (w *world) keyedGet(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	r := w.request(t, "a", http.MethodGet, path(newWorkspaces, w.A))
	r.Header.Set("Idempotency-Key", "")
	return w.serve(r)
}
