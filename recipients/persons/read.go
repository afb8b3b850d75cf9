package persons

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// topSQL follows the merges of $3 in the company $1. In a workspace $2 it begins at a person
// of it, or at the one above the links that it has.
const topSQL = `
	WITH RECURSIVE up AS (
		SELECT p.id, p.merged_into, p.workspace_id, p.created_at FROM strata.persons p
		WHERE p.company_id = $1 AND p.id = $3 AND p.dissolved_at IS NULL AND ($2::uuid IS NULL OR p.workspace_id = $2
			OR EXISTS (SELECT FROM strata.person_links l WHERE l.company_id = $1 AND l.alias_id = p.id AND l.workspace_id = $2 AND l.state = 'linked'))
		UNION ALL
		SELECT p.id, p.merged_into, p.workspace_id, p.created_at FROM up JOIN strata.persons p ON p.company_id = $1 AND p.id = up.merged_into)
	SELECT id, workspace_id, created_at FROM up WHERE merged_into IS NULL`

// membersSQL reads the live recipients of the person $3 that the company $1, or its workspace
// $2, has.
const membersSQL = `SELECT l.id, l.domain_id, l.recipient_id, l.workspace_id, r.email, r.name, r.status, l.method, l.confidence, l.evidence, l.linked_by, l.linked_at
	FROM strata.person_links l
	JOIN strata.domains d ON d.company_id = l.company_id AND d.id = l.domain_id AND d.deleted_at IS NULL
	JOIN strata.recipients r ON r.domain_id = l.domain_id AND r.id = l.recipient_id AND r.company_id = l.company_id AND r.deleted_at IS NULL
	WHERE l.company_id = $1 AND ($2::uuid IS NULL OR l.workspace_id = $2) AND l.alias_id = $3 AND l.state = 'linked'
	ORDER BY l.domain_id, l.recipient_id`

// Get returns a person, or the one that it was merged into, with the live recipients that the
// scope reaches. Errors: ErrNotFound, also when there is none of them.
func (s *Store) Get(ctx context.Context, id ID) (Person, error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return Person{}, err
	}
	var p Person
	err = s.db.ReadTrusted(ctx, topSQL, []any{scope.CompanyID, scope.WorkspaceID, id}, func(rows pgx.Rows) (err error) {
		p, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p Person, err error) {
			err = row.Scan(&p.ID, &p.WorkspaceID, &p.CreatedAt)
			p.CreatedAt = p.CreatedAt.UTC()
			return p, err
		})
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Person{}, ErrNotFound
	case err != nil:
		return Person{}, fmt.Errorf("persons: read a person: %w", err)
	}
	err = s.db.ReadTrusted(ctx, membersSQL, []any{scope.CompanyID, scope.WorkspaceID, p.ID}, func(rows pgx.Rows) (err error) {
		p.Links, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Link, err error) {
			var confidence float32
			err = row.Scan(&l.ID, &l.DomainID, &l.RecipientID, &l.WorkspaceID, &l.Email, &l.Name, &l.Status, &l.Method, &confidence, &l.Evidence, &l.LinkedBy, &l.LinkedAt)
			l.Confidence, l.LinkedAt = rounded(confidence), l.LinkedAt.UTC()
			if !scope.WorkspaceID.IsZero() && p.WorkspaceID == nil { // the rest is about recipients elsewhere too
				l.Evidence = Evidence{Key: l.Evidence.Key}
			}
			return l, err
		})
		return err
	})
	switch {
	case err != nil:
		return Person{}, fmt.Errorf("persons: read the recipients of a person: %w", err)
	case len(p.Links) == 0:
		return Person{}, ErrNotFound
	}
	return p, nil
}

// rounded is a confidence without what single precision adds.
func rounded(c float32) float64 { return float64(int(c*1000+0.5)) / 1000 }

// PersonOf returns the person of a live recipient that the scope reaches. Errors: ErrNotFound,
// also for a recipient that has none: it is a person of its own.
func (s *Store) PersonOf(ctx context.Context, ref Ref) (Person, error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return Person{}, err
	}
	var id ID
	err = s.db.Read(tenancy.WithTenant(ctx, scope), `SELECT alias_id FROM strata.person_links
		WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND domain_id = $3 AND recipient_id = $4 AND state = 'linked'`,
		[]any{scope.CompanyID, scope.WorkspaceID, ref.DomainID, ref.RecipientID}, func(rows pgx.Rows) (err error) {
			id, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[ID])
			return err
		})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Person{}, ErrNotFound
	case err != nil:
		return Person{}, fmt.Errorf("persons: look for the person of a recipient: %w", err)
	}
	p, err := s.Get(ctx, id)
	if err != nil {
		return Person{}, err
	}
	for _, l := range p.Links {
		if l.Ref == ref {
			return p, nil
		}
	}
	return Person{}, ErrNotFound // it is deleted
}
