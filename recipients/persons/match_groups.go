package persons

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// candidate is a recipient that has a key with others.
type candidate struct {
	member

	upn  uuid.NullUUID
	name []string
}

// group is the recipients that have one key.
type group struct {
	key     uuid.UUID
	n       int // how many there are; more than MatcherConfig.MaxShared are not read
	example Ref
	members []candidate // live ones, in their order
}

// groupsSQL returns the next keys that several recipients have, in the order of the keys'
// index, and those recipients as they were when the keys were made.
const groupsSQL = `WITH g AS (
		SELECT k.%[1]s AS key, count(*) AS n FROM strata.person_keys k
		WHERE k.company_id = $1 AND ($2::uuid IS NULL OR k.workspace_id = $2) AND k.%[1]s > $3 GROUP BY k.%[1]s HAVING count(*) > 1 ORDER BY k.%[1]s LIMIT $4)
	SELECT g.key, g.n, k.domain_id, k.recipient_id, d.workspace_id, k.upn, r.name, r.id IS NOT NULL AND d.id IS NOT NULL
	FROM g CROSS JOIN LATERAL (SELECT k.domain_id, k.recipient_id, k.version, k.upn FROM strata.person_keys k
		WHERE k.company_id = $1 AND ($2::uuid IS NULL OR k.workspace_id = $2) AND k.%[1]s = g.key LIMIT CASE WHEN g.n > $5 THEN 1 ELSE $5 END) k
	LEFT JOIN strata.domains d ON d.company_id = $1 AND d.id = k.domain_id AND d.deleted_at IS NULL AND ($2::uuid IS NULL OR d.workspace_id = $2)
	LEFT JOIN strata.recipients r ON r.domain_id = k.domain_id AND r.id = k.recipient_id AND r.company_id = $1 AND r.version = k.version AND r.deleted_at IS NULL
	ORDER BY g.key, k.domain_id, k.recipient_id`

// byIndex keeps the planner from reading and sorting all keys for each batch, which it would
// where it thinks that few recipients share one.
const byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_hashagg', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`

func (w *matchWork) groups(ctx context.Context, tx *tenancy.Tx, method Method, after uuid.UUID) (out []group, err error) {
	if _, err := tx.Exec(ctx, byIndex); err != nil {
		return nil, err
	}
	column := map[Method]string{ByUPN: "upn", ByEmailName: "email_name", ByNameDepartment: "name_department"}[method]
	err = tx.ReadTrusted(ctx, fmt.Sprintf(groupsSQL, column), []any{w.scope.CompanyID, w.scope.WorkspaceID, after, w.cfg.BatchGroups, w.cfg.MaxShared}, func(rows pgx.Rows) error {
		for rows.Next() {
			var key uuid.UUID
			var n int
			var c candidate
			var workspace *tenancy.WorkspaceID
			var name *string
			var there bool
			if err := rows.Scan(&key, &n, &c.DomainID, &c.RecipientID, &workspace, &c.upn, &name, &there); err != nil {
				return err
			}
			if len(out) == 0 || out[len(out)-1].key != key {
				out = append(out, group{key: key, n: n, example: c.Ref})
			}
			if there && n <= w.cfg.MaxShared {
				c.workspace, c.name = *workspace, nameWords(*name)
				g := &out[len(out)-1]
				g.members = append(g.members, c)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("persons: read keys of several recipients: %w", err)
	}
	return out, nil
}

// matchBatch matches by the next keys.
func (w *matchWork) matchBatch(ctx context.Context, tx *tenancy.Tx, next *matchCursor) (did progress, err error) {
	method := Method(phases[next.Phase])
	after := uuid.Nil
	if next.After != "" {
		if after, err = uuid.Parse(next.After); err != nil {
			return did, err
		}
	}
	groups, err := w.groups(ctx, tx, method, after)
	if err != nil {
		return did, err
	}
	if len(groups) < w.cfg.BatchGroups {
		*next = matchCursor{Phase: next.Phase + 1}
	} else {
		next.After = groups[len(groups)-1].key.String()
	}
	for _, g := range groups {
		if g.n > w.cfg.MaxShared {
			did.Counters.Shared++
			if did.shared = append(did.shared, Shared{method, g.n, g.example}); len(did.shared) > 100 {
				did.shared = did.shared[:100]
			}
		}
	}
	groups = slices.DeleteFunc(groups, func(g group) bool { return len(g.members) < 2 })
	if len(groups) == 0 {
		return did, nil
	}
	return did, tx.As(ctx, w.scope, func(ctx context.Context, tx *tenancy.Tx) error {
		return w.store.begin(ctx, tx, w.scope, func(ctx context.Context, c *change) error { return c.match(ctx, method, groups, &did) })
	})
}

// match links what is sure and suggests the rest.
func (c *change) match(ctx context.Context, method Method, groups []group, did *progress) error {
	known, err := c.known(ctx, groups)
	if err != nil {
		return err
	}
	var proposed []proposal
	if method == ByUPN {
		proposed, err = c.linkAll(ctx, groups, known, did)
		if err != nil {
			return err
		}
	} else {
		confidence := map[Method]float64{ByEmailName: 0.9, ByNameDepartment: 0.7}[method]
		for _, g := range groups {
			proposed = append(proposed, g.proposals(edge{method, confidence, Evidence{Key: g.key.String(), Recipients: g.n}}, g.workspace(), known)...)
		}
	}
	if err := c.propose(ctx, proposed, did); err != nil {
		return err
	}
	if did.Linked == 0 && did.Suggested == 0 {
		return nil
	}
	return c.audit.RecordTx(ctx, c.tx, audit.Entry{
		Action: "persons.matched", ResourceType: "person",
		Metadata: map[string]any{"method": method, "linked": did.Linked, "suggested": did.Suggested},
	})
}

// known reads the links of all members of groups, and returns the pairs of them that were
// suggested before, with what was decided.
func (c *change) known(ctx context.Context, groups []group) (map[pair]State, error) {
	var members []member
	var pairs []pair
	for _, g := range groups {
		for i, m := range g.members {
			members = append(members, m.member)
			for _, o := range g.members[:i] {
				pairs = append(pairs, bare(m.Ref, o.Ref))
			}
		}
	}
	slices.SortFunc(members, func(a, b member) int { return compareRefs(a.Ref, b.Ref) })
	members = slices.CompactFunc(members, func(a, b member) bool { return a.Ref == b.Ref })
	if err := c.readLinks(ctx, members); err != nil {
		return nil, err
	}
	for _, g := range groups {
		for i := range g.members {
			at, _ := slices.BinarySearchFunc(members, g.members[i].Ref, func(m member, r Ref) int { return compareRefs(m.Ref, r) })
			g.members[i].link = members[at].link
		}
	}
	return c.states(ctx, pairs)
}

// bare is a pair without its workspace, as the key of a map.
func bare(a, b Ref) pair { return pairOf(a, b, tenancy.WorkspaceID{}, tenancy.WorkspaceID{}) }

// states returns what is known of pairs.
func (c *change) states(ctx context.Context, pairs []pair) (map[pair]State, error) {
	out := map[pair]State{}
	aDomains, aIDs, bDomains, bIDs, _ := columns(pairs)
	err := c.asCompany(ctx, func(ctx context.Context) error {
		_, err := collect(ctx, c, "look for pairs", func(row pgx.CollectableRow) (p pair, err error) {
			var s State
			err = row.Scan(&p.a.DomainID, &p.a.RecipientID, &p.b.DomainID, &p.b.RecipientID, &s)
			out[p] = s
			return p, err
		}, `SELECT s.a_domain_id, s.a_recipient_id, s.b_domain_id, s.b_recipient_id, s.state
			FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]) AS p (a_domain_id, a_recipient_id, b_domain_id, b_recipient_id)
			JOIN strata.person_suggestions s USING (a_domain_id, a_recipient_id, b_domain_id, b_recipient_id) WHERE s.company_id = $1`,
			c.scope.CompanyID, aDomains, aIDs, bDomains, bIDs)
		return err
	})
	return out, err
}

// workspace returns the workspace that all members are in, or zero.
func (g group) workspace() tenancy.WorkspaceID {
	for _, m := range g.members {
		if m.workspace != g.members[0].workspace {
			return tenancy.WorkspaceID{}
		}
	}
	return g.members[0].workspace
}

// inside returns why for a pair in a workspace, without what it says of recipients in others:
// the workspace reads it. about is the workspace of all that the doubt is about, or zero.
func (g group) inside(workspace tenancy.WorkspaceID, why edge, about tenancy.WorkspaceID, known map[pair]State) edge {
	g.members = slices.DeleteFunc(slices.Clone(g.members), func(m candidate) bool { return m.workspace != workspace })
	why.evidence.Recipients = len(g.members)
	if why.evidence.Doubt != "" && about != workspace {
		why.evidence.Doubt = g.doubt(known)
	}
	return why
}

// proposals are the pairs of a group that nobody knows of, that are not one person already,
// and that no user principal name keeps apart. about is the workspace of all that the doubt in
// why is about, or zero.
func (g group) proposals(why edge, about tenancy.WorkspaceID, known map[pair]State) (out []proposal) {
	for i, b := range g.members {
		for _, a := range g.members[:i] {
			p := pairOf(a.Ref, b.Ref, a.workspace, b.workspace)
			_, there := known[bare(a.Ref, b.Ref)]
			if there || a.link != nil && b.link != nil && a.link.alias == b.link.alias || a.upn.Valid && b.upn.Valid && a.upn.UUID != b.upn.UUID {
				continue
			}
			e := why
			if !p.workspace.IsZero() {
				e = g.inside(p.workspace, why, about, known)
			}
			out = append(out, proposal{pair: p, edge: e, state: Open})
		}
	}
	return out
}

// propose writes suggestions. One recipient may have several keys with another: the first,
// which says more, counts.
func (c *change) propose(ctx context.Context, proposed []proposal, did *progress) error {
	if len(proposed) == 0 {
		return nil
	}
	n := len(proposed)
	ids, pairs, methods, confidences, evidence := make([]SuggestionID, n), make([]pair, n), make([]string, n), make([]float64, n), make([]Evidence, n)
	for i, p := range proposed {
		ids[i], pairs[i], methods[i], confidences[i], evidence[i] = tenancy.NewID[Suggestion](), p.pair, string(p.method), p.confidence, p.evidence
	}
	aDomains, aIDs, bDomains, bIDs, workspaces := columns(pairs)
	made, err := c.exec(ctx, "suggest persons", `INSERT INTO strata.person_suggestions (company_id, id, a_domain_id, a_recipient_id, b_domain_id, b_recipient_id, workspace_id, method, confidence, evidence)
		SELECT $1, n.* FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::real[], $10::jsonb[]) AS n
		ON CONFLICT (company_id, a_domain_id, a_recipient_id, b_domain_id, b_recipient_id) DO NOTHING`,
		c.scope.CompanyID, ids, aDomains, aIDs, bDomains, bIDs, workspaces, methods, confidences, evidence)
	did.Suggested += made
	return err
}

// lockLive locks the recipients among refs that are live, and returns them. Those of a domain
// that is being moved are not among them: the next run finds them.
func (c *change) lockLive(ctx context.Context, members []candidate) (map[Ref]bool, error) {
	refs := make([]Ref, len(members))
	workspaces := map[tenancy.DomainID]tenancy.WorkspaceID{}
	for i, m := range members {
		refs[i] = m.Ref
		workspaces[m.DomainID] = m.workspace
	}
	live := map[Ref]bool{}
	return live, byDomain(refs, func(domain tenancy.DomainID, ids []recipients.ID) error {
		in := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspaces[domain], DomainID: domain}
		err := c.tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			return tx.As(ctx, in, func(ctx context.Context, _ *tenancy.Tx) error {
				found, err := collect(ctx, c, "lock recipients", pgx.RowTo[recipients.ID],
					`SELECT id FROM strata.recipients WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, domain, ids)
				for _, id := range found {
					live[Ref{domain, id}] = true
				}
				return err
			})
		})
		if passing(err) {
			return nil
		}
		return err
	})
}
