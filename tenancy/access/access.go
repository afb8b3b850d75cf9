// Package access says which role may do what. The matrix is data: a permission that is
// not listed for a role is denied, and so is every permission of an unknown role.
package access

// Permission names one thing a principal may do, as "resource.verb".
type Permission string

// The permissions of the library's own routes.
const (
	CompanyRead      Permission = "company.read"
	CompanyManage    Permission = "company.manage"
	UsageRead        Permission = "usage.read"
	WorkspaceCreate  Permission = "workspace.create"
	WorkspaceDelete  Permission = "workspace.delete"
	WorkspaceSuspend Permission = "workspace.suspend" // and resume
	WorkspaceList    Permission = "workspace.list"    // all of a company's
	WorkspaceRead    Permission = "workspace.read"
	WorkspaceManage  Permission = "workspace.manage"
	DomainManage     Permission = "domain.manage"
	DomainMove       Permission = "domain.move" // to another workspace of the company
	FieldsRead       Permission = "fields.read"
	FieldsManage     Permission = "fields.manage"
	SettingsOverride Permission = "settings.override" // those of a workspace
	SettingsDefaults Permission = "settings.defaults" // those of the company
	RecipientsRead   Permission = "recipients.read"
	RecipientsManage Permission = "recipients.manage"
	JobsRead         Permission = "jobs.read"
	JobsManage       Permission = "jobs.manage"
	AuditRead        Permission = "audit.read"
	CompanyAuditRead Permission = "company_audit.read"
	// PlatformManage belongs to no role: only platform administrators and the system
	// itself have it.
	PlatformManage Permission = "platform.manage"
)

// The built-in roles.
const (
	CompanyOwner    = "company_owner"
	CompanyAdmin    = "company_admin"
	WorkspaceAdmin  = "workspace_admin"
	WorkspaceMember = "workspace_member"
)

var (
	member = []Permission{CompanyRead, WorkspaceRead, FieldsRead, RecipientsRead, JobsRead}
	admin  = append([]Permission{
		FieldsManage, SettingsOverride, DomainManage, WorkspaceManage, RecipientsManage, JobsManage, AuditRead, UsageRead,
	}, member...)
	company = append([]Permission{
		CompanyManage, WorkspaceCreate, WorkspaceDelete, WorkspaceSuspend, WorkspaceList, DomainMove, SettingsDefaults, CompanyAuditRead,
	}, admin...)
)

// Allows reports whether role has permission p.
func Allows(role string, p Permission) bool {
	for _, granted := range permissions(role) {
		if granted == p {
			return true
		}
	}
	return false
}

func permissions(role string) []Permission {
	switch role {
	case CompanyOwner, CompanyAdmin:
		return company
	case WorkspaceAdmin:
		return admin
	case WorkspaceMember:
		return member
	}
	return nil
}
