package persons

import (
	"context"

	"github.com/stratakit/strata/tenancy"
)

// Merge makes one person of two, and returns its id: into, as a rule. A person across
// workspaces stays at the top, and for two of different workspaces a new one is made that is.
// For persons that are one already it changes nothing. Errors: ErrNotFound, ErrAcross,
// ErrTooMany, tenancy.ErrMoving.
func (s *Store) Merge(ctx context.Context, into, from ID) (id ID, err error) {
	err = s.inTx(ctx, func(ctx context.Context, c *change) error {
		id, err = c.merge(ctx, into, from)
		return err
	})
	return id, err
}

// MergeTx is Merge in the caller's transaction: after an error, tx goes on as before the call.
func (s *Store) MergeTx(ctx context.Context, tx *tenancy.Tx, into, from ID) (id ID, err error) {
	err = s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error {
		id, err = c.merge(ctx, into, from)
		return err
	})
	return id, err
}

func (c *change) merge(ctx context.Context, into, from ID) (ID, error) {
	var trees []*tree
	var members []member
	for _, id := range []ID{into, from} {
		root, err := c.top(ctx, id)
		if err != nil {
			return ID{}, err
		}
		if len(trees) > 0 && trees[0].root.id == root {
			return root, nil
		}
		t, err := c.read(ctx, root)
		if err != nil {
			return ID{}, err
		}
		trees = append(trees, t)
		for _, l := range t.root.all() {
			members = append(members, member{Ref: l.Ref, workspace: l.workspace, link: &l})
		}
	}
	if len(members) > MaxRecipients {
		return ID{}, ErrTooMany
	}
	first, second := trees[0].root, trees[1].root
	root := first.id
	var err error
	switch {
	case first.workspace == second.workspace || first.workspace.IsZero():
		err = c.put(ctx, second, first.id)
	case second.workspace.IsZero():
		root = second.id
		err = c.put(ctx, first, second.id)
	default:
		root, err = c.over(ctx, trees, members)
	}
	if err != nil {
		return ID{}, err
	}
	if err := c.settled(ctx, root, members); err != nil {
		return ID{}, err
	}
	return root, c.record(ctx, "person.merged", root, map[string]any{"persons": []string{first.id.String(), second.id.String()}})
}

// put merges a person into another one.
func (c *change) put(ctx context.Context, n *node, into ID) error {
	if _, err := c.exec(ctx, "merge persons", `UPDATE strata.persons SET merged_into = $3 WHERE company_id = $1 AND id = $2`, c.scope.CompanyID, n.id, into); err != nil {
		return err
	}
	return c.alias(ctx, n.all(), into)
}

// UndoMerge takes a person out of the one that it was merged into, with the recipients that
// it had, whatever was merged or linked since. They are never brought together again but by
// hand. Errors: ErrNotFound, ErrNotLinked for a person that is merged into none, ErrAcross.
func (s *Store) UndoMerge(ctx context.Context, id ID) error {
	return s.inTx(ctx, func(ctx context.Context, c *change) error { return c.undoMerge(ctx, id) })
}

// UndoMergeTx is UndoMerge in the caller's transaction: after an error, tx goes on as before
// the call.
func (s *Store) UndoMergeTx(ctx context.Context, tx *tenancy.Tx, id ID) error {
	return s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error { return c.undoMerge(ctx, id) })
}

func (c *change) undoMerge(ctx context.Context, id ID) error {
	root, err := c.top(ctx, id)
	if err != nil {
		return err
	}
	if root == id {
		return ErrNotLinked
	}
	whole, err := c.read(ctx, root)
	if err != nil {
		return err
	}
	out := whole.nodes[id]
	mine := out.all()
	taken := map[Ref]bool{}
	for _, l := range mine {
		taken[l.Ref] = true
	}
	var others []link
	for _, l := range whole.root.all() {
		if !taken[l.Ref] {
			others = append(others, l)
		}
	}
	if _, err := c.exec(ctx, "end a merge", `UPDATE strata.persons SET merged_into = NULL WHERE company_id = $1 AND id = $2`, c.scope.CompanyID, id); err != nil {
		return err
	}
	if err := c.alias(ctx, mine, id); err != nil {
		return err
	}
	if err := c.keepApart(ctx, mine, others); err != nil {
		return err
	}
	if err := c.settle(ctx, root); err != nil {
		return err
	}
	if err := c.settle(ctx, id); err != nil {
		return err
	}
	return c.record(ctx, "person.merge_undone", id, map[string]any{"from": root.String()})
}

// settled notes what is decided about pairs of which both are in a person now: nobody needs
// to be asked about them any more. A pair that was rejected is accepted when it is among
// members, which a user has said are one.
func (c *change) settled(ctx context.Context, root ID, members []member) error {
	refs := make([]Ref, len(members))
	for i, m := range members {
		refs[i] = m.Ref
	}
	domains, ids := split(refs)
	return c.asCompany(ctx, func(ctx context.Context) error {
		_, err := c.exec(ctx, "note what is decided", `
			WITH in_person AS (SELECT domain_id, recipient_id FROM strata.person_links WHERE company_id = $1 AND alias_id = $2 AND state = 'linked'),
				asked AS (SELECT * FROM unnest($3::uuid[], $4::uuid[]) AS m (domain_id, recipient_id))
			UPDATE strata.person_suggestions s SET state = 'accepted', decided_by = $5, decided_at = now()
			FROM in_person a, in_person b
			WHERE s.company_id = $1 AND (s.a_domain_id, s.a_recipient_id) = (a.domain_id, a.recipient_id) AND (s.b_domain_id, s.b_recipient_id) = (b.domain_id, b.recipient_id)
				AND (s.state = 'open' OR s.state = 'rejected'
					AND (a.domain_id, a.recipient_id) IN (SELECT domain_id, recipient_id FROM asked) AND (b.domain_id, b.recipient_id) IN (SELECT domain_id, recipient_id FROM asked))`,
			c.scope.CompanyID, root, domains, ids, tenancy.ActorFrom(ctx).ID)
		return err
	})
}

// keepApart notes that no two of these are one human, for good.
func (c *change) keepApart(ctx context.Context, some, others []link) error {
	var ids []SuggestionID
	var pairs []pair
	for _, a := range some {
		for _, b := range others {
			ids, pairs = append(ids, tenancy.NewID[Suggestion]()), append(pairs, pairOf(a.Ref, b.Ref, a.workspace, b.workspace))
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	aDomains, aIDs, bDomains, bIDs, workspaces := columns(pairs)
	return c.asCompany(ctx, func(ctx context.Context) error {
		_, err := c.exec(ctx, "keep recipients apart", `INSERT INTO strata.person_suggestions AS s
				(company_id, id, a_domain_id, a_recipient_id, b_domain_id, b_recipient_id, workspace_id, method, confidence, state, decided_by, decided_at)
			SELECT $1, n.*, 'manual', 0, 'rejected', $8, now() FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[]) AS n
			ON CONFLICT (company_id, a_domain_id, a_recipient_id, b_domain_id, b_recipient_id)
			DO UPDATE SET state = 'rejected', decided_by = excluded.decided_by, decided_at = now()`,
			c.scope.CompanyID, ids, aDomains, aIDs, bDomains, bIDs, workspaces, tenancy.ActorFrom(ctx).ID)
		return err
	})
}
