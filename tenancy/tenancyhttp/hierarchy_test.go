package tenancyhttp_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

const (
	suspend = `{"suspended":true}`
	resume  = `{"suspended":false}`
)

// What is suspended answers 403 to everything, except to those who may let it work again:
// they can look at it, resume it and delete it.
func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{}, probe(http.MethodGet, "/domains/{domainID}/read", nil))
	for who, role := range map[string]string{"workspace admin": access.WorkspaceAdmin} {
		w.actors[who] = tenancy.Actor{ID: who, Type: tenancy.ActorUser, CompanyID: w.A.CompanyID, Role: role}
	}
	company, workspace := path("/companies/{companyID}", w.A), path("/workspaces/{workspaceID}", w.A)
	domain, work := path("/workspaces/{workspaceID}/domains/{domainID}", w.A), path("/domains/{domainID}/read", w.A)
	get := func(who, p string) int { return w.do(t, who, http.MethodGet, p).Code }
	patch := func(who, p, body string) int { return w.do(t, who, http.MethodPatch, p, body).Code }

	for _, level := range []struct {
		path      string
		may       []string // suspend and resume
		forbidden []string // may not, though they see it
		above     []string // what goes on working
		below     []string // what does not
	}{
		{domain, []string{"workspace admin", "a", "admin"}, []string{"member"}, []string{workspace, company}, []string{work, domain + "/verify"}},
		{workspace, []string{"a", "admin"}, []string{"workspace admin", "member"}, []string{company}, []string{domain, work, workspace + "/domains"}},
		{company, []string{"admin"}, []string{"a", "workspace admin", "member"}, nil, []string{workspace, domain, work, company + "/workspaces"}},
	} {
		for _, who := range level.forbidden {
			requireError(t, w.do(t, who, http.MethodPatch, level.path, suspend), 403, "forbidden")
		}
		for _, who := range level.may {
			require.Equal(t, 200, patch(who, level.path, suspend), "%s suspends %s", who, level.path)
			for _, who := range level.forbidden {
				requireError(t, w.do(t, who, http.MethodGet, level.path), 403, "suspended")
				requireError(t, w.do(t, who, http.MethodPatch, level.path, resume), 403, "suspended")
				requireError(t, w.do(t, who, http.MethodDelete, level.path), 403, "suspended")
			}
			requireError(t, w.do(t, "b", http.MethodPatch, level.path, resume), 404, "not_found")
			for _, p := range level.above {
				require.Equal(t, 200, get("a", p), p)
			}
			for _, p := range level.below { // the platform included: the level itself has to be resumed
				requireError(t, w.do(t, "a", http.MethodGet, p), 403, "suspended")
				requireError(t, w.do(t, "admin", http.MethodGet, p), 403, "suspended")
			}
			require.Equal(t, 200, get(who, level.path))
			if level.path != domain {
				requireError(t, w.do(t, who, http.MethodPatch, level.path, `{"name":"New"}`), 403, "suspended")
			}
			require.Equal(t, 200, patch(who, level.path, resume), "%s resumes %s", who, level.path)
			require.Equal(t, 200, get("a", work))
		}
	}

	// What is suspended above itself is not for those below to resume, nor to delete.
	require.Equal(t, 200, patch("a", workspace, suspend))
	requireError(t, w.do(t, "a", http.MethodPatch, domain, resume), 403, "suspended")
	require.Equal(t, 200, patch("admin", company, suspend))
	requireError(t, w.do(t, "a", http.MethodPatch, workspace, resume), 403, "suspended")
	requireError(t, w.do(t, "a", http.MethodDelete, workspace), 403, "suspended")
	require.Equal(t, 200, patch("admin", company, `{"suspended":false,"name":"Renamed"}`), "renamed as it is resumed")
	require.Equal(t, 204, w.do(t, "a", http.MethodDelete, workspace).Code, "deleted while it is suspended")
	requireError(t, w.do(t, "a", http.MethodGet, workspace), 404, "not_found")
}

// A company that does not pay is still the platform's to suspend, to look at and to delete.
func TestThePlatformAdministersWhatIsBlocked(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	company := path("/companies/{companyID}", w.A)
	for _, c := range []struct {
		access tenancy.Access
		code   string
	}{{tenancy.AccessReadOnly, "subscription_read_only"}, {tenancy.AccessBlocked, "subscription_blocked"}} {
		require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
			return w.store.SetSubscriptionTx(w.A.CompanyCtx, tx, "free", c.access)
		}))
		requireError(t, w.do(t, "a", http.MethodPatch, company, `{"name":"New"}`), 403, c.code)
		requireError(t, w.do(t, "a", http.MethodDelete, company), 403, c.code)
		for _, body := range []string{suspend, resume} {
			require.Equal(t, 200, w.do(t, "admin", http.MethodPatch, company, body).Code, body)
			require.Equal(t, 200, w.do(t, "admin", http.MethodGet, company).Code)
		}
		requireError(t, w.do(t, "admin", http.MethodPost, company+"/workspaces", `{"name":"Second"}`), 403, c.code)
	}
	require.Equal(t, 204, w.do(t, "admin", http.MethodDelete, company).Code)
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	workspace := path("/workspaces/{workspaceID}", w.A)
	got := data[tenancy.Workspace](t, w.do(t, "a", http.MethodPatch, workspace, `{"name":"North","slug":"north"}`), 200)
	require.Equal(t, []any{"North", "north"}, []any{got.Name, got.Slug})
	e := requireError(t, w.do(t, "a", http.MethodPatch, workspace, `{}`), 422, "validation_failed")
	require.Equal(t, "name", e.Errors[0].Field)
	e = requireError(t, w.do(t, "a", http.MethodPatch, workspace, `{"name":"","slug":"No"}`), 422, "validation_failed")
	require.Len(t, e.Errors, 2)
	data[tenancy.Company](t, w.do(t, "a", http.MethodPatch, path("/companies/{companyID}", w.A), `{"slug":"one"}`), 200)
	requireError(t, w.do(t, "b", http.MethodPatch, path("/companies/{companyID}", w.B), `{"slug":"one"}`), 409, "already_exists")
	e = requireError(t, w.do(t, "a", http.MethodPatch, path("/workspaces/{workspaceID}/domains/{domainID}", w.A), `{}`), 422, "validation_failed")
	require.Equal(t, "suspended", e.Errors[0].Field)
}

func TestListCompanies(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	first := page[tenancy.Company](t, w.do(t, "admin", http.MethodGet, "/companies?pageSize=1"))
	require.Equal(t, w.A.CompanyID, first.Data[0].ID)
	require.Equal(t, web.Total(2), first.Meta.Total)
	requireError(t, w.do(t, "a", http.MethodGet, "/companies"), 403, "forbidden")
	requireError(t, w.do(t, "nowhere", http.MethodGet, "/companies"), 403, "forbidden")
	requireError(t, w.do(t, "", http.MethodGet, "/companies"), 401, "unauthenticated")
}

func TestDomain(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	domains := path("/workspaces/{workspaceID}/domains", w.A)
	domain := domains + "/" + w.A.DomainID.String()
	require.Equal(t, "company-1.example", data[tenancy.Domain](t, w.do(t, "member", http.MethodGet, domain), 200).DomainName)
	e := requireError(t, w.do(t, "a", http.MethodPost, domains, `{"domainName":"co.uk"}`), 422, "validation_failed")
	require.Equal(t, []any{"domainName", "public_suffix"}, []any{e.Errors[0].Field, e.Errors[0].Code})
	require.Equal(t, 204, w.do(t, "a", http.MethodDelete, domain).Code)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		requireError(t, w.do(t, "a", method, domain), 404, "not_found")
	}
	requireError(t, w.do(t, "a", http.MethodPost, domain+"/verify"), 404, "not_found")
}

func TestVerifyDomain(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	verify := path("/workspaces/{workspaceID}/domains/{domainID}/verify", w.A)
	proof := data[tenancy.DomainProof](t, w.do(t, "a", http.MethodGet, verify), 200)
	require.Equal(t, "TXT", proof.Record.Type)
	require.Equal(t, "_strata-challenge.company-1.example", proof.Record.Name)
	rec := w.do(t, "a", http.MethodPost, verify)
	require.JSONEq(t, `{"data":{"domainName":"company-1.example","verified":false,
		"record":{"type":"TXT","name":"_strata-challenge.company-1.example","value":"`+proof.Record.Value+`"},
		"problem":"there is no TXT record at _strata-challenge.company-1.example: it takes a while until all name servers of a provider have a new one"}}`, rec.Body.String())
	w.texts = func(string) ([]string, error) { return nil, errors.New("no name server answers") }
	require.Equal(t, "no name server answers", data[tenancy.DomainProof](t, w.do(t, "a", http.MethodPost, verify), 200).Problem)

	w.texts = func(name string) ([]string, error) {
		require.Equal(t, proof.Record.Name, name)
		return []string{proof.Record.Value}, nil
	}
	got := data[tenancy.DomainProof](t, w.do(t, "a", http.MethodPost, verify), 200)
	require.True(t, got.Verified)
	d := data[tenancy.Domain](t, w.do(t, "member", http.MethodGet, path("/workspaces/{workspaceID}/domains/{domainID}", w.A)), 200)
	require.Equal(t, got.VerifiedAt, d.VerifiedAt)
	require.NotContains(t, w.do(t, "member", http.MethodGet, path("/workspaces/{workspaceID}/domains/{domainID}", w.A)).Body.String(), "token")

	// Another company with a domain of that name, who has put its record there too.
	other, err := w.store.CreateDomain(w.B.CompanyCtx, w.B.WorkspaceID, tenancy.NewDomain{DomainName: "company-1.example"})
	require.NoError(t, err)
	theirs := path("/workspaces/{workspaceID}/domains/"+other.ID.String()+"/verify", w.B)
	second := data[tenancy.DomainProof](t, w.do(t, "b", http.MethodGet, theirs), 200)
	rec = w.do(t, "b", http.MethodPost, theirs)
	require.Equal(t, 200, rec.Code, "it has proven nothing yet")
	require.NotContains(t, rec.Body.String(), proof.Record.Value)
	w.texts = func(string) ([]string, error) { return []string{proof.Record.Value, second.Record.Value}, nil }
	rec = w.do(t, "b", http.MethodPost, theirs)
	requireError(t, rec, 409, "domain_taken")
	require.NotContains(t, rec.Body.String(), proof.Record.Value)
	require.NotContains(t, w.log.String(), proof.Record.Value)
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t, tenancyhttp.Config{})
	rename := `{"name":"Stolen","suspended":true}`
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.handler, Routes: tenancyhttp.New(w.store).Routes(), Untenanted: []string{"GET /companies", "POST /companies"},
		Bodies: map[string]string{
			"updateCompany": rename, "updateWorkspace": rename, "updateDomain": suspend,
			"createWorkspace": `{"name":"Stolen"}`, "createDomain": `{"domainName":"stolen.example"}`,
		},
	})
	c, err := w.store.Company(w.A.CompanyCtx)
	require.NoError(t, err)
	require.Equal(t, []any{"Company 1", (*time.Time)(nil)}, []any{c.Name, c.SuspendedAt})
	workspaces, err := w.store.Workspaces(w.A.CompanyCtx, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, workspaces.Items, 1)
	require.Equal(t, "Company 1", workspaces.Items[0].Name)
	domains, err := w.store.Domains(w.A.CompanyCtx, w.A.WorkspaceID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Len(t, domains.Items, 1)
	require.Nil(t, domains.Items[0].SuspendedAt)
}
