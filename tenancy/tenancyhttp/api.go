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

	Owner tenancy.Owner `description:"Becomes the company's first member, as its owner." json:"owner,omitzero"`
}

type newWorkspace struct {
	Name string `json:"name" maxLength:"200" validate:"required"`
	Slug string `description:"Made from the name when empty." json:"slug,omitempty"`
}

type newDomain struct {
	DomainName string `json:"domainName" validate:"required"`
}

type update struct {
	Name      *string `json:"name,omitempty"      maxLength:"200"`
	Slug      *string `json:"slug,omitempty"`
	Suspended *bool   `description:"Needs a permission of its own: platform.manage for a company, workspace.suspend for a workspace." json:"suspended,omitempty"`
}

type updateDomain struct {
	Suspended *bool `json:"suspended" validate:"required"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const (
		company    = "/companies/{companyID}"
		workspaces = company + "/workspaces"
		workspace  = "/workspaces/{workspaceID}"
		domains    = workspace + "/domains"
		domain     = domains + "/{domainID}"
	)
	page := web.PageQuery{}
	return []web.Route{
		{
			Method: http.MethodGet, Path: "/companies", Name: "listCompanies", Summary: "List all companies", Permission: string(access.PlatformManage),
			Query: page, Response: web.List[tenancy.Company]{}, Handle: a.companies,
		},
		{
			Method: http.MethodPost, Path: "/companies", Name: "createCompany", Summary: "Create a company", Permission: string(access.PlatformManage),
			Status: http.StatusCreated, Request: newCompany{}, Response: web.Data[tenancy.Company]{}, Handle: a.createCompany,
		},
		{
			Method: http.MethodGet, Path: company, Name: "getCompany", Summary: "Read a company", Permission: string(access.CompanyRead),
			WhenSuspended: string(access.PlatformManage),
			Response:      web.Data[tenancy.Company]{}, Handle: a.company,
		},
		{
			Method: http.MethodPatch, Path: company, Name: "updateCompany", Summary: "Rename, suspend or resume a company", Permission: string(access.CompanyManage),
			WhenSuspended: string(access.PlatformManage),
			Request:       update{}, Response: web.Data[tenancy.Company]{}, Handle: a.updateCompany,
		},
		{
			Method: http.MethodDelete, Path: company, Name: "deleteCompany", Summary: "Mark a company as deleted", Permission: string(access.CompanyManage),
			WhenSuspended: string(access.PlatformManage),
			Status:        http.StatusNoContent, Handle: a.deleteCompany,
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
			WhenSuspended: string(access.WorkspaceSuspend),
			Response:      web.Data[tenancy.Workspace]{}, Handle: a.workspace,
		},
		{
			Method: http.MethodPatch, Path: workspace, Name: "updateWorkspace", Summary: "Rename, suspend or resume a workspace", Permission: string(access.WorkspaceManage),
			WhenSuspended: string(access.WorkspaceSuspend),
			Request:       update{}, Response: web.Data[tenancy.Workspace]{}, Handle: a.updateWorkspace,
		},
		{
			Method: http.MethodDelete, Path: workspace, Name: "deleteWorkspace", Summary: "Mark a workspace as deleted", Permission: string(access.WorkspaceDelete),
			WhenSuspended: string(access.WorkspaceSuspend),
			Status:        http.StatusNoContent, Handle: a.deleteWorkspace,
		},
		{
			Method: http.MethodGet, Path: domains, Name: "listDomains", Summary: "List the domains of a workspace", Permission: string(access.WorkspaceRead),
			Query: page, Response: web.List[tenancy.Domain]{}, Handle: a.domains,
		},
		{
			Method: http.MethodPost, Path: domains, Name: "createDomain", Summary: "Create a domain", Permission: string(access.DomainManage),
			Status: http.StatusCreated, Request: newDomain{}, Response: web.Data[tenancy.Domain]{}, Handle: a.createDomain,
		},
		{
			Method: http.MethodGet, Path: domain, Name: "getDomain", Summary: "Read a domain", Permission: string(access.WorkspaceRead),
			WhenSuspended: string(access.DomainManage),
			Response:      web.Data[tenancy.Domain]{}, Handle: a.domain,
		},
		{
			Method: http.MethodPatch, Path: domain, Name: "updateDomain", Summary: "Suspend or resume a domain", Permission: string(access.DomainManage),
			WhenSuspended: string(access.DomainManage),
			Request:       updateDomain{}, Response: web.Data[tenancy.Domain]{}, Handle: a.updateDomain,
		},
		{
			Method: http.MethodDelete, Path: domain, Name: "deleteDomain", Summary: "Mark a domain as deleted", Permission: string(access.DomainManage),
			WhenSuspended: string(access.DomainManage),
			Status:        http.StatusNoContent, Handle: a.deleteDomain,
		},
		{
			Method: http.MethodGet, Path: domain + "/verify", Name: "getDomainProof", Permission: string(access.DomainManage),
			Summary:  "Say which DNS record proves that a domain's name is the company's",
			Response: web.Data[tenancy.DomainProof]{}, Handle: a.domainProof,
		},
		{
			Method: http.MethodPost, Path: domain + "/verify", Name: "verifyDomain", Permission: string(access.DomainManage),
			Summary:  "Look for the DNS record that proves that a domain's name is the company's",
			Response: web.Data[tenancy.DomainProof]{}, Handle: a.verifyDomain,
		},
	}
}
