package access

import (
	"context"
	"errors"

	"github.com/stratakit/strata/tenancy"
)

// Founder makes the first owner of a company in the transaction that creates it: the one
// member that nobody with a role can have added. It is a tenancy.StoreConfig.Owners.
type Founder struct{ audit tenancy.Auditor }

// NewFounder returns a Founder that tells audit.
func NewFounder(audit tenancy.Auditor) (*Founder, error) {
	if audit == nil {
		return nil, errors.New("access: NewFounder needs an Auditor")
	}
	return &Founder{audit}, nil
}

// AddOwnerTx makes owner a company_owner of the company of tx's tenant. It asks nobody's
// permission: whoever may create a company says whose it is. Errors:
// *tenancy.ValidationError, ErrMemberExists.
func (f *Founder) AddOwnerTx(ctx context.Context, tx *tenancy.Tx, owner tenancy.Owner) error {
	in := NewMember{ActorID: owner.ActorID, Email: owner.Email, Role: CompanyOwner}
	var v tenancy.ValidationError
	in.check(&v)
	if err := tenancy.PrefixFields("owner.", v.OrNil()); err != nil {
		return err
	}
	_, err := insertMember(ctx, tx, f.audit, tenancy.Tenant{CompanyID: tx.Tenant().CompanyID}, in)
	return err
}
