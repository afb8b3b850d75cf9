package tenancy

import (
	"context"
	"fmt"
)

// LockTx makes this change of the company of tx's tenant wait for the others of the
// hierarchy, and those begun later wait for tx to end. Packages of this family call it
// before they read what TouchTx will announce as changed.
func (s *Store) LockTx(ctx context.Context, tx *Tx) error { return lockCompany(ctx, tx) }

// ofLiveCompany: the deletion of a company leaves the rows below it as they are.
const ofLiveCompany = ` AND EXISTS (SELECT FROM strata.companies WHERE id = $1 AND deleted_at IS NULL)`

// TouchTx announces that something has changed which belongs to the tenant of tx and is
// kept elsewhere, such as its settings: the version of that company, workspace or domain
// grows, and every process forgets the tenants of the company once tx has committed. So
// a Tenant that was resolved afterwards has a larger Version than whatever was read before
// the change. It takes the lock of LockTx, and returns ErrNotFound for what is deleted.
// The caller audits the change.
func (s *Store) TouchTx(ctx context.Context, tx *Tx) error { return s.touch(ctx, tx, tx.Tenant()) }

// TouchCompanyTx is TouchTx for what counts in the whole company, such as its members,
// whatever the level of tx's tenant is: the company's version grows, and with it that of
// everything below.
func (s *Store) TouchCompanyTx(ctx context.Context, tx *Tx) error {
	return s.touch(ctx, tx, Tenant{CompanyID: tx.Tenant().CompanyID})
}

// touch gives t, in the company of tx, a new version.
func (s *Store) touch(ctx context.Context, tx *Tx, t Tenant) error {
	if err := lockCompany(ctx, tx); err != nil {
		return err
	}
	q, args := `UPDATE strata.companies SET `+touched+` WHERE id = $1 AND deleted_at IS NULL`, []any{t.CompanyID}
	switch t.Level() {
	case LevelDomain:
		q = `UPDATE strata.domains SET ` + touched + ` WHERE company_id = $1 AND workspace_id = $2 AND id = $3 AND deleted_at IS NULL` + ofLiveCompany
		args = append(args, t.WorkspaceID, t.DomainID)
	case LevelWorkspace:
		q = `UPDATE strata.workspaces SET ` + touched + ` WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL` + ofLiveCompany
		args = append(args, t.WorkspaceID)
	case LevelNone, LevelCompany:
	}
	tag, err := tx.Exec(ctx, tx.SQL(q), args...)
	if err != nil {
		return fmt.Errorf("tenancy: announce a change: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	s.forgetAfter(tx)
	return nil
}
