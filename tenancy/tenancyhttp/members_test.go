package tenancyhttp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

// member makes somebody, of whom the product says no role, a member where ctx is.
func (w *world) member(t *testing.T, ctx context.Context, who, role string) {
	t.Helper()
	w.actors[who] = tenancy.Actor{ID: who, Type: tenancy.ActorUser, CompanyID: w.A.CompanyID}
	_, err := w.access.AddMember(ctx, access.NewMember{ActorID: who, Role: role})
	require.NoError(t, err)
}

// A company's workspaces never see each other: to a member of one, another is not there.
func TestWorkspacesOfOneCompanyDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, probe(http.MethodGet, "/domains/{domainID}/probe", nil), probe(http.MethodPost, "/domains/{domainID}/probe", nil),
		probe(http.MethodGet, "/companies/{companyID}/deep/{workspaceID}/{domainID}", func(rt *web.Route) { rt.Permission = string(access.RecipientsRead) }))
	first := path("/workspaces/{workspaceID}", w.A)
	made, err := w.store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	second := "/workspaces/" + made.ID.String()
	domain, err := w.store.CreateDomain(w.A.CompanyCtx, made.ID, tenancy.NewDomain{DomainName: "second.example"})
	require.NoError(t, err)
	w.member(t, w.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)

	require.Equal(t, 200, w.do(t, "ann", http.MethodGet, first).Code)
	require.Equal(t, 200, w.do(t, "ann", http.MethodPatch, first, `{"name":"Ours"}`).Code)
	requireError(t, w.do(t, "ann", http.MethodDelete, first), 403, "forbidden")
	require.Equal(t, 200, w.do(t, "ann", http.MethodGet, path("/companies/{companyID}", w.A)).Code, "whose member a workspace's member is")
	requireError(t, w.do(t, "ann", http.MethodPatch, path("/companies/{companyID}", w.A), `{"name":"x"}`), 403, "forbidden")
	requireError(t, w.do(t, "ann", http.MethodGet, path("/companies/{companyID}/workspaces", w.A)), 403, "forbidden")
	require.Equal(t, 200, w.do(t, "ann", http.MethodGet, path("/domains/{domainID}/probe", w.A)).Code, "a route that asks for no permission")

	absent := w.do(t, "ann", http.MethodGet, "/workspaces/"+tenancy.NewID[tenancy.Workspace]().String())
	requireError(t, absent, 404, "not_found")
	company := "/companies/" + w.A.CompanyID.String() + "/deep/"
	for _, hidden := range []*httptest.ResponseRecorder{
		w.do(t, "ann", http.MethodGet, second),
		w.do(t, "ann", http.MethodPatch, second, `{"name":"x"}`),
		w.do(t, "ann", http.MethodDelete, second),
		w.do(t, "ann", http.MethodGet, second+"/domains"),
		w.do(t, "ann", http.MethodPost, second+"/domains", `{"domainName":"x.example"}`),
		w.do(t, "ann", http.MethodGet, "/domains/"+domain.ID.String()+"/probe"),
		w.do(t, "ann", http.MethodPost, "/domains/"+domain.ID.String()+"/probe"),
		w.do(t, "ann", http.MethodGet, company+made.ID.String()+"/"+domain.ID.String()),
		w.do(t, "ann", http.MethodGet, company+w.A.WorkspaceID.String()+"/"+domain.ID.String()),
		w.do(t, "ann", http.MethodGet, path("/workspaces/{workspaceID}", w.B)),
		w.do(t, "ann", http.MethodGet, path("/companies/{companyID}", w.B)),
	} {
		require.Equal(t, absent.Code, hidden.Code, hidden.Body.String())
		require.Equal(t, absent.Body.String(), hidden.Body.String(), "it tells what is there")
	}

	// Suspended or not is nobody else's business either.
	_, err = w.store.SetCompanySuspended(w.A.CompanyCtx, true)
	require.NoError(t, err)
	requireError(t, w.do(t, "ann", http.MethodGet, second), 404, "not_found")
	requireError(t, w.do(t, "ann", http.MethodGet, first), 403, "suspended")
	_, err = w.store.SetCompanySuspended(w.A.CompanyCtx, false)
	require.NoError(t, err)

	require.NoError(t, w.access.RemoveMember(w.A.WorkspaceCtx, "ann"))
	require.Equal(t, absent.Body.String(), w.do(t, "ann", http.MethodGet, first).Body.String())
	requireError(t, w.do(t, "ann", http.MethodGet, path("/companies/{companyID}", w.A)), 404, "not_found")
}

// Of two names for a tenant, one that the principal may do nothing with is not told from
// one that nobody has.
func TestMismatchTellsNothingOfAnotherWorkspace(t *testing.T) {
	t.Parallel()
	w := product(t, tenancyhttp.FromPath, tenancyhttp.FromHeader(tenancy.LevelWorkspace, "X-Workspace-Id"))
	made, err := w.store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	w.member(t, w.A.WorkspaceCtx, "ann", access.WorkspaceMember)
	ask := func(who string, id tenancy.WorkspaceID) *httptest.ResponseRecorder {
		r := w.request(t, who, http.MethodGet, "/domains/"+w.A.DomainID.String()+"/campaigns")
		r.Header.Set("X-Workspace-Id", id.String())
		return w.serve(r)
	}
	require.Equal(t, 200, ask("ann", w.A.WorkspaceID).Code)
	requireError(t, ask("a", made.ID), 400, "tenant_mismatch")
	requireError(t, ask("ann", made.ID), 404, "not_found")
	requireError(t, ask("ann", tenancy.NewID[tenancy.Workspace]()), 404, "not_found")
}

// One human in two companies, one session: which company it is about says the request.
func TestMemberOfTwoCompanies(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	w.member(t, w.A.CompanyCtx, "ann", access.CompanyAdmin)
	w.member(t, w.B.WorkspaceCtx, "ann", access.WorkspaceMember)
	w.actors["ann"] = tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, Role: access.CompanyOwner}
	require.Equal(t, 200, w.do(t, "ann", http.MethodPatch, path("/companies/{companyID}", w.A), `{"name":"x"}`).Code)
	require.Equal(t, 200, w.do(t, "ann", http.MethodGet, path("/workspaces/{workspaceID}", w.B)).Code)
	requireError(t, w.do(t, "ann", http.MethodPatch, path("/workspaces/{workspaceID}", w.B), `{"name":"x"}`), 403, "forbidden")
	requireError(t, w.do(t, "ann", http.MethodPost, "/companies", `{"name":"x"}`), 403, "forbidden")
}

func TestStreamEndsWithItsMembership(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	w := open(t, tenancyhttp.Config{}, web.Route{
		Method: http.MethodGet, Path: "/domains/{domainID}/stream", Name: "stream", Long: true, Permission: string(access.JobsRead),
		Handle: func(w http.ResponseWriter, r *http.Request) error {
			began <- struct{}{}
			<-r.Context().Done()
			return web.WriteData(w, http.StatusOK, "ended")
		},
	})
	w.member(t, w.A.WorkspaceCtx, "ann", access.WorkspaceMember)
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() { answer <- w.do(t, "ann", http.MethodGet, path("/domains/{domainID}/stream", w.A)) }()
	<-began
	_, err := w.access.SetRole(w.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)
	require.NoError(t, err)
	require.NoError(t, w.access.RemoveMember(w.A.WorkspaceCtx, "ann"))
	require.Equal(t, "ended", data[string](t, <-answer, 200))
}

func TestCompanyIsCreatedWithItsOwner(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	c := data[tenancy.Company](t, w.do(t, "admin", http.MethodPost, "/companies", `{"name":"Acme","owner":{"actorId":"ann","email":"ann@example.com"}}`), 201)
	w.actors["ann"] = tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, CompanyID: c.ID}
	got := w.do(t, "ann", http.MethodGet, "/companies/"+c.ID.String())
	require.Equal(t, 200, got.Code)
	require.True(t, json.Valid(got.Body.Bytes()))
	require.Equal(t, 201, w.do(t, "ann", http.MethodPost, "/companies/"+c.ID.String()+"/workspaces", `{"name":"One"}`).Code)
	e := requireError(t, w.do(t, "admin", http.MethodPost, "/companies", `{"name":"Other","owner":{"email":"x"}}`), 422, "validation_failed")
	require.Equal(t, "owner.actorId", e.Errors[0].Field)
}

// What a body asks for and what a suspended tenant allows is held to memberships too.
func TestMembershipSuspendsAndResumes(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	w.member(t, w.A.CompanyCtx, "adam", access.CompanyAdmin)
	w.member(t, w.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)
	workspace := path("/workspaces/{workspaceID}", w.A)
	requireError(t, w.do(t, "ann", http.MethodPatch, workspace, `{"suspended":true}`), 403, "forbidden")
	require.Equal(t, 200, w.do(t, "adam", http.MethodPatch, workspace, `{"suspended":true}`).Code)
	requireError(t, w.do(t, "ann", http.MethodGet, workspace), 403, "suspended")
	requireError(t, w.do(t, "ann", http.MethodPatch, workspace, `{"suspended":false}`), 403, "suspended")
	require.Equal(t, 200, w.do(t, "adam", http.MethodPatch, workspace, `{"suspended":false}`).Code)
	require.Equal(t, 200, w.do(t, "ann", http.MethodGet, workspace).Code)
}
