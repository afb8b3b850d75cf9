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

// company is what a move has to know of one.
type company struct {
	plan    string
	deleted bool
}

// lockCompanies makes other changes of the companies wait, in one order for all, and returns
// how they are from then on.
func lockCompanies(ctx context.Context, tx *tenancy.Tx, ids ...tenancy.CompanyID) (map[tenancy.CompanyID]company, error) {
	slices.SortFunc(ids, func(a, b tenancy.CompanyID) int { return strings.Compare(a.String(), b.String()) })
	locked := map[tenancy.CompanyID]company{}
	for _, id := range slices.Compact(ids) {
		err := tx.As(ctx, tenancy.Tenant{CompanyID: id}, func(ctx context.Context, tx *tenancy.Tx) error {
			var c company
			err := tx.QueryRow(ctx, tx.SQL(`SELECT plan, deleted_at IS NOT NULL FROM strata.companies WHERE id = $1 FOR NO KEY UPDATE`), id).Scan(&c.plan, &c.deleted)
			locked[id] = c
			return err
		})
		if err != nil {
			return nil, wrap("lock a company", err)
		}
	}
	return locked, nil
}

// lockPlaces locks both companies of a move that is about to be done, and returns it with
// their plans as they are now. Errors: errDomainGone, tenancy.ErrNotFound when the target is
// gone.
func lockPlaces(ctx context.Context, tx *tenancy.Tx, mv Move) (Move, error) {
	companies, err := lockCompanies(ctx, tx, mv.From.CompanyID, mv.To.CompanyID)
	if err != nil {
		return mv, err
	}
	from, to := companies[mv.From.CompanyID], companies[mv.To.CompanyID]
	var there bool
	err = tx.QueryRow(ctx, tx.SQL(`SELECT EXISTS (SELECT FROM strata.domains WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL)`), mv.From.CompanyID, mv.DomainID).Scan(&there)
	switch {
	case err != nil:
		return mv, wrap("look for the domain", err)
	case from.deleted || !there:
		return mv, errDomainGone
	case to.deleted:
		return mv, fmt.Errorf("the company that the domain was to go to: %w", tenancy.ErrNotFound)
	}
	mv.fromPlan, mv.toPlan = from.plan, to.plan
	return mv, tx.As(ctx, mv.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		if err := tx.LiveWorkspace(ctx); err != nil {
			return fmt.Errorf("the workspace that the domain was to go to: %w", err)
		}
		return nil
	})
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
// companies and would not find the domain in its old one. It comes after lockPlaces, and
// returns tenancy.ErrConflict for a name that is taken.
func handOver(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.workspaces SET `+touched+` WHERE company_id = $1 AND id = $2`), mv.From.CompanyID, mv.From.WorkspaceID); err != nil {
		return wrap("touch the workspace", err)
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
