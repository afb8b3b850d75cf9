package persons

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// upns returns the hashed user principal names of recipients, as the last matching found
// them.
func (c *change) upns(ctx context.Context, refs []Ref, workspaces map[tenancy.DomainID]tenancy.WorkspaceID) (map[Ref]uuid.UUID, error) {
	out := map[Ref]uuid.UUID{}
	return out, byDomain(refs, func(domain tenancy.DomainID, ids []recipients.ID) error {
		in := tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: workspaces[domain], DomainID: domain}
		return c.tx.As(tenancy.WithDeleted(ctx), in, func(ctx context.Context, _ *tenancy.Tx) error {
			_, err := collect(ctx, c, "read keys", func(row pgx.CollectableRow) (r Ref, err error) {
				var upn uuid.UUID
				r.DomainID = domain
				err = row.Scan(&r.RecipientID, &upn)
				out[r] = upn
				return r, err
			}, `SELECT recipient_id, upn FROM strata.person_keys WHERE domain_id = $1 AND recipient_id = ANY ($2) AND upn IS NOT NULL`, domain, ids)
			return err
		})
	})
}

// noConflict returns ErrConflict when the persons of members have two different user
// principal names between them: whatever else two recipients have in common, those say that
// they are two humans.
func (c *change) noConflict(ctx context.Context, members []member) error {
	var refs []Ref
	workspaces := map[tenancy.DomainID]tenancy.WorkspaceID{}
	note := func(r Ref, w tenancy.WorkspaceID) { refs, workspaces[r.DomainID] = append(refs, r), w }
	for _, m := range members {
		if m.link == nil {
			note(m.Ref, m.workspace)
			continue
		}
		t, err := c.read(ctx, m.link.alias)
		if err != nil {
			return err
		}
		for _, l := range t.root.all() {
			note(l.Ref, l.workspace)
		}
	}
	found, err := c.upns(ctx, refs, workspaces)
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
