package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var _ move.Participant = (*Store)(nil)

const membersNamed = 10 // in a Finding

// PreviewMove warns when members of the workspace that a domain leaves have no role where it
// goes. Members of the company keep theirs in all its workspaces.
func (s *Store) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	var total int
	var names []string
	err := s.db.Read(tenancy.WithTenant(ctx, m.Source()), `SELECT count(*) OVER (), m.actor_id FROM strata.members m
		WHERE m.company_id = $1 AND m.workspace_id = $2 AND ($4 OR NOT EXISTS (SELECT FROM strata.members o
			WHERE o.company_id = $1 AND o.actor_id = m.actor_id AND (o.workspace_id = $3 OR o.workspace_id IS NULL)))
		ORDER BY m.actor_id LIMIT $5`, []any{m.From.CompanyID, m.From.WorkspaceID, m.To.WorkspaceID, m.CrossCompany(), membersNamed}, func(rows pgx.Rows) error {
		var name string
		_, err := pgx.ForEachRow(rows, []any{&total, &name}, func() error {
			names = append(names, name)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("access: find who loses a domain: %w", err)
	}
	if total == 0 {
		return nil, nil
	}
	if total > len(names) {
		names = append(names, "…")
	}
	return []move.Finding{{
		Kind: "members_lose_access", Severity: move.Warn, Subject: "members",
		Message: fmt.Sprintf("members of the workspace without a role where the domain goes: %d (%s)", total, strings.Join(names, ", ")),
	}}, nil
}

// DomainMoved does nothing: members are of workspaces and companies, not of domains.
func (s *Store) DomainMoved(context.Context, *tenancy.Tx, move.Move) error { return nil }
