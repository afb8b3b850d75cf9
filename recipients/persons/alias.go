package persons

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// member is a recipient that a change is about.
type member struct {
	Ref

	workspace tenancy.WorkspaceID
	link      *link // when it has one
}

// link is a row of strata.person_links that is linked.
type link struct {
	Ref

	id        LinkID
	person    ID
	alias     ID
	workspace tenancy.WorkspaceID
}

const linkColumns = `l.id, l.person_id, l.alias_id, l.domain_id, l.recipient_id, l.workspace_id`

func scanLink(row pgx.CollectableRow) (l link, err error) {
	err = row.Scan(&l.id, &l.person, &l.alias, &l.DomainID, &l.RecipientID, &l.workspace)
	return l, err
}

func split(refs []Ref) (domains []tenancy.DomainID, ids []recipients.ID) {
	domains, ids = make([]tenancy.DomainID, len(refs)), make([]recipients.ID, len(refs))
	for i, r := range refs {
		domains[i], ids[i] = r.DomainID, r.RecipientID
	}
	return domains, ids
}

// byDomain calls fn for the refs of each domain, in the order of the domains' ids.
func byDomain(refs []Ref, fn func(domain tenancy.DomainID, ids []recipients.ID) error) error {
	refs = sorted(refs)
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].DomainID == refs[0].DomainID {
			n++
		}
		domains, ids := split(refs[:n])
		if err := fn(domains[0], ids); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// live returns the recipients that refs name, locked against being deleted meanwhile, with
// their links. One that is not live in the scope is recipients.ErrNotFound, whoever's it is;
// one in a domain that is being moved is tenancy.ErrMoving.
func (c *change) live(ctx context.Context, refs []Ref) ([]member, error) {
	refs = sorted(refs)
	domains, _ := split(refs)
	type domain struct {
		id        tenancy.DomainID
		workspace tenancy.WorkspaceID
	}
	found, err := collect(ctx, c, "look for domains", func(row pgx.CollectableRow) (d domain, err error) {
		err = row.Scan(&d.id, &d.workspace)
		return d, err
	}, `SELECT id, workspace_id FROM strata.domains WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND id = ANY ($3) AND deleted_at IS NULL`,
		c.scope.CompanyID, c.scope.WorkspaceID, domains)
	if err != nil {
		return nil, err
	}
	workspaces := map[tenancy.DomainID]tenancy.WorkspaceID{}
	for _, d := range found {
		workspaces[d.id] = d.workspace
	}
	for _, d := range domains { // all are known before any is entered: that waits
		if _, there := workspaces[d]; !there {
			return nil, recipients.ErrNotFound
		}
	}
	out := make([]member, 0, len(refs))
	err = byDomain(refs, func(domain tenancy.DomainID, ids []recipients.ID) error {
		in := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspaces[domain], DomainID: domain}
		return c.tx.As(ctx, in, func(ctx context.Context, _ *tenancy.Tx) error {
			live, err := collect(ctx, c, "look for recipients", pgx.RowTo[recipients.ID],
				`SELECT id FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, domain, ids)
			if err != nil {
				return err
			}
			if len(live) < len(ids) {
				return recipients.ErrNotFound
			}
			for _, id := range live {
				out = append(out, member{Ref: Ref{domain, id}, workspace: in.WorkspaceID})
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, c.readLinks(ctx, out)
}

// readLinks fills in the links of members, which are sorted.
func (c *change) readLinks(ctx context.Context, members []member) error {
	refs := make([]Ref, len(members))
	for i, m := range members {
		refs[i] = m.Ref
	}
	domains, ids := split(refs)
	links, err := collect(ctx, c, "look for links", scanLink, `SELECT `+linkColumns+` FROM strata.person_links l
		JOIN unnest($2::uuid[], $3::uuid[]) AS of (domain_id, recipient_id) USING (domain_id, recipient_id) WHERE l.company_id = $1 AND l.state = 'linked'`,
		c.scope.CompanyID, domains, ids)
	if err != nil {
		return err
	}
	for _, l := range links {
		if i, there := slices.BinarySearchFunc(members, l.Ref, func(m member, r Ref) int { return compareRefs(m.Ref, r) }); there {
			members[i].link = &l
		}
	}
	return nil
}

// point makes recipients.person_id the alias of their links, NULL for the zero one. Their
// version stays: it guards what a user edits, and a user never edits this.
func (c *change) point(ctx context.Context, links []link) error {
	refs := make([]Ref, len(links))
	workspaces, aliases := map[tenancy.DomainID]tenancy.WorkspaceID{}, map[Ref]ID{}
	for i, l := range links {
		refs[i] = l.Ref
		workspaces[l.DomainID], aliases[l.Ref] = l.workspace, l.alias
		c.touch(l)
	}
	return byDomain(refs, func(domain tenancy.DomainID, ids []recipients.ID) error {
		in := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspaces[domain], DomainID: domain}
		persons := make([]ID, len(ids))
		for i, id := range ids {
			persons[i] = aliases[Ref{domain, id}]
		}
		// What a deleted domain or recipient is linked to must be right when it comes back.
		return c.tx.As(tenancy.WithDeleted(ctx), in, func(ctx context.Context, _ *tenancy.Tx) error {
			_, err := c.exec(ctx, "point at persons", `UPDATE strata.recipients r SET person_id = p.person_id
				FROM (SELECT id FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2) ORDER BY id FOR NO KEY UPDATE) l
				JOIN unnest($2::uuid[], $3::uuid[]) AS p (id, person_id) ON p.id = l.id
				WHERE r.domain_id = $1 AND r.id = l.id AND r.person_id IS DISTINCT FROM p.person_id`, domain, ids, persons)
			return err
		})
	})
}
