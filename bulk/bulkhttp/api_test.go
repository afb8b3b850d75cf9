package bulkhttp_test

import (
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

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/bulk/bulkhttp"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// count is a Handler that does one item a batch, when it is let.
type count struct{ step chan error }

func (h *count) Open(context.Context, bulk.Run) (bulk.Work, error)   { return h, nil }
func (h *count) Finish(context.Context, *tenancy.Tx, bulk.Run) error { return nil }
func (h *count) Close() error                                        { return nil }
func (h *count) Batch(ctx context.Context, _ *tenancy.Tx) (bulk.Batch, error) {
	select {
	case err, more := <-h.step:
		return bulk.Batch{Processed: 1, Done: !more}, err
	case <-ctx.Done():
		return bulk.Batch{}, ctx.Err()
	}
}

type world struct {
	*tenancytest.Env
	runner  *bulk.Runner
	step    chan error
	api     *bulkhttp.API
	handler http.Handler
	server  *httptest.Server
	expired sync.Map // tokens
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t), step: make(chan error)}
	resolver, err := tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	w.runner, err = bulk.NewRunner(w.DB, w.Redis, w.Audit, resolver, &bulk.Config{
		MaxFailures: 1, Poll: 200 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, w.runner.Register("count", &count{w.step}))
	actors := map[string]tenancy.Actor{
		"a": w.A.Actor, "b": w.B.Actor,
		"platform": {ID: "root", Type: tenancy.ActorAdmin},
		"member":   {ID: "m", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID, Role: access.WorkspaceMember},
	}
	server, err := tenancyhttp.NewServer(resolver, func(r *http.Request) (tenancy.Actor, error) {
		token := r.Header.Get("Authorization")
		actor, ok := actors[token]
		if _, expired := w.expired.Load(token); !ok || expired {
			return tenancy.Actor{}, errors.New("no such token")
		}
		return actor, nil
	}, nil)
	require.NoError(t, err)
	w.api = bulkhttp.New(w.runner)
	w.handler = server.Handler(w.api)
	w.serve(t, 0)
	return w
}

// serve makes a new server the one that requests go to.
func (w *world) serve(t *testing.T, writeTimeout time.Duration) {
	t.Helper()
	w.server = httptest.NewUnstartedServer(w.handler)
	w.server.Config.WriteTimeout = writeTimeout
	w.server.Start()
	w.closing(t)
}

func (w *world) closing(t *testing.T) {
	t.Helper()
	t.Cleanup(w.server.Close)
	t.Cleanup(func() { require.NoError(t, w.runner.Stop(context.Background())) }) // before the server: it waits for streams
}

func (w *world) submit(t *testing.T) bulk.Run {
	t.Helper()
	return w.submitKind(t, "count")
}

// submitKind submits a run of a kind; what is not "count" waits, as nobody does it.
func (w *world) submitKind(t *testing.T, kind string) bulk.Run {
	t.Helper()
	var run bulk.Run
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) (err error) {
		run, err = w.runner.SubmitTx(w.A.Ctx, tx, bulk.Submission{Kind: kind, Total: 4})
		return err
	}))
	return run
}

func (w *world) jobs() string { return "/domains/" + w.A.DomainID.String() + "/jobs" }

func (w *world) do(t *testing.T, who, method, path string) *http.Response {
	t.Helper()
	return w.again(t, who, method, path, "")
}

// again is do of an EventSource that lost its connection after an event.
func (w *world) again(t *testing.T, who, method, path, id string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+path, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", who)
	if id != "" {
		r.Header.Set("Last-Event-ID", id)
	}
	res, err := w.server.Client().Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (w *world) job(t *testing.T, method, path string) bulkhttp.Job {
	t.Helper()
	res := w.do(t, "a", method, path)
	require.Equal(t, http.StatusOK, res.StatusCode)
	var d web.Data[bulkhttp.Job]
	require.NoError(t, json.NewDecoder(res.Body).Decode(&d))
	return d.Data
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := open(t)
	job := w.jobs() + "/" + w.submit(t).ID.String()
	foreign := "/domains/" + w.B.DomainID.String() + "/jobs" + strings.TrimPrefix(job, w.jobs())
	for _, c := range []struct {
		who, method, path string
		status            int
	}{
		{"", "GET", w.jobs(), 401},
		{"b", "GET", w.jobs(), 404},
		{"b", "GET", job, 404},
		{"b", "GET", job + "/progress", 404},
		{"b", "GET", w.jobs() + "/progress", 404},
		{"b", "GET", foreign, 404},
		{"b", "GET", foreign + "/progress", 404},
		{"b", "POST", foreign + "/cancel", 404},
		{"member", "GET", w.jobs(), 200},
		{"member", "GET", job, 200},
		{"member", "POST", job + "/cancel", 403},
		{"member", "GET", job + "/attempts", 403},
		{"member", "POST", job + "/throttle", 403},
		{"member", "POST", w.jobs() + "/retry", 403},
		{"member", "DELETE", job, 403},
		{"b", "GET", foreign + "/attempts", 404},
		{"b", "DELETE", foreign, 404},
		{"b", "POST", w.jobs() + "/retry", 404},
		{"a", "DELETE", job, 409},
		{"a", "GET", w.jobs() + "/nonsense", 404},
		{"a", "GET", w.jobs() + "/nonsense/progress", 404},
		{"a", "GET", w.jobs() + "?status=maybe", 422},
		{"a", "GET", w.jobs() + "?cursor=x", 400},
		{"a", "POST", job + "/retry", 409},
		{"a", "GET", "/openapi.json", 200},
	} {
		require.Equal(t, c.status, w.do(t, c.who, c.method, c.path).StatusCode, "%s %s %s", c.who, c.method, c.path)
	}
}

func TestJobs(t *testing.T) {
	t.Parallel()
	w := open(t)
	run := w.submit(t)
	path := w.jobs() + "/" + run.ID.String()
	require.Equal(t, bulk.StatePaused, w.job(t, "POST", path+"/pause").Status)
	require.Equal(t, bulk.StateQueued, w.job(t, "POST", path+"/resume").Status)
	require.NoError(t, w.runner.Start(t.Context()))
	w.step <- errors.New("secret")
	var job bulkhttp.Job
	require.Eventually(t, func() bool {
		job = w.job(t, "GET", path)
		return job.Status == bulk.StateFailed
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, "internal error", job.Error)
	require.Equal(t, 1, job.Attempts)
	require.Equal(t, bulk.StateQueued, w.job(t, "POST", path+"/retry").Status)
	w.step <- nil
	close(w.step)
	require.Eventually(t, func() bool {
		job = w.job(t, "GET", path)
		return job.Status == bulk.StateCompleted
	}, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 2, job.Processed)
	require.InDelta(t, 100, job.Percentage, 0)
	res := w.do(t, "a", "GET", w.jobs()+"?status=completed&kind=count")
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	want, err := json.Marshal(job)
	require.NoError(t, err)
	require.JSONEq(t, `{"data":[`+string(want)+`],"meta":{"total":1,"page":1,"pageSize":50,"hasMore":false}}`, string(body))
	for _, name := range []string{"jobId", "kind", "status", "processed", "total", "percentage", "attempts", "error", "createdAt", "startedAt", "finishedAt"} {
		require.Contains(t, string(want), `"`+name+`":`)
	}
}
