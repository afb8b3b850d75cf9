package tenancyhttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of companies, workspaces and domains.
type API struct{ store *tenancy.Store }

var _ web.API = (*API)(nil)

// New returns the routes over store. The store must know the Server's Resolver, or
// other requests notice a change only when a cached tenant expires.
func New(store *tenancy.Store) *API { return &API{store} }

type newCompany struct {
	Name string `json:"name" maxLength:"200" validate:"required"`
	Slug string `description:"Made from the name when empty." json:"slug,omitempty"`
	Plan string `json:"plan,omitempty"`
}

type newWorkspace struct {
	Name string `json:"name" maxLength:"200" validate:"required"`
	Slug string `description:"Made from the name when empty." json:"slug,omitempty"`
}

type newDomain struct {
	DomainName string `json:"domainName" validate:"required"`
}

type rename struct {
	Name string `json:"name" maxLength:"200" validate:"required"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const (
		company    = "/companies/{companyID}"
		workspaces = company + "/workspaces"
		workspace  = "/workspaces/{workspaceID}"
		domains    = workspace + "/domains"
	)
	page := web.PageQuery{}
	return []web.Route{
		{
			Method: http.MethodPost, Path: "/companies", Name: "createCompany", Summary: "Create a company", Permission: string(access.PlatformManage),
			Status: http.StatusCreated, Request: newCompany{}, Response: web.Data[tenancy.Company]{}, Handle: a.createCompany,
		},
		{
			Method: http.MethodGet, Path: company, Name: "getCompany", Summary: "Read a company", Permission: string(access.CompanyRead),
			Response: web.Data[tenancy.Company]{}, Handle: a.company,
		},
		{
			Method: http.MethodPatch, Path: company, Name: "updateCompany", Summary: "Rename a company", Permission: string(access.CompanyManage),
			Request: rename{}, Response: web.Data[tenancy.Company]{}, Handle: a.renameCompany,
		},
		{
			Method: http.MethodDelete, Path: company, Name: "deleteCompany", Summary: "Mark a company as deleted", Permission: string(access.CompanyManage),
			Status: http.StatusNoContent, Handle: a.deleteCompany,
		},
		{
			Method: http.MethodGet, Path: company + "/features", Name: "getFeatures", Summary: "Which multi-tenant features the company should see",
			Permission: string(access.CompanyRead), Response: web.Data[tenancy.Features]{}, Handle: a.features,
		},
		{
			Method: http.MethodGet, Path: workspaces, Name: "listWorkspaces", Summary: "List the workspaces of a company", Permission: string(access.WorkspaceList),
			Query: page, Response: web.List[tenancy.Workspace]{}, Handle: a.workspaces,
		},
		{
			Method: http.MethodPost, Path: workspaces, Name: "createWorkspace", Summary: "Create a workspace", Permission: string(access.WorkspaceCreate),
			Status: http.StatusCreated, Request: newWorkspace{}, Response: web.Data[tenancy.Workspace]{}, Handle: a.createWorkspace,
		},
		{
			Method: http.MethodGet, Path: workspace, Name: "getWorkspace", Summary: "Read a workspace", Permission: string(access.WorkspaceRead),
			Response: web.Data[tenancy.Workspace]{}, Handle: a.workspace,
		},
		{
			Method: http.MethodPatch, Path: workspace, Name: "updateWorkspace", Summary: "Rename a workspace", Permission: string(access.WorkspaceManage),
			Request: rename{}, Response: web.Data[tenancy.Workspace]{}, Handle: a.renameWorkspace,
		},
		{
			Method: http.MethodDelete, Path: workspace, Name: "deleteWorkspace", Summary: "Mark a workspace as deleted", Permission: string(access.WorkspaceDelete),
			Status: http.StatusNoContent, Handle: a.deleteWorkspace,
		},
		{
			Method: http.MethodGet, Path: domains, Name: "listDomains", Summary: "List the domains of a workspace", Permission: string(access.WorkspaceRead),
			Query: page, Response: web.List[tenancy.Domain]{}, Handle: a.domains,
		},
		{
			Method: http.MethodPost, Path: domains, Name: "createDomain", Summary: "Create a domain", Permission: string(access.DomainManage),
			Status: http.StatusCreated, Request: newDomain{}, Response: web.Data[tenancy.Domain]{}, Handle: a.createDomain,
		},
	}
}
