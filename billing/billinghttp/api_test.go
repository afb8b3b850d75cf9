package billinghttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing/billinghttp"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/tenancyhttp"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestUsage(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	free := e.Company(t, "free")
	resolver, err := tenancy.NewResolver(e.DB, e.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	member := free.Actor
	member.Role = access.WorkspaceMember
	actors := map[string]tenancy.Actor{"owner": free.Actor, "member": member, "b": e.B.Actor}
	server, err := tenancyhttp.NewServer(resolver, func(r *http.Request) (tenancy.Actor, error) {
		if actor, ok := actors[r.Header.Get("Authorization")]; ok {
			return actor, nil
		}
		return tenancy.Actor{}, errors.New("no such token")
	}, nil)
	require.NoError(t, err)
	handler := server.Handler(billinghttp.New(e.Limits))
	get := func(who string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/companies/"+free.CompanyID.String()+"/usage", http.NoBody)
		r.Header.Set("Authorization", who)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	require.Equal(t, 401, get("").Code)
	require.Equal(t, 403, get("member").Code)
	require.Equal(t, 404, get("b").Code)
	w := get("owner")
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"data":{"plan":"free","status":"active","access":"full","resources":[
		{"resource":"custom_fields","used":0,"reserved":0,"limit":10,"over":false,"resetsAt":null},
		{"resource":"domains","used":1,"reserved":0,"limit":1,"over":false,"resetsAt":null},
		{"resource":"recipients","used":0,"reserved":0,"limit":1000,"over":false,"resetsAt":null},
		{"resource":"workspaces","used":1,"reserved":0,"limit":1,"over":false,"resetsAt":null}]}}`, w.Body.String())
}
