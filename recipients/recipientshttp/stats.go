package recipientshttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy/access"
)

// statsRoutes are the numbers of each level.
func (a *API) statsRoutes() []web.Route {
	response := web.Data[recipients.Stats]{}
	return []web.Route{
		{
			Method: http.MethodGet, Path: "/domains/{domainID}/recipients/stats", Name: "getDomainRecipientStats",
			Summary:    "Count the recipients of a domain, by status and product",
			Permission: string(access.RecipientsRead), Response: response, Handle: a.stats,
		},
		{
			Method: http.MethodGet, Path: "/workspaces/{workspaceID}/recipients/stats", Name: "getWorkspaceRecipientStats",
			Summary:    "Count the recipients of a workspace, by status, domain and product",
			Permission: string(access.WorkspaceReportsRead), Response: response, Handle: a.stats,
		},
		{
			Method: http.MethodGet, Path: "/companies/{companyID}/recipients/stats", Name: "getCompanyRecipientStats",
			Summary:    "Count the recipients of a company, by status, domain and product",
			Permission: string(access.CompanyReportsRead), Response: response, Handle: a.stats,
		},
	}
}

// stats answers with the numbers of the tenant that the path names.
func (a *API) stats(w http.ResponseWriter, r *http.Request) error {
	out, err := a.store.Stats(r.Context())
	if err != nil {
		return err
	}
	return web.WriteData(w, http.StatusOK, out)
}
