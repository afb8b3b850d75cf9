package persons

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Withdraw takes back that a recipient has completed something: the credits that it gave are
// revoked, unless another recipient of the person has completed it too. It may be repeated.
// Errors: *tenancy.ValidationError, recipients.ErrNotFound, ErrNotCompleted, ErrOfCompany in a
// workspace for what the company has recorded, tenancy.ErrMoving.
func (s *Store) Withdraw(ctx context.Context, ref Ref, topic Topic) error {
	return s.withdraw(ctx, s.inTx, ref, topic)
}

// WithdrawTx is Withdraw in the caller's transaction: after an error, tx goes on as before the
// call. As with LinkTx, call it before anything that locks a recipient.
func (s *Store) WithdrawTx(ctx context.Context, tx *tenancy.Tx, ref Ref, topic Topic) error {
	return s.withdraw(ctx, s.inTxOf(tx), ref, topic)
}

func (s *Store) withdraw(ctx context.Context, in inner, ref Ref, topic Topic) error {
	var v tenancy.ValidationError
	topic.check("", &v)
	if err := v.OrNil(); err != nil {
		return err
	}
	return in(ctx, func(ctx context.Context, c *change) error {
		members, err := c.live(ctx, []Ref{ref})
		if err != nil {
			return err
		}
		at := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: members[0].workspace, DomainID: ref.DomainID}
		return c.tx.As(ctx, at, func(ctx context.Context, _ *tenancy.Tx) error { return c.withdraw(ctx, identity{ref, topic}) })
	})
}

func (c *change) withdraw(ctx context.Context, id identity) error {
	type state struct {
		across, withdrawn bool
	}
	found, err := collect(ctx, c, "read a completion", func(row pgx.CollectableRow) (s state, err error) {
		err = row.Scan(&s.across, &s.withdrawn)
		return s, err
	}, `SELECT across, withdrawn_at IS NOT NULL FROM strata.person_completions WHERE domain_id = $1 AND recipient_id = $2 AND product = $3 AND key = $4`,
		id.DomainID, id.RecipientID, id.Product, id.Key)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return ErrNotCompleted
	case found[0].across && !c.scope.WorkspaceID.IsZero():
		return ErrOfCompany
	case found[0].withdrawn:
		return nil
	}
	_, err = c.exec(ctx, "withdraw a completion", `UPDATE strata.person_completions SET withdrawn_at = now(), withdrawn_by = $5 WHERE domain_id = $1 AND recipient_id = $2 AND product = $3 AND key = $4`,
		id.DomainID, id.RecipientID, id.Product, id.Key, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return err
	}
	c.credit(id.Ref, id.Topic)
	return c.recordTopics(ctx, "recipient.completion_withdrawn", []identity{id})
}

// maxAudited is how many ids an audit entry has.
const maxAudited = 500

// recordTopics writes into the trail of the domain of ctx what happened to its recipients: an
// entry for each topic.
func (c *change) recordTopics(ctx context.Context, action string, all []identity) error {
	of := map[Topic][]recipients.ID{}
	for _, id := range all {
		of[id.Topic] = append(of[id.Topic], id.RecipientID)
	}
	var entries []audit.Entry
	for topic, ids := range of {
		for part := range slices.Chunk(ids, maxAudited) {
			e := audit.Entry{Action: action, ResourceType: "recipient", Metadata: map[string]any{"product": topic.Product, "key": topic.Key}}
			if len(part) == 1 {
				e.ResourceID = part[0].String()
			} else {
				e.Metadata["recipients"] = part
			}
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return c.audit.RecordTx(ctx, c.tx, entries...)
}
