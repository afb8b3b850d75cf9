package tenancyhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// world is an Env behind a Server. The token of a request is a name in actors.
type world struct {
	server *tenancyhttp.Server
	*tenancytest.Env
	store   *tenancy.Store
	access  *access.Store
	handler http.Handler
	log     *syncBuffer

	texts func(name string) ([]string, error) // what DNS says

	actors map[string]tenancy.Actor
	refuse error // why a principal is not known
}

// syncBuffer is a log that a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// routes is an API of a test's own.
type routes []web.Route

func (r routes) Routes() []web.Route { return r }

// open serves the tenancy routes and those of more.
func open(t *testing.T, cfg tenancyhttp.Config, more ...web.Route) *world {
	t.Helper()
	e := tenancytest.Open(t)
	resolver, err := tenancy.NewResolver(e.DB, e.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	founder, err := access.NewFounder(e.Audit)
	require.NoError(t, err)
	w := &world{Env: e, log: &syncBuffer{}, texts: func(string) ([]string, error) { return nil, nil }, refuse: errors.New("no such token"), actors: map[string]tenancy.Actor{
		"a": e.A.Actor, "b": e.B.Actor,
		"member":   {ID: "m", Type: tenancy.ActorUser, CompanyID: e.A.CompanyID, Role: access.WorkspaceMember},
		"stranger": {ID: "s", Type: tenancy.ActorUser, CompanyID: e.A.CompanyID, Role: "no such role"},
		"nowhere":  {ID: "n", Type: tenancy.ActorUser, Role: access.CompanyOwner},
		"admin":    {ID: "root", Type: tenancy.ActorAdmin},
		"zero":     {},
	}}
	w.store, err = tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{
		Provisioner: e.Limits, Limits: e.Limits, Resolver: resolver, Proof: tenancy.ProofConfig{Prover: w}, Owners: founder,
	})
	require.NoError(t, err)
	cfg.Guard, err = access.NewGuard(e.DB, nil, nil)
	require.NoError(t, err)
	w.access, err = access.NewStore(cfg.Guard, w.store, e.Audit)
	require.NoError(t, err)
	cfg.Log = slog.New(slog.NewTextHandler(w.log, nil))
	server, err := tenancyhttp.NewServer(resolver, func(r *http.Request) (tenancy.Actor, error) {
		if actor, ok := w.actors[r.Header.Get("Authorization")]; ok {
			return actor, nil
		}
		return tenancy.Actor{}, w.refuse
	}, &cfg)
	require.NoError(t, err)
	tenancyhttp.SetAgain(server, 10*time.Millisecond)
	w.server = server
	w.handler = server.Handler(tenancyhttp.New(w.store), routes(more))
	return w
}

// TXT says what the test wants: domainproof's own tests ask real servers.
func (w *world) TXT(_ context.Context, name string) ([]string, error) { return w.texts(name) }

// do makes a request as somebody, with a body when there is one.
func (w *world) do(t *testing.T, who, method, path string, body ...string) *httptest.ResponseRecorder {
	t.Helper()
	return w.serve(w.request(t, who, method, path, body...))
}

func (w *world) request(t *testing.T, who, method, path string, body ...string) *http.Request {
	t.Helper()
	var reader io.Reader = http.NoBody
	if len(body) > 0 {
		reader = strings.NewReader(body[0])
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	r.Header.Set("Authorization", who)
	return r
}

func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// path fills a route's path with the ids of c.
func path(rt string, c *tenancytest.Company) string {
	return strings.NewReplacer("{companyID}", c.CompanyID.String(), "{workspaceID}", c.WorkspaceID.String(), "{domainID}", c.DomainID.String()).Replace(rt)
}

// requireError holds an answer to the documented shape.
func requireError(t *testing.T, rec *httptest.ResponseRecorder, status int, code string) web.Error {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var e web.Error
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &e), rec.Body.String())
	require.Equal(t, status, e.StatusCode)
	require.Equal(t, code, e.Code)
	require.NotEmpty(t, e.Message)
	require.NotContains(t, rec.Body.String(), ".go:", "never a stack")
	return e
}

// data reads {"data": T}.
func data[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) T {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	var d web.Data[T]
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &d), rec.Body.String())
	return d.Data
}
