package strata_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/move"
)

// site is a whole Strata served over HTTP, with a token for the owner of each company.
type site struct {
	*tenancytest.Env
	s      *strata.Strata
	cfg    *strata.HandlerConfig
	server *httptest.Server
}

func openSite(t *testing.T) *site {
	t.Helper()
	e := tenancytest.Open(t)
	return openSiteOn(t, e, e.Redis, imports.Config{})
}

func openSiteOn(t *testing.T, e *tenancytest.Env, client redis.UniversalClient, cfg imports.Config) *site {
	t.Helper()
	x := &site{Env: e, server: httptest.NewUnstartedServer(nil)}
	quiet := slog.New(slog.DiscardHandler)
	uploadURL := &url.URL{Scheme: "http", Host: x.server.Listener.Addr().String(), Path: "/api/uploads"}
	local, err := imports.OpenLocal(t.TempDir(), uploadURL, bytes.Repeat([]byte("k"), 32))
	require.NoError(t, err)
	t.Cleanup(func() { _ = local.Bucket.Close() })
	x.s, err = strata.New(t.Context(), e.Pool, client, &strata.Config{Bucket: local.Bucket, Log: quiet, Imports: cfg, Runner: bulk.Config{Poll: 200 * time.Millisecond}})
	require.NoError(t, err)
	x.cfg = &strata.HandlerConfig{Prefix: "/api", Uploads: local, Log: quiet}
	x.server.Config.Handler, err = x.s.Handler(func(r *http.Request) (tenancy.Actor, error) {
		switch r.Header.Get("Authorization") {
		case "Bearer a":
			return e.A.Actor, nil
		case "Bearer b":
			return e.B.Actor, nil
		case "Bearer ann":
			return tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, CompanyID: e.A.CompanyID}, nil
		}
		return tenancy.Actor{}, errors.New("no such token")
	}, x.cfg)
	require.NoError(t, err)
	x.server.Start()
	require.NoError(t, x.s.Start(t.Context()))
	t.Cleanup(func() {
		x.server.Close()
		require.NoError(t, x.s.Stop(context.Background()))
	})
	return x
}

func (x *site) do(t *testing.T, token, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, x.server.URL+"/api"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := x.server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(out)
}

// ok is do for a call that must succeed; it decodes the answer into out.
func (x *site) ok(t *testing.T, method, path, body string, out any) {
	t.Helper()
	status, answer := x.do(t, "a", method, path, body)
	require.Less(t, status, 300, "%s %s: %s", method, path, answer)
	if out != nil {
		require.NoError(t, json.Unmarshal([]byte(answer), out), answer)
	}
}

// stream reads the progress of a job to its final event, and lets see look at each.
func (x *site) stream(t *testing.T, path string, see ...func(bulk.Progress)) (last bulk.Progress) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.server.URL+"/api"+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer a")
	resp, err := x.server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var p bulk.Progress
			require.NoError(t, json.Unmarshal([]byte(data), &p))
			require.GreaterOrEqual(t, p.Processed, last.Processed, "progress never goes back")
			last = p
			for _, f := range see {
				f(p)
			}
		}
	}
	return last
}

// importOne takes a file through the whole flow with HTTP alone and returns the job's id.
func (x *site) importOne(t *testing.T, file string) string {
	t.Helper()
	base := "/domains/" + x.A.DomainID.String() + "/recipients/imports"
	var up struct{ JobID, UploadURL string }
	x.ok(t, http.MethodPost, base+"/upload-url", fmt.Sprintf(`{"fileName":"people.csv","size":%d,"contentType":"text/csv"}`, len(file)), &up)
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, up.UploadURL, strings.NewReader(file))
	require.NoError(t, err)
	put.Header.Set("Content-Type", "text/csv")
	resp, err := x.server.Client().Do(put)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusCreated, resp.StatusCode)

	progress := "/domains/" + x.A.DomainID.String() + "/jobs/" + up.JobID + "/progress"
	x.ok(t, http.MethodPost, base+"/"+up.JobID+"/process", `{}`, nil)
	require.Equal(t, bulk.StateCompleted, x.stream(t, progress).Status)
	var preview struct{ TotalRows, ValidRows, ErrorRows, New, Update, Unchanged, Duplicate int64 }
	x.ok(t, http.MethodGet, base+"/"+up.JobID+"/preview", "", &preview)
	require.Equal(t, preview.TotalRows, preview.New+preview.Update+preview.Unchanged+preview.Duplicate+preview.ErrorRows)
	require.Equal(t, preview.ValidRows, preview.New+preview.Update+preview.Unchanged)
	var committed struct{ JobID, Status string }
	x.ok(t, http.MethodPost, base+"/"+up.JobID+"/commit", "", &committed)
	require.Equal(t, up.JobID, committed.JobID)
	last := x.stream(t, progress)
	require.Equal(t, bulk.StateCompleted, last.Status)
	require.Equal(t, last.Total, last.Processed)
	var state struct{ Data imports.Import }
	x.ok(t, http.MethodGet, base+"/"+up.JobID, "", &state)
	require.Equal(t, imports.Done, state.Data.Status)
	return up.JobID
}

const people = "email,name\nada@example.com,Ada\nbo@example.com,Bo\nnobody,X\nada@example.com,Ada L\n"

func TestImportOverHTTPAlone(t *testing.T) {
	t.Parallel()
	x := openSite(t)
	job := x.importOne(t, people)
	var list struct {
		Data []struct{ Email, Name string }
		Meta struct{ Total int64 }
	}
	x.ok(t, http.MethodGet, "/domains/"+x.A.DomainID.String()+"/recipients?sort=email&filter="+url.QueryEscape(`name.startsWith("Ada")`), "", &list)
	require.EqualValues(t, 1, list.Meta.Total)
	require.Equal(t, "Ada L", list.Data[0].Name)
	status, report := x.do(t, "a", http.MethodGet, "/domains/"+x.A.DomainID.String()+"/recipients/imports/"+job+"/errors.csv", "")
	require.Equal(t, 200, status)
	require.Contains(t, report, "nobody,X,4,")
	status, _ = x.do(t, "a", http.MethodPost, "/domains/"+x.A.DomainID.String()+"/recipients/imports/"+job+"/commit", "")
	require.Equal(t, 409, status)
}

// openFilled is openSite with a custom field, an import and its recipients in the domain of A.
func openFilled(t *testing.T) (x *site, job, recipient string) {
	t.Helper()
	x = openSite(t)
	x.ok(t, http.MethodPost, "/workspaces/"+x.A.WorkspaceID.String()+"/custom-fields", `{"key":"tier","type":"text"}`, nil)
	job = x.importOne(t, people)
	var list struct{ Data []struct{ ID string } }
	x.ok(t, http.MethodGet, "/domains/"+x.A.DomainID.String()+"/recipients", "", &list)
	return x, job, list.Data[0].ID
}

// With credentials of its own, company B gets the same 404 for everything of A's on
// every route, whether it is there or not.
func TestEveryRouteHidesEveryOtherCompany(t *testing.T) {
	t.Parallel()
	x, job, recipient := openFilled(t)

	of := func(c *tenancytest.Company) *strings.Replacer {
		return strings.NewReplacer("{companyID}", c.CompanyID.String(), "{workspaceID}", c.WorkspaceID.String(), "{domainID}", c.DomainID.String(),
			"{id}", recipient, "{jobID}", job, "{key}", "tier", "{actorID}", "somebody")
	}
	nobody := tenancy.NewID[tenancy.Company]().String()
	absent := strings.NewReplacer("{companyID}", nobody, "{workspaceID}", nobody, "{domainID}", nobody, "{id}", nobody, "{jobID}", nobody, "{key}", "nope", "{actorID}", "nobody")
	foreign, deep := 0, 0
	for _, rt := range x.s.Routes(x.cfg) {
		if !strings.Contains(rt.Path, "{") {
			continue
		}
		body := "{}"
		if strings.HasSuffix(rt.Path, "/throttle") { // what is malformed is refused before it is known whose the job is
			body = `{"perSecond": 5}`
		}
		foreign++
		status, answer := x.do(t, "b", rt.Method, of(x.A).Replace(rt.Path), body)
		require.Equal(t, 404, status, "%s %s: %s", rt.Method, rt.Path, answer)
		_, nothing := x.do(t, "b", rt.Method, absent.Replace(rt.Path), body)
		require.Equal(t, nothing, answer, "%s %s tells what is there", rt.Method, rt.Path)

		// A's thing below B's own tenant.
		if strings.Contains(rt.Path, "{id}") || strings.Contains(rt.Path, "{jobID}") || strings.Contains(rt.Path, "{key}") {
			deep++
			status, answer := x.do(t, "b", rt.Method, of(x.B).Replace(rt.Path), body)
			require.Equal(t, 404, status, "%s %s: %s", rt.Method, rt.Path, answer)
		}
	}
	require.Greater(t, foreign, 30)
	require.Greater(t, deep, 15)

	// Nothing of A was changed by all that.
	x.ok(t, http.MethodGet, "/domains/"+x.A.DomainID.String()+"/recipients/"+recipient, "", nil)
	x.ok(t, http.MethodGet, "/companies/"+x.A.CompanyID.String(), "", nil)
}

// Whoever still has the tenant from before a domain went to another company, as a process has
// that did not hear of it yet, is shown nothing of it on any route.
func TestNoRouteShowsADomainThatHasMoved(t *testing.T) {
	t.Parallel()
	x, job, recipient := openFilled(t)
	ask := func(rt web.Route) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequestWithContext(x.A.Ctx, rt.Method, "/", strings.NewReader("{}"))
		for name, value := range map[string]string{"domainID": x.A.DomainID.String(), "id": recipient, "jobID": job, "key": "tier", "actorID": x.A.Actor.ID} {
			r.SetPathValue(name, value)
		}
		w := httptest.NewRecorder()
		return w, rt.Handle(w, r)
	}
	var routes []web.Route
	for _, rt := range x.s.Routes(x.cfg) {
		if !strings.Contains(rt.Path, "{domainID}") || !rt.Reads() || rt.ContentType == "text/event-stream" {
			continue
		}
		if _, err := ask(rt); err == nil { // some are for what is not there here
			routes = append(routes, rt)
		}
	}
	require.Greater(t, len(routes), 10)

	_, err := x.s.Mover.Start(tenancy.WithActor(x.A.Ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}), x.B.WorkspaceID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m, err := x.s.Mover.Get(x.A.Ctx)
		require.NoError(t, err)
		return m.State == move.Done
	}, time.Minute, 10*time.Millisecond)
	for _, rt := range routes {
		w, err := ask(rt)
		require.Error(t, err, "%s %s: %s", rt.Method, rt.Path, w.Body)
		require.Equal(t, fault.NotFound, fault.KindOf(err), "%s %s: %s", rt.Method, rt.Path, err)
		require.Empty(t, w.Body.String(), rt.Path)
	}
	require.ErrorIs(t, x.s.Recipients.Stream(x.A.Ctx, recipients.Query{}, func(recipients.Recipient) error { panic("shown") }), tenancy.ErrNotFound)
}

// Of whom the product says no role, memberships decide, on every route.
func TestMembershipsDecide(t *testing.T) {
	t.Parallel()
	x := openSite(t)
	workspace, recipients := "/workspaces/"+x.A.WorkspaceID.String(), "/domains/"+x.A.DomainID.String()+"/recipients"
	status, _ := x.do(t, "ann", http.MethodGet, recipients, "")
	require.Equal(t, 404, status)
	x.ok(t, http.MethodPost, workspace+"/members", `{"actorId":"ann","role":"workspace_member"}`, nil)
	status, _ = x.do(t, "ann", http.MethodGet, recipients, "")
	require.Equal(t, 200, status)
	status, _ = x.do(t, "ann", http.MethodPost, recipients, `{"email":"x@example.com"}`)
	require.Equal(t, 403, status)
	x.ok(t, http.MethodPatch, workspace+"/members/ann", `{"role":"workspace_admin"}`, nil)
	status, _ = x.do(t, "ann", http.MethodPost, recipients, `{"email":"x@example.com"}`)
	require.Equal(t, 201, status)
}

func TestEveryRouteWantsAPrincipal(t *testing.T) {
	t.Parallel()
	x := openSite(t)
	for _, rt := range x.s.Routes(x.cfg) {
		if rt.Public {
			continue
		}
		status, answer := x.do(t, "nobody", rt.Method, strings.NewReplacer("{companyID}", x.A.CompanyID.String(), "{workspaceID}", x.A.WorkspaceID.String(),
			"{domainID}", x.A.DomainID.String(), "{id}", "x", "{jobID}", "x", "{key}", "x", "{actorID}", "x").Replace(rt.Path), "")
		require.Equal(t, 401, status, "%s %s", rt.Method, rt.Path)
		require.NotContains(t, answer, "no such token")
	}
}

func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	x := openSite(t)
	_, document := x.do(t, "", http.MethodGet, "/openapi.json", "")
	var spec struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(document), &spec))
	names := map[string]bool{}
	for _, rt := range x.s.Routes(x.cfg) {
		require.Contains(t, spec.Paths, rt.Path)
		require.Contains(t, spec.Paths[rt.Path], strings.ToLower(rt.Method), rt.Path)
		require.False(t, names[rt.Name], "%s is there twice", rt.Name)
		names[rt.Name] = true
		require.NotEmpty(t, rt.Summary, rt.Path)
		_, known := x.s.Guard.Catalog().Bit(access.Permission(rt.Permission))
		require.True(t, known || rt.Permission == "", "%s: no role can have %q", rt.Path, rt.Permission)
	}
	status, _ := x.do(t, "", http.MethodGet, "/readyz", "")
	require.Equal(t, 200, status)
}
