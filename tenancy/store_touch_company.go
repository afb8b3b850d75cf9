package tenancy

import (
	"context"
	"fmt"
)

// touchedCompany marks a transaction after whose commit the company has been forgotten.
type touchedCompany struct{ store *Store }

// TouchCompanyTx is TouchTx for what counts in the whole company, such as its members,
// whatever the level of tx's tenant is: the company's version grows, and with it that of
// everything below.
func (s *Store) TouchCompanyTx(ctx context.Context, tx *Tx) error {
	if err := lockCompany(ctx, tx); err != nil {
		return err
	}
	company := tx.Tenant().CompanyID
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.companies SET `+touched+` WHERE id = $1 AND deleted_at IS NULL`), company)
	if err != nil {
		return fmt.Errorf("tenancy: announce a change: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	if s.cfg.Resolver != nil {
		tx.AfterCommit(func(ctx context.Context) {
			// Once for all the members that were added together. It is marked only here: what a
			// savepoint undid has marked nothing.
			if !tx.Marked(touchedCompany{s}) {
				tx.Mark(touchedCompany{s})
				s.cfg.Resolver.Forget(ctx, company)
			}
		})
	}
	return nil
}
