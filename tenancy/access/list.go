package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// MemberQuery says which members Members lists. The zero value is those of the place.
type MemberQuery struct {
	// ActorID leaves only the memberships of one actor. Default: everybody's.
	ActorID string
	// Everywhere adds, at a company, the members of all its workspaces.
	Everywhere bool
	// Page asks for one page.
	Page tenancy.PageRequest
}

// Members lists the members of the company or workspace of ctx's tenant, the oldest first.
// Those of the company, who may work in a workspace too, are not among the workspace's.
// Those of deleted workspaces are nowhere.
func (s *Store) Members(ctx context.Context, q MemberQuery) (tenancy.Page[Member], error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return tenancy.Page[Member]{}, err
	}
	p, err := q.Page.Normalize()
	if err != nil {
		return tenancy.Page[Member]{}, err
	}
	args := []any{t.CompanyID}
	where := []string{"m.company_id = $1"}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	switch {
	case !t.WorkspaceID.IsZero():
		add("m.workspace_id = $%d", t.WorkspaceID)
	case !q.Everywhere:
		where = append(where, "m.workspace_id IS NULL")
	}
	if q.ActorID != "" {
		add("m.actor_id = $%d", q.ActorID)
	}
	from := ` FROM strata.members m LEFT JOIN strata.workspaces w ON w.company_id = m.company_id AND w.id = m.workspace_id WHERE ` +
		strings.Join(where, " AND ") + ` AND w.deleted_at IS NULL`
	page := tenancy.Page[Member]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if p.Cursor == "" {
		if err := s.db.Read(ctx, `SELECT count(*)`+from, args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		}); err != nil {
			return page, err
		}
	} else {
		after, err := tenancy.ParseID[Member](p.Cursor)
		if err != nil {
			return page, tenancy.ErrInvalidCursor
		}
		args = append(args, after)
		from += fmt.Sprintf(" AND m.id > $%d", len(args))
		p.Page = 1
	}
	list := `SELECT m.id, m.actor_id, coalesce(m.email, ''), m.role, m.workspace_id, m.created_at` + from +
		fmt.Sprintf(` ORDER BY m.id LIMIT %d OFFSET %d`, p.PageSize+1, p.Offset())
	if err := s.db.Read(ctx, list, args, func(rows pgx.Rows) (err error) {
		page.Items, err = pgx.CollectRows(rows, scanMember)
		return err
	}); err != nil {
		return page, err
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		page.NextCursor = page.Items[p.PageSize-1].id.String()
	}
	return page, nil
}

// Roles lists the roles that members can have where ctx's tenant is, the built-in ones
// first: all at a company, at a workspace those of that level.
func (s *Store) Roles(ctx context.Context) ([]Role, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return nil, err
	}
	own, err := s.ownRoles(ctx, s.db, t.CompanyID)
	if err != nil {
		return nil, err
	}
	var roles []Role
	for _, key := range columns {
		level, _ := builtInLevel(key)
		name := strings.ReplaceAll(key, "_", " ")
		roles = append(roles, Role{
			Key: key, Name: strings.ToUpper(name[:1]) + name[1:], Level: level, BuiltIn: true,
			Permissions: s.guard.catalog.Names(s.guard.catalog.Role(key)),
		})
	}
	here := []Role{}
	for _, r := range append(roles, own...) {
		if t.WorkspaceID.IsZero() || r.Level == LevelWorkspace {
			here = append(here, r)
		}
	}
	return here, nil
}

// ownRoles returns the roles that a company has made.
func (s *Store) ownRoles(ctx context.Context, db reader, company tenancy.CompanyID) (roles []Role, err error) {
	err = db.Read(ctx, `SELECT `+roleColumns+` FROM strata.roles WHERE company_id = $1 ORDER BY key`, []any{company}, func(rows pgx.Rows) error {
		roles, err = pgx.CollectRows(rows, scanRole)
		return err
	})
	return roles, err
}
