package recipientshttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
)

func TestStats(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.create(t, `{"email":"ada@example.com"}`)
	w.create(t, `{"email":"bo@example.com","status":"bounced"}`)
	domain, workspace, company := w.base+"/stats", "/workspaces/"+w.A.WorkspaceID.String()+"/recipients/stats", "/companies/"+w.A.CompanyID.String()+"/recipients/stats"
	want := `{"data":{"total":2,"persons":2,"byStatus":{"active":1,"bounced":1,"complained":0,"inactive":0,"unsubscribed":0},
		"byDomain":[{"domainId":"` + w.A.DomainID.String() + `","domainName":"company-1.example","count":2}],"byProduct":{}}}`
	for _, path := range []string{domain, workspace, company} {
		got := w.Do(t, "a", "GET", path)
		require.Equal(t, 200, got.Code, got.Body.String())
		require.JSONEq(t, want, got.Body.String())
		tenancytest.RequireError(t, w.Do(t, "", "GET", path), 401, "unauthenticated")
		require.Equal(t, 404, w.Do(t, "b", "GET", path).Code)
	}
	// Reports are for those who have them.
	require.Equal(t, 200, w.Do(t, "member", "GET", domain).Code)
	require.Equal(t, 200, w.Do(t, "workspace admin", "GET", workspace).Code)
	tenancytest.RequireError(t, w.Do(t, "member", "GET", workspace), 403, "forbidden")
	tenancytest.RequireError(t, w.Do(t, "workspace admin", "GET", company), 403, "forbidden")
}
