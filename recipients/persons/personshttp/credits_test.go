package personshttp_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

const topic = `"product":"training","key":"course:fire-safety-2026"`

func completion(r persons.Ref) string {
	return fmt.Sprintf(`{"domainId":%q,"recipientId":%q,%s,"occurredAt":"2026-03-01T12:00:00Z","details":{"score":97}}`, r.DomainID, r.RecipientID, topic)
}

func withdrawal(r persons.Ref) string {
	return fmt.Sprintf(`{"domainId":%q,"recipientId":%q,%s}`, r.DomainID, r.RecipientID, topic)
}

func allOf(d tenancy.DomainID) string {
	return fmt.Sprintf(`{"domainId":%q,%s,"occurredAt":"2026-03-01T12:00:00Z","details":{"score":97}}`, d, topic)
}

func TestCreditRoutes(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]func(*world) string{"workspace": func(w *world) string { return w.inside }, "company": func(w *world) string { return w.across }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			base := base(w)
			p := w.link(t, base, w.refs[0], w.refs[1])
			first := tenancytest.RequireData[persons.Completion](t, w.Do(t, "a", "POST", base+"/completions", completion(w.refs[0])), http.StatusOK)
			require.Equal(t, w.refs[0], first.Ref)
			again := tenancytest.RequireList[persons.Completion](t, w.Do(t, "a", "POST", base+"/completions/bulk", fmt.Sprintf(`{"completions":[%s,%s]}`, completion(w.refs[0]), completion(w.refs[2]))))
			require.Equal(t, first, again.Data[0])
			byRecipient := tenancytest.RequireList[persons.Credit](t, w.Do(t, "a", "GET", fmt.Sprintf("%s/credits?domainId=%s&recipientId=%s&product=training", base, w.refs[1].DomainID, w.refs[1].RecipientID)))
			require.Len(t, byRecipient.Data, 1)
			require.Equal(t, name == "company", byRecipient.Data[0].Source != nil, "only the company learns where it comes from")
			require.Equal(t, byRecipient.Data, tenancytest.RequireList[persons.Credit](t, w.Do(t, "a", "GET", base+"/credits?personId="+p.ID.String())).Data)
			since := tenancytest.RequireList[persons.Credit](t, w.Do(t, "a", "GET", "/domains/"+w.A.DomainID.String()+"/credits"))
			require.Len(t, since.Data, 1)
			require.Nil(t, since.Data[0].Source)
			require.False(t, since.Meta.HasMore)
			require.Empty(t, tenancytest.RequireList[persons.Credit](t, w.Do(t, "a", "GET", "/domains/"+w.A.DomainID.String()+"/credits?cursor="+since.Meta.NextCursor)).Data)

			answer := w.Do(t, "a", "POST", base+"/completions/all", allOf(w.A.DomainID))
			require.Equal(t, http.StatusOK, answer.Code, answer.Body)
			require.JSONEq(t, `{"affected":2,"status":"completed"}`, answer.Body.String())
			require.Equal(t, http.StatusNoContent, w.Do(t, "a", "POST", base+"/completions/withdraw", withdrawal(w.refs[0])).Code)
			revoked := tenancytest.RequireList[persons.Credit](t, w.Do(t, "a", "GET", base+"/credits?revoked=true&personId="+p.ID.String()))
			require.Len(t, revoked.Data, 2)
			require.Equal(t, "completed", revoked.Data[0].RevokedReason)

			differs := w.Do(t, "a", "POST", base+"/completions", fmt.Sprintf(`{"domainId":%q,"recipientId":%q,%s,"occurredAt":"2026-03-02T12:00:00Z"}`, w.refs[1].DomainID, w.refs[1].RecipientID, topic))
			require.Equal(t, http.StatusConflict, differs.Code)
			require.Contains(t, differs.Body.String(), `"code":"completion_differs"`)
			require.Contains(t, differs.Body.String(), w.refs[1].RecipientID.String())
			for path, body := range map[string]string{"/completions": `{}`, "/completions/all": `{}`, "/completions/withdraw": `{}`, "/completions/bulk": `{"completions":[{}]}`} {
				require.Equal(t, http.StatusUnprocessableEntity, w.Do(t, "a", "POST", base+path, body).Code, path)
			}
			require.Equal(t, http.StatusUnprocessableEntity, w.Do(t, "a", "GET", base+"/credits").Code)
			require.Equal(t, http.StatusNotFound, w.Do(t, "a", "GET", base+"/credits?personId=x").Code)
			require.Equal(t, http.StatusNotFound, w.Do(t, "a", "GET", base+"/credits?domainId=x&recipientId=y").Code)
			require.Equal(t, http.StatusNotFound, w.Do(t, "a", "POST", base+"/completions/all", allOf(w.B.DomainID)).Code)
			require.Equal(t, http.StatusNotFound, w.Do(t, "a", "POST", base+"/completions", completion(persons.Ref{DomainID: w.B.DomainID, RecipientID: w.refs[1].RecipientID})).Code)
		})
	}
}

// A member reads credits; only who manages recipients completes, and only the company across
// its workspaces.
func TestCreditPermissions(t *testing.T) {
	t.Parallel()
	w := open(t)
	list := fmt.Sprintf("/credits?domainId=%s&recipientId=%s", w.refs[0].DomainID, w.refs[0].RecipientID)
	require.Equal(t, http.StatusOK, w.Do(t, "member", "GET", w.inside+list).Code)
	require.Equal(t, http.StatusForbidden, w.Do(t, "member", "POST", w.inside+"/completions", completion(w.refs[0])).Code)
	require.Equal(t, http.StatusOK, w.Do(t, "workspace admin", "POST", w.inside+"/completions", completion(w.refs[0])).Code)
	for _, who := range []string{"member", "workspace admin"} {
		require.Equal(t, http.StatusForbidden, w.Do(t, who, "GET", w.across+list).Code)
		require.Equal(t, http.StatusForbidden, w.Do(t, who, "POST", w.across+"/completions", completion(w.refs[0])).Code)
	}
}
