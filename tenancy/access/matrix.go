package access

// columns are the built-in roles. Each has everything that those after it have.
var columns = [...]string{CompanyOwner, CompanyAdmin, WorkspaceAdmin, WorkspaceMember}

// matrix is the permissions of the library: the last of columns that has each, and the level
// of the roles that can. What is not here is denied.
func matrix() []Definition {
	return []Definition{
		{CompanyRead, "Read the company's own record", LevelWorkspace, WorkspaceMember},
		{CompanyManage, "Rename and delete the company", LevelCompany, CompanyAdmin},
		{OwnersManage, "Make and remove owners of the company", LevelCompany, CompanyOwner},
		{CompanyMembersRead, "List the members of the company", LevelCompany, CompanyAdmin},
		{CompanyMembersManage, "Add, change and remove members of the company", LevelCompany, CompanyAdmin},
		{MembersRead, "List the members of a workspace", LevelWorkspace, WorkspaceAdmin},
		{MembersManage, "Add, change and remove members of a workspace", LevelWorkspace, WorkspaceAdmin},
		{RolesRead, "List roles and what they allow", LevelWorkspace, WorkspaceAdmin},
		{RolesManage, "Make, change and delete roles", LevelCompany, CompanyAdmin},
		{UsageRead, "See what the plan allows and what is used", LevelWorkspace, WorkspaceAdmin},
		{WorkspaceCreate, "Create workspaces", LevelCompany, CompanyAdmin},
		{WorkspaceDelete, "Delete workspaces", LevelCompany, CompanyAdmin},
		{WorkspaceSuspend, "Suspend workspaces and let them work again", LevelCompany, CompanyAdmin},
		{WorkspaceList, "See all workspaces of the company", LevelCompany, CompanyAdmin},
		{WorkspaceRead, "Read a workspace and its domains", LevelWorkspace, WorkspaceMember},
		{WorkspaceManage, "Change a workspace", LevelWorkspace, WorkspaceAdmin},
		{DomainManage, "Create, verify and change domains", LevelWorkspace, WorkspaceAdmin},
		{DomainMove, "Move a domain to another workspace", LevelCompany, CompanyAdmin},
		{SettingsDefaults, "Change the company's default settings", LevelCompany, CompanyAdmin},
		{SettingsOverride, "Override settings in a workspace", LevelWorkspace, WorkspaceAdmin},
		{CompanyLibraryManage, "Change the library items of the company", LevelCompany, CompanyAdmin},
		{LibraryManage, "Create and change items in a workspace", LevelWorkspace, WorkspaceAdmin},
		{LibraryRead, "Read library items", LevelWorkspace, WorkspaceMember},
		{BlueprintManage, "Create and deploy blueprints", LevelCompany, CompanyAdmin},
		{BlueprintPause, "Pause a blueprint's item in a workspace", LevelWorkspace, WorkspaceAdmin},
		{FieldsRead, "Read custom field definitions", LevelWorkspace, WorkspaceMember},
		{FieldsManage, "Change custom field definitions", LevelWorkspace, WorkspaceAdmin},
		{RecipientsRead, "Read recipients", LevelWorkspace, WorkspaceMember},
		{RecipientsManage, "Create, change, import and delete recipients", LevelWorkspace, WorkspaceAdmin},
		{RecipientsExport, "Export recipients into files", LevelWorkspace, WorkspaceAdmin},
		{PersonsLinkAcross, "Link persons across workspaces", LevelCompany, CompanyAdmin},
		{PersonsLink, "Link persons inside a workspace", LevelWorkspace, WorkspaceAdmin},
		{JobsRead, "Follow background work", LevelWorkspace, WorkspaceMember},
		{JobsManage, "Cancel, pause and retry background work", LevelWorkspace, WorkspaceAdmin},
		{CompanyReportsRead, "Read reports on the company", LevelCompany, CompanyAdmin},
		{WorkspaceReportsRead, "Read reports on a workspace", LevelWorkspace, WorkspaceAdmin},
		{CompanyAuditRead, "Read the audit trail of the company", LevelCompany, CompanyAdmin},
		{AuditRead, "Read the audit trail of a workspace", LevelWorkspace, WorkspaceAdmin},
		{PlatformManage, "Administer the installation", LevelPlatform, ""},
	}
}
