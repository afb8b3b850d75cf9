package movehttp_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/recipientshttp"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
	"github.com/stratakit/strata/tenancy/move/movehttp"

	"github.com/stratakit/strata"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type bundle struct {
	*tenancytest.Env
	*tenancytest.HTTP

	s      *strata.Strata
	second tenancy.WorkspaceID
	base   string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{Env: tenancytest.Open(t)}
	var err error
	b.s, err = strata.New(t.Context(), b.Pool, b.Redis, &strata.Config{Log: slog.New(slog.DiscardHandler), Move: move.Config{Poll: 20 * time.Millisecond}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.s.Stop(context.Background())) })
	b.HTTP = b.Serve(t, nil, movehttp.New(b.s.Mover), recipientshttp.New(b.s.Recipients))
	second, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	b.second, b.base = second.ID, "/domains/"+b.A.DomainID.String()
	return b
}

type state struct {
	JobID, Status, Error string
	Percentage           float64
	From, To             move.Place
	Rewritten, Rows      int64
}

func (b *bundle) until(t *testing.T, want string) (s state) {
	t.Helper()
	require.Eventually(t, func() bool {
		s = tenancytest.RequireData[state](t, b.Do(t, "admin", http.MethodGet, b.base+"/move"), http.StatusOK)
		return s.Status == want
	}, time.Minute, 5*time.Millisecond)
	return s
}

func TestMoveOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.s.Recipients.Create(b.A.Ctx, recipients.New{Email: "x@example.com"})
	require.NoError(t, err)
	to := `{"workspaceId":"` + b.second.String() + `"}`
	tenancytest.RequireError(t, b.Do(t, "a", http.MethodGet, b.base+"/move"), http.StatusNotFound, "not_found")
	for _, who := range []string{"member", "workspace admin"} {
		tenancytest.RequireError(t, b.Do(t, who, http.MethodPost, b.base+"/move", to), http.StatusForbidden, "forbidden")
	}
	tenancytest.RequireError(t, b.Do(t, "a", http.MethodPost, b.base+"/move", `{}`), http.StatusUnprocessableEntity, "validation_failed")
	nobody := b.Do(t, "a", http.MethodPost, b.base+"/move", `{"workspaceId":"01900000-0000-7000-8000-000000000000"}`)
	tenancytest.RequireError(t, nobody, http.StatusNotFound, "not_found")
	theirs := b.Do(t, "a", http.MethodPost, b.base+"/move", `{"workspaceId":"`+b.B.WorkspaceID.String()+`"}`)
	require.Equal(t, nobody.Body.String(), theirs.Body.String(), "to a company another one's workspace is not there")

	preview := tenancytest.RequireData[move.Preview](t, b.Do(t, "a", http.MethodPost, b.base+"/move/preview", to), http.StatusOK)
	require.Equal(t, []any{b.second, false}, []any{preview.To.WorkspaceID, preview.Blocked})

	w := b.Do(t, "a", http.MethodPost, b.base+"/move", to)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	require.Regexp(t, `^{"jobId":"[0-9a-f-]{36}","status":"queued","estimated":2}\s$`, w.Body.String(), "the recipient, and the row that counts it")
	tenancytest.RequireError(t, b.Do(t, "a", http.MethodPost, b.base+"/move", to), http.StatusConflict, "already_running")
	// Nobody works on it yet: the domain is read, and takes no writes.
	tenancytest.RequireError(t, b.Do(t, "a", http.MethodPost, b.base+"/recipients", `{"email":"y@example.com"}`), http.StatusLocked, "domain_moving")
	require.Equal(t, http.StatusOK, b.Do(t, "a", http.MethodGet, b.base+"/recipients").Code)
	tenancytest.RequireError(t, b.Do(t, "a", http.MethodPost, b.base+"/move/retry"), http.StatusConflict, "wrong_state")
	require.Equal(t, "cancelling", tenancytest.RequireData[state](t, b.Do(t, "a", http.MethodPost, b.base+"/move/cancel"), http.StatusOK).Status)

	require.NoError(t, b.s.Start(t.Context())) // somebody does
	b.until(t, "cancelled")
	require.Eventually(t, func() bool {
		return b.Do(t, "a", http.MethodPost, b.base+"/recipients", `{"email":"y@example.com"}`).Code == http.StatusCreated
	}, time.Minute, 5*time.Millisecond, "this server's own resolver hears of it from no Redis subscription")

	require.Equal(t, http.StatusAccepted, b.Do(t, "admin", http.MethodPost, b.base+"/move", `{"workspaceId":"`+b.B.WorkspaceID.String()+`"}`).Code)
	done := b.until(t, "done")
	require.Equal(t, []any{b.B.CompanyID, int64(4), int64(4), float64(100)}, []any{done.To.CompanyID, done.Rewritten, done.Rows, done.Percentage})
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.s.Mover.Start(b.A.Ctx, b.second)
	require.NoError(t, err)
	api := movehttp.New(b.s.Mover)
	h := b.Serve(t, nil, api)
	b.RequireIsolation(t, tenancytest.Isolation{
		Handler: h.Handler, Routes: h.Routes, Untenanted: []string{"GET /healthz", "GET /readyz", "GET /openapi.json"},
		Bodies: map[string]string{"moveDomain": `{"workspaceId":"` + b.B.WorkspaceID.String() + `"}`, "previewMove": `{"workspaceId":"` + b.B.WorkspaceID.String() + `"}`},
	})
	m, err := b.s.Mover.Get(b.A.Ctx)
	require.NoError(t, err)
	require.Equal(t, move.Preparing, m.State, "nobody else touched it")
	_, err = b.s.Mover.Get(tenancy.WithTenant(b.B.Ctx, tenancy.Tenant{CompanyID: b.B.CompanyID, DomainID: b.A.DomainID}))
	require.ErrorIs(t, err, move.ErrNotFound)
}
