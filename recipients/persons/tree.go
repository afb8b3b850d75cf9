package persons

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// node is a person with what was merged into it.
type node struct {
	id        ID
	workspace tenancy.WorkspaceID // zero: across
	into      ID                  // zero: at the top
	links     []link              // its own
	children  []*node
}

// tree is what was merged into one person.
type tree struct {
	root  *node
	nodes map[ID]*node
}

// top returns the person at the top of what id was merged into, and whether both are there in
// the caller's scope. A workspace does not see a person across workspaces.
func (c *change) top(ctx context.Context, id ID) (root ID, err error) {
	rows, err := collect(ctx, c, "look for a person", pgx.RowTo[ID], `
		WITH RECURSIVE up AS (
			SELECT id, merged_into FROM strata.persons WHERE company_id = $1 AND id = $2 AND dissolved_at IS NULL AND ($3::uuid IS NULL OR workspace_id = $3)
			UNION ALL
			SELECT p.id, p.merged_into FROM up JOIN strata.persons p ON p.company_id = $1 AND p.id = up.merged_into)
		SELECT id FROM up WHERE merged_into IS NULL`, c.scope.CompanyID, id, c.scope.WorkspaceID)
	if err != nil {
		return root, err
	}
	if len(rows) == 1 {
		return rows[0], nil
	}
	// What is there, and the top of which is not seen, is merged into a person across workspaces.
	seen, err := collect(ctx, c, "look for a person", pgx.RowTo[bool], `SELECT true FROM strata.persons
		WHERE company_id = $1 AND id = $2 AND dissolved_at IS NULL AND ($3::uuid IS NULL OR workspace_id = $3)`, c.scope.CompanyID, id, c.scope.WorkspaceID)
	switch {
	case err != nil:
		return root, err
	case len(seen) > 0:
		return root, ErrAcross
	}
	return root, ErrNotFound
}

// read returns the tree below a person. It sees all of the company.
func (c *change) read(ctx context.Context, root ID) (*tree, error) {
	t := &tree{nodes: map[ID]*node{}}
	err := c.asCompany(ctx, func(ctx context.Context) error {
		nodes, err := collect(ctx, c, "read a person", func(row pgx.CollectableRow) (*node, error) {
			var n node
			return &n, row.Scan(&n.id, &n.workspace, &n.into)
		}, `WITH RECURSIVE down AS (
				SELECT id FROM strata.persons WHERE company_id = $1 AND id = $2
				UNION ALL
				SELECT p.id FROM down JOIN strata.persons p ON p.company_id = $1 AND p.merged_into = down.id)
			SELECT p.id, p.workspace_id, p.merged_into FROM down JOIN strata.persons p ON p.company_id = $1 AND p.id = down.id`, c.scope.CompanyID, root)
		if err != nil {
			return err
		}
		ids := make([]ID, len(nodes))
		for i, n := range nodes {
			t.nodes[n.id], ids[i] = n, n.id
		}
		links, err := collect(ctx, c, "read the links of a person", scanLink, `SELECT `+linkColumns+` FROM strata.person_links l
			WHERE l.company_id = $1 AND l.person_id = ANY ($2) AND l.state = 'linked' ORDER BY l.domain_id, l.recipient_id`, c.scope.CompanyID, ids)
		if err != nil {
			return err
		}
		for _, l := range links {
			n := t.nodes[l.person]
			n.links = append(n.links, l)
		}
		for _, n := range nodes {
			if parent := t.nodes[n.into]; parent != nil && n.id != root {
				parent.children = append(parent.children, n)
			}
		}
		return nil
	})
	t.root = t.nodes[root]
	if err == nil && t.root == nil {
		err = ErrNotFound
	}
	return t, err
}

// all returns the links of a person and of what was merged into it.
func (n *node) all() []link {
	out := append([]link(nil), n.links...)
	for _, child := range n.children {
		out = append(out, child.all()...)
	}
	return out
}

func linkIDs(links []link) []LinkID {
	ids := make([]LinkID, len(links))
	for i, l := range links {
		ids[i] = l.id
	}
	return ids
}

// alias makes root the person of links, in the links and in their recipients.
func (c *change) alias(ctx context.Context, links []link, root ID) error {
	if len(links) == 0 {
		return nil
	}
	err := c.asCompany(ctx, func(ctx context.Context) error {
		_, err := c.exec(ctx, "change the person of links", `UPDATE strata.person_links SET alias_id = $3 WHERE company_id = $1 AND id = ANY ($2)`, c.scope.CompanyID, linkIDs(links), root)
		return err
	})
	if err != nil {
		return err
	}
	return c.point(ctx, pointed(links, root))
}

// pointed returns links with another alias.
func pointed(links []link, alias ID) []link {
	out := slices.Clone(links)
	for i := range out {
		out[i].alias = alias
	}
	return out
}

// closed ends links, and leaves their recipients without a person.
func (c *change) closed(ctx context.Context, links []link, reason string) error {
	if len(links) == 0 {
		return nil
	}
	err := c.asCompany(ctx, func(ctx context.Context) error {
		_, err := c.exec(ctx, "end links", `UPDATE strata.person_links SET state = 'unlinked', unlinked_at = now(), unlinked_by = $3, unlinked_reason = $4
			WHERE company_id = $1 AND id = ANY ($2)`, c.scope.CompanyID, linkIDs(links), tenancy.ActorFrom(ctx).ID, reason)
		return err
	})
	if err != nil {
		return err
	}
	return c.point(ctx, pointed(links, ID{}))
}

// settle brings a person to what its links are worth. One recipient alone needs no person,
// and a person that only holds one other gives way to it, so that what is left after an
// unlink or the end of a merge is what was there before.
func (c *change) settle(ctx context.Context, root ID) error {
	t, err := c.read(ctx, root)
	if err != nil {
		return err
	}
	gone := t.root.prune()
	left := t.root.all()
	switch {
	case len(left) < 2:
		if err := c.closed(ctx, left, "alone"); err != nil {
			return err
		}
		gone = gone[:0]
		for id := range t.nodes {
			gone = append(gone, id)
		}
	case len(t.root.links) == 0 && len(t.root.children) == 1:
		child := t.root.children[0]
		err := c.asCompany(ctx, func(ctx context.Context) error {
			_, err := c.exec(ctx, "take a person out of another", `UPDATE strata.persons SET merged_into = NULL WHERE company_id = $1 AND id = $2`, c.scope.CompanyID, child.id)
			return err
		})
		if err != nil {
			return err
		}
		if err := c.alias(ctx, left, child.id); err != nil {
			return err
		}
		if err := c.dissolve(ctx, append(gone, root)); err != nil {
			return err
		}
		return c.settle(ctx, child.id)
	}
	return c.dissolve(ctx, gone)
}

// prune takes the persons without any recipient off n and returns them.
func (n *node) prune() (gone []ID) {
	kept := n.children[:0]
	for _, child := range n.children {
		gone = append(gone, child.prune()...)
		if len(child.links) == 0 && len(child.children) == 0 {
			gone = append(gone, child.id)
			continue
		}
		kept = append(kept, child)
	}
	n.children = kept
	return gone
}

func (c *change) dissolve(ctx context.Context, ids []ID) error {
	if len(ids) == 0 {
		return nil
	}
	return c.asCompany(ctx, func(ctx context.Context) error {
		_, err := c.exec(ctx, "dissolve persons", `UPDATE strata.persons SET merged_into = NULL, dissolved_at = now() WHERE company_id = $1 AND id = ANY ($2)`, c.scope.CompanyID, ids)
		return err
	})
}
