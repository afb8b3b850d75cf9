// Package accesshttp serves members and roles, and guards a product's own handlers.
package accesshttp

import (
	"net/http"

	"github.com/stratakit/strata/internal/web"
	"github.com/stratakit/strata/tenancy/access"
)

// API is the routes of members and roles.
type API struct {
	store   *access.Store
	catalog *access.Catalog
}

var _ web.API = (*API)(nil)

// New returns the routes over store, which has to be one of guard's.
func New(store *access.Store, guard *access.Guard) *API { return &API{store, guard.Catalog()} }

// The store checks everything of a body at once.
type newMember struct {
	ActorID string `json:"actorId"         required:"true"`
	Email   string `json:"email,omitempty"`
	Role    string `json:"role"            required:"true"`
}

type memberRole struct {
	Role string `json:"role" required:"true"`
}

type newRole struct {
	Key         string              `json:"key"            required:"true"`
	Name        string              `description:"The key when empty."     json:"name,omitempty"`
	Level       access.Level        `enum:"company,workspace"              json:"level"          required:"true"`
	Permissions []access.Permission `json:"permissions"    required:"true"`
}

type roleChange struct {
	Name        *string              `json:"name,omitempty"`
	Permissions *[]access.Permission `description:"Replaces those that GET .../permissions lists; others stay." json:"permissions,omitempty"`
}

type memberQuery struct {
	web.PageQuery
	ActorID string `description:"Only the memberships of this actor." query:"actorId"`
}

type companyMemberQuery struct {
	memberQuery
	Everywhere string `description:"With true, the members of the company's workspaces too." enum:"true,false" query:"everywhere"`
}

// Routes returns the routes.
func (a *API) Routes() []web.Route {
	const (
		company   = "/companies/{companyID}"
		workspace = "/workspaces/{workspaceID}"
		actor     = "/members/{actorID}"
		key       = "/roles/{key}"
	)
	readRoles, manageRoles := string(access.RolesRead), string(access.RolesManage)
	routes := []web.Route{
		{
			Method: http.MethodGet, Path: company + "/permissions", Name: "listPermissions", Summary: "List what a role can allow",
			Permission: readRoles, Response: web.List[access.Definition]{}, Handle: a.permissions,
		},
		{
			Method: http.MethodGet, Path: company + "/roles", Name: "listRoles", Summary: "List the roles of a company, the built-in ones first",
			Permission: readRoles, Response: web.List[access.Role]{}, Handle: a.roles,
		},
		{
			Method: http.MethodGet, Path: workspace + "/roles", Name: "listWorkspaceRoles", Summary: "List the roles that members of a workspace can have",
			Permission: readRoles, Response: web.List[access.Role]{}, Handle: a.roles,
		},
		{
			Method: http.MethodPost, Path: company + "/roles", Name: "createRole", Summary: "Make a role of the company's own",
			Permission: manageRoles, Request: newRole{}, Response: web.Data[access.Role]{}, Status: http.StatusCreated, Handle: a.createRole,
		},
		{
			Method: http.MethodPatch, Path: company + key, Name: "updateRole", Summary: "Change name or permissions of a role",
			Permission: manageRoles, Request: roleChange{}, Response: web.Data[access.Role]{}, Handle: a.updateRole,
		},
		{
			Method: http.MethodDelete, Path: company + key, Name: "deleteRole", Summary: "Delete a role that nobody has",
			Permission: manageRoles, Status: http.StatusNoContent, Handle: a.deleteRole,
		},
	}
	for _, place := range []struct {
		base, name, of string
		read, manage   access.Permission
		query          any
	}{
		{company, "CompanyMember", "a company", access.CompanyMembersRead, access.CompanyMembersManage, companyMemberQuery{}},
		{workspace, "Member", "a workspace", access.MembersRead, access.MembersManage, memberQuery{}},
	} {
		read, manage := string(place.read), string(place.manage)
		routes = append(routes,
			web.Route{
				Method: http.MethodGet, Path: place.base + "/members", Name: "list" + place.name + "s", Summary: "List the members of " + place.of,
				Permission: read, Query: place.query, Response: web.List[access.Member]{}, Handle: a.members,
			},
			web.Route{
				Method: http.MethodPost, Path: place.base + "/members", Name: "add" + place.name, Summary: "Make somebody a member of " + place.of,
				Permission: manage, Request: newMember{}, Response: web.Data[access.Member]{}, Status: http.StatusCreated, Handle: a.add,
			},
			web.Route{
				Method: http.MethodPatch, Path: place.base + actor, Name: "update" + place.name, Summary: "Give a member of " + place.of + " another role",
				Permission: manage, Request: memberRole{}, Response: web.Data[access.Member]{}, Handle: a.setRole,
			},
			web.Route{
				Method: http.MethodDelete, Path: place.base + actor, Name: "remove" + place.name, Summary: "Remove a member of " + place.of,
				Permission: manage, Status: http.StatusNoContent, Handle: a.remove,
			})
	}
	return routes
}
