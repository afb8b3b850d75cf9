package tenancy_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// withResolver returns a Store and the Resolver that it tells of changes.
func withResolver(t *testing.T, e *tenancytest.Env) (*tenancy.Store, *tenancy.Resolver) {
	t.Helper()
	r, err := tenancy.NewResolver(e.DB, e.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	s, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Limits: e.Limits, Resolver: r})
	require.NoError(t, err)
	return s, r
}

// Every level is suspended by itself or by what is above it, and a Tenant says which.
func TestSuspendAndResumeAtEveryLevel(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s, r := withResolver(t, e)
	company := func(on bool) { _, err := s.SetCompanySuspended(e.A.CompanyCtx, on); require.NoError(t, err) }
	workspace := func(on bool) {
		_, err := s.SetWorkspaceSuspended(e.A.CompanyCtx, e.A.WorkspaceID, on)
		require.NoError(t, err)
	}
	domain := func(on bool) {
		_, err := s.SetDomainSuspended(e.A.CompanyCtx, e.A.DomainID, on)
		require.NoError(t, err)
	}
	levels := func() (out [3]tenancy.Level) {
		c, err := r.ResolveCompany(t.Context(), e.A.CompanyID)
		require.NoError(t, err)
		w, err := r.ResolveWorkspace(t.Context(), e.A.WorkspaceID)
		require.NoError(t, err)
		d, err := r.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err)
		for i, tenant := range []tenancy.Tenant{c, w, d} {
			require.Equal(t, tenant.SuspendedLevel != tenancy.LevelNone, tenant.Suspended)
			out[i] = tenant.SuspendedLevel
		}
		return out
	}
	const none, c, w, d = tenancy.LevelNone, tenancy.LevelCompany, tenancy.LevelWorkspace, tenancy.LevelDomain
	for _, step := range []struct {
		do   func(bool)
		on   bool
		want [3]tenancy.Level
	}{
		{domain, true, [3]tenancy.Level{none, none, d}},
		{workspace, true, [3]tenancy.Level{none, w, w}},
		{company, true, [3]tenancy.Level{c, c, c}},
		{workspace, false, [3]tenancy.Level{c, c, c}},
		{company, false, [3]tenancy.Level{none, none, d}},
		{domain, false, [3]tenancy.Level{none, none, none}},
	} {
		step.do(step.on)
		require.Equal(t, step.want, levels())
	}

	first, err := s.SetDomainSuspended(e.A.CompanyCtx, e.A.DomainID, true)
	require.NoError(t, err)
	again, err := s.SetDomainSuspended(e.A.CompanyCtx, e.A.DomainID, true)
	require.NoError(t, err)
	require.Equal(t, first.SuspendedAt, again.SuspendedAt, "since when it is")
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s, ctx := e.Store, e.A.CompanyCtx
	name, slug, on := " North ", "north", true
	w, err := s.UpdateWorkspace(ctx, e.A.WorkspaceID, tenancy.Update{Name: &name, Slug: &slug, Suspended: &on})
	require.NoError(t, err)
	require.Equal(t, []any{"North", "north"}, []any{w.Name, w.Slug})
	require.NotNil(t, w.SuspendedAt)
	got, err := s.Workspace(ctx, e.A.WorkspaceID)
	require.NoError(t, err)
	require.Equal(t, w, got)
	trail, err := e.Audit.List(e.A.WorkspaceCtx, audit.Query{})
	require.NoError(t, err)
	require.Equal(t, "workspace.suspended", trail.Items[0].Action)
	require.Equal(t, "workspace.renamed", trail.Items[1].Action)
	require.Equal(t, map[string]any{"name": "North", "slug": "north"}, trail.Items[1].Metadata)

	second, err := s.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "South"})
	require.NoError(t, err)
	_, err = s.UpdateWorkspace(ctx, second.ID, tenancy.Update{Slug: &slug})
	require.ErrorIs(t, err, tenancy.ErrConflict)
	require.ErrorContains(t, err, `slug "north"`)
	c, err := s.UpdateCompany(ctx, tenancy.Update{Slug: &slug})
	require.NoError(t, err)
	require.Equal(t, []any{"Company 1", "north"}, []any{c.Name, c.Slug})
	_, err = s.UpdateCompany(e.B.CompanyCtx, tenancy.Update{Slug: &slug})
	require.ErrorIs(t, err, tenancy.ErrConflict)

	var v *tenancy.ValidationError
	_, err = s.UpdateCompany(ctx, tenancy.Update{})
	require.ErrorAs(t, err, &v)
	empty, bad := "", "Not A Slug"
	_, err = s.UpdateCompany(ctx, tenancy.Update{Name: &empty, Slug: &bad})
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2)
	_, err = s.UpdateCompany(ctx, tenancy.Update{Slug: &empty})
	require.ErrorAs(t, err, &v, "a slug is not made anew unasked")
}

// A slug that was given up leads nowhere, and then to whoever takes it.
func TestANewSlugIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s, r := withResolver(t, e)
	finds := func(slug string) tenancy.CompanyID {
		tenant, err := r.ResolveCompanySlug(t.Context(), slug)
		if err != nil {
			require.ErrorIs(t, err, tenancy.ErrNotFound)
		}
		return tenant.CompanyID
	}
	require.Equal(t, e.A.CompanyID, finds("company-1"))
	require.Zero(t, finds("one"))
	slug := "one"
	_, err := s.UpdateCompany(e.A.CompanyCtx, tenancy.Update{Slug: &slug})
	require.NoError(t, err)
	require.Equal(t, e.A.CompanyID, finds("one"))
	require.Zero(t, finds("company-1"))
	slug = "company-1"
	_, err = s.UpdateCompany(e.B.CompanyCtx, tenancy.Update{Slug: &slug})
	require.NoError(t, err)
	require.Equal(t, e.B.CompanyID, finds("company-1"))
}

func TestDeleteDomain(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s, r := withResolver(t, e)
	ctx := e.A.CompanyCtx
	used := func() int64 {
		u, err := e.Limits.Usage(ctx)
		require.NoError(t, err)
		return u.Resource("domains").Used
	}
	_, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	require.EqualValues(t, 1, used())
	require.NoError(t, s.DeleteDomain(ctx, e.A.DomainID))
	require.Zero(t, used())
	_, err = r.ResolveDomain(t.Context(), e.A.DomainID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	for _, err := range []error{
		s.DeleteDomain(ctx, e.A.DomainID),
		second(s.Domain(ctx, e.A.DomainID)),
		second(s.SetDomainSuspended(ctx, e.A.DomainID, true)),
		second(s.DomainProof(ctx, e.A.DomainID)),
	} {
		require.ErrorIs(t, err, tenancy.ErrNotFound)
	}
	require.Zero(t, used(), "counted once")
	_, err = s.CreateDomain(ctx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "company-1.example"})
	require.NoError(t, err, "the name is free")

	trail, err := e.Audit.List(e.A.Ctx, audit.Query{})
	require.NoError(t, err)
	require.Equal(t, []any{"domain.deleted", e.A.DomainID, e.A.WorkspaceID}, []any{trail.Items[0].Action, trail.Items[0].DomainID, trail.Items[0].WorkspaceID})
}

// A context can be older than the deletion of its company.
func TestNothingIsCreatedBelowADeletedCompany(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.NoError(t, e.Store.DeleteCompany(e.A.CompanyCtx))
	_, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Late"})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = e.Store.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "late.example"})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
}

func second[T any](_ T, err error) error { return err }

func TestNobodyChangesAnotherCompanysDomains(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := e.Store
	for _, ctx := range []context.Context{e.B.CompanyCtx, e.B.Ctx} {
		for _, err := range []error{
			s.DeleteDomain(ctx, e.A.DomainID),
			second(s.SetDomainSuspended(ctx, e.A.DomainID, true)),
			second(s.SetWorkspaceSuspended(ctx, e.A.WorkspaceID, true)),
			second(s.DomainProof(ctx, e.A.DomainID)),
		} {
			require.ErrorIs(t, err, tenancy.ErrNotFound)
		}
	}
	for _, err := range []error{
		s.DeleteDomain(t.Context(), e.A.DomainID),
		second(s.SetDomainSuspended(t.Context(), e.A.DomainID, true)),
		second(s.DomainProof(t.Context(), e.A.DomainID)),
	} {
		require.ErrorIs(t, err, tenancy.ErrNoTenant)
	}
	d, err := s.Domain(e.A.CompanyCtx, e.A.DomainID)
	require.NoError(t, err)
	require.Nil(t, d.SuspendedAt)
}

func TestCompaniesAreForThePlatform(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, ctx := range []context.Context{e.A.Ctx, e.A.CompanyCtx, tenancy.WithActor(t.Context(), tenancy.Actor{Type: tenancy.ActorAdminImpersonation})} {
		_, err := e.Store.Companies(ctx, tenancy.PageRequest{})
		require.ErrorIs(t, err, tenancy.ErrNotPlatform)
	}
	third := e.Company(t, "free")
	require.NoError(t, e.Store.DeleteCompany(e.B.CompanyCtx))
	admin := tenancy.WithActor(t.Context(), tenancy.Actor{Type: tenancy.ActorAdmin})
	first, err := e.Store.Companies(admin, tenancy.PageRequest{PageSize: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2, first.Total)
	require.Equal(t, e.A.CompanyID, first.Items[0].ID)
	next, err := e.Store.Companies(admin, tenancy.PageRequest{PageSize: 1, Cursor: first.NextCursor})
	require.NoError(t, err)
	require.Equal(t, third.CompanyID, next.Items[0].ID)
	require.False(t, next.HasMore)
}

// Which names somebody can own at all.
func TestNamesOfNewDomains(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, ok := range []string{
		"example.com", "a.b.example.co.uk", "acme.github.io", "bücher.de", "city.kawasaki.jp", "www.ck",
		"acme.example", "acme.test", "acme.local", "acme.localhost", "acme.invalid", "acme.internal",
	} {
		_, err := e.Store.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: ok})
		require.NoError(t, err, ok)
	}
	for bad, code := range map[string]string{
		"co.uk": "public_suffix", "github.io": "public_suffix", "foo.ck": "public_suffix", "CO.UK.": "public_suffix", "xn--55qx5d.cn": "public_suffix",
		"example.con": "unknown_top_level_domain", "foo.lan": "unknown_top_level_domain", "192.0.2.1": "invalid_domain_name", "localhost": "invalid_domain_name",
	} {
		_, err := e.Store.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: bad})
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, bad)
		require.Equal(t, []any{"domainName", code}, []any{v.Fields[0].Field, v.Fields[0].Code}, bad)
	}
	_, err := e.Store.Bootstrap(t.Context(), tenancy.NewCompany{Name: " ", Slug: "ok"}, tenancy.NewDomain{DomainName: "co.uk"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2, "all that is wrong at once")
}
