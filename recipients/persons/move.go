package persons

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Store)(nil)

// PreviewMove says how many links of the domain a move would cut: to another company all of
// them, inside one those to persons inside the workspace that it leaves, unless all of a
// person's recipients are in the domain.
func (s *Store) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	var n int64
	err := s.db.ReadTrusted(ctx, `SELECT count(*) FROM strata.person_links l JOIN strata.persons p ON p.company_id = l.company_id AND p.id = l.alias_id
		WHERE l.company_id = $1 AND l.domain_id = $2 AND l.state = 'linked' AND ($3 OR p.workspace_id IS NOT NULL
			AND EXISTS (SELECT FROM strata.person_links o WHERE o.company_id = $1 AND o.alias_id = l.alias_id AND o.state = 'linked' AND o.domain_id <> $2))`,
		[]any{m.From.CompanyID, m.DomainID, m.CrossCompany()}, func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
	switch {
	case err != nil:
		return nil, fmt.Errorf("persons: count the links that a move cuts: %w", err)
	case n == 0:
		return nil, nil
	}
	why := "they are linked inside the workspace"
	if m.CrossCompany() {
		why = "a person never spans companies"
	}
	return []move.Finding{{
		Kind: "person_links", Severity: move.Warn, Subject: fmt.Sprint(n),
		Message: fmt.Sprintf("%d recipients lose the link to their person: %s", n, why),
	}}, nil
}

// DomainMoved cuts the links that may not go along, and takes the others over.
func (s *Store) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	scope := tenancy.Tenant{CompanyID: m.From.CompanyID}
	err := tx.As(ctx, scope, func(ctx context.Context, tx *tenancy.Tx) error {
		return s.begin(ctx, tx, scope, func(ctx context.Context, c *change) error {
			c.credits.moved = true
			if m.CrossCompany() {
				return c.leaveCompany(ctx, m)
			}
			return c.leaveWorkspace(ctx, m)
		})
	})
	if err != nil {
		return fmt.Errorf("persons: a domain that moves: %w", err)
	}
	return nil
}

// linksOf returns the links of a domain, as they will be pointed at: the rows of recipients
// say already where the domain goes.
func (c *change) linksOf(ctx context.Context, domain tenancy.DomainID) ([]link, error) {
	return collect(ctx, c, "read the links of a domain", scanLink, `SELECT `+linkColumns+` FROM strata.person_links l
		WHERE l.company_id = $1 AND l.domain_id = $2 AND l.state = 'linked' ORDER BY l.recipient_id`, c.scope.CompanyID, domain)
}

// leaveCompany leaves nothing of the domain behind and takes nothing along.
func (c *change) leaveCompany(ctx context.Context, m move.Move) error {
	links, err := c.linksOf(ctx, m.DomainID)
	if err != nil {
		return err
	}
	if err := c.closed(ctx, links, "moved"); err != nil {
		return err
	}
	// A recipient of the domain may be left alone by this, and then has no person: that of all
	// persons is settled before the rows go.
	if err := c.settleAll(ctx, links); err != nil {
		return err
	}
	if _, err := c.exec(ctx, "forget links", `DELETE FROM strata.person_links WHERE company_id = $1 AND domain_id = $2`, c.scope.CompanyID, m.DomainID); err != nil {
		return err
	}
	if _, err := c.exec(ctx, "forget suggestions", `DELETE FROM strata.person_suggestions WHERE company_id = $1 AND $2 IN (a_domain_id, b_domain_id)`, c.scope.CompanyID, m.DomainID); err != nil {
		return err
	}
	return c.recordMove(ctx, m, len(links))
}

// settleAll settles the persons that links were of.
func (c *change) settleAll(ctx context.Context, links []link) error {
	done := map[ID]bool{}
	for _, l := range links {
		if done[l.alias] {
			continue
		}
		done[l.alias] = true
		if err := c.settle(ctx, l.alias); err != nil {
			return err
		}
	}
	return nil
}

// leaveWorkspace cuts the links to persons inside the workspace that the domain leaves. One
// whose recipients are all in the domain goes along. A person across workspaces keeps its
// recipients: the company has linked them, and they stay in the company. Those whose link was to a person
// inside the workspace, which was merged, are linked to the one across.
func (c *change) leaveWorkspace(ctx context.Context, m move.Move) error {
	links, err := c.linksOf(ctx, m.DomainID)
	if err != nil {
		return err
	}
	var cut []link
	done := map[ID]bool{}
	for _, l := range links {
		if done[l.alias] {
			continue
		}
		done[l.alias] = true
		t, err := c.read(ctx, l.alias)
		if err != nil {
			return err
		}
		switch {
		case t.root.workspace.IsZero():
			if err := c.lift(ctx, t, m.DomainID); err != nil {
				return err
			}
		case t.within(m.DomainID):
			ids := make([]ID, 0, len(t.nodes))
			for id := range t.nodes {
				ids = append(ids, id)
			}
			if _, err := c.exec(ctx, "take persons along", `UPDATE strata.persons SET workspace_id = $3 WHERE company_id = $1 AND id = ANY ($2)`, c.scope.CompanyID, ids, m.To.WorkspaceID); err != nil {
				return err
			}
		default:
			for _, o := range t.root.all() {
				if o.DomainID == m.DomainID {
					cut = append(cut, o)
				}
			}
		}
	}
	if err := c.closed(ctx, cut, "moved"); err != nil {
		return err
	}
	if _, err := c.exec(ctx, "take links along", `UPDATE strata.person_links SET workspace_id = $3 WHERE company_id = $1 AND domain_id = $2`, c.scope.CompanyID, m.DomainID, m.To.WorkspaceID); err != nil {
		return err
	}
	if err := c.settleAll(ctx, cut); err != nil {
		return err
	}
	for _, l := range links { // what counts in one workspace counts in the other one now
		c.creditAll(l.Ref)
	}
	// Inside a workspace evidence says nothing of others, which that of a pair across them may.
	_, err = c.exec(ctx, "take suggestions along", `UPDATE strata.person_suggestions s SET evidence = s.evidence - 'recipients' - 'doubt', workspace_id = (SELECT $3::uuid FROM strata.domains d
			WHERE d.company_id = $1 AND d.id = CASE s.a_domain_id WHEN $2 THEN s.b_domain_id ELSE s.a_domain_id END AND (d.workspace_id = $3 OR d.id = $2))
		WHERE s.company_id = $1 AND $2 IN (s.a_domain_id, s.b_domain_id)`, c.scope.CompanyID, m.DomainID, m.To.WorkspaceID)
	if err != nil {
		return err
	}
	return c.recordMove(ctx, m, len(cut))
}

// within reports whether all recipients of a person are in a domain.
func (t *tree) within(domain tenancy.DomainID) bool {
	for _, l := range t.root.all() {
		if l.DomainID != domain {
			return false
		}
	}
	return true
}

// lift makes the links of a domain to what was merged into a person across workspaces links
// to that person.
func (c *change) lift(ctx context.Context, t *tree, domain tenancy.DomainID) error {
	var ids []LinkID
	for _, l := range t.root.all() {
		if l.DomainID == domain && l.person != t.root.id {
			ids = append(ids, l.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := c.exec(ctx, "link to the person across", `UPDATE strata.person_links SET person_id = alias_id WHERE company_id = $1 AND id = ANY ($2)`, c.scope.CompanyID, ids); err != nil {
		return err
	}
	return c.settle(ctx, t.root.id)
}

func (c *change) recordMove(ctx context.Context, m move.Move, cut int) error {
	return c.audit.RecordTx(ctx, c.tx, entry("persons.domain_moved", m.DomainID.String(), map[string]any{"unlinked": cut}))
}
