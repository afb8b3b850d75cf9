package persons

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// passing reports whether err says that a domain cannot be written to now.
func passing(err error) bool {
	return errors.Is(err, tenancy.ErrMoving) || errors.Is(err, tenancy.ErrNotFound)
}

// The doubts that keep recipients with one user principal name from being linked by
// themselves.
const (
	namesDiffer         = "names_differ"
	sameDomain          = "same_domain"
	identifiersConflict = "identifiers_conflict"
	rejectedBefore      = "rejected_before"
)

// linkAll links the groups that share a user principal name where there is no doubt, and
// returns what is to be suggested of the others.
func (c *change) linkAll(ctx context.Context, groups []group, known map[pair]State, did *progress) (proposed []proposal, err error) {
	var fresh, mixed []group
	for _, g := range groups {
		first := g.members[0].link
		if first != nil && !slices.ContainsFunc(g.members, func(m candidate) bool { return m.link == nil || m.link.alias != first.alias }) {
			continue // they are one person
		}
		why := edge{ByUPN, 0.8, Evidence{Key: g.key.String(), Recipients: g.n}}
		if why.evidence.Doubt = g.doubt(known); why.evidence.Doubt != "" {
			did.Doubted++
			proposed = append(proposed, g.proposals(why, g.workspace(), known)...)
			continue
		}
		if slices.ContainsFunc(g.members, func(m candidate) bool { return m.link != nil }) {
			mixed = append(mixed, g)
		} else {
			fresh = append(fresh, g)
		}
	}
	var members []candidate
	for _, g := range slices.Concat(fresh, mixed) {
		members = append(members, g.members...)
	}
	live, err := c.lockLive(ctx, members)
	if err != nil {
		return nil, err
	}
	if err := c.linkFresh(ctx, fresh, live, did); err != nil {
		return nil, err
	}
	for _, g := range mixed {
		more, err := c.linkMixed(ctx, g, live, did)
		if err != nil {
			return nil, err
		}
		proposed = append(proposed, more...)
	}
	return proposed, nil
}

// doubt returns why a group is not to be linked by itself, or "".
func (g group) doubt(known map[pair]State) string {
	for i, b := range g.members {
		for _, a := range g.members[:i] {
			switch {
			case known[bare(a.Ref, b.Ref)] == Rejected:
				return rejectedBefore
			case a.DomainID == b.DomainID:
				return sameDomain
			case !share(a.name, b.name):
				return namesDiffer
			}
		}
	}
	return ""
}

// byUPN is why the members of a group, those that are live, are linked.
func byUPN(g group) edge {
	n := g.n
	if !g.workspace().IsZero() { // it may have more recipients in others, which this one does not learn of
		n = len(g.members)
	}
	return edge{ByUPN, 1, Evidence{Key: g.key.String(), Recipients: n}}
}

// linkFresh makes a person of each group, none of which has one yet.
func (c *change) linkFresh(ctx context.Context, groups []group, live map[Ref]bool, did *progress) error {
	var ids []ID
	var workspaces []tenancy.WorkspaceID
	var links []newLink
	for _, g := range groups {
		members := slices.DeleteFunc(slices.Clone(g.members), func(m candidate) bool { return !live[m.Ref] })
		if len(members) < 2 {
			continue
		}
		g.members = members
		id, why := tenancy.NewID[recipients.Person](), byUPN(g)
		for _, m := range members {
			links = append(links, newLink{link{Ref: m.Ref, id: tenancy.NewID[Link](), person: id, alias: id, workspace: m.workspace}, why})
		}
		ids, workspaces = append(ids, id), append(workspaces, g.workspace())
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := c.exec(ctx, "make persons", `INSERT INTO strata.persons (company_id, id, workspace_id, created_by)
		SELECT $1, n.id, n.workspace_id, $4 FROM unnest($2::uuid[], $3::uuid[]) AS n (id, workspace_id)`, c.scope.CompanyID, ids, workspaces, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return err
	}
	did.Linked += int64(len(links))
	return c.insert(ctx, links)
}

// linkMixed adds the members of a group to the persons that some of them have, unless the
// person that would come of it raises a doubt.
func (c *change) linkMixed(ctx context.Context, g group, live map[Ref]bool, did *progress) ([]proposal, error) {
	g.members = slices.DeleteFunc(slices.Clone(g.members), func(m candidate) bool { return !live[m.Ref] })
	members := make([]member, len(g.members))
	for i, m := range g.members {
		members[i] = m.member
	}
	if len(members) < 2 {
		return nil, nil
	}
	if err := c.readLinks(ctx, members); err != nil { // a group before may have changed them
		return nil, err
	}
	whole, about, aliases, err := c.whole(ctx, members)
	if errors.Is(err, ErrAcross) { // it is for a matching of the company
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	doubt, err := c.wholeDoubt(ctx, whole, aliases, g.key)
	if err != nil {
		return nil, err
	}
	if doubt == "" {
		fresh := 0
		for _, m := range members {
			if m.link == nil {
				fresh++
			}
		}
		_, err := c.join(ctx, members, byUPN(g))
		switch {
		case err == nil:
			did.Linked += int64(fresh)
			return nil, nil
		case !errors.Is(err, ErrTooMany):
			return nil, err
		}
		doubt = identifiersConflict // so many are not one human
	}
	did.Doubted++
	return g.proposals(edge{ByUPN, 0.8, Evidence{Key: g.key.String(), Recipients: g.n, Doubt: doubt}}, about, map[pair]State{}), nil
}

// whole returns all recipients that would be one person with members, and the person that
// each is in now, and the workspace that they all are in, or zero. A workspace learns nothing of a person across workspaces: that is ErrAcross.
func (c *change) whole(ctx context.Context, members []member) (refs []Ref, workspace tenancy.WorkspaceID, aliases map[Ref]ID, err error) {
	workspace, aliases = members[0].workspace, map[Ref]ID{}
	read := map[ID]bool{}
	for _, m := range members {
		if m.workspace != workspace {
			workspace = tenancy.WorkspaceID{}
		}
		if m.link == nil {
			refs = append(refs, m.Ref)
			continue
		}
		if read[m.link.alias] {
			continue
		}
		read[m.link.alias] = true
		t, err := c.read(ctx, m.link.alias)
		if err != nil {
			return nil, workspace, nil, err
		}
		if !c.reaches(t.root.workspace) {
			return nil, workspace, nil, ErrAcross
		}
		if t.root.workspace != workspace {
			workspace = tenancy.WorkspaceID{}
		}
		for _, l := range t.root.all() {
			refs = append(refs, l.Ref)
			aliases[l.Ref] = l.alias
		}
	}
	return refs, workspace, aliases, nil
}

// wholeDoubt looks at what the closure of links would bring together: no matching makes one
// human of two user principal names, of two recipients in one domain, or of a pair that a user
// took apart.
func (c *change) wholeDoubt(ctx context.Context, refs []Ref, aliases map[Ref]ID, key uuid.UUID) (string, error) {
	upns, err := c.upns(ctx, refs)
	if err != nil {
		return "", err
	}
	for _, upn := range upns {
		if upn != key {
			return identifiersConflict, nil
		}
	}
	var pairs []pair
	for i, b := range refs {
		for _, a := range refs[:i] {
			if alias, linked := aliases[a]; linked && alias == aliases[b] {
				continue // they are one already
			}
			if a.DomainID == b.DomainID {
				return sameDomain, nil
			}
			pairs = append(pairs, bare(a, b))
		}
	}
	states, err := c.states(ctx, pairs)
	if err != nil {
		return "", err
	}
	for _, s := range states {
		if s == Rejected {
			return rejectedBefore, nil
		}
	}
	return "", nil
}
