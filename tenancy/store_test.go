package tenancy_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestStoreCreatesAndReads(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c, err := e.Store.CreateCompany(t.Context(), tenancy.NewCompany{Name: "  Acme & Søns  Ltd.  ", Plan: "pro"})
	require.NoError(t, err)
	require.Equal(t, "Acme & Søns  Ltd.", c.Name)
	require.Equal(t, "acme-s-ns-ltd", c.Slug)
	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: c.ID})
	got, err := e.Store.Company(ctx)
	require.NoError(t, err)
	require.Equal(t, c, got)

	w, err := e.Store.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "North", Slug: "north"})
	require.NoError(t, err)
	d, err := e.Store.CreateDomain(ctx, w.ID, tenancy.NewDomain{DomainName: "BÜCHER.example."})
	require.NoError(t, err)
	require.Equal(t, "xn--bcher-kva.example", d.DomainName)

	_, err = e.Store.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "Other", Slug: "north"})
	require.ErrorIs(t, err, tenancy.ErrConflict)
	_, err = e.Store.CreateDomain(ctx, w.ID, tenancy.NewDomain{DomainName: "bücher.example"})
	require.ErrorIs(t, err, tenancy.ErrConflict)
	_, err = e.Store.CreateCompany(t.Context(), tenancy.NewCompany{Name: "Acme", Slug: c.Slug})
	require.ErrorIs(t, err, tenancy.ErrConflict)
}

func TestStoreRefusesBadNamesWithEveryErrorAtOnce(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	_, err := e.Store.CreateCompany(t.Context(), tenancy.NewCompany{Name: " ", Slug: "Not A Slug"})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2)
	for _, bad := range []string{strings.Repeat("x", 201), "a\xff", "a\x00"} {
		_, err = e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: bad, Slug: "x"})
		require.ErrorAs(t, err, &v, "%q", bad)
		require.Len(t, v.Fields, 1, "%q", bad)
	}
	for _, bad := range []string{
		"", "localhost", "localhost.", "a..example", ".example.com", "exa mple.com", "-x.example", strings.Repeat("a", 64) + ".example",
		"a\x00.example", "a\xff.example", "example.com..", "example.com.\u3002", "example.com.\u00ad.", "\u3002example.com",
	} {
		_, err := e.Store.CreateDomain(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: bad})
		require.ErrorAs(t, err, &v, "%q", bad)
	}
}

// One name has one form, which is what makes it unique.
func TestDomainNamesHaveOneForm(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"example.com", " EXAMPLE.com ", "example.com.", "example.com\u3002", "example\u3002com", "example.com.\u00ad", "exam\u00adple.com"} {
		name, err := tenancy.NormalizeDomainName(s)
		require.NoError(t, err, "%q", s)
		require.Equal(t, "example.com", name, "%q", s)
	}
	var long strings.Builder
	for i := range rune(20_000) {
		long.WriteRune('\u4e00' + i)
	}
	_, err := tenancy.NormalizeDomainName(long.String() + ".example")
	require.Error(t, err)
}

func TestStoreNeverCrossesCompanies(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	_, err := e.Store.Workspace(e.B.CompanyCtx, e.A.WorkspaceID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = e.Store.Domain(e.B.CompanyCtx, e.A.DomainID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = e.Store.CreateDomain(e.B.CompanyCtx, e.A.WorkspaceID, tenancy.NewDomain{DomainName: "evil.example"})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = e.Store.RenameWorkspace(e.B.CompanyCtx, e.A.WorkspaceID, "stolen")
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	require.ErrorIs(t, e.Store.DeleteWorkspace(e.B.CompanyCtx, e.A.WorkspaceID), tenancy.ErrNotFound)
	page, err := e.Store.Domains(e.B.CompanyCtx, e.A.WorkspaceID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Empty(t, page.Items)

	// The second wall: SQL that forgot the tenant sees and changes only its own.
	for _, table := range []string{"companies", "workspaces", "domains"} {
		require.NoError(t, e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
			rows, err := tx.Query(e.B.Ctx, `SELECT count(*) FROM strata.`+table)
			require.NoError(t, err)
			n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
			require.NoError(t, err)
			require.Equal(t, 1, n, table)
			return nil
		}))
	}
	err = e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.B.Ctx, `INSERT INTO strata.workspaces (company_id, id, name, slug) VALUES ($1, $2, 'x', 'x')`,
			e.A.CompanyID, tenancy.NewID[tenancy.Workspace]())
		return err
	})
	require.ErrorContains(t, err, "row-level security")
	err = e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.B.Ctx, `INSERT INTO strata.domains (company_id, workspace_id, id, domain_name) VALUES ($1, $2, $3, 'x.example')`,
			e.B.CompanyID, e.A.WorkspaceID, tenancy.NewID[tenancy.Domain]())
		return err
	})
	require.ErrorContains(t, err, "foreign key", "a row of B cannot point at a workspace of A")
	for company, refuses := range map[tenancy.CompanyID]string{e.A.CompanyID: "row-level security", e.B.CompanyID: "foreign key"} {
		err = e.DB.InTx(e.B.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.B.Ctx, `INSERT INTO strata.domain_checks (company_id, domain_id) VALUES ($1, $2)`, company, e.A.DomainID)
			return err
		})
		require.ErrorContains(t, err, refuses, "what is noted of a domain of A is not B's to write")
	}
}

func TestStorePages(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, name := range []string{"one", "two", "three", "four"} {
		_, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: name})
		require.NoError(t, err)
	}
	first, err := e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{PageSize: 2})
	require.NoError(t, err)
	require.EqualValues(t, 5, first.Total)
	require.True(t, first.HasMore)
	var names []string
	for p := first; ; {
		for _, w := range p.Items {
			names = append(names, w.Name)
		}
		if !p.HasMore {
			break
		}
		p, err = e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{PageSize: 2, Cursor: p.NextCursor})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"Company 1", "one", "two", "three", "four"}, names)
	second, err := e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{PageSize: 2, Page: 3})
	require.NoError(t, err)
	require.Len(t, second.Items, 1)
	require.False(t, second.HasMore)

	_, err = e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{Cursor: "garbage"})
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	var v *tenancy.ValidationError
	_, err = e.Store.Workspaces(e.A.CompanyCtx, tenancy.PageRequest{PageSize: 501, Page: -1})
	require.ErrorAs(t, err, &v)
	require.Len(t, v.Fields, 2)
}

func TestStoreDeleteHidesAndFreesTheSlug(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	w, err := e.Store.Workspace(e.A.CompanyCtx, e.A.WorkspaceID)
	require.NoError(t, err)
	require.NoError(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, w.ID))
	_, err = e.Store.Workspace(e.A.CompanyCtx, w.ID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	require.ErrorIs(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, w.ID), tenancy.ErrNotFound)
	_, err = e.Store.CreateDomain(e.A.CompanyCtx, w.ID, tenancy.NewDomain{DomainName: "late.example"})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Again", Slug: w.Slug})
	require.NoError(t, err)
}

func TestDeletedWorkspaceCountsNoMore(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	used := func() [2]int64 {
		u, err := e.Limits.Usage(e.A.CompanyCtx)
		require.NoError(t, err)
		return [2]int64{u.Resource("workspaces").Used, u.Resource("domains").Used}
	}
	w, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "North"})
	require.NoError(t, err)
	for _, name := range []string{"one.example", "two.example"} {
		_, err = e.Store.CreateDomain(e.A.CompanyCtx, w.ID, tenancy.NewDomain{DomainName: name})
		require.NoError(t, err)
	}
	require.Equal(t, [2]int64{2, 3}, used())
	require.NoError(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, w.ID))
	require.Equal(t, [2]int64{1, 1}, used())
	require.ErrorIs(t, e.Store.DeleteWorkspace(e.A.CompanyCtx, w.ID), tenancy.ErrNotFound)
	require.Equal(t, [2]int64{1, 1}, used())
	page, err := e.Store.Domains(e.A.CompanyCtx, w.ID, tenancy.PageRequest{})
	require.NoError(t, err)
	require.Empty(t, page.Items)
}

// What happens to a workspace is found in its trail, wherever in the company the one who
// did it was.
func TestChangesOfAWorkspaceAreAuditedThere(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, ctx := range []context.Context{e.A.CompanyCtx, e.A.Ctx} { // a domain of another workspace
		w, err := e.Store.CreateWorkspace(ctx, tenancy.NewWorkspace{Name: "North"})
		require.NoError(t, err)
		_, err = e.Store.RenameWorkspace(ctx, w.ID, "South")
		require.NoError(t, err)
		require.NoError(t, e.Store.DeleteWorkspace(ctx, w.ID))
		trail, err := e.Audit.List(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: w.ID}), audit.Query{})
		require.NoError(t, err)
		var actions []string
		for _, entry := range trail.Items {
			require.True(t, entry.DomainID.IsZero(), entry.Action)
			require.Equal(t, e.A.Actor.ID, entry.ActorID)
			actions = append(actions, entry.Action)
		}
		require.Equal(t, []string{"workspace.deleted", "workspace.renamed", "workspace.created"}, actions)
	}
	_, err := e.Store.RenameWorkspace(t.Context(), e.A.WorkspaceID, "Nobody's")
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.ErrorIs(t, e.Store.DeleteWorkspace(t.Context(), e.A.WorkspaceID), tenancy.ErrNoTenant)
}

func TestPageNumbersHaveNoEnd(t *testing.T) {
	t.Parallel()
	p, err := tenancy.PageRequest{Page: math.MaxInt, PageSize: 500}.Normalize()
	require.NoError(t, err)
	require.Equal(t, math.MaxInt, p.Offset())
}
