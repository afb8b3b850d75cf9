package tenancyhttp_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// change runs SQL on the keys of a company, as a clock that moved on would.
func (w *world) change(t *testing.T, company tenancy.CompanyID, q string) int64 {
	t.Helper()
	var rows int64
	err := w.DB.InTx(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: company}), func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(t.Context(), tx.SQL(q))
		rows = tag.RowsAffected()
		return err
	})
	require.NoError(t, err)
	return rows
}

const leaseOver = `UPDATE strata.idempotency_keys SET leased_until = now() - interval '1 s'`

// halting serves POST /companies/{companyID}/slow, which creates a workspace and halts
// the first time, before or after, until it is told to go on.
type halting struct {
	*world
	reached, resume chan struct{}
	calls           chan int
}

func openHalting(t *testing.T, after bool) *halting {
	t.Helper()
	h := &halting{reached: make(chan struct{}), resume: make(chan struct{}), calls: make(chan int, 1)}
	h.calls <- 0
	h.world = open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodPost, Path: "/companies/{companyID}/slow", Name: "slow",
		Handle: func(w http.ResponseWriter, r *http.Request) error {
			n := <-h.calls
			h.calls <- n + 1
			halt := func(here bool) {
				if n == 0 && here {
					close(h.reached)
					<-h.resume
				}
			}
			halt(!after)
			made, err := h.store.CreateWorkspace(r.Context(), tenancy.NewWorkspace{Name: fmt.Sprint("Made ", n)})
			halt(after)
			if err != nil {
				return err
			}
			return web.WriteData(w, http.StatusCreated, made)
		},
	})
	return h
}

// first makes the request that halts, and returns once it does.
func (h *halting) first(t *testing.T) <-chan *httptest.ResponseRecorder {
	t.Helper()
	answer := make(chan *httptest.ResponseRecorder, 1)
	r := h.request(t, "a", http.MethodPost, path("/companies/{companyID}/slow", h.A), "{}")
	r.Header.Set("Idempotency-Key", "k")
	go func() { answer <- h.serve(r) }()
	<-h.reached
	return answer
}

func (h *halting) again(t *testing.T, body string) *httptest.ResponseRecorder {
	t.Helper()
	return h.keyed(t, "a", "k", path("/companies/{companyID}/slow", h.A), body)
}

// A process that is killed leaves its claim behind. One that was only slow must not
// commit when a repeat has gone on in its place.
func TestClaimOfADeadRequestIsTakenOver(t *testing.T) {
	t.Parallel()
	h := openHalting(t, false)
	first := h.first(t)
	requireError(t, h.again(t, "{}"), 409, "idempotency_in_progress")
	requireError(t, h.again(t, " "), 422, "idempotency_key_reused")

	require.EqualValues(t, 1, h.change(t, h.A.CompanyID, leaseOver))
	second := h.again(t, "{}")
	require.Equal(t, 201, second.Code, second.Body.String())
	close(h.resume)
	requireError(t, <-first, 409, "idempotency_claim_lost")
	require.Equal(t, 2, h.workspaces(t, h.A), "the slow one was kept from committing")
	requireReplayed(t, second, h.again(t, "{}"))
}

func TestWorkThatWasCommittedIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	h := openHalting(t, true)
	first := h.first(t)
	requireError(t, h.again(t, "{}"), 409, "idempotency_in_progress")
	h.change(t, h.A.CompanyID, leaseOver)
	lost := h.again(t, "{}")
	requireError(t, lost, 409, "idempotency_answer_lost")
	require.Empty(t, lost.Header().Get("Retry-After"), "waiting does not help")
	require.Equal(t, 2, h.workspaces(t, h.A))

	close(h.resume)
	answer := <-first
	require.Equal(t, 201, answer.Code)
	requireReplayed(t, answer, h.again(t, "{}"))
}

func TestFailureAfterTheCommitIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	var w *world
	post := func(path string, work func(context.Context) error, then func() error) web.Route {
		return web.Route{Method: http.MethodPost, Path: path, Name: path, Handle: func(_ http.ResponseWriter, r *http.Request) error {
			calls++
			if err := work(r.Context()); err != nil {
				return err
			}
			return then()
		}}
	}
	slow := func() error { return context.DeadlineExceeded }
	workspace := func(ctx context.Context) error {
		_, err := w.store.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: rand.Text()})
		return err
	}
	w = open(t, tenancyhttp.Config{},
		post("/companies/{companyID}/slow", workspace, slow),
		post("/companies/{companyID}/panic", workspace, func() error { panic("secret") }),
		post("/slow-companies", func(ctx context.Context) error {
			_, err := w.store.CreateCompany(ctx, tenancy.NewCompany{Name: "Acme"})
			return err
		}, slow),
		post("/companies/{companyID}/read", func(ctx context.Context) error {
			return w.DB.InTx(ctx, func(tx *tenancy.Tx) error {
				var n int
				return tx.QueryRow(ctx, tx.SQL(`SELECT count(*) FROM strata.workspaces`)).Scan(&n)
			})
		}, slow))
	for _, c := range []struct {
		who, path   string
		first, then int
		runs        int
	}{
		{"a", "/companies/{companyID}/slow", 503, 409, 1},
		{"a", "/companies/{companyID}/panic", 500, 409, 1},
		{"admin", "/slow-companies", 503, 409, 1},
		{"a", "/companies/{companyID}/read", 503, 503, 2},
	} {
		calls = 0
		require.Equal(t, c.first, w.keyed(t, c.who, "k", path(c.path, w.A), "{}").Code, c.path)
		then := w.keyed(t, c.who, "k", path(c.path, w.A), "{}")
		require.Equal(t, c.then, then.Code, "%s %s", c.path, then.Body.String())
		require.Equal(t, c.runs, calls, c.path)
	}
}

// That the client goes away is why it repeats the request: the work is not broken off.
func TestClientThatGoesAwayGetsTheAnswerLater(t *testing.T) {
	t.Parallel()
	var hangUp context.CancelFunc
	var w *world
	w = open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodPost, Path: "/companies/{companyID}/things", Name: "things",
		Handle: func(rw http.ResponseWriter, r *http.Request) error {
			hangUp()
			made, err := w.store.CreateWorkspace(r.Context(), tenancy.NewWorkspace{Name: "Made"})
			if err != nil {
				return err
			}
			_, limited := r.Context().Deadline()
			require.True(t, limited)
			return web.WriteData(rw, http.StatusCreated, made)
		},
	})
	p := path("/companies/{companyID}/things", w.A)
	r := w.request(t, "a", http.MethodPost, p, "{}")
	r.Header.Set("Idempotency-Key", "k")
	ctx, cancel := context.WithCancel(r.Context())
	hangUp = cancel
	first := w.serve(r.WithContext(ctx))
	require.Equal(t, 201, first.Code, first.Body.String())
	requireReplayed(t, first, w.keyed(t, "a", "k", p, "{}"))
}
