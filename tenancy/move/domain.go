package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// What happens to the row of the domain. Only package tenancy itself and this one write to
// it, both after they have locked its company: see the comment on strata.context_versions.

const touched = `version = nextval('strata.context_versions'), updated_at = now()`

// lockCompanies makes other changes of the companies wait, in one order for all.
func lockCompanies(ctx context.Context, tx *tenancy.Tx, companies ...tenancy.CompanyID) error {
	slices.SortFunc(companies, func(a, b tenancy.CompanyID) int { return strings.Compare(a.String(), b.String()) })
	for _, company := range slices.Compact(companies) {
		err := tx.As(ctx, tenancy.Tenant{CompanyID: company}, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, tx.SQL(`SELECT 1 FROM strata.companies WHERE id = $1 FOR NO KEY UPDATE`), company)
			return err
		})
		if err != nil {
			return wrap("lock a company", err)
		}
	}
	return nil
}

// fenceOff keeps writes out of the domain from the commit on, or returns
// tenancy.ErrNotFound when it is not there.
func fenceOff(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domains SET moving_since = now(), `+touched+`
		WHERE company_id = $1 AND workspace_id = $2 AND id = $3 AND deleted_at IS NULL`), mv.From.CompanyID, mv.From.WorkspaceID, mv.DomainID)
	if err == nil && tag.RowsAffected() == 0 {
		return tenancy.ErrNotFound
	}
	return wrap("fence the domain off", err)
}

// letIn lets writes into a domain that stays where it is. It may be deleted.
func letIn(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domains SET moving_since = NULL, `+touched+` WHERE company_id = $1 AND id = $2`),
		mv.From.CompanyID, mv.DomainID)
	return wrap("let writes in", err)
}

// handOver takes the row of the domain to the target, where it takes writes from the commit
// on. Its version grows, and so does that of the workspace that it leaves: a process that
// died before it could tell anybody left that for the sweep of the Resolver, which goes by
// companies and would not find the domain in its old one. Errors: errDomainGone,
// tenancy.ErrNotFound when the target is gone, tenancy.ErrConflict for a name that is taken.
func handOver(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.workspaces SET `+touched+` WHERE company_id = $1 AND id = $2`), mv.From.CompanyID, mv.From.WorkspaceID); err != nil {
		return wrap("touch the workspace", err)
	}
	if err := tx.As(ctx, mv.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		if err := tx.LiveWorkspace(ctx); err != nil {
			return fmt.Errorf("the workspace that the domain was to go to: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if !mv.CrossCompany() {
		tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.domains SET workspace_id = $3, moving_since = NULL, `+touched+`
			WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL`), mv.From.CompanyID, mv.DomainID, mv.To.WorkspaceID)
		if err == nil && tag.RowsAffected() == 0 {
			return errDomainGone
		}
		return nameTaken(err)
	}
	// No one scope sees the row on both sides: it is taken out of one and put into the other,
	// with whatever columns it has, and what is known of checks of its name goes along.
	var row, checks []byte
	err := tx.QueryRow(ctx, tx.SQL(`DELETE FROM strata.domains d WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL
		RETURNING to_jsonb(d), (SELECT to_jsonb(k) FROM strata.domain_checks k WHERE k.company_id = d.company_id AND k.domain_id = d.id)`),
		mv.From.CompanyID, mv.DomainID).Scan(&row, &checks)
	if errors.Is(err, pgx.ErrNoRows) {
		return errDomainGone
	}
	if err != nil {
		return wrap("take the domain out", err)
	}
	return tx.As(ctx, mv.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.domains SELECT d.* FROM jsonb_populate_record(NULL::strata.domains, $1::jsonb || jsonb_build_object(
			'company_id', $2::uuid, 'workspace_id', $3::uuid, 'moving_since', NULL, 'updated_at', now(), 'version', nextval('strata.context_versions'))) d`),
			row, mv.To.CompanyID, mv.To.WorkspaceID)
		if err != nil || checks == nil {
			return nameTaken(err)
		}
		_, err = tx.Exec(ctx, tx.SQL(`INSERT INTO strata.domain_checks (company_id, domain_id, due_at, missing, missing_since)
			SELECT $2, k.domain_id, k.due_at, k.missing, k.missing_since FROM jsonb_populate_record(NULL::strata.domain_checks, $1) k`), checks, mv.To.CompanyID)
		return wrap("hand over what is known of checks of the name", err)
	})
}

func nameTaken(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return fmt.Errorf("the domain's name in the workspace that it was to go to: %w", tenancy.ErrConflict)
	}
	return wrap("hand the domain over", err)
}
