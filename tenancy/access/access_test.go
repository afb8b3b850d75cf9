package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy/access"
)

var roles = []string{access.CompanyOwner, access.CompanyAdmin, access.WorkspaceAdmin, access.WorkspaceMember}

// The matrix that was asked for: company owner / company admin / workspace admin /
// workspace member. "read" is that the permission to read comes instead.
const asked = `create workspace yes/yes/no/no; view all workspaces y/y/n/n; company library items y/y/n/n; create or deploy blueprint y/y/n/n;
company default settings y/y/n/n; create in workspace y/y/y/n; override workspace settings y/y/y/n; manage recipients y/y/y/read;
company reports y/y/n/n; workspace reports y/y/y/n; link persons across workspaces y/y/n/n; link persons inside a workspace y/y/y/n;
pause a blueprint's item in one's own workspace y/y/y/n`

func TestMatrixIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	means := map[string]access.Permission{
		"create workspace":                                access.WorkspaceCreate,
		"view all workspaces":                             access.WorkspaceList,
		"company library items":                           access.CompanyLibraryManage,
		"create or deploy blueprint":                      access.BlueprintManage,
		"company default settings":                        access.SettingsDefaults,
		"create in workspace":                             access.LibraryManage,
		"override workspace settings":                     access.SettingsOverride,
		"manage recipients":                               access.RecipientsManage,
		"company reports":                                 access.CompanyReportsRead,
		"workspace reports":                               access.WorkspaceReportsRead,
		"link persons across workspaces":                  access.PersonsLinkAcross,
		"link persons inside a workspace":                 access.PersonsLink,
		"pause a blueprint's item in one's own workspace": access.BlueprintPause,
	}
	cells := 0
	for _, row := range strings.Split(strings.ReplaceAll(asked, "\n", " "), ";") {
		row = strings.TrimSpace(row)
		at := strings.LastIndexByte(row, ' ')
		permission, known := means[row[:at]]
		require.True(t, known, row)
		answers := strings.Split(row[at+1:], "/")
		require.Len(t, answers, len(roles), row)
		for i, answer := range answers {
			cells++
			require.Equal(t, strings.HasPrefix(answer, "y"), access.Allows(roles[i], permission), "%s may %s", roles[i], row)
			if answer == "read" {
				require.True(t, access.Allows(roles[i], access.RecipientsRead))
			}
		}
	}
	require.Equal(t, 13*4, cells)
}

// Every permission as a person would check it: who may do what, role by role.
func TestAllows(t *testing.T) {
	t.Parallel()
	company := []access.Permission{
		access.CompanyManage, access.CompanyMembersRead, access.CompanyMembersManage, access.RolesManage,
		access.WorkspaceCreate, access.WorkspaceDelete, access.WorkspaceSuspend, access.WorkspaceList, access.DomainMove,
		access.SettingsDefaults, access.CompanyLibraryManage, access.BlueprintManage, access.PersonsLinkAcross,
		access.CompanyReportsRead, access.CompanyAuditRead,
	}
	workspace := []access.Permission{
		access.MembersRead, access.MembersManage, access.RolesRead, access.UsageRead, access.WorkspaceManage, access.DomainManage,
		access.SettingsOverride, access.LibraryManage, access.BlueprintPause, access.FieldsManage, access.RecipientsManage, access.RecipientsExport,
		access.PersonsLink, access.JobsManage, access.WorkspaceReportsRead, access.AuditRead,
	}
	everybody := []access.Permission{
		access.CompanyRead, access.WorkspaceRead, access.LibraryRead, access.FieldsRead, access.RecipientsRead, access.JobsRead,
	}
	nobody := []access.Permission{access.PlatformManage, "", "recipients.explode"}
	known := map[access.Permission]bool{}
	for may, permissions := range map[int][]access.Permission{0: nobody, 1: {access.OwnersManage}, 2: company, 3: workspace, 4: everybody} {
		for _, p := range permissions {
			known[p] = true
			for i, role := range roles {
				require.Equal(t, i < may, access.Allows(role, p), "%s %s", role, p)
			}
			for _, role := range []string{"", "root", "Company_Owner"} {
				require.False(t, access.Allows(role, p), "%q %s", role, p)
			}
		}
	}
	c, err := access.NewCatalog(nil)
	require.NoError(t, err)
	for _, d := range c.Definitions() {
		require.True(t, known[d.Name], "%s is not in this table", d.Name)
	}
}

func TestCatalogOfAProduct(t *testing.T) {
	t.Parallel()
	c, err := access.NewCatalog(&access.CatalogConfig{Permissions: []access.Definition{
		{Name: "campaigns.send", Summary: "Send campaigns", Role: access.WorkspaceAdmin},
		{Name: "brands.manage", Summary: "Change brands", Level: access.LevelCompany},
	}})
	require.NoError(t, err)
	require.True(t, c.Has(c.Role(access.WorkspaceAdmin), "campaigns.send"))
	require.True(t, c.Has(c.Role(access.CompanyAdmin), "campaigns.send"), "and who is above")
	require.False(t, c.Has(c.Role(access.WorkspaceMember), "campaigns.send"))
	require.True(t, c.Has(c.Role(access.CompanyOwner), "brands.manage"), "owners have everything")
	require.False(t, c.Has(c.Role(access.CompanyAdmin), "brands.manage"))
	require.False(t, access.Allows(access.WorkspaceAdmin, "campaigns.send"), "it is this catalog's own")
	all := c.Definitions()
	require.Equal(t, access.Permission("brands.manage"), all[len(all)-1].Name)
	require.NotContains(t, fmt.Sprint(all), access.PlatformManage)

	many := make([]access.Definition, 256)
	for i := range many {
		many[i] = access.Definition{Name: access.Permission(fmt.Sprintf("p%d.read", i)), Summary: "x"}
	}
	for want, definitions := range map[string][]access.Definition{
		"is there already":             {{Name: access.CompanyRead, Summary: "x"}},
		"of the form campaigns.send":   {{Name: "Campaigns", Summary: "x"}},
		"needs a Summary":              {{Name: "a.b", Summary: " "}},
		`did you mean "company_owner"`: {{Name: "a.b", Summary: "x", Role: "company_ownr"}},
		"workspace_admin cannot":       {{Name: "a.b", Summary: "x", Level: access.LevelCompany, Role: access.WorkspaceAdmin}},
		"want company or workspace":    {{Name: "a.b", Summary: "x", Level: "domain"}},
		"has room for 256":             many,
	} {
		_, err := access.NewCatalog(&access.CatalogConfig{Permissions: definitions})
		require.ErrorContains(t, err, want)
	}
	_, err = access.NewCatalog(&access.CatalogConfig{Permissions: many[:256-len(all)+1]})
	require.NoError(t, err, "256 in all, the platform's among them")
}

func TestSet(t *testing.T) {
	t.Parallel()
	var s access.Set
	require.True(t, s.IsEmpty())
	for _, b := range []access.Bit{0, 63, 64, 255} {
		require.False(t, s.Has(b))
		s = s.Add(b)
		require.True(t, s.Has(b))
	}
	other := access.Set{}.Add(64).Add(7)
	require.Equal(t, access.Set{}.Add(0).Add(7).Add(63).Add(64).Add(255), s.Union(other))
	require.Equal(t, access.Set{}.Add(64), s.Intersect(other))
	require.Equal(t, access.Set{}.Add(7), other.Minus(s))
	require.False(t, s.IsEmpty())
}
