package access

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// granted is what roles grant in one place.
type granted struct {
	set     Set
	foreign []string // permissions of custom roles that this process does not know
}

func (g granted) union(other granted) granted {
	if len(other.foreign) > 0 {
		g.foreign = append(slices.Clip(g.foreign), other.foreign...)
	}
	g.set = g.set.Union(other.set)
	return g
}

// exceeds returns what g has that own has not. What this process does not know, it can only
// let owners hand on, and who has it from a custom role.
func (c *Catalog) exceeds(g, own granted) []string {
	var more []string
	for _, name := range c.Names(g.set.Minus(own.set)) {
		more = append(more, string(name))
	}
	for _, name := range g.foreign {
		if !own.set.Has(c.owners) && !slices.Contains(own.foreign, name) {
			more = append(more, name)
		}
	}
	return more
}

// holdings is what one actor has from the database in one company.
type holdings struct {
	// asOf is a version of a Tenant of the company: whatever changed up to it is in here.
	asOf    int64
	company granted
	// workspaces is where the actor is a member, in the order of the ids.
	workspaces []place
	// companyRead is CompanyRead for members of any workspace.
	companyRead Set
}

type place struct {
	workspace tenancy.WorkspaceID
	granted   granted
}

// in returns what is granted in a workspace alone.
func (h *holdings) in(workspace tenancy.WorkspaceID) *granted {
	from, to := 0, len(h.workspaces)
	for from < to {
		i := (from + to) / 2
		switch p := &h.workspaces[i]; bytes.Compare(p.workspace[:], workspace[:]) {
		case 0:
			return &p.granted
		case -1:
			from = i + 1
		default:
			to = i
		}
	}
	return nil
}

// at returns what counts for t.
func (h *holdings) at(t *tenancy.Tenant) granted {
	if t.WorkspaceID.IsZero() {
		return h.company.union(granted{set: h.companyRead})
	}
	if there := h.in(t.WorkspaceID); there != nil {
		return h.company.union(*there)
	}
	return h.company
}

// setAt is the set of at. It allocates nothing.
func (h *holdings) setAt(t *tenancy.Tenant) Set {
	if t.WorkspaceID.IsZero() {
		return h.company.set.Union(h.companyRead)
	}
	if there := h.in(t.WorkspaceID); there != nil {
		return h.company.set.Union(there.set)
	}
	return h.company.set
}

// has reports whether b is in setAt.
func (h *holdings) has(t *tenancy.Tenant, b Bit) bool {
	if h.company.set.Has(b) {
		return true
	}
	if t.WorkspaceID.IsZero() {
		return h.companyRead.Has(b)
	}
	there := h.in(t.WorkspaceID)
	return there != nil && there.set.Has(b)
}

// holder is an actor of a company, as far as the database is asked about it.
type holder struct {
	actor string
	role  string // the custom one that the product says it has; empty for a built-in one
}

// of returns the holder that an actor is in a company and the set of a built-in role that it
// is said to have there. ok is false for an actor of another company.
func (c *Catalog) of(company *tenancy.CompanyID, a *tenancy.Actor) (h holder, claimed *Set, ok bool) {
	h.actor, claimed = a.ID, &c.none
	if a.CompanyID != *company {
		// Without a company of its own it can be a member of several, and what the product
		// says of its role is said of none.
		return h, claimed, a.CompanyID.IsZero()
	}
	if a.Role != "" {
		if set := c.builtIn(a.Role); set != nil {
			claimed = set
		} else {
			h.role = a.Role
		}
	}
	return h, claimed, true
}

// reader is a DB or a Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}

// One row for each role, or one without when there is none. What is of a deleted workspace
// grants nothing.
const holdingsSQL = `SELECT c.version, g.workspace_id, g.role, r.permissions
	FROM strata.companies c
	LEFT JOIN (
		SELECT m.company_id, m.workspace_id, m.role
		FROM strata.members m LEFT JOIN strata.workspaces w ON w.company_id = m.company_id AND w.id = m.workspace_id
		WHERE m.company_id = $1 AND m.actor_id = $2 AND (m.workspace_id IS NULL OR w.deleted_at IS NULL)
		UNION ALL SELECT $1, NULL, $3::text WHERE $3 <> ''
	) g ON g.company_id = c.id
	LEFT JOIN strata.roles r ON r.company_id = c.id AND r.key = g.role
	WHERE c.id = $1 AND c.deleted_at IS NULL`

// read returns what h has in t's company.
func (c *Catalog) read(ctx context.Context, db reader, t *tenancy.Tenant, h holder) (*holdings, error) {
	out := &holdings{asOf: t.Version}
	err := db.Read(ctx, holdingsSQL, []any{t.CompanyID, h.actor, h.role}, func(rows pgx.Rows) error {
		var version int64
		var workspace tenancy.WorkspaceID
		var role *string
		var permissions []string
		_, err := pgx.ForEachRow(rows, []any{&version, &workspace, &role, &permissions}, func() error {
			out.asOf = max(out.asOf, version)
			if role != nil {
				out.add(c, workspace, c.grants(*role, permissions))
			}
			permissions = nil
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("access: read what an actor may do: %w", err)
	}
	return out, nil
}

// grants returns what a role grants; permissions are those of a custom one.
func (c *Catalog) grants(role string, permissions []string) granted {
	if set := c.builtIn(role); set != nil {
		return granted{set: *set}
	}
	return c.named(permissions)
}

func (h *holdings) add(c *Catalog, workspace tenancy.WorkspaceID, g granted) {
	if workspace.IsZero() {
		h.company = h.company.union(g)
		return
	}
	g.set = g.set.Intersect(c.workspace)
	if !g.set.IsEmpty() { // or a request that names both would be one for a company that is not there
		h.companyRead = h.companyRead.Add(c.companyRead)
	}
	i, found := slices.BinarySearchFunc(h.workspaces, workspace, func(p place, id tenancy.WorkspaceID) int { return bytes.Compare(p.workspace[:], id[:]) })
	if !found {
		h.workspaces = slices.Insert(h.workspaces, i, place{workspace: workspace})
	}
	h.workspaces[i].granted = h.workspaces[i].granted.union(g)
}
