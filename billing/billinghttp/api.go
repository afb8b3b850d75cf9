// Package billinghttp serves what a company uses and may use.
package billinghttp

import (
	"net/http"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of limits and usage.
type API struct{ limits *billing.Limits }

var _ web.API = (*API)(nil)

// New returns the routes over limits.
func New(limits *billing.Limits) *API { return &API{limits} }

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	return []web.Route{{
		Method: http.MethodGet, Path: "/companies/{companyID}/usage", Name: "getUsage", Summary: "Read what a company uses and may use",
		Permission: string(access.UsageRead), WhenBlocked: true, Response: web.Data[billing.Usage]{}, Handle: a.usage,
	}}
}

func (a *API) usage(w http.ResponseWriter, r *http.Request) error {
	u, err := a.limits.Usage(r.Context())
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, u)
}
