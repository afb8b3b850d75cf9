package persons

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

const suggestionColumns = `s.id, s.workspace_id, s.a_domain_id, s.a_recipient_id, a.email, a.name, a.person_id, s.b_domain_id, s.b_recipient_id, b.email, b.name, b.person_id,
	s.method, s.confidence, s.evidence, s.state, s.created_at, s.decided_by, s.decided_at`

// suggestionsFrom are the suggestions of the company $1, or its workspace $2, of which both
// recipients are live.
const suggestionsFrom = ` FROM strata.person_suggestions s
	JOIN strata.domains da ON da.company_id = s.company_id AND da.id = s.a_domain_id AND da.deleted_at IS NULL
	JOIN strata.domains db ON db.company_id = s.company_id AND db.id = s.b_domain_id AND db.deleted_at IS NULL
	JOIN strata.recipients a ON a.domain_id = s.a_domain_id AND a.id = s.a_recipient_id AND a.company_id = s.company_id AND a.deleted_at IS NULL
	JOIN strata.recipients b ON b.domain_id = s.b_domain_id AND b.id = s.b_recipient_id AND b.company_id = s.company_id AND b.deleted_at IS NULL
	WHERE s.company_id = $1 AND ($2::uuid IS NULL OR s.workspace_id = $2)`

func scanSuggestion(row pgx.CollectableRow) (s Suggestion, err error) {
	a, b := &s.Recipients[0], &s.Recipients[1]
	var confidence float32
	err = row.Scan(&s.ID, &s.WorkspaceID, &a.DomainID, &a.RecipientID, &a.Email, &a.Name, &a.PersonID, &b.DomainID, &b.RecipientID, &b.Email, &b.Name, &b.PersonID,
		&s.Method, &confidence, &s.Evidence, &s.State, &s.CreatedAt, &s.DecidedBy, &s.DecidedAt)
	s.Confidence, s.CreatedAt = rounded(confidence), s.CreatedAt.UTC()
	if s.DecidedAt != nil {
		at := s.DecidedAt.UTC()
		s.DecidedAt = &at
	}
	return s, err
}

// SuggestionQuery asks for suggestions. The zero one is the first page of those that are open.
type SuggestionQuery struct {
	// PageSize and Cursor are those of tenancy.PageRequest; pages have no number.
	PageSize int
	Cursor   string

	// State keeps the suggestions in it. Empty: Open.
	State State
}

// Suggestions lists suggestions that the scope reaches, oldest first: in a workspace those
// of which both recipients are in it. Those of a recipient that is deleted are left out until
// it is back, and open ones between recipients that are one person by now. Errors: *tenancy.ValidationError, tenancy.ErrInvalidCursor.
func (s *Store) Suggestions(ctx context.Context, q SuggestionQuery) (tenancy.Page[Suggestion], error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return tenancy.Page[Suggestion]{}, err
	}
	p, err := tenancy.PageRequest{PageSize: q.PageSize, Cursor: q.Cursor}.Normalize()
	page := tenancy.Page[Suggestion]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if err != nil {
		return page, err
	}
	if q.State == "" {
		q.State = Open
	}
	if q.State != Open && q.State != Accepted && q.State != Rejected {
		return page, &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "state", Code: "not_allowed", Message: "must be open, accepted or rejected",
			Suggestion: suggest.Closest(string(q.State), []string{string(Open), string(Accepted), string(Rejected)}),
		}}}
	}
	var after SuggestionID
	if p.Cursor != "" {
		if after, err = tenancy.ParseID[Suggestion](p.Cursor); err != nil {
			return page, tenancy.ErrInvalidCursor
		}
	}
	err = s.db.ReadTrusted(ctx, `SELECT `+suggestionColumns+suggestionsFrom+` AND s.state = $3 AND (s.state <> 'open' OR a.person_id IS NULL OR a.person_id IS DISTINCT FROM b.person_id) AND ($4::uuid IS NULL OR s.id > $4) ORDER BY s.id LIMIT $5`,
		[]any{scope.CompanyID, scope.WorkspaceID, string(q.State), after, p.PageSize + 1}, func(rows pgx.Rows) (err error) {
			page.Items, err = pgx.CollectRows(rows, scanSuggestion)
			return err
		})
	if err != nil {
		return page, fmt.Errorf("persons: list suggestions: %w", err)
	}
	if len(page.Items) > p.PageSize {
		page.Items = page.Items[:p.PageSize]
		page.HasMore, page.NextCursor = true, page.Items[p.PageSize-1].ID.String()
	}
	return page, nil
}

// Suggestion returns a suggestion that the scope reaches. Errors: ErrNotFound.
func (s *Store) Suggestion(ctx context.Context, id SuggestionID) (out Suggestion, err error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return out, err
	}
	err = s.db.ReadTrusted(ctx, `SELECT `+suggestionColumns+suggestionsFrom+` AND s.id = $3`, []any{scope.CompanyID, scope.WorkspaceID, id}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectExactlyOneRow(rows, scanSuggestion)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return out, ErrNotFound
	case err != nil:
		return out, fmt.Errorf("persons: read a suggestion: %w", err)
	}
	return out, nil
}

// Accept links the two recipients of a suggestion and returns their person. Errors:
// ErrNotFound, ErrDecided, ErrConflict when their persons have different user principal names,
// as the last matching found them: what was edited since counts from the next one on. Also
// recipients.ErrNotFound for a recipient that is deleted, and those of Link.
func (s *Store) Accept(ctx context.Context, id SuggestionID) (person ID, err error) {
	err = s.inTx(ctx, func(ctx context.Context, c *change) error {
		person, err = c.accept(ctx, id)
		return err
	})
	return person, err
}

// AcceptTx is Accept in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) AcceptTx(ctx context.Context, tx *tenancy.Tx, id SuggestionID) (person ID, err error) {
	err = s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error {
		person, err = c.accept(ctx, id)
		return err
	})
	return person, err
}

// proposal is a suggestion as a change needs it.
type proposal struct {
	pair

	edge
	state State
}

// open returns a suggestion of the scope that nobody has decided on.
func (c *change) open(ctx context.Context, id SuggestionID) (proposal, error) {
	found, err := collect(ctx, c, "read a suggestion", func(row pgx.CollectableRow) (p proposal, err error) {
		var confidence float32
		err = row.Scan(&p.a.DomainID, &p.a.RecipientID, &p.b.DomainID, &p.b.RecipientID, &p.workspace, &p.method, &confidence, &p.evidence, &p.state)
		p.confidence = rounded(confidence)
		return p, err
	}, `SELECT a_domain_id, a_recipient_id, b_domain_id, b_recipient_id, workspace_id, method, confidence, evidence, state FROM strata.person_suggestions
		WHERE company_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND id = $3`, c.scope.CompanyID, c.scope.WorkspaceID, id)
	switch {
	case err != nil:
		return proposal{}, err
	case len(found) == 0:
		return proposal{}, ErrNotFound
	case found[0].state != Open:
		return proposal{}, ErrDecided
	}
	return found[0], nil
}

func (c *change) accept(ctx context.Context, id SuggestionID) (ID, error) {
	p, err := c.open(ctx, id)
	if err != nil {
		return ID{}, err
	}
	members, err := c.live(ctx, []Ref{p.a, p.b})
	if err != nil {
		return ID{}, err
	}
	if err := c.noConflict(ctx, members); err != nil {
		return ID{}, err
	}
	p.evidence.SuggestionID = id.String()
	person, err := c.join(ctx, members, p.edge)
	if err != nil {
		return ID{}, err
	}
	if err := c.settled(ctx, person, members); err != nil {
		return ID{}, err
	}
	return person, c.record(ctx, "person.suggestion_accepted", person, map[string]any{"suggestion": id.String(), "method": p.method})
}

// Reject says that the two recipients of a suggestion are not one human, for good: no
// matching suggests them again. Errors: ErrNotFound, ErrDecided.
func (s *Store) Reject(ctx context.Context, id SuggestionID) error {
	return s.inTx(ctx, func(ctx context.Context, c *change) error { return c.reject(ctx, id) })
}

// RejectTx is Reject in the caller's transaction: after an error, tx goes on as before the
// call.
func (s *Store) RejectTx(ctx context.Context, tx *tenancy.Tx, id SuggestionID) error {
	return s.inCallersTx(ctx, tx, func(ctx context.Context, c *change) error { return c.reject(ctx, id) })
}

func (c *change) reject(ctx context.Context, id SuggestionID) error {
	p, err := c.open(ctx, id)
	if err != nil {
		return err
	}
	_, err = c.exec(ctx, "reject a suggestion", `UPDATE strata.person_suggestions SET state = 'rejected', decided_by = $3, decided_at = now() WHERE company_id = $1 AND id = $2`,
		c.scope.CompanyID, id, tenancy.ActorFrom(ctx).ID)
	if err != nil {
		return err
	}
	in := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: c.scope.CompanyID, WorkspaceID: p.workspace})
	return c.audit.RecordTx(in, c.tx, audit.Entry{
		Action: "person.suggestion_rejected", ResourceType: "person_suggestion", ResourceID: id.String(),
		Metadata: map[string]any{"recipients": []string{p.a.RecipientID.String(), p.b.RecipientID.String()}, "method": p.method},
	})
}
