package personshttp_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/recipients/persons/personshttp"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type world struct {
	*tenancytest.Env
	*tenancytest.HTTP
	store   *persons.Store
	matcher *persons.Matcher
	refs    []persons.Ref // of company A
	inside  string
	across  string
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	fields, err := customfields.NewRegistry(w.DB, w.Redis, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	store, err := recipients.NewStore(w.DB, fields, w.Limits, w.Audit, nil)
	require.NoError(t, err)
	w.store, err = persons.NewStore(w.DB, w.Audit)
	require.NoError(t, err)
	resolver, err := tenancy.NewResolver(w.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	runner, err := bulk.NewRunner(w.DB, nil, w.Audit, resolver, nil)
	require.NoError(t, err)
	w.matcher, err = persons.NewMatcher(w.store, fields, runner, nil)
	require.NoError(t, err)
	completer, err := persons.NewCompleter(w.store, store, runner, nil)
	require.NoError(t, err)
	w.HTTP = w.Serve(t, nil, personshttp.New(w.store, w.matcher, completer))
	w.inside, w.across = "/workspaces/"+w.A.WorkspaceID.String()+"/persons", "/companies/"+w.A.CompanyID.String()+"/persons"
	for i := range 4 {
		r, err := store.Create(w.A.Ctx, recipients.New{Email: fmt.Sprintf("r%d@example.com", i)})
		require.NoError(t, err)
		w.refs = append(w.refs, persons.Ref{DomainID: w.A.DomainID, RecipientID: r.ID})
	}
	return w
}

func ref(r persons.Ref) string {
	return fmt.Sprintf(`{"domainId":%q,"recipientId":%q}`, r.DomainID, r.RecipientID)
}

func (w *world) link(t *testing.T, base string, a, b persons.Ref) persons.Person {
	t.Helper()
	return tenancytest.RequireData[persons.Person](t, w.Do(t, "a", "POST", base+"/link", fmt.Sprintf(`{"recipients":[%s,%s]}`, ref(a), ref(b))), http.StatusOK)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]func(*world) string{"workspace": func(w *world) string { return w.inside }, "company": func(w *world) string { return w.across }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			base := base(w)
			first, second := w.link(t, base, w.refs[0], w.refs[1]), w.link(t, base, w.refs[2], w.refs[3])
			require.Len(t, first.Links, 2)
			merged := tenancytest.RequireData[persons.Person](t, w.Do(t, "a", "POST", base+"/merge", fmt.Sprintf(`{"into":%q,"from":%q}`, first.ID, second.ID)), http.StatusOK)
			require.Equal(t, first.ID, merged.ID)
			require.Len(t, merged.Links, 4)
			require.Equal(t, http.StatusNoContent, w.Do(t, "a", "POST", base+"/"+second.ID.String()+"/undo-merge").Code)
			require.Equal(t, http.StatusConflict, w.Do(t, "a", "POST", base+"/"+second.ID.String()+"/undo-merge").Code)
			require.Equal(t, http.StatusNoContent, w.Do(t, "a", "POST", base+"/unlink", ref(w.refs[0])).Code)
			require.Equal(t, http.StatusNotFound, w.Do(t, "a", "GET", base+"/"+first.ID.String()).Code)
			tenancytest.RequireData[persons.Person](t, w.Do(t, "a", "GET", base+"/"+second.ID.String()), http.StatusOK)

			require.Empty(t, tenancytest.RequireList[persons.Suggestion](t, w.Do(t, "a", "GET", base)).Data)
			rejected := tenancytest.RequireList[persons.Suggestion](t, w.Do(t, "a", "GET", base+"?state=rejected&pageSize=2"))
			require.Len(t, rejected.Data, 2)
			require.True(t, rejected.Meta.HasMore)
			require.Equal(t, http.StatusConflict, w.Do(t, "a", "POST", base+"/suggestions/"+rejected.Data[0].ID.String()+"/reject").Code)
			require.Equal(t, http.StatusConflict, w.Do(t, "a", "POST", base+"/suggestions/"+rejected.Data[0].ID.String()+"/accept").Code)

			for body, status := range map[string]int{
				`{"recipients":[]}`: 422, `{"recipients":[{"domainId":"x"}]}`: 422, `{}`: 422, `{"persons":[]}`: 400,
				fmt.Sprintf(`{"recipients":[%s,%s]}`, ref(w.refs[0]), ref(persons.Ref{DomainID: w.B.DomainID, RecipientID: w.refs[1].RecipientID})): 404,
			} {
				require.Equal(t, status, w.Do(t, "a", "POST", base+"/link", body).Code, body)
			}
			require.Equal(t, http.StatusUnprocessableEntity, w.Do(t, "a", "POST", base+"/merge", `{}`).Code)
			require.Equal(t, http.StatusUnprocessableEntity, w.Do(t, "a", "POST", base+"/unlink", `{}`).Code)
			require.Equal(t, http.StatusUnprocessableEntity, w.Do(t, "a", "GET", base+"?state=closed").Code)

			run := tenancytest.RequireData[persons.Matching](t, w.Do(t, "a", "POST", base+"/match"), http.StatusAccepted)
			require.Equal(t, "running", run.State)
			require.Equal(t, http.StatusConflict, w.Do(t, "a", "POST", base+"/match").Code)
			require.Equal(t, run.ID, tenancytest.RequireData[persons.Matching](t, w.Do(t, "a", "GET", base+"/matches/"+run.ID.String()), http.StatusOK).ID)
			for range 2 {
				cancelled := tenancytest.RequireData[persons.Matching](t, w.Do(t, "a", "POST", base+"/matches/"+run.ID.String()+"/cancel"), http.StatusOK)
				require.Equal(t, "cancelled", cancelled.State)
			}
			tenancytest.RequireData[persons.Matching](t, w.Do(t, "a", "POST", base+"/match"), http.StatusAccepted)
		})
	}
}

// Inside a workspace its administrator links, across workspaces one of the company.
func TestPermissions(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.Equal(t, http.StatusOK, w.Do(t, "workspace admin", "GET", w.inside).Code)
	require.Equal(t, http.StatusForbidden, w.Do(t, "member", "GET", w.inside).Code)
	for _, who := range []string{"member", "workspace admin"} {
		require.Equal(t, http.StatusForbidden, w.Do(t, who, "GET", w.across).Code)
		require.Equal(t, http.StatusForbidden, w.Do(t, who, "POST", w.across+"/match").Code)
	}
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	w := open(t)
	p := w.link(t, w.inside, w.refs[0], w.refs[1])
	w.link(t, w.inside, w.refs[0], w.refs[2])
	require.NoError(t, w.store.Unlink(w.A.WorkspaceCtx, w.refs[2]))
	rejected, err := w.store.Suggestions(w.A.WorkspaceCtx, persons.SuggestionQuery{State: persons.Rejected})
	require.NoError(t, err)
	run, err := w.matcher.Match(w.A.WorkspaceCtx)
	require.NoError(t, err)
	w.RequireIsolation(t, tenancytest.Isolation{
		Handler: w.Handler, Routes: w.Routes,
		Values: map[string]string{"personID": p.ID.String(), "suggestionID": rejected.Items[0].ID.String(), "matchID": run.ID.String()},
		Bodies: map[string]string{
			"linkPerson": fmt.Sprintf(`{"recipients":[%s,%s]}`, ref(w.refs[0]), ref(w.refs[3])), "linkCompanyPerson": fmt.Sprintf(`{"recipients":[%s,%s]}`, ref(w.refs[0]), ref(w.refs[3])),
			"unlinkPerson": ref(w.refs[0]), "unlinkCompanyPerson": ref(w.refs[0]),
			"completeRecipient": completion(w.refs[0]), "completeCompanyRecipient": completion(w.refs[0]),
			"completeRecipients": `{"completions":[` + completion(w.refs[0]) + `]}`, "completeCompanyRecipients": `{"completions":[` + completion(w.refs[0]) + `]}`,
			"completeAllRecipients": allOf(w.A.DomainID), "completeAllCompanyRecipients": allOf(w.A.DomainID),
			"withdrawCompletion": withdrawal(w.refs[0]), "withdrawCompanyCompletion": withdrawal(w.refs[0]),
			"mergePersons": fmt.Sprintf(`{"into":%q,"from":%q}`, p.ID, p.ID), "mergeCompanyPersons": fmt.Sprintf(`{"into":%q,"from":%q}`, p.ID, p.ID),
		},
		Untenanted: []string{"GET /healthz", "GET /readyz", "GET /openapi.json"},
	})
	now, err := w.store.Get(w.A.WorkspaceCtx, p.ID)
	require.NoError(t, err)
	require.Equal(t, p.Links, now.Links)
}
