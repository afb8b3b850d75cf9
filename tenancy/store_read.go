package tenancy

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	companyColumns   = `id, name, slug, plan, access, created_at, updated_at, suspended_at`
	workspaceColumns = `id, company_id, name, slug, created_at, updated_at, suspended_at`
	domainColumns    = `id, workspace_id, company_id, domain_name, created_at, updated_at, suspended_at, verified_at`
)

func scanCompany(row pgx.CollectableRow) (c Company, err error) {
	err = row.Scan(&c.ID, &c.Name, &c.Slug, &c.Plan, &c.Access, &c.CreatedAt, &c.UpdatedAt, &c.SuspendedAt)
	return c, err
}

func scanWorkspace(row pgx.CollectableRow) (w Workspace, err error) {
	err = row.Scan(&w.ID, &w.CompanyID, &w.Name, &w.Slug, &w.CreatedAt, &w.UpdatedAt, &w.SuspendedAt)
	return w, err
}

func scanDomain(row pgx.CollectableRow) (d Domain, err error) {
	err = row.Scan(&d.ID, &d.WorkspaceID, &d.CompanyID, &d.DomainName, &d.CreatedAt, &d.UpdatedAt, &d.SuspendedAt, &d.VerifiedAt)
	return d, err
}

// Company returns the company of ctx's tenant, or ErrNotFound.
func (s *Store) Company(ctx context.Context) (Company, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Company{}, err
	}
	return readOne(ctx, s.db, `SELECT `+companyColumns+` FROM strata.companies WHERE id = $1 AND deleted_at IS NULL`, scanCompany, t.CompanyID)
}

// CompanyBySlug returns the company that has slug, whoever owns it, or ErrNotFound. It
// needs no tenant and is for platform code such as start-up, never for a request.
func (s *Store) CompanyBySlug(ctx context.Context, slug string) (Company, error) {
	var out Company
	err := s.db.ReadTrusted(ctx, `SELECT `+companyColumns+` FROM strata.companies WHERE slug = $1 AND deleted_at IS NULL`, []any{slug}, func(rows pgx.Rows) (err error) {
		out, err = collectOne(rows, nil, scanCompany)
		return err
	})
	return out, err
}

// Companies lists all companies, oldest first. It needs no tenant, and an actor of the
// platform: ErrNotPlatform for anybody else.
func (s *Store) Companies(ctx context.Context, p PageRequest) (Page[Company], error) {
	if !ActorFrom(ctx).Platform() {
		return Page[Company]{}, ErrNotPlatform
	}
	return readPage(ctx, s.db.ReadTrusted, `SELECT `+companyColumns+` FROM strata.companies WHERE deleted_at IS NULL`,
		p, scanCompany, func(c Company) string { return c.ID.String() })
}

// Workspace returns a workspace of the company of ctx's tenant, or ErrNotFound.
func (s *Store) Workspace(ctx context.Context, id WorkspaceID) (Workspace, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Workspace{}, err
	}
	return readOne(ctx, s.db, `SELECT `+workspaceColumns+` FROM strata.workspaces WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`,
		scanWorkspace, t.CompanyID, id)
}

// LiveWorkspace returns ErrNotFound when the workspace of tx's tenant is deleted: the
// tenant of a context may be older than that. It locks nothing. Whoever adds what counts
// in a workspace first takes a lock that Configuration.WorkspaceDeleted takes too.
func (tx *Tx) LiveWorkspace(ctx context.Context) error {
	t := tx.Tenant()
	return tx.Read(ctx, `SELECT true FROM strata.workspaces WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`,
		[]any{t.CompanyID, t.WorkspaceID}, func(rows pgx.Rows) error {
			_, err := collectOne(rows, nil, pgx.RowTo[bool])
			return err
		})
}

// Domain returns a domain of the company of ctx's tenant, or ErrNotFound.
func (s *Store) Domain(ctx context.Context, id DomainID) (Domain, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Domain{}, err
	}
	return readOne(ctx, s.db, `SELECT `+domainColumns+` FROM strata.domains WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`,
		scanDomain, t.CompanyID, id)
}

// First returns the oldest domain of the company of ctx's tenant: the one Bootstrap made,
// for programs that know no other. ErrNotFound when there is none.
func (s *Store) First(ctx context.Context) (Domain, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Domain{}, err
	}
	return readOne(ctx, s.db, `SELECT `+domainColumns+` FROM strata.domains WHERE company_id = $1 AND deleted_at IS NULL ORDER BY id LIMIT 1`, scanDomain, t.CompanyID)
}

// Workspaces lists the workspaces of the company of ctx's tenant, oldest first.
func (s *Store) Workspaces(ctx context.Context, p PageRequest) (Page[Workspace], error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Page[Workspace]{}, err
	}
	return readPage(ctx, s.db.Read, `SELECT `+workspaceColumns+` FROM strata.workspaces WHERE company_id = $1 AND deleted_at IS NULL`,
		p, scanWorkspace, func(w Workspace) string { return w.ID.String() }, t.CompanyID)
}

// Domains lists the domains of one workspace of the company of ctx's tenant, oldest
// first. A workspace of another company has none.
func (s *Store) Domains(ctx context.Context, workspace WorkspaceID, p PageRequest) (Page[Domain], error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Page[Domain]{}, err
	}
	return readPage(ctx, s.db.Read, `SELECT `+domainColumns+` FROM strata.domains WHERE company_id = $1 AND workspace_id = $2 AND deleted_at IS NULL`,
		p, scanDomain, func(d Domain) string { return d.ID.String() }, t.CompanyID, workspace)
}

func readOne[T any](ctx context.Context, db *DB, q string, scan pgx.RowToFunc[T], args ...any) (T, error) {
	var out T
	err := db.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
		out, err = collectOne(rows, nil, scan)
		return err
	})
	return out, err
}

// reader is DB.Read or DB.ReadTrusted.
type reader func(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error

// readPage runs q, which ends in its WHERE clause, one page at a time in the order of
// the ids, which is the order of creation. The cursor is the last id of a page.
func readPage[T any](ctx context.Context, read reader, q string, p PageRequest, scan pgx.RowToFunc[T], key func(T) string, args ...any) (Page[T], error) {
	p, err := p.Normalize()
	if err != nil {
		return Page[T]{}, err
	}
	page := Page[T]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if p.Cursor == "" {
		err := read(ctx, `SELECT count(*) FROM (`+q+`) t`, args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return page, err
		}
		q += fmt.Sprintf(` ORDER BY id LIMIT %d OFFSET %d`, p.PageSize+1, p.Offset())
	} else {
		after, err := ParseID[T](p.Cursor)
		if err != nil {
			return page, ErrInvalidCursor
		}
		args = append(args, after)
		q += fmt.Sprintf(` AND id > $%d ORDER BY id LIMIT %d`, len(args), p.PageSize+1)
	}
	err = read(ctx, q, args, func(rows pgx.Rows) (err error) {
		page.Items, err = pgx.CollectRows(rows, scan)
		return err
	})
	if err != nil {
		return page, err
	}
	if len(page.Items) > p.PageSize {
		page.Items = page.Items[:p.PageSize]
		page.HasMore = true
		page.NextCursor = key(page.Items[len(page.Items)-1])
	}
	return page, nil
}
