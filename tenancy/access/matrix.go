package access

// columns are the built-in roles, in the order of the matrix.
var columns = [...]string{CompanyOwner, CompanyAdmin, WorkspaceAdmin, WorkspaceMember}

// matrix is the permissions of the library, who has them, and the level of the roles that
// can. The rows of one permission and all four roles say everything there is: what is not
// here is denied.
func matrix() []Definition {
	const (
		o = 1 << iota // company owner
		a             // company admin
		w             // workspace admin
		m             // workspace member
	)
	rows := []struct {
		name    Permission
		roles   int
		level   Level
		summary string
	}{
		{CompanyRead, o | a | w | m, LevelWorkspace, "Read the company's own record"},
		{CompanyManage, o | a, LevelCompany, "Rename and delete the company"},
		{OwnersManage, o, LevelCompany, "Make and remove owners of the company"},
		{CompanyMembersRead, o | a, LevelCompany, "List the members of the company"},
		{CompanyMembersManage, o | a, LevelCompany, "Add, change and remove members of the company"},
		{MembersRead, o | a | w, LevelWorkspace, "List the members of a workspace"},
		{MembersManage, o | a | w, LevelWorkspace, "Add, change and remove members of a workspace"},
		{RolesRead, o | a | w, LevelWorkspace, "List roles and what they allow"},
		{RolesManage, o | a, LevelCompany, "Make, change and delete roles"},
		{UsageRead, o | a | w, LevelWorkspace, "See what the plan allows and what is used"},
		{WorkspaceCreate, o | a, LevelCompany, "Create workspaces"},
		{WorkspaceDelete, o | a, LevelCompany, "Delete workspaces"},
		{WorkspaceSuspend, o | a, LevelCompany, "Suspend workspaces and let them work again"},
		{WorkspaceList, o | a, LevelCompany, "See all workspaces of the company"},
		{WorkspaceRead, o | a | w | m, LevelWorkspace, "Read a workspace and its domains"},
		{WorkspaceManage, o | a | w, LevelWorkspace, "Change a workspace"},
		{DomainManage, o | a | w, LevelWorkspace, "Create, verify and change domains"},
		{DomainMove, o | a, LevelCompany, "Move a domain to another workspace"},
		{SettingsDefaults, o | a, LevelCompany, "Change the company's default settings"},
		{SettingsOverride, o | a | w, LevelWorkspace, "Override settings in a workspace"},
		{CompanyLibraryManage, o | a, LevelCompany, "Change the library items of the company"},
		{LibraryManage, o | a | w, LevelWorkspace, "Create and change items in a workspace"},
		{LibraryRead, o | a | w | m, LevelWorkspace, "Read library items"},
		{BlueprintManage, o | a, LevelCompany, "Create and deploy blueprints"},
		{BlueprintPause, o | a | w, LevelWorkspace, "Pause a blueprint's item in a workspace"},
		{FieldsRead, o | a | w | m, LevelWorkspace, "Read custom field definitions"},
		{FieldsManage, o | a | w, LevelWorkspace, "Change custom field definitions"},
		{RecipientsRead, o | a | w | m, LevelWorkspace, "Read recipients"},
		{RecipientsManage, o | a | w, LevelWorkspace, "Create, change, import and delete recipients"},
		{PersonsLinkAcross, o | a, LevelCompany, "Link persons across workspaces"},
		{PersonsLink, o | a | w, LevelWorkspace, "Link persons inside a workspace"},
		{JobsRead, o | a | w | m, LevelWorkspace, "Follow background work"},
		{JobsManage, o | a | w, LevelWorkspace, "Cancel, pause and retry background work"},
		{CompanyReportsRead, o | a, LevelCompany, "Read reports on the company"},
		{WorkspaceReportsRead, o | a | w, LevelWorkspace, "Read reports on a workspace"},
		{CompanyAuditRead, o | a, LevelCompany, "Read the audit trail of the company"},
		{AuditRead, o | a | w, LevelWorkspace, "Read the audit trail of a workspace"},
		{PlatformManage, 0, LevelPlatform, "Administer the installation"},
	}
	out := make([]Definition, len(rows))
	for i, r := range rows {
		out[i] = Definition{Name: r.name, Summary: r.summary, Level: r.level}
		for column, role := range columns {
			if r.roles&(1<<column) != 0 {
				out[i].Roles = append(out[i].Roles, role)
			}
		}
	}
	return out
}
