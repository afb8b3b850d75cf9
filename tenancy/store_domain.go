package tenancy

import (
	"context"
	"fmt"
)

// SetDomainSuspended suspends a domain of the company of ctx's tenant, or lets it work
// again. While it is suspended every request for it gets ErrSuspended. It returns
// ErrNotFound for one that is gone or another company's.
func (s *Store) SetDomainSuspended(ctx context.Context, id DomainID, suspended bool) (Domain, error) {
	return s.changeDomain(ctx, id, suspension("domain", suspended), suspendedSQL("$3"), suspended)
}

// DeleteDomain marks a domain of the company of ctx's tenant as deleted: it resolves no
// more, its name is free and proves nothing, and it no longer counts towards the plan. Its
// recipients stay, and count, until they are purged. It returns ErrNotFound for one that
// is gone or another company's.
func (s *Store) DeleteDomain(ctx context.Context, id DomainID) error {
	return s.db.InTx(ctx, func(tx *Tx) error {
		d, err := s.changeDomainTx(ctx, tx, id, Change{Action: "domain.deleted", ResourceType: "domain"}, `deleted_at = now()`)
		if err != nil {
			return err
		}
		if err := forgetChecks(ctx, tx, ` AND domain_id = $2`, d.ID); err != nil {
			return err
		}
		if s.cfg.Limits == nil {
			return nil
		}
		return s.cfg.Limits.Release(ctx, tx, "domains", 1)
	})
}

func (s *Store) changeDomain(ctx context.Context, id DomainID, c Change, set string, args ...any) (Domain, error) {
	var d Domain
	err := s.db.InTx(ctx, func(tx *Tx) (err error) {
		d, err = s.changeDomainTx(ctx, tx, id, c, set, args...)
		return err
	})
	return d, err
}

// changeDomainTx changes one domain, with args from $3 on, and audits it where it happens:
// in the domain, whatever ctx holds below the company.
func (s *Store) changeDomainTx(ctx context.Context, tx *Tx, id DomainID, c Change, set string, args ...any) (Domain, error) {
	if err := lockCompany(ctx, tx); err != nil {
		return Domain{}, err
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.domains SET `+set+`, `+touched+`
		WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING `+domainColumns),
		append([]any{tx.Tenant().CompanyID, id}, args...)...)
	d, err := collectOne(rows, err, scanDomain)
	if err != nil {
		return Domain{}, err
	}
	s.forgetAfter(tx)
	c.ResourceID = d.ID.String()
	return d, s.audit.RecordChange(inDomain(ctx, d), tx, c)
}

// inDomain returns ctx for work on d.
func inDomain(ctx context.Context, d Domain) context.Context {
	return WithTenant(ctx, Tenant{CompanyID: d.CompanyID, WorkspaceID: d.WorkspaceID, DomainID: d.ID})
}

// forgetChecks deletes the notes about checks of names of tx's company: of those that
// where, whose arguments begin at $2, leaves.
func forgetChecks(ctx context.Context, tx *Tx, where string, args ...any) error {
	_, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.domain_checks WHERE company_id = $1`+where), append([]any{tx.Tenant().CompanyID}, args...)...)
	if err != nil {
		return fmt.Errorf("tenancy: forget the checks of domain names: %w", err)
	}
	return nil
}
