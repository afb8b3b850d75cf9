// Package access says who may do what.
//
// A [Permission] is one thing that can be done. A role is a set of them: the four built-in
// roles (see the table in matrix.go), and those that a company makes for itself. Nothing is
// allowed that no role grants.
//
// An actor gets roles in two ways, and may do what any of them grants. What the product
// says of it, Actor.Role, counts in the whole company Actor.CompanyID. Memberships, which
// [Store] keeps, count where they are: those of a company in all its workspaces, those of a
// workspace only there. So for actors whom workspaces are to be hidden from, leave
// Actor.Role empty.
//
// [Guard] answers, from memory:
//
//	if err := guard.Require(ctx, access.RecipientsManage); err != nil {
//		return err // tenancy.ErrNotFound or ErrForbidden
//	}
package access

// Permission names one thing a principal may do, as "resource.verb".
type Permission string

// The permissions of the library. Those of a product are Definitions of its Catalog.
const (
	CompanyRead   Permission = "company.read" // members of a workspace have it too, and nothing else, at their company
	CompanyManage Permission = "company.manage"
	// OwnersManage is what sets an owner apart from an administrator: without it nobody can
	// make, change or remove an owner.
	OwnersManage         Permission = "company_owners.manage"
	CompanyMembersRead   Permission = "company_members.read"
	CompanyMembersManage Permission = "company_members.manage"
	MembersRead          Permission = "members.read"
	MembersManage        Permission = "members.manage"
	RolesRead            Permission = "roles.read"
	RolesManage          Permission = "roles.manage"
	UsageRead            Permission = "usage.read"
	WorkspaceCreate      Permission = "workspace.create"
	WorkspaceDelete      Permission = "workspace.delete"
	WorkspaceSuspend     Permission = "workspace.suspend" // and resume
	WorkspaceList        Permission = "workspace.list"    // all of a company's
	WorkspaceRead        Permission = "workspace.read"
	WorkspaceManage      Permission = "workspace.manage"
	DomainManage         Permission = "domain.manage"
	DomainMove           Permission = "domain.move"       // to another workspace of the company
	SettingsDefaults     Permission = "settings.defaults" // those of the company
	SettingsOverride     Permission = "settings.override" // those of a workspace
	CompanyLibraryManage Permission = "company_library.manage"
	LibraryManage        Permission = "library.manage" // what a workspace owns
	LibraryRead          Permission = "library.read"
	BlueprintManage      Permission = "blueprint.manage"
	BlueprintPause       Permission = "blueprint.pause"
	FieldsRead           Permission = "fields.read"
	FieldsManage         Permission = "fields.manage"
	RecipientsRead       Permission = "recipients.read"
	RecipientsManage     Permission = "recipients.manage"
	RecipientsExport     Permission = "recipients.export"
	PersonsLinkAcross    Permission = "persons.link_across"
	PersonsLink          Permission = "persons.link"
	JobsRead             Permission = "jobs.read"
	JobsManage           Permission = "jobs.manage"
	CompanyReportsRead   Permission = "company_reports.read"
	WorkspaceReportsRead Permission = "workspace_reports.read"
	CompanyAuditRead     Permission = "company_audit.read"
	AuditRead            Permission = "audit.read"
	// PlatformManage belongs to no role: only platform administrators and the system
	// itself have it.
	PlatformManage Permission = "platform.manage"
)

// The built-in roles. The first two are of a company, the others of a workspace; given in a
// company, these count in each of its workspaces.
const (
	CompanyOwner    = "company_owner"
	CompanyAdmin    = "company_admin"
	WorkspaceAdmin  = "workspace_admin"
	WorkspaceMember = "workspace_member"
)

// Allows reports whether a built-in role grants p, one of the library's permissions.
func Allows(role string, p Permission) bool {
	c := builtIn()
	return c.Has(c.Role(role), p)
}
