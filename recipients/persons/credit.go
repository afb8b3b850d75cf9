package persons

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// CreditID identifies a Credit.
type CreditID = tenancy.ID[Credit]

// Credit says that a recipient counts as having completed something, because another recipient
// of its person has. Where that one is, only the company learns.
type Credit struct {
	ID CreditID `json:"creditId"`
	Ref
	Topic

	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	// OccurredAt and Details are those of the completion.
	OccurredAt time.Time       `json:"occurredAt"`
	Details    json.RawMessage `json:"details"`
	GivenAt    time.Time       `json:"givenAt"`
	// RevokedAt is set for one that does not count any more, and RevokedReason is why:
	// "withdrawn" when the completion was, "unlinked" when the two recipients are one person no
	// more, "moved" when that is because a domain was moved, and "completed" when the recipient
	// has completed it itself.
	RevokedAt     *time.Time `json:"revokedAt"`
	RevokedReason string     `json:"revokedReason,omitempty"`
	// Source is the recipient that has completed it: in the scope of a company, until that
	// recipient is purged or leaves the company.
	Source *Ref `json:"source,omitempty"`
}

// CreditQuery asks for credits of a recipient or of a person.
type CreditQuery struct {
	// Recipient or Person must be set, and not both.
	Recipient Ref
	Person    ID
	// Product keeps the credits of one. Empty: of all.
	Product string
	// Revoked has those that were revoked too.
	Revoked bool
	// PageSize and Cursor are those of tenancy.PageRequest; pages have no number.
	PageSize int
	Cursor   string
}

const creditColumns = `g.id, g.domain_id, g.recipient_id, g.workspace_id, g.product, g.key, g.occurred_at, g.details, g.given_at, g.revoked_at, g.revoked_reason`

func (g *Credit) fields() []any {
	return []any{&g.ID, &g.DomainID, &g.RecipientID, &g.WorkspaceID, &g.Product, &g.Key, &g.OccurredAt, &g.Details, &g.GivenAt, &g.RevokedAt, &g.RevokedReason}
}

func (g *Credit) inUTC() {
	g.OccurredAt, g.GivenAt, g.RevokedAt = g.OccurredAt.UTC(), g.GivenAt.UTC(), utc(g.RevokedAt)
}

// Credits lists the credits of live recipients that the scope reaches, oldest first. Errors:
// *tenancy.ValidationError, recipients.ErrNotFound, ErrNotFound for a person,
// tenancy.ErrInvalidCursor.
func (s *Store) Credits(ctx context.Context, q CreditQuery) (tenancy.Page[Credit], error) {
	scope, err := scopeOf(ctx)
	if err != nil {
		return tenancy.Page[Credit]{}, err
	}
	p, err := tenancy.PageRequest{PageSize: q.PageSize, Cursor: q.Cursor}.Normalize()
	page := tenancy.Page[Credit]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if err != nil {
		return page, err
	}
	var after CreditID
	if p.Cursor != "" {
		if after, err = tenancy.ParseID[Credit](p.Cursor); err != nil {
			return page, tenancy.ErrInvalidCursor
		}
	}
	refs, err := s.creditRefs(ctx, scope, q)
	if err != nil {
		return page, err
	}
	domains, ids := split(refs)
	err = s.db.ReadTrusted(ctx, `SELECT `+creditColumns+`, s.domain_id, s.recipient_id
		FROM unnest($3::uuid[], $4::uuid[]) AS of (domain_id, recipient_id)
			JOIN strata.person_credits g ON g.domain_id = of.domain_id AND g.recipient_id = of.recipient_id
			LEFT JOIN strata.person_completions s ON $2::uuid IS NULL AND s.id = g.completion_id AND s.company_id = $1
		WHERE g.company_id = $1 AND ($2::uuid IS NULL OR g.workspace_id = $2) AND ($5 OR g.revoked_at IS NULL)
			AND ($6 = '' OR g.product = $6) AND ($7::uuid IS NULL OR g.id > $7) ORDER BY g.id LIMIT $8`,
		[]any{scope.CompanyID, scope.WorkspaceID, domains, ids, q.Revoked, q.Product, after, p.PageSize + 1}, func(rows pgx.Rows) (err error) {
			page.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (g Credit, err error) {
				var source Ref
				err = row.Scan(append(g.fields(), &source.DomainID, &source.RecipientID)...)
				if g.inUTC(); !source.RecipientID.IsZero() {
					g.Source = &source
				}
				return g, err
			})
			return err
		})
	if err != nil {
		return page, fmt.Errorf("persons: list credits: %w", err)
	}
	if len(page.Items) > p.PageSize {
		page.Items = page.Items[:p.PageSize]
		page.HasMore, page.NextCursor = true, page.Items[p.PageSize-1].ID.String()
	}
	return page, nil
}

// creditRefs returns the live recipients that a query is about.
func (s *Store) creditRefs(ctx context.Context, scope tenancy.Tenant, q CreditQuery) (refs []Ref, err error) {
	var v tenancy.ValidationError
	if q.Recipient == (Ref{}) == q.Person.IsZero() {
		v.Add("recipientId", "required", "must be set with domainId, or personId must be, and not both")
	}
	if q.Product != "" && !productForm.MatchString(q.Product) {
		v.Add("product", "invalid_product", "must be a lower-case letter and then up to 62 lower-case letters, digits and underscores")
	}
	if err := v.OrNil(); err != nil {
		return nil, err
	}
	if !q.Person.IsZero() {
		p, err := s.Get(ctx, q.Person)
		for _, l := range p.Links {
			refs = append(refs, l.Ref)
		}
		return refs, err
	}
	err = s.db.ReadTrusted(ctx, `SELECT r.domain_id, r.id FROM strata.domains d JOIN strata.recipients r ON r.domain_id = d.id AND r.company_id = d.company_id
		WHERE d.company_id = $1 AND ($2::uuid IS NULL OR d.workspace_id = $2) AND d.id = $3 AND d.deleted_at IS NULL AND r.id = $4 AND r.deleted_at IS NULL`,
		[]any{scope.CompanyID, scope.WorkspaceID, q.Recipient.DomainID, q.Recipient.RecipientID}, func(rows pgx.Rows) (err error) {
			refs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
			return err
		})
	switch {
	case err != nil:
		return nil, fmt.Errorf("persons: look for a recipient: %w", err)
	case len(refs) == 0:
		return nil, recipients.ErrNotFound
	}
	return refs, nil
}

// CreditsSinceQuery asks for what became of the credits of a domain.
type CreditsSinceQuery struct {
	// Product keeps the credits of one. Empty: of all.
	Product string
	// Cursor is NextCursor of the page before. Empty: from the beginning.
	Cursor string
	// PageSize is that of tenancy.PageRequest.
	PageSize int
}

// CreditsSince lists the credits of the domain of ctx's tenant that were given or revoked
// since the page that Cursor is of, each once as it is now, in the order in which that became
// visible: none comes up later behind one that was read. So a product that keeps NextCursor in
// the transaction in which it does what follows from a page does that exactly once. NextCursor
// is there always, also on an empty page; HasMore says whether there is more by now.
//
// Credits of a deleted recipient are among them: they are there when it is restored. Those of
// a purged one are gone. Errors: *tenancy.ValidationError, tenancy.ErrInvalidCursor,
// *tenancy.LevelError without a domain.
func (s *Store) CreditsSince(ctx context.Context, q CreditsSinceQuery) (tenancy.Page[Credit], error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return tenancy.Page[Credit]{}, err
	}
	p, err := tenancy.PageRequest{PageSize: q.PageSize, Cursor: q.Cursor}.Normalize()
	page := tenancy.Page[Credit]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if err != nil {
		return page, err
	}
	var after int64
	if p.Cursor != "" {
		if after, err = strconv.ParseInt(p.Cursor, 10, 64); err != nil || after < 0 {
			return page, tenancy.ErrInvalidCursor
		}
	}
	var changes []int64
	err = s.db.Read(ctx, `SELECT `+creditColumns+`, g.change FROM strata.person_credits g
		WHERE g.domain_id = $1 AND g.change > $2 AND ($3 = '' OR g.product = $3) ORDER BY g.change LIMIT $4`,
		[]any{t.DomainID, after, q.Product, p.PageSize + 1}, func(rows pgx.Rows) (err error) {
			page.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (g Credit, err error) {
				var change int64
				err = row.Scan(append(g.fields(), &change)...)
				g.inUTC()
				changes = append(changes, change)
				return g, err
			})
			return err
		})
	if err != nil {
		return page, fmt.Errorf("persons: read on in the credits of a domain: %w", err)
	}
	if page.HasMore = len(page.Items) > p.PageSize; page.HasMore {
		page.Items = page.Items[:p.PageSize]
	}
	if n := len(page.Items); n > 0 {
		after = changes[n-1]
	}
	page.NextCursor = strconv.FormatInt(after, 10)
	return page, nil
}
