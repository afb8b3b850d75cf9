package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// console is River UI over a Strata that is not started, with runs that wait.
type console struct {
	*strata.Strata
	facts
	handler http.Handler
	runs    []bulk.RunID
}

func openConsole(t *testing.T, runs int) *console {
	t.Helper()
	s, err := strata.New(t.Context(), dbtest.Database(t, tenancytest.Template()), nil, &strata.Config{Operations: bulk.OperationsConfig{InlineLimit: 1}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	c := &console{Strata: s}
	c.facts, err = seed(t.Context(), s)
	require.NoError(t, err)
	tokens, err := devTokens(secret("of a test"), &c.facts)
	require.NoError(t, err)
	company := c.CompanyID
	tokens["company-admin"] = tenancy.Actor{ID: "admin", Type: tenancy.ActorAdmin, CompanyID: company, Role: access.CompanyOwner}
	tokens["claims-platform"] = tenancy.Actor{ID: "claimant", Type: tenancy.ActorUser, CompanyID: company, Role: string(access.PlatformManage)}
	tokens["member"] = tenancy.Actor{ID: "member", Type: tenancy.ActorUser}
	api, err := s.Handler(tokens.principal, nil)
	require.NoError(t, err)
	ui, err := riverUI(t.Context(), s, tokens, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	c.handler = beside(api, ui)

	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: company, WorkspaceID: c.WorkspaceID, DomainID: c.DomainID})
	_, err = s.Access.AddMember(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: company}), access.NewMember{ActorID: "member", Role: access.CompanyOwner})
	require.NoError(t, err)
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		_, err := s.Recipients.Create(ctx, recipients.New{Email: email})
		require.NoError(t, err)
	}
	for i := range runs {
		w := c.do(t, c.bearer(c.Token), http.MethodPost, "/domains/"+c.DomainID.String()+"/recipients/bulk", fmt.Sprintf(`{"op":"set","set":{"name":"Name %d"},"all":true}`, i))
		require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		var queued struct {
			JobID bulk.RunID `json:"jobId"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &queued))
		c.runs = append(c.runs, queued.JobID)
	}
	return c
}

// as says who makes a request.
type as func(r *http.Request)

func nobody(*http.Request) {}

func (c *console) bearer(token string) as {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// basic is what a browser sends that was given a token as the password.
func (c *console) basic(token string) as {
	return func(r *http.Request) { r.SetBasicAuth("any name", token) }
}

func (c *console) do(t *testing.T, who as, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	who(r)
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w
}

// jobs returns the ids of River's jobs in a state by the runs that they start.
func (c *console) jobs(t *testing.T, state string) map[bulk.RunID]int64 {
	t.Helper()
	w := c.do(t, c.basic(c.AdminToken), http.MethodGet, "/river/api/jobs?state="+state, "")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var list struct {
		Data []struct {
			ID    int64  `json:"id"`
			Kind  string `json:"kind"`
			Queue string `json:"queue"`
			Args  string `json:"args"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list), w.Body)
	ids := map[bulk.RunID]int64{}
	for _, j := range list.Data {
		require.Equal(t, "strata_run", j.Kind)
		require.Equal(t, bulk.DefaultQueue, j.Queue)
		var args struct {
			DomainID tenancy.DomainID `json:"domain_id"`
			RunID    bulk.RunID       `json:"run_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(j.Args), &args))
		require.Equal(t, c.DomainID, args.DomainID)
		ids[args.RunID] = j.ID
	}
	return ids
}

func (c *console) tell(t *testing.T, verb string, id int64) {
	t.Helper()
	w := c.do(t, c.basic(c.AdminToken), http.MethodPost, "/river/api/jobs/"+verb, fmt.Sprintf(`{"ids":["%d"]}`, id))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
}

// Whatever an operator does to the jobs, the runs that they start are done.
func TestOperatorHasRiverUI(t *testing.T) {
	t.Parallel()
	c := openConsole(t, 3)
	for _, who := range []as{c.bearer(c.AdminToken), c.basic(c.AdminToken)} {
		for _, path := range []string{"/river/", "/river/jobs"} {
			w := c.do(t, who, http.MethodGet, path, "")
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), `"/river/api"`, "the page knows where it is")
			require.Equal(t, "frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
		}
	}
	w := c.do(t, c.bearer(c.AdminToken), http.MethodGet, "/river", "")
	require.Equal(t, http.StatusMovedPermanently, w.Code)
	require.Equal(t, "/river/", w.Header().Get("Location"))
	w = c.do(t, c.bearer(c.AdminToken), http.MethodGet, "/river/api/health-checks/complete", "")
	require.Equal(t, http.StatusOK, w.Code, w.Body)

	waiting := c.jobs(t, "available")
	require.Len(t, waiting, len(c.runs))
	cancelled, deleted, retried := c.runs[0], c.runs[1], c.runs[2]
	c.tell(t, "cancel", waiting[cancelled])
	c.tell(t, "delete", waiting[deleted])
	c.tell(t, "cancel", waiting[retried])
	require.Len(t, c.jobs(t, "cancelled"), 2)
	c.tell(t, "retry", waiting[retried])
	require.Equal(t, map[bulk.RunID]int64{retried: waiting[retried]}, c.jobs(t, "available"))
	require.Equal(t, map[bulk.RunID]int64{cancelled: waiting[cancelled]}, c.jobs(t, "cancelled"))

	require.NoError(t, c.Start(t.Context()))
	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: c.CompanyID, WorkspaceID: c.WorkspaceID, DomainID: c.DomainID})
	for _, id := range c.runs {
		require.Eventually(t, func() bool {
			run, err := c.Runner.Get(ctx, id)
			require.NoError(t, err)
			return run.State == bulk.StateCompleted && run.Processed == 2
		}, time.Minute, 10*time.Millisecond)
	}
}

// The jobs are those of all tenants: whoever belongs to one of them sees and changes none.
func TestRiverUIIsForOperatorsOnly(t *testing.T) {
	t.Parallel()
	c := openConsole(t, 1)
	before := c.jobs(t, "available")
	require.Len(t, before, 1)
	job := strconv.FormatInt(before[c.runs[0]], 10)
	ids := `{"ids":["` + job + `"]}`
	requests := []struct{ method, path, body string }{
		{http.MethodGet, "/river", ""},
		{http.MethodGet, "/river/", ""},
		{http.MethodGet, "/river/jobs", ""},
		{http.MethodGet, "/river/assets/", ""},
		{http.MethodGet, "/river/robots.txt", ""},
		{http.MethodGet, "/river/api/jobs?state=available", ""},
		{http.MethodGet, "/river/api/jobs/" + job, ""},
		{http.MethodGet, "/river/api/states", ""},
		{http.MethodGet, "/river/api/health-checks/complete", ""},
		{http.MethodGet, "/river/../river/api/jobs?state=available", ""},
		{http.MethodPost, "/river/api/jobs/cancel", ids},
		{http.MethodPost, "/river/api/jobs/delete", ids},
		{http.MethodPost, "/river/api/jobs/retry", ids},
		{http.MethodPut, "/river/api/queues/" + bulk.DefaultQueue + "/pause", ""},
	}
	for name, tt := range map[string]struct {
		who    as
		status int
		code   string
	}{
		"nobody":                            {nobody, http.StatusUnauthorized, "unauthenticated"},
		"a wrong token":                     {c.bearer("wrong"), http.StatusUnauthorized, "unauthenticated"},
		"a wrong password":                  {c.basic("wrong"), http.StatusUnauthorized, "unauthenticated"},
		"no password":                       {c.basic(""), http.StatusUnauthorized, "unauthenticated"},
		"an owner":                          {c.bearer(c.Token), http.StatusForbidden, "forbidden"},
		"an owner in a browser":             {c.basic(c.Token), http.StatusForbidden, "forbidden"},
		"an administrator of one company":   {c.basic("company-admin"), http.StatusForbidden, "forbidden"},
		"a role with the permission's name": {c.basic("claims-platform"), http.StatusForbidden, "forbidden"},
		"an owner by membership":            {c.basic("member"), http.StatusForbidden, "forbidden"},
	} {
		for _, req := range requests {
			w := c.do(t, tt.who, req.method, req.path, req.body)
			tenancytest.RequireError(t, w, tt.status, tt.code)
			if tt.status == http.StatusUnauthorized {
				require.Len(t, w.Header().Values("WWW-Authenticate"), 2, name)
			}
			require.NotContains(t, w.Body.String(), c.CompanyID.String(), name)
		}
	}
	require.Equal(t, before, c.jobs(t, "available"))

	// The password is for River UI only, and only for its own pages.
	tenancytest.RequireError(t, c.do(t, c.basic(c.AdminToken), http.MethodGet, "/companies", ""), http.StatusUnauthorized, "unauthenticated")
	tenancytest.RequireError(t, c.do(t, c.bearer(c.AdminToken), http.MethodGet, "/riverside", ""), http.StatusNotFound, "not_found")
	for _, site := range []string{"cross-site", "same-site"} {
		w := c.do(t, func(r *http.Request) {
			c.basic(c.AdminToken)(r)
			r.Header.Set("Sec-Fetch-Site", site)
			r.Header.Set("Content-Type", "text/plain") // as a form of any page can be sent
		}, http.MethodPost, "/river/api/jobs/cancel", ids)
		require.Equal(t, http.StatusForbidden, w.Code, w.Body)
	}
	w := c.do(t, func(r *http.Request) { c.basic(c.AdminToken)(r); r.Header.Set("Origin", "https://elsewhere.example") }, http.MethodPost, "/river/api/jobs/delete", ids)
	require.Equal(t, http.StatusForbidden, w.Code, w.Body)
	require.Equal(t, before, c.jobs(t, "available"))
}
