package tenancy

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// touched is what every change of a row of the hierarchy also sets, after lockCompany.
const touched = `version = nextval('strata.context_versions'), updated_at = now()`

// lockCompany makes the changes of tx's company wait for each other: their versions grow in
// the order of their commits, and nothing is created below what is being deleted. It is a
// statement of its own because one that waits has drawn its version already, and has not
// seen what it waited for.
func lockCompany(ctx context.Context, tx *Tx) error {
	if _, err := tx.Exec(ctx, tx.SQL(`SELECT 1 FROM strata.companies WHERE id = $1 FOR NO KEY UPDATE`), tx.Tenant().CompanyID); err != nil {
		return fmt.Errorf("tenancy: lock the company: %w", err)
	}
	return nil
}

// DeleteCompany marks the company of ctx's tenant as deleted: nothing below it
// resolves any more, its slug is free, and others can prove that its domain names are
// theirs. Nothing is purged.
func (s *Store) DeleteCompany(ctx context.Context) error {
	return s.db.InTx(ctx, func(tx *Tx) error {
		if err := lockCompany(ctx, tx); err != nil {
			return err
		}
		company := tx.Tenant().CompanyID
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.companies SET deleted_at = now(), `+touched+` WHERE id = $1 AND deleted_at IS NULL`), company)
		switch {
		case err != nil:
			return fmt.Errorf("tenancy: delete a company: %w", err)
		case tag.RowsAffected() == 0:
			return ErrNotFound
		}
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domains SET verified_at = NULL, `+touched+` WHERE company_id = $1 AND verified_at IS NOT NULL`), company); err != nil {
			return fmt.Errorf("tenancy: release the names of a company: %w", err)
		}
		if err := forgetChecks(ctx, tx, ``); err != nil {
			return err
		}
		s.forgetAfter(tx)
		return s.audit.RecordChange(ctx, tx, Change{Action: "company.deleted", ResourceType: "company", ResourceID: company.String()})
	})
}

// DeleteWorkspace marks a workspace of the company of ctx's tenant and its domains as
// deleted: they resolve no more, their names are free, and they no longer count towards
// the plan, nor does the workspace's configuration. Their recipients stay, and count,
// until they are purged.
func (s *Store) DeleteWorkspace(ctx context.Context, id WorkspaceID) error {
	ctx, err := inWorkspace(ctx, id)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(tx *Tx) error {
		// Members of the workspace lose what they had at the company through it.
		if err := s.TouchCompanyTx(ctx, tx); err != nil {
			return err
		}
		company := tx.Tenant().CompanyID
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.workspaces SET deleted_at = now(), `+touched+` WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`), company, id)
		switch {
		case err != nil:
			return fmt.Errorf("tenancy: delete a workspace: %w", err)
		case tag.RowsAffected() == 0:
			return ErrNotFound
		}
		domains, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domains SET deleted_at = now(), `+touched+` WHERE company_id = $1 AND workspace_id = $2 AND deleted_at IS NULL`), company, id)
		if err != nil {
			return fmt.Errorf("tenancy: delete the domains of a workspace: %w", err)
		}
		if err := forgetChecks(ctx, tx, ` AND domain_id IN (SELECT id FROM strata.domains WHERE company_id = $1 AND workspace_id = $2)`, id); err != nil {
			return err
		}
		// In the order of the counters' names: custom_fields, domains, workspaces.
		if s.cfg.Configuration != nil {
			if err := s.cfg.Configuration.WorkspaceDeleted(ctx, tx); err != nil {
				return err
			}
		}
		if s.cfg.Limits != nil {
			if err := s.cfg.Limits.Release(ctx, tx, "domains", domains.RowsAffected()); err != nil {
				return err
			}
			if err := s.cfg.Limits.Release(ctx, tx, "workspaces", 1); err != nil {
				return err
			}
		}
		return s.audit.RecordChange(ctx, tx, Change{
			Action: "workspace.deleted", ResourceType: "workspace", ResourceID: id.String(),
			Metadata: map[string]any{"domains": domains.RowsAffected()},
		})
	})
}

// inWorkspace returns ctx for work on a workspace of its company: that is where the change
// is audited, whatever ctx held below the company.
func inWorkspace(ctx context.Context, id WorkspaceID) (context.Context, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return ctx, err
	}
	return WithTenant(ctx, Tenant{CompanyID: t.CompanyID, WorkspaceID: id}), nil
}

// SetSubscriptionTx notes what a company's subscription allows, in the transaction that
// changes the subscription: it is what Tenant.Plan and Tenant.Access say from then on.
func (s *Store) SetSubscriptionTx(ctx context.Context, tx *Tx, plan string, access Access) error {
	if err := lockCompany(ctx, tx); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, tx.SQL(`UPDATE strata.companies SET plan = $2, access = $3, `+touched+`
		WHERE id = $1 AND deleted_at IS NULL RETURNING `+companyColumns), tx.Tenant().CompanyID, plan, access)
	c, err := collectOne(rows, err, scanCompany)
	if err != nil {
		return err
	}
	s.forgetAfter(tx)
	return s.audit.RecordChange(ctx, tx, Change{
		Action: "company.subscription_changed", ResourceType: "company", ResourceID: c.ID.String(),
		Metadata: map[string]any{"plan": plan, "access": access},
	})
}

// change runs one UPDATE ... RETURNING whose first argument is the company, and audits it
// as changes, whose ResourceID it fills in.
func change[T any](ctx context.Context, s *Store, changes []Change, q string, scan pgx.RowToFunc[T], id func(T) string, args ...any) (T, error) {
	var out T
	err := s.db.InTx(ctx, func(tx *Tx) error {
		if err := lockCompany(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, tx.SQL(q), append([]any{tx.Tenant().CompanyID}, args...)...)
		out, err = collectOne(rows, err, scan)
		if err != nil {
			return err
		}
		s.forgetAfter(tx)
		for _, c := range changes {
			c.ResourceID = id(out)
			if err := s.audit.RecordChange(ctx, tx, c); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
