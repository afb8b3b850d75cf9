package persons

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// sweepBatch is how many persons and suggestions of all companies one Sweep looks at.
const sweepBatch = 500

// Sweep puts away what a purge of recipients leaves: persons with fewer than two recipients
// end, and suggestions about a recipient that is gone go too. Call it now and then, in as
// many processes as you like; strata.Strata does. It returns how many of both there were.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	type left struct {
		company    tenancy.CompanyID
		person     ID
		suggestion SuggestionID
	}
	var found []left
	err := s.db.ReadTrusted(ctx, `(SELECT p.company_id, p.id, NULL::uuid FROM strata.persons p
			WHERE p.merged_into IS NULL AND p.dissolved_at IS NULL
				AND (SELECT count(*) FROM (SELECT FROM strata.person_links l WHERE l.company_id = p.company_id AND l.alias_id = p.id AND l.state = 'linked' LIMIT 2) n) < 2 LIMIT $1)
		UNION ALL
		(SELECT s.company_id, NULL, s.id FROM strata.person_suggestions s
			WHERE NOT EXISTS (SELECT FROM strata.recipients r WHERE r.domain_id = s.a_domain_id AND r.id = s.a_recipient_id)
				OR NOT EXISTS (SELECT FROM strata.recipients r WHERE r.domain_id = s.b_domain_id AND r.id = s.b_recipient_id) LIMIT $1)`,
		[]any{sweepBatch}, func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l left, err error) {
				err = row.Scan(&l.company, &l.person, &l.suggestion)
				return l, err
			})
			return err
		})
	if err != nil {
		return 0, fmt.Errorf("persons: look for what a purge left: %w", err)
	}
	n := 0
	for _, l := range found {
		in := tenancy.WithActor(tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: l.company}), tenancy.Actor{Type: tenancy.ActorSystem})
		err := s.inTx(in, func(ctx context.Context, c *change) error {
			if l.person.IsZero() {
				gone, err := c.exec(ctx, "forget a suggestion", `DELETE FROM strata.person_suggestions WHERE company_id = $1 AND id = $2`, l.company, l.suggestion)
				if err != nil || gone == 0 { // another process was faster
					return err
				}
				return c.audit.RecordTx(ctx, c.tx, entry("person.suggestion_swept", l.suggestion.String(), nil))
			}
			root, err := c.top(ctx, l.person)
			if errors.Is(err, ErrNotFound) || err == nil && root != l.person {
				return nil // another process was faster, or it is merged by now: below another person one recipient is right
			}
			if err != nil {
				return err
			}
			if err := c.settle(ctx, l.person); err != nil {
				return err
			}
			return c.record(ctx, "person.swept", l.person, nil)
		})
		if passing(err) { // the domain is being moved
			continue
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
