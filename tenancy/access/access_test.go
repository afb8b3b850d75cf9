package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy/access"
)

// The matrix as a person would check it: who may do what, role by role.
func TestAllows(t *testing.T) {
	t.Parallel()
	const (
		owner     = access.CompanyOwner
		admin     = access.CompanyAdmin
		workspace = access.WorkspaceAdmin
		member    = access.WorkspaceMember
	)
	roles := []string{owner, admin, workspace, member, "", "root", "Company_Owner"}
	for permission, may := range map[access.Permission][]string{
		access.CompanyRead:      {owner, admin, workspace, member},
		access.WorkspaceRead:    {owner, admin, workspace, member},
		access.FieldsRead:       {owner, admin, workspace, member},
		access.RecipientsRead:   {owner, admin, workspace, member},
		access.JobsRead:         {owner, admin, workspace, member},
		access.UsageRead:        {owner, admin, workspace},
		access.FieldsManage:     {owner, admin, workspace},
		access.SettingsOverride: {owner, admin, workspace},
		access.DomainManage:     {owner, admin, workspace},
		access.WorkspaceManage:  {owner, admin, workspace},
		access.RecipientsManage: {owner, admin, workspace},
		access.JobsManage:       {owner, admin, workspace},
		access.AuditRead:        {owner, admin, workspace},
		access.CompanyManage:    {owner, admin},
		access.WorkspaceCreate:  {owner, admin},
		access.WorkspaceDelete:  {owner, admin},
		access.WorkspaceSuspend: {owner, admin},
		access.WorkspaceList:    {owner, admin},
		access.SettingsDefaults: {owner, admin},
		access.CompanyAuditRead: {owner, admin},
		access.PlatformManage:   nil,
		"":                      nil,
		"recipients.explode":    nil,
	} {
		var got []string
		for _, role := range roles {
			if access.Allows(role, permission) {
				got = append(got, role)
			}
		}
		require.Equal(t, may, got, "%s", permission)
	}
}
