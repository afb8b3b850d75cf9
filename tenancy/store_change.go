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

// RenameCompany gives the company of ctx's tenant a new name. The slug stays.
func (s *Store) RenameCompany(ctx context.Context, name string) (Company, error) {
	var v ValidationError
	name = checkName(&v, "name", name)
	if err := v.OrNil(); err != nil {
		return Company{}, err
	}
	return change(ctx, s, Change{Action: "company.renamed", ResourceType: "company", Metadata: map[string]any{"name": name}},
		`UPDATE strata.companies SET name = $2, `+touched+` WHERE id = $1 AND deleted_at IS NULL RETURNING `+companyColumns,
		scanCompany, func(c Company) string { return c.ID.String() }, name)
}

// RenameWorkspace gives a workspace of the company of ctx's tenant a new name.
func (s *Store) RenameWorkspace(ctx context.Context, id WorkspaceID, name string) (Workspace, error) {
	var v ValidationError
	name = checkName(&v, "name", name)
	if err := v.OrNil(); err != nil {
		return Workspace{}, err
	}
	ctx, err := inWorkspace(ctx, id)
	if err != nil {
		return Workspace{}, err
	}
	return change(ctx, s, Change{Action: "workspace.renamed", ResourceType: "workspace", Metadata: map[string]any{"name": name}},
		`UPDATE strata.workspaces SET name = $3, `+touched+` WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING `+workspaceColumns,
		scanWorkspace, func(w Workspace) string { return w.ID.String() }, id, name)
}

// DeleteCompany marks the company of ctx's tenant as deleted: nothing below it
// resolves any more, and its slug is free. Nothing is purged.
func (s *Store) DeleteCompany(ctx context.Context) error {
	_, err := change(ctx, s, Change{Action: "company.deleted", ResourceType: "company"},
		`UPDATE strata.companies SET deleted_at = now(), `+touched+` WHERE id = $1 AND deleted_at IS NULL RETURNING `+companyColumns,
		scanCompany, func(c Company) string { return c.ID.String() })
	return err
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
		if err := lockCompany(ctx, tx); err != nil {
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
		s.forgetAfter(tx)
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

// SetCompanySuspended suspends the company of ctx's tenant, or lets it work again.
// While it is suspended every request for it gets ErrSuspended.
func (s *Store) SetCompanySuspended(ctx context.Context, suspended bool) (Company, error) {
	action := "company.resumed"
	if suspended {
		action = "company.suspended"
	}
	return change(ctx, s, Change{Action: action, ResourceType: "company"},
		`UPDATE strata.companies SET suspended_at = CASE WHEN $2 THEN coalesce(suspended_at, now()) END, `+touched+`
			WHERE id = $1 AND deleted_at IS NULL RETURNING `+companyColumns,
		scanCompany, func(c Company) string { return c.ID.String() }, suspended)
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

// change runs one audited UPDATE ... RETURNING whose first argument is the company.
func change[T any](ctx context.Context, s *Store, c Change, q string, scan pgx.RowToFunc[T], id func(T) string, args ...any) (T, error) {
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
		c.ResourceID = id(out)
		s.forgetAfter(tx)
		return s.audit.RecordChange(ctx, tx, c)
	})
	return out, err
}
