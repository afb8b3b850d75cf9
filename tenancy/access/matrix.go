package access

// columns are the built-in roles. Each has everything that those after it have.
var columns = [...]string{CompanyOwner, CompanyAdmin, WorkspaceAdmin, WorkspaceMember}

// matrix is the permissions of the library: the last of columns that has each, and the level
// of the roles that can. What is not here is denied.
func matrix() []Definition {
	rows := []struct {
		name    Permission
		role    string
		level   Level
		summary string
	}{
		{CompanyRead, WorkspaceMember, LevelWorkspace, "Read the company's own record"},
		{CompanyManage, CompanyAdmin, LevelCompany, "Rename and delete the company"},
		{OwnersManage, CompanyOwner, LevelCompany, "Make and remove owners of the company"},
		{CompanyMembersRead, CompanyAdmin, LevelCompany, "List the members of the company"},
		{CompanyMembersManage, CompanyAdmin, LevelCompany, "Add, change and remove members of the company"},
		{MembersRead, WorkspaceAdmin, LevelWorkspace, "List the members of a workspace"},
		{MembersManage, WorkspaceAdmin, LevelWorkspace, "Add, change and remove members of a workspace"},
		{RolesRead, WorkspaceAdmin, LevelWorkspace, "List roles and what they allow"},
		{RolesManage, CompanyAdmin, LevelCompany, "Make, change and delete roles"},
		{UsageRead, WorkspaceAdmin, LevelWorkspace, "See what the plan allows and what is used"},
		{WorkspaceCreate, CompanyAdmin, LevelCompany, "Create workspaces"},
		{WorkspaceDelete, CompanyAdmin, LevelCompany, "Delete workspaces"},
		{WorkspaceSuspend, CompanyAdmin, LevelCompany, "Suspend workspaces and let them work again"},
		{WorkspaceList, CompanyAdmin, LevelCompany, "See all workspaces of the company"},
		{WorkspaceRead, WorkspaceMember, LevelWorkspace, "Read a workspace and its domains"},
		{WorkspaceManage, WorkspaceAdmin, LevelWorkspace, "Change a workspace"},
		{DomainManage, WorkspaceAdmin, LevelWorkspace, "Create, verify and change domains"},
		{DomainMove, CompanyAdmin, LevelCompany, "Move a domain to another workspace"},
		{SettingsDefaults, CompanyAdmin, LevelCompany, "Change the company's default settings"},
		{SettingsOverride, WorkspaceAdmin, LevelWorkspace, "Override settings in a workspace"},
		{CompanyLibraryManage, CompanyAdmin, LevelCompany, "Change the library items of the company"},
		{LibraryManage, WorkspaceAdmin, LevelWorkspace, "Create and change items in a workspace"},
		{LibraryRead, WorkspaceMember, LevelWorkspace, "Read library items"},
		{BlueprintManage, CompanyAdmin, LevelCompany, "Create and deploy blueprints"},
		{BlueprintPause, WorkspaceAdmin, LevelWorkspace, "Pause a blueprint's item in a workspace"},
		{FieldsRead, WorkspaceMember, LevelWorkspace, "Read custom field definitions"},
		{FieldsManage, WorkspaceAdmin, LevelWorkspace, "Change custom field definitions"},
		{RecipientsRead, WorkspaceMember, LevelWorkspace, "Read recipients"},
		{RecipientsManage, WorkspaceAdmin, LevelWorkspace, "Create, change, import and delete recipients"},
		{PersonsLinkAcross, CompanyAdmin, LevelCompany, "Link persons across workspaces"},
		{PersonsLink, WorkspaceAdmin, LevelWorkspace, "Link persons inside a workspace"},
		{JobsRead, WorkspaceMember, LevelWorkspace, "Follow background work"},
		{JobsManage, WorkspaceAdmin, LevelWorkspace, "Cancel, pause and retry background work"},
		{CompanyReportsRead, CompanyAdmin, LevelCompany, "Read reports on the company"},
		{WorkspaceReportsRead, WorkspaceAdmin, LevelWorkspace, "Read reports on a workspace"},
		{CompanyAuditRead, CompanyAdmin, LevelCompany, "Read the audit trail of the company"},
		{AuditRead, WorkspaceAdmin, LevelWorkspace, "Read the audit trail of a workspace"},
		{PlatformManage, "", LevelPlatform, "Administer the installation"},
	}
	out := make([]Definition, len(rows))
	for i, r := range rows {
		out[i] = Definition{Name: r.name, Summary: r.summary, Level: r.level, Role: r.role}
	}
	return out
}
