package tenancy

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Features tells which multi-tenant features a company should see. A company with one
// workspace and one domain sees none: to it the hierarchy is not there.
type Features struct {
	// DomainSwitcher: some workspace has several domains.
	DomainSwitcher bool `json:"domainSwitcher"`
	// Persons: there are several domains, so that one human may be several recipients.
	Persons bool `json:"persons"`

	// The rest is for companies with several workspaces.
	WorkspaceSwitcher     bool `json:"workspaceSwitcher"`
	CompanyLibrary        bool `json:"companyLibrary"`
	Blueprints            bool `json:"blueprints"`
	CompanyDefaults       bool `json:"companyDefaults"`
	CrossWorkspaceReports bool `json:"crossWorkspaceReports"`
}

// Each count stops at the second row, in an index that begins with the company.
const featuresSQL = `SELECT
	(SELECT count(*) FROM (SELECT FROM strata.workspaces WHERE company_id = $1 AND deleted_at IS NULL LIMIT 2) w) > 1,
	(SELECT count(*) FROM (SELECT FROM strata.domains WHERE company_id = $1 AND deleted_at IS NULL LIMIT 2) d) > 1,
	EXISTS (SELECT FROM strata.domains WHERE company_id = $1 AND deleted_at IS NULL GROUP BY workspace_id HAVING count(*) > 1)`

// Features returns what the company of ctx's tenant should see: what its size asks for,
// as StoreConfig.Features has it. It is one statement that reads a few index entries, and
// is not cached: a second workspace shows at once.
func (s *Store) Features(ctx context.Context) (Features, error) {
	t, err := TenantFrom(ctx)
	if err != nil {
		return Features{}, err
	}
	var workspaces, domains, together bool
	err = s.db.Read(ctx, featuresSQL, []any{t.CompanyID}, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&workspaces, &domains, &together}, func() error { return nil })
		return err
	})
	if err != nil {
		return Features{}, fmt.Errorf("tenancy: count workspaces and domains: %w", err)
	}
	f := Features{
		DomainSwitcher: together, Persons: domains,
		WorkspaceSwitcher: workspaces, CompanyLibrary: workspaces, Blueprints: workspaces, CompanyDefaults: workspaces, CrossWorkspaceReports: workspaces,
	}
	if s.cfg.Features != nil {
		f = s.cfg.Features(ctx, f)
	}
	return f, nil
}
