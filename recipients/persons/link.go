package persons

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// edge is why recipients are linked.
type edge struct {
	method     Method
	confidence float64
	evidence   Evidence
}

// byHand is what a user says.
var byHand = edge{method: Manual, confidence: 1}

// Link makes one person of recipients, at least two, and of the persons that they have by
// now. It returns that person's id. What was rejected between them before is accepted by it.
//
// In the scope of a company the recipients may be of several workspaces: the person is then
// across them, and the persons inside a workspace are merged into it and come back when it
// ends. Errors: *tenancy.ValidationError, recipients.ErrNotFound, ErrAcross, ErrTooMany,
// tenancy.ErrMoving.
func (s *Store) Link(ctx context.Context, refs []Ref) (id ID, err error) {
	err = s.inTx(ctx, func(ctx context.Context, c *change) error {
		id, err = c.link(ctx, refs)
		return err
	})
	return id, err
}

// LinkTx is Link in the caller's transaction: after an error, tx goes on as before the call.
// Call it before anything that locks a recipient, or two such transactions may wait for each
// other until PostgreSQL ends one.
func (s *Store) LinkTx(ctx context.Context, tx *tenancy.Tx, refs []Ref) (id ID, err error) {
	err = s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error {
		id, err = c.link(ctx, refs)
		return err
	})
	return id, err
}

func (c *change) link(ctx context.Context, refs []Ref) (ID, error) {
	if err := checkRefs(refs); err != nil {
		return ID{}, err
	}
	members, err := c.live(ctx, refs)
	if err != nil {
		return ID{}, err
	}
	id, err := c.join(ctx, members, byHand)
	if err != nil {
		return ID{}, err
	}
	if err := c.settled(ctx, id, members); err != nil {
		return ID{}, err
	}
	return id, c.record(ctx, "person.linked", id, map[string]any{"method": Manual})
}

func checkRefs(refs []Ref) error {
	var v tenancy.ValidationError
	switch n := len(sorted(refs)); {
	case n < 2:
		v.Add("recipients", "too_short", "must have at least 2 different recipients")
	case n > MaxRecipients:
		v.Add("recipients", "too_long", "must have at most 100 recipients")
	}
	return v.OrNil()
}

// join makes one person of members.
func (c *change) join(ctx context.Context, members []member, why edge) (ID, error) {
	var roots []*tree
	fresh := 0
	for _, m := range members {
		if m.link == nil {
			fresh++
			continue
		}
		if slices.ContainsFunc(roots, func(t *tree) bool { return t.root.id == m.link.alias }) {
			continue
		}
		t, err := c.read(ctx, m.link.alias)
		if err != nil {
			return ID{}, err
		}
		roots = append(roots, t)
	}
	root, err := c.over(ctx, roots, members)
	if err != nil {
		return ID{}, err
	}
	n := fresh
	for _, t := range roots {
		n += len(t.root.all())
	}
	if n > MaxRecipients {
		return ID{}, ErrTooMany
	}
	return root, c.add(ctx, root, members, why)
}

// over merges what is to be one person, and returns the person that is at the top then: one
// across workspaces when there is one or there has to be, else the oldest.
func (c *change) over(ctx context.Context, roots []*tree, members []member) (ID, error) {
	workspace := members[0].workspace
	for _, m := range members {
		if m.workspace != workspace {
			workspace = tenancy.WorkspaceID{}
		}
	}
	for _, t := range roots {
		if t.root.workspace != workspace {
			workspace = tenancy.WorkspaceID{}
		}
	}
	if workspace.IsZero() && !c.scope.WorkspaceID.IsZero() {
		return ID{}, ErrAcross
	}
	slices.SortFunc(roots, func(a, b *tree) int { return bytes.Compare(a.root.id[:], b.root.id[:]) })
	at := slices.IndexFunc(roots, func(t *tree) bool { return t.root.workspace == workspace })
	var root ID
	if at >= 0 {
		root = roots[at].root.id
	} else {
		root = tenancy.NewID[recipients.Person]()
		_, err := c.exec(ctx, "make a person", `INSERT INTO strata.persons (company_id, id, workspace_id, created_by) VALUES ($1, $2, $3, $4)`,
			c.scope.CompanyID, root, workspace, tenancy.ActorFrom(ctx).ID)
		if err != nil {
			return ID{}, err
		}
	}
	for _, t := range roots {
		if t.root.id == root {
			continue
		}
		if _, err := c.exec(ctx, "merge persons", `UPDATE strata.persons SET merged_into = $3 WHERE company_id = $1 AND id = $2`, c.scope.CompanyID, t.root.id, root); err != nil {
			return ID{}, err
		}
		if err := c.alias(ctx, t.root.all(), root); err != nil {
			return ID{}, err
		}
	}
	return root, nil
}

// add links the members that have no link.
func (c *change) add(ctx context.Context, person ID, members []member, why edge) error {
	var links []newLink
	for _, m := range members {
		if m.link == nil {
			links = append(links, newLink{link{Ref: m.Ref, id: tenancy.NewID[Link](), person: person, alias: person, workspace: m.workspace}, why})
		}
	}
	return c.insert(ctx, links)
}

// newLink is a link that is made.
type newLink struct {
	link
	edge
}

// insert writes links, and points their recipients at the persons.
func (c *change) insert(ctx context.Context, made []newLink) error {
	if len(made) == 0 {
		return nil
	}
	n := len(made)
	links, ids, people, domains, of := make([]link, n), make([]LinkID, n), make([]ID, n), make([]tenancy.DomainID, n), make([]recipients.ID, n)
	workspaces, methods, confidences, evidence := make([]tenancy.WorkspaceID, n), make([]string, n), make([]float64, n), make([]Evidence, n)
	for i, l := range made {
		links[i], ids[i], people[i], domains[i], of[i] = l.link, l.id, l.person, l.DomainID, l.RecipientID
		workspaces[i], methods[i], confidences[i], evidence[i] = l.workspace, string(l.method), l.confidence, l.evidence
	}
	_, err := c.exec(ctx, "link recipients", `INSERT INTO strata.person_links (company_id, id, person_id, alias_id, domain_id, recipient_id, workspace_id, method, confidence, evidence, linked_by)
		SELECT $1, n.id, n.person_id, n.person_id, n.domain_id, n.recipient_id, n.workspace_id, n.method, n.confidence, n.evidence, $10
		FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::real[], $9::jsonb[])
			AS n (id, person_id, domain_id, recipient_id, workspace_id, method, confidence, evidence)`,
		c.scope.CompanyID, ids, people, domains, of, workspaces, methods, confidences, evidence, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return err
	}
	return c.point(ctx, links)
}

// Unlink takes a recipient out of its person. A person with one recipient left ends, so that
// this one is as it was before it was linked. The recipient and those that stay are never
// linked again but by hand. Errors: recipients.ErrNotFound for a recipient that the scope
// does not reach, ErrNotLinked, ErrAcross for one that the company has linked, or without which
// a recipient of another workspace would have another person or none.
func (s *Store) Unlink(ctx context.Context, ref Ref) error {
	return s.inTx(ctx, func(ctx context.Context, c *change) error { return c.unlink(ctx, ref) })
}

// UnlinkTx is Unlink in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) UnlinkTx(ctx context.Context, tx *tenancy.Tx, ref Ref) error {
	return s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error { return c.unlink(ctx, ref) })
}

func (c *change) unlink(ctx context.Context, ref Ref) error {
	members, err := c.live(ctx, []Ref{ref})
	if err != nil {
		return err
	}
	l := members[0].link
	if l == nil {
		return ErrNotLinked
	}
	own, err := collect(ctx, c, "look for a person", pgx.RowTo[bool], `SELECT true FROM strata.persons WHERE company_id = $1 AND id = $2 AND ($3::uuid IS NULL OR workspace_id = $3)`,
		c.scope.CompanyID, l.person, c.scope.WorkspaceID)
	switch {
	case err != nil:
		return err
	case len(own) == 0:
		return ErrAcross
	}
	t, err := c.read(ctx, l.alias)
	if err != nil {
		return err
	}
	var others []link // a workspace decides nothing about those of another
	for _, o := range t.root.all() {
		if o.Ref != ref && c.reaches(o.workspace) {
			others = append(others, o)
		}
	}
	if err := c.closed(ctx, []link{*l}, "asked"); err != nil {
		return err
	}
	if err := c.keepApart(ctx, []link{*l}, others); err != nil {
		return err
	}
	if err := c.settle(ctx, l.alias); err != nil {
		return err
	}
	for workspace := range c.touched {
		if !c.reaches(workspace) { // a recipient there would lose its person, or get another
			return ErrAcross
		}
	}
	return c.record(ctx, "person.unlinked", l.alias, nil)
}
