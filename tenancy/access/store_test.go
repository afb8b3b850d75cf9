package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

func (p *process) addErr(ctx context.Context, id, role string) error {
	_, err := p.store.AddMember(ctx, access.NewMember{ActorID: id, Role: role})
	return err
}

func TestNobodyHandsOutMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, second, _ := p.workspace(t, "second")
	p.add(t, p.A.CompanyCtx, "olga", access.CompanyOwner)
	p.add(t, p.A.CompanyCtx, "adam", access.CompanyAdmin)
	p.add(t, p.A.WorkspaceCtx, "wanda", access.WorkspaceAdmin)
	p.add(t, p.A.WorkspaceCtx, "mo", access.WorkspaceMember)
	company, first := p.A.CompanyCtx, p.A.WorkspaceCtx

	require.ErrorIs(t, p.addErr(as(company, "adam"), "x", access.CompanyOwner), access.ErrExceedsOwn)
	require.ErrorIs(t, p.addErr(as(company, "wanda"), "x", access.CompanyOwner), access.ErrForbidden)
	require.ErrorIs(t, p.addErr(as(company, "wanda"), "x", access.WorkspaceMember), access.ErrForbidden, "the company is not hers")
	require.ErrorIs(t, p.addErr(as(second, "wanda"), "x", access.WorkspaceMember), tenancy.ErrNotFound, "nor is the other workspace")
	require.ErrorIs(t, p.addErr(as(first, "mo"), "x", access.WorkspaceMember), access.ErrForbidden)
	require.ErrorIs(t, p.addErr(as(company, "stranger"), "x", access.CompanyOwner), tenancy.ErrNotFound)
	require.ErrorIs(t, p.addErr(p.B.CompanyCtx, "x", access.CompanyOwner), nil)
	crossing := tenancy.WithActor(company, p.B.Actor)
	require.ErrorIs(t, p.addErr(crossing, "x", access.WorkspaceMember), tenancy.ErrNotFound)
	require.NoError(t, p.addErr(as(first, "wanda"), "w2", access.WorkspaceAdmin))
	require.NoError(t, p.addErr(as(second, "adam"), "a2", access.WorkspaceAdmin), "a company's admin is one in every workspace")

	// Nor are those touched who have more.
	setRole := func(ctx context.Context, id, role string) error {
		_, err := p.store.SetRole(ctx, id, role)
		return err
	}
	require.ErrorIs(t, setRole(as(company, "adam"), "olga", access.CompanyAdmin), access.ErrExceedsOwn)
	require.ErrorIs(t, setRole(as(company, "adam"), "adam", access.CompanyOwner), access.ErrExceedsOwn)
	require.ErrorIs(t, p.store.RemoveMember(as(company, "adam"), "olga"), access.ErrExceedsOwn)
	require.ErrorIs(t, p.store.RemoveMember(as(company, "adam"), "nobody"), access.ErrMemberNotFound)
	require.ErrorIs(t, p.store.RemoveMember(as(first, "wanda"), "olga"), access.ErrMemberNotFound, "an owner is no member of the workspace itself")

	// A role of the company's own is worth what is in it.
	create := func(ctx context.Context, key string, level access.Level, permissions ...access.Permission) error {
		_, err := p.store.CreateRole(ctx, access.Role{Key: key, Level: level, Permissions: permissions})
		return err
	}
	require.NoError(t, create(company, "staff", access.LevelCompany, access.RolesManage, access.CompanyMembersManage, access.RecipientsRead))
	require.NoError(t, create(company, "boss", access.LevelCompany, access.OwnersManage))
	require.NoError(t, p.addErr(company, "sam", "staff"))
	require.ErrorIs(t, p.addErr(as(company, "sam"), "x", access.WorkspaceMember), access.ErrExceedsOwn)
	require.ErrorIs(t, p.addErr(as(company, "adam"), "x", "boss"), access.ErrExceedsOwn)
	require.NoError(t, p.addErr(as(company, "sam"), "s2", "staff"))
	require.ErrorIs(t, create(as(company, "sam"), "sneaky", access.LevelWorkspace, access.RecipientsManage), access.ErrExceedsOwn)
	require.NoError(t, create(as(company, "sam"), "reader", access.LevelWorkspace, access.RecipientsRead))
	_, err := p.store.UpdateRole(as(company, "sam"), "staff", access.RoleChange{Permissions: &[]access.Permission{access.CompanyManage}})
	require.ErrorIs(t, err, access.ErrExceedsOwn)
	_, err = p.store.UpdateRole(as(company, "sam"), "boss", access.RoleChange{Permissions: &[]access.Permission{}})
	require.ErrorIs(t, err, access.ErrExceedsOwn)
	require.ErrorIs(t, p.store.DeleteRole(as(company, "sam"), "boss"), access.ErrExceedsOwn)
	require.ErrorIs(t, create(as(first, "wanda"), "mine", access.LevelWorkspace), access.ErrForbidden)

	// What somebody has in one workspace does not go into a role that is had in others.
	require.NoError(t, p.addErr(first, "sam", access.WorkspaceAdmin))
	require.NoError(t, p.addErr(second, "rita", "reader"))
	_, err = p.store.UpdateRole(as(first, "sam"), "reader", access.RoleChange{Permissions: &[]access.Permission{access.RecipientsManage}})
	require.ErrorIs(t, err, access.ErrExceedsOwn)
	require.False(t, p.allows(t, as(second, "rita"), access.RecipientsManage))
	require.ErrorIs(t, p.addErr(asRoot(company), "x", "reader"), nil, "the platform may do everything")
}

func TestMembersAreAskedForProperly(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, err := p.store.CreateRole(p.A.CompanyCtx, access.Role{Key: "chief", Level: access.LevelCompany, Permissions: nil})
	require.NoError(t, err)
	_, err = p.store.AddMember(p.A.WorkspaceCtx, access.NewMember{Email: "not an address", Role: "workspace_adm1n"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field+" "+f.Code+" "+f.Suggestion)
	}
	require.Equal(t, []string{"actorId required ", "email invalid_email ", "role unknown_role workspace_admin"}, fields)
	require.ErrorAs(t, p.addErr(p.A.CompanyCtx, "ann", "chieff"), &v)
	require.Equal(t, "chief", v.Fields[0].Suggestion)
	require.ErrorAs(t, p.addErr(p.A.WorkspaceCtx, "ann", "chieff"), &v)
	require.Empty(t, v.Fields[0].Suggestion, "no member of a workspace can have it")
	for role, code := range map[string]string{access.CompanyAdmin: "wrong_level", "chief": "wrong_level", "chiex": "unknown_role", "": "unknown_role"} {
		require.ErrorAs(t, p.addErr(p.A.WorkspaceCtx, "ann", role), &v, role)
		require.Equal(t, code, v.Fields[0].Code)
	}
	for _, id := range []string{strings.Repeat("x", 201), "a\nb", "a\x00", "\xff"} {
		require.ErrorAs(t, p.addErr(p.A.WorkspaceCtx, id, access.WorkspaceMember), &v, "%q", id)
		require.Equal(t, "actorId", v.Fields[0].Field)
	}

	m, err := p.store.AddMember(p.A.WorkspaceCtx, access.NewMember{ActorID: "ann/ü", Email: " Ann@Example.COM ", Role: access.WorkspaceMember})
	require.NoError(t, err)
	require.Equal(t, []any{"ann@example.com", p.A.WorkspaceID}, []any{m.Email, m.WorkspaceID})
	require.ErrorIs(t, p.addErr(p.A.WorkspaceCtx, "ann/ü", access.WorkspaceAdmin), access.ErrMemberExists)
	require.NoError(t, p.addErr(p.A.CompanyCtx, "ann/ü", "chief"), "at the company too")
	require.ErrorIs(t, p.addErr(p.A.CompanyCtx, "ann/ü", "chief"), access.ErrMemberExists)
	require.NoError(t, p.addErr(p.B.WorkspaceCtx, "ann/ü", access.WorkspaceMember), "and in another company")

	// A domain is in its workspace.
	changed, err := p.store.SetRole(p.A.Ctx, "ann/ü", access.WorkspaceAdmin)
	require.NoError(t, err)
	require.Equal(t, access.WorkspaceAdmin, changed.Role)
	page, err := p.store.Members(p.A.CompanyCtx, access.MemberQuery{ActorID: "ann/ü", Everywhere: true})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.Equal(t, []string{access.WorkspaceAdmin, "chief"}, []string{page.Items[0].Role, page.Items[1].Role})

	entries, err := p.Audit.List(p.A.WorkspaceCtx, audit.Query{ResourceType: "member"})
	require.NoError(t, err)
	require.Len(t, entries.Items, 2)
	require.Equal(t, "member.role_changed", entries.Items[0].Action)
	require.Equal(t, p.A.Actor.ID, entries.Items[0].ActorID)
	require.NotContains(t, fmt.Sprint(entries.Items), "ann@", "an address stays out of what is kept for years")
}

func TestMembersPageByPage(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, second, _ := p.workspace(t, "second")
	for i := range 5 {
		p.add(t, p.A.WorkspaceCtx, fmt.Sprintf("u%d", i), access.WorkspaceMember)
	}
	p.add(t, second, "other", access.WorkspaceMember)
	p.add(t, p.A.CompanyCtx, "chief", access.CompanyAdmin)
	ids := func(page tenancy.Page[access.Member]) string {
		var out []string
		for _, m := range page.Items {
			out = append(out, m.ActorID)
		}
		return strings.Join(out, " ")
	}
	list := func(ctx context.Context, q access.MemberQuery) tenancy.Page[access.Member] {
		page, err := p.store.Members(ctx, q)
		require.NoError(t, err)
		return page
	}
	one := list(p.A.WorkspaceCtx, access.MemberQuery{Page: tenancy.PageRequest{PageSize: 2}})
	require.Equal(t, []any{"u0 u1", int64(5), true}, []any{ids(one), one.Total, one.HasMore})
	two := list(p.A.WorkspaceCtx, access.MemberQuery{Page: tenancy.PageRequest{PageSize: 2, Cursor: one.NextCursor}})
	require.Equal(t, []any{"u2 u3", int64(-1), true}, []any{ids(two), two.Total, two.HasMore})
	three := list(p.A.WorkspaceCtx, access.MemberQuery{Page: tenancy.PageRequest{PageSize: 2, Page: 3}})
	require.Equal(t, []any{"u4", false, ""}, []any{ids(three), three.HasMore, three.NextCursor})
	require.Equal(t, "chief", ids(list(p.A.CompanyCtx, access.MemberQuery{})))
	require.Equal(t, "u0 u1 u2 u3 u4 other chief", ids(list(p.A.CompanyCtx, access.MemberQuery{Everywhere: true})))
	require.Empty(t, ids(list(p.B.CompanyCtx, access.MemberQuery{Everywhere: true})))
	_, err := p.store.Members(p.A.WorkspaceCtx, access.MemberQuery{Page: tenancy.PageRequest{Cursor: "x"}})
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	_, err = p.store.Members(t.Context(), access.MemberQuery{})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
}

// owners is how many the company has.
func (p *process) owners(t *testing.T) int {
	t.Helper()
	page, err := p.store.Members(p.A.CompanyCtx, access.MemberQuery{})
	require.NoError(t, err)
	n := 0
	for _, m := range page.Items {
		if m.Role == access.CompanyOwner {
			n++
		}
	}
	return n
}

func TestCompanyKeepsAnOwner(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.add(t, p.A.CompanyCtx, "olga", access.CompanyOwner)
	p.add(t, p.A.CompanyCtx, "adam", access.CompanyAdmin)
	for _, ctx := range []context.Context{p.A.CompanyCtx, as(p.A.CompanyCtx, "olga"), asRoot(p.A.CompanyCtx)} {
		require.ErrorIs(t, p.store.RemoveMember(ctx, "olga"), access.ErrLastOwner)
		_, err := p.store.SetRole(ctx, "olga", access.CompanyAdmin)
		require.ErrorIs(t, err, access.ErrLastOwner)
	}
	_, err := p.store.SetRole(p.A.CompanyCtx, "olga", access.CompanyOwner)
	require.NoError(t, err, "that is no change")
	_, err = p.store.SetRole(p.A.CompanyCtx, "adam", access.CompanyOwner)
	require.NoError(t, err)
	require.NoError(t, p.store.RemoveMember(as(p.A.CompanyCtx, "olga"), "olga"), "now there is another")
	require.Equal(t, 1, p.owners(t))
}

// Two owners are removed at the same time: the second transaction waits for the first, and
// sees what is left.
func TestTwoRemovalsLeaveAnOwner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by   func(ctx context.Context, who string) context.Context
		want error
	}{
		"by the platform": {func(ctx context.Context, _ string) context.Context { return asRoot(ctx) }, access.ErrLastOwner},
		"by each other":   {as, tenancy.ErrNotFound}, // who was removed may do nothing any more
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			p.add(t, p.A.CompanyCtx, "olga", access.CompanyOwner)
			p.add(t, p.A.CompanyCtx, "otto", access.CompanyOwner)
			removed, commit := make(chan struct{}), make(chan struct{})
			var g errgroup.Group
			g.Go(func() error {
				ctx := c.by(p.A.CompanyCtx, "olga")
				return p.DB.InTx(ctx, func(tx *tenancy.Tx) error {
					err := p.store.RemoveMemberTx(ctx, tx, "otto")
					close(removed)
					<-commit
					return err
				})
			})
			<-removed
			second := make(chan error, 1)
			go func() { second <- p.store.RemoveMember(c.by(p.A.CompanyCtx, "otto"), "olga") }()
			require.Eventually(t, func() bool {
				var waiting bool
				err := p.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
				return err == nil && waiting
			}, eventually, tick)
			close(commit)
			require.NoError(t, g.Wait())
			require.ErrorIs(t, <-second, c.want)
			require.Equal(t, 1, p.owners(t))
		})
	}
}

func TestOneOwnerOfManyStays(t *testing.T) {
	t.Parallel()
	p := open(t)
	const many = 8
	for i := range many {
		p.add(t, p.A.CompanyCtx, fmt.Sprint("owner-", i), access.CompanyOwner)
	}
	var g errgroup.Group
	for i := range many {
		g.Go(func() error {
			err := p.store.RemoveMember(asRoot(p.A.CompanyCtx), fmt.Sprint("owner-", i))
			if errors.Is(err, access.ErrLastOwner) {
				return nil
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 1, p.owners(t))
}

func TestFirstOwnerComesWithTheCompany(t *testing.T) {
	t.Parallel()
	p := open(t)
	ctx := tenancy.WithActor(t.Context(), root)
	at, err := p.hierarchy.Bootstrap(ctx, tenancy.NewCompany{Name: "Acme", Owner: tenancy.Owner{ActorID: "ann", Email: "Ann@Example.com"}}, tenancy.NewDomain{DomainName: "acme.example"})
	require.NoError(t, err)
	anns := tenancy.WithActor(tenancy.WithTenant(t.Context(), at), user("ann", at.CompanyID))
	require.True(t, p.allows(t, anns, access.RecipientsManage))
	require.True(t, p.allows(t, anns, access.OwnersManage))
	company := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: at.CompanyID}), user("ann", at.CompanyID))
	require.NoError(t, p.addErr(company, "bob", access.CompanyOwner), "who makes the others")
	page, err := p.store.Members(company, access.MemberQuery{})
	require.NoError(t, err)
	require.Equal(t, "ann@example.com", page.Items[0].Email)

	var v *tenancy.ValidationError
	_, err = p.hierarchy.CreateCompany(ctx, tenancy.NewCompany{Name: "Other", Owner: tenancy.Owner{Email: "x"}})
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"owner.actorId", "owner.email"}, []string{v.Fields[0].Field, v.Fields[1].Field})
	_, err = p.Store.CreateCompany(ctx, tenancy.NewCompany{Name: "Other", Owner: tenancy.Owner{ActorID: "ann"}})
	require.ErrorAs(t, err, &v, "a store without members")
	require.Equal(t, "not_supported", v.Fields[0].Code)
	_, err = p.hierarchy.CompanyBySlug(t.Context(), "other")
	require.ErrorIs(t, err, tenancy.ErrNotFound, "nothing is left of what was refused")
}

// Many in one transaction are all there or none, and are announced once.
func TestManyMembersInOneTransaction(t *testing.T) {
	t.Parallel()
	p := open(t)
	ctx := p.A.WorkspaceCtx
	add := func(tx *tenancy.Tx, id string) error {
		_, err := p.store.AddMemberTx(ctx, tx, access.NewMember{ActorID: id, Role: access.WorkspaceMember})
		return err
	}
	refused := errors.New("no")
	require.ErrorIs(t, p.DB.InTx(ctx, func(tx *tenancy.Tx) error { return errors.Join(add(tx, "ann"), refused) }), refused)
	require.False(t, p.allows(t, as(ctx, "ann"), access.RecipientsRead))
	old := p.resolved(t)
	require.False(t, p.allows(t, old, access.RecipientsRead))
	require.NoError(t, p.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		require.ErrorIs(t, tx.Savepoint(ctx, func(tx *tenancy.Tx) error { return errors.Join(add(tx, "undone"), refused) }), refused)
		return errors.Join(add(tx, "ann"), add(tx, "bob"))
	}))
	require.True(t, p.allows(t, old, access.RecipientsRead), "this process knows at once")
	require.Greater(t, tenantOf(p.resolved(t)).Version, tenantOf(old).Version)
	require.False(t, p.allows(t, as(ctx, "undone"), access.RecipientsRead))
	require.True(t, p.allows(t, as(ctx, "bob"), access.RecipientsRead))
}

func tenantOf(ctx context.Context) tenancy.Tenant {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		panic(err)
	}
	return t
}
