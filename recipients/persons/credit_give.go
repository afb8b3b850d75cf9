package persons

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// credits is what a change has to look at when it is done.
type credits struct {
	refs   map[Ref]bool   // whose person or completions changed
	topics map[Topic]bool // which completions; nil with refs: all
	all    bool
	moved  bool // a domain moves: this is why what ends does
}

// credit notes that a completion of a recipient has changed.
func (c *change) credit(ref Ref, topic Topic) {
	c.note(ref)
	if c.credits.topics == nil {
		c.credits.topics = map[Topic]bool{}
	}
	c.credits.topics[topic] = true
}

// creditAll notes that the person of a recipient has changed.
func (c *change) creditAll(ref Ref) {
	c.note(ref)
	c.credits.all = true
}

func (c *change) note(ref Ref) {
	if c.credits.refs == nil {
		c.credits.refs = map[Ref]bool{}
	}
	c.credits.refs[ref] = true
}

// dueSQL compares the credits that there are with those that there should be, for the
// recipients $2, $3 of the company $1, those that are one person with them, and those that
// have a credit from them. $4 and $5 are the topics it is about, or NULL.
//
// A recipient is to have a credit for what a recipient that is linked with it has completed
// and it has not: the one that it has, else the earliest. What is not withdrawn counts in the
// workspace of the completion, or in all. A credit whose completion was purged is nobody's to
// revoke, and stays.
const dueSQL = `
	WITH changed AS (SELECT * FROM unnest($2::uuid[], $3::uuid[]) AS c (domain_id, recipient_id)),
	topics AS (SELECT * FROM unnest($4::text[], $5::text[]) AS t (product, key)),
	affected AS (
		SELECT domain_id, recipient_id FROM changed
		UNION
		SELECT o.domain_id, o.recipient_id FROM changed
			JOIN strata.person_links l ON l.company_id = $1 AND l.domain_id = changed.domain_id AND l.recipient_id = changed.recipient_id AND l.state = 'linked'
			JOIN strata.person_links o ON o.company_id = $1 AND o.alias_id = l.alias_id AND o.state = 'linked'
		UNION
		SELECT g.domain_id, g.recipient_id FROM changed
			JOIN strata.person_completions c ON c.domain_id = changed.domain_id AND c.recipient_id = changed.recipient_id
			JOIN strata.person_credits g ON g.completion_id = c.id AND g.revoked_at IS NULL
	),
	live AS (
		SELECT g.domain_id, g.recipient_id, g.company_id, g.workspace_id, g.id, g.product, g.key, g.completion_id, c.id IS NULL AS purged, c.withdrawn_at IS NOT NULL AS withdrawn,
			EXISTS (SELECT FROM strata.person_completions o WHERE o.domain_id = g.domain_id AND o.recipient_id = g.recipient_id
				AND o.product = g.product AND o.key = g.key AND o.withdrawn_at IS NULL) AS own
		FROM affected JOIN strata.person_credits g ON g.domain_id = affected.domain_id AND g.recipient_id = affected.recipient_id AND g.revoked_at IS NULL
			LEFT JOIN strata.person_completions c ON c.id = g.completion_id
		WHERE $4::text[] IS NULL OR (g.product, g.key) IN (SELECT product, key FROM topics)
	),
	due AS (
		SELECT DISTINCT ON (t.domain_id, t.recipient_id, c.product, c.key) t.domain_id, t.recipient_id, t.workspace_id, c.id AS completion_id, c.product, c.key, c.occurred_at, c.details
		FROM affected
			JOIN strata.person_links t ON t.company_id = $1 AND t.domain_id = affected.domain_id AND t.recipient_id = affected.recipient_id AND t.state = 'linked'
			JOIN strata.person_links s ON s.company_id = $1 AND s.alias_id = t.alias_id AND s.state = 'linked' AND s.id <> t.id
			JOIN strata.person_completions c ON c.domain_id = s.domain_id AND c.recipient_id = s.recipient_id AND c.withdrawn_at IS NULL AND (c.across OR c.workspace_id = t.workspace_id)
			LEFT JOIN live g ON g.domain_id = t.domain_id AND g.recipient_id = t.recipient_id AND g.completion_id = c.id
		WHERE ($4::text[] IS NULL OR (c.product, c.key) IN (SELECT product, key FROM topics))
			AND NOT EXISTS (SELECT FROM strata.person_completions o WHERE o.domain_id = t.domain_id AND o.recipient_id = t.recipient_id
				AND o.product = c.product AND o.key = c.key AND o.withdrawn_at IS NULL)
		ORDER BY t.domain_id, t.recipient_id, c.product, c.key, g.id IS NULL, c.occurred_at, c.id
	)
	SELECT g.company_id, g.workspace_id, g.domain_id, g.recipient_id, g.id,
		CASE WHEN g.own THEN 'completed' WHEN g.withdrawn THEN 'withdrawn' ELSE $6 END, NULL::uuid, '', '', NULL::timestamptz, NULL::jsonb
	FROM live g LEFT JOIN due d ON d.domain_id = g.domain_id AND d.recipient_id = g.recipient_id AND d.completion_id = g.completion_id
	WHERE g.own OR NOT g.purged AND d.completion_id IS NULL
	UNION ALL
	SELECT $1, d.workspace_id, d.domain_id, d.recipient_id, NULL, '', d.completion_id, d.product, d.key, d.occurred_at, d.details
	FROM due d WHERE NOT EXISTS (SELECT FROM live g WHERE g.domain_id = d.domain_id AND g.recipient_id = d.recipient_id AND g.product = d.product AND g.key = d.key
		AND (g.purged OR g.completion_id = d.completion_id))`

// due is a credit to revoke, or one to give.
type due struct {
	Ref
	Topic

	company    tenancy.CompanyID
	workspace  tenancy.WorkspaceID
	revoke     CreditID // zero: it is to be given
	reason     string
	completion CompletionID
	occurredAt *time.Time
	details    json.RawMessage
}

// settleCredits brings the credits to what follows from links and completions now, for all
// that the change has touched.
func (c *change) settleCredits(ctx context.Context) error {
	if len(c.credits.refs) == 0 {
		return nil
	}
	var products, keys []string
	if !c.credits.all {
		for t := range c.credits.topics {
			products, keys = append(products, t.Product), append(keys, t.Key)
		}
	}
	reason := "unlinked"
	if c.credits.moved {
		reason = "moved"
	}
	refs := make([]Ref, 0, len(c.credits.refs))
	for ref := range c.credits.refs {
		refs = append(refs, ref)
	}
	for part := range slices.Chunk(sorted(refs), MaxCompletions) {
		domains, ids := split(part)
		var found []due
		err := c.tx.ReadTrusted(ctx, dueSQL, []any{c.scope.CompanyID, domains, ids, products, keys, reason}, func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
				err = row.Scan(&d.company, &d.workspace, &d.DomainID, &d.RecipientID, &d.revoke, &d.reason, &d.completion, &d.Product, &d.Key, &d.occurredAt, &d.details)
				return d, err
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("persons: look for credits that are due: %w", err)
		}
		if err := c.writeCredits(ctx, found); err != nil {
			return err
		}
	}
	return nil
}

// writeCredits revokes and gives, domain by domain.
func (c *change) writeCredits(ctx context.Context, all []due) error {
	of := map[tenancy.DomainID][]due{}
	refs := make([]Ref, len(all))
	for i, d := range all {
		of[d.DomainID], refs[i] = append(of[d.DomainID], d), d.Ref
	}
	return byDomain(refs, func(domain tenancy.DomainID, _ []recipients.ID) error {
		here := of[domain]
		in := tenancy.Tenant{CompanyID: here[0].company, WorkspaceID: here[0].workspace, DomainID: domain}
		// As with links: what a deleted domain or recipient has must be right when it comes back.
		return c.tx.As(tenancy.WithDeleted(ctx), in, func(ctx context.Context, _ *tenancy.Tx) error {
			revoked, err := c.revoke(ctx, domain, here)
			if err != nil {
				return err
			}
			given, err := c.give(ctx, in, here)
			if err != nil {
				return err
			}
			return c.recordCredits(ctx, given, revoked)
		})
	})
}

func (c *change) revoke(ctx context.Context, domain tenancy.DomainID, all []due) (ids []CreditID, err error) {
	var reasons []string
	for _, d := range all {
		if !d.revoke.IsZero() {
			ids, reasons = append(ids, d.revoke), append(reasons, d.reason)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	_, err = c.exec(ctx, "revoke credits", `UPDATE strata.person_credits g SET revoked_at = now(), revoked_reason = n.reason, change = DEFAULT
		FROM unnest($2::uuid[], $3::text[]) AS n (id, reason) WHERE g.domain_id = $1 AND g.id = n.id`, domain, ids, reasons)
	return ids, err
}

func (c *change) give(ctx context.Context, in tenancy.Tenant, all []due) (ids []CreditID, err error) {
	var of []recipients.ID
	var completions []CompletionID
	var products, keys []string
	var times []time.Time
	var details []json.RawMessage
	for _, d := range all {
		if !d.revoke.IsZero() {
			continue
		}
		ids, of, completions = append(ids, tenancy.NewID[Credit]()), append(of, d.RecipientID), append(completions, d.completion)
		products, keys, times, details = append(products, d.Product), append(keys, d.Key), append(times, *d.occurredAt), append(details, d.details)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	_, err = c.exec(ctx, "give credits", `INSERT INTO strata.person_credits (domain_id, id, company_id, workspace_id, recipient_id, completion_id, product, key, occurred_at, details)
		SELECT $1, n.id, $2, $3, n.recipient_id, n.completion_id, n.product, n.key, n.occurred_at, n.details
		FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::jsonb[]) AS n (id, recipient_id, completion_id, product, key, occurred_at, details)`,
		in.DomainID, in.CompanyID, in.WorkspaceID, ids, of, completions, products, keys, times, details)
	return ids, err
}

// recordCredits writes into the trail of the domain of ctx which credits its recipients got
// and lost, and nothing of where they come from.
func (c *change) recordCredits(ctx context.Context, given, revoked []CreditID) error {
	var entries []audit.Entry
	for action, ids := range map[string][]CreditID{"credits.given": given, "credits.revoked": revoked} {
		for part := range slices.Chunk(ids, maxAudited) {
			entries = append(entries, audit.Entry{Action: action, ResourceType: "person_credit", Metadata: map[string]any{"credits": part}})
		}
	}
	return c.audit.RecordTx(ctx, c.tx, entries...)
}
