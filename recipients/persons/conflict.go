package persons

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// upns returns the hashed user principal names of recipients, as the last matching found
// them.
func (c *change) upns(ctx context.Context, refs []Ref) (map[Ref]uuid.UUID, error) {
	out := map[Ref]uuid.UUID{}
	domains, ids := split(refs)
	err := c.tx.ReadTrusted(ctx, `SELECT k.domain_id, k.recipient_id, k.upn FROM unnest($2::uuid[], $3::uuid[]) AS of (domain_id, recipient_id)
		JOIN strata.person_keys k USING (domain_id, recipient_id) WHERE k.company_id = $1 AND k.upn IS NOT NULL`, []any{c.scope.CompanyID, domains, ids}, func(rows pgx.Rows) error {
		var r Ref
		var upn uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&r.DomainID, &r.RecipientID, &upn}, func() error {
			out[r] = upn
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("persons: read keys: %w", err)
	}
	return out, nil
}

// noConflict returns ErrConflict when the persons of members have two different user
// principal names between them: whatever else two recipients have in common, those say that
// they are two humans. Of a person that the scope does not have all of it says nothing but
// ErrAcross.
func (c *change) noConflict(ctx context.Context, members []member) error {
	refs, _, _, err := c.whole(ctx, members)
	if err != nil {
		return err
	}
	found, err := c.upns(ctx, refs)
	if err != nil {
		return err
	}
	var first uuid.UUID
	for _, upn := range found {
		if first != uuid.Nil && upn != first {
			return ErrConflict
		}
		first = upn
	}
	return nil
}
