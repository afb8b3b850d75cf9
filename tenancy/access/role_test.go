package access_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

func TestRoleOfACompany(t *testing.T) {
	t.Parallel()
	p := open(t)
	company, first := p.A.CompanyCtx, p.A.WorkspaceCtx
	r, err := p.store.CreateRole(company, access.Role{
		Key: "editor", Name: " Editor ", Level: access.LevelWorkspace,
		Permissions: []access.Permission{access.RecipientsRead, access.RecipientsManage, access.RecipientsRead},
	})
	require.NoError(t, err)
	require.Equal(t, access.Role{Key: "editor", Name: "Editor", Level: access.LevelWorkspace, Permissions: []access.Permission{access.RecipientsRead, access.RecipientsManage}}, r)
	_, err = p.store.CreateRole(company, access.Role{Key: "editor", Level: access.LevelWorkspace})
	require.ErrorIs(t, err, access.ErrRoleExists)
	_, err = p.store.CreateRole(p.B.CompanyCtx, access.Role{Key: "editor", Level: access.LevelCompany})
	require.NoError(t, err, "B has its own")

	p.add(t, first, "ann", "editor")
	p.add(t, company, "bob", "editor")
	require.Equal(t, []access.Permission{access.RecipientsRead, access.RecipientsManage}, p.names(t, as(first, "ann")))
	require.Equal(t, []access.Permission{access.CompanyRead}, p.names(t, as(company, "ann")), "as every member of a workspace")
	require.False(t, p.allows(t, as(first, "ann"), access.CompanyRead), "there the role decides")

	name := "Reader"
	r, err = p.store.UpdateRole(company, "editor", access.RoleChange{Name: &name, Permissions: &[]access.Permission{access.JobsRead}})
	require.NoError(t, err)
	require.Equal(t, "Reader", r.Name)
	require.Equal(t, []access.Permission{access.JobsRead}, p.names(t, as(first, "ann")))

	var inUse *access.RoleInUseError
	require.ErrorAs(t, p.store.DeleteRole(company, "editor"), &inUse)
	require.EqualValues(t, 2, inUse.Members)
	require.Equal(t, fault.Conflict, fault.KindOf(inUse))
	require.NoError(t, p.store.RemoveMember(first, "ann"))
	_, err = p.store.SetRole(company, "bob", access.WorkspaceMember)
	require.NoError(t, err)
	require.NoError(t, p.store.DeleteRole(company, "editor"))
	require.ErrorIs(t, p.store.DeleteRole(company, "editor"), access.ErrRoleNotFound)
	for _, key := range []string{"editor", access.WorkspaceMember, ""} {
		_, err = p.store.UpdateRole(company, key, access.RoleChange{Name: &name})
		require.ErrorIs(t, err, access.ErrRoleNotFound, key)
	}
}

func TestRolesThatAreRefused(t *testing.T) {
	t.Parallel()
	p := open(t)
	refused := func(r access.Role) []tenancy.FieldError {
		_, err := p.store.CreateRole(asRoot(p.A.CompanyCtx), r)
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v)
		return v.Fields
	}
	fields := refused(access.Role{Key: "Not a key", Name: "a\nb", Level: "domain", Permissions: []access.Permission{"recipients.mange", access.PlatformManage}})
	var got []string
	for _, f := range fields {
		got = append(got, f.Field+" "+f.Code+" "+f.Suggestion)
	}
	require.Equal(t, []string{
		"key invalid_key ", "level not_allowed ", "name invalid_text ",
		"permissions[0] unknown_permission recipients.manage", "permissions[1] unknown_permission ",
	}, got)
	require.Contains(t, fields[3].Message, `did you mean "recipients.manage"?`)
	for _, key := range []string{access.CompanyOwner, access.CompanyAdmin, access.WorkspaceAdmin, access.WorkspaceMember} {
		require.Equal(t, "reserved", refused(access.Role{Key: key, Level: access.LevelCompany})[0].Code)
	}
	require.Equal(t, "wrong_level", refused(access.Role{Key: "x", Level: access.LevelWorkspace, Permissions: []access.Permission{access.WorkspaceCreate}})[0].Code)
	many := refused(access.Role{Key: "x", Level: access.LevelWorkspace, Permissions: make([]access.Permission, 100_000)})
	require.Len(t, many, 1, "the answer is not longer than what was asked")
	require.Equal(t, []string{"permissions", "too_many"}, []string{many[0].Field, many[0].Code})
	roles, err := p.store.Roles(p.A.CompanyCtx)
	require.NoError(t, err)
	require.Len(t, roles, 4)

	err = p.DB.InTx(asRoot(p.A.CompanyCtx), func(tx *tenancy.Tx) error {
		for i := range access.MaxRoles {
			if _, err := p.store.CreateRoleTx(asRoot(p.A.CompanyCtx), tx, access.Role{Key: fmt.Sprint("r", i), Level: access.LevelCompany}); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	_, err = p.store.CreateRole(p.A.CompanyCtx, access.Role{Key: "one_more", Level: access.LevelCompany})
	require.ErrorIs(t, err, access.ErrTooManyRoles)
}

// Two products with permissions of their own share the roles of a company.
func TestPermissionsOfAnotherProductAreKept(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	of := func(name access.Permission) *process {
		c, err := access.NewCatalog(&access.CatalogConfig{Permissions: []access.Definition{{Name: name, Summary: "x"}}})
		require.NoError(t, err)
		return newProcess(t, e, processConfig{catalog: c})
	}
	mail, sms := of("mails.send"), of("texts.send")
	company := e.A.CompanyCtx
	_, err := mail.store.CreateRole(company, access.Role{Key: "sender", Level: access.LevelWorkspace, Permissions: []access.Permission{"mails.send", access.RecipientsRead}})
	require.NoError(t, err)
	_, err = sms.store.UpdateRole(company, "sender", access.RoleChange{Permissions: &[]access.Permission{"mails.send"}})
	require.NoError(t, err, "it is there already")
	r, err := sms.store.UpdateRole(company, "sender", access.RoleChange{Permissions: &[]access.Permission{"texts.send"}})
	require.NoError(t, err)
	require.Equal(t, []access.Permission{"texts.send", "mails.send"}, r.Permissions, "what it does not know stays")

	mail.add(t, asRoot(e.A.WorkspaceCtx), "ann", "sender")
	require.Equal(t, []access.Permission{"mails.send"}, mail.names(t, as(e.A.WorkspaceCtx, "ann")))
	require.Equal(t, []access.Permission{"texts.send"}, sms.names(t, as(e.A.WorkspaceCtx, "ann")))
	require.False(t, sms.allows(t, as(e.A.WorkspaceCtx, "ann"), "mails.send"))

	// What a process does not know, only owners and those who have it hand on there.
	mail.add(t, company, "adam", access.CompanyAdmin)
	refused := sms.addErr(as(e.A.WorkspaceCtx, "adam"), "bob", "sender")
	require.ErrorIs(t, refused, access.ErrExceedsOwn)
	require.ErrorContains(t, refused, "(texts.send, mails.send)")
	require.NoError(t, sms.addErr(e.A.WorkspaceCtx, "bob", "sender"))
	_, err = mail.store.CreateRole(company, access.Role{Key: "lead", Level: access.LevelWorkspace, Permissions: []access.Permission{"mails.send", access.MembersManage}})
	require.NoError(t, err)
	_, err = sms.store.UpdateRole(company, "sender", access.RoleChange{Permissions: &[]access.Permission{}})
	require.NoError(t, err)
	mail.add(t, e.A.WorkspaceCtx, "lea", "lead")
	require.NoError(t, sms.addErr(as(e.A.WorkspaceCtx, "lea"), "zoe", "sender"))
	require.Equal(t, []access.Permission{"mails.send"}, mail.names(t, as(e.A.WorkspaceCtx, "zoe")))
}
