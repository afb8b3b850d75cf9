package persons

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// MaxTargets is how many candidates one page of targets looks at, and how many recipients a
// TargetQuery names, at most.
const MaxTargets = 1000

// Targeter says whom to send something, so that a human gets it once.
//
// In the scope of a domain that is every recipient: each of its addresses is wanted there. In
// the scope of a workspace it is one recipient of each person, and every recipient without
// one; in the scope of a company the same across its workspaces, which is for callers who may
// link across them (access.PersonsLinkAcross). A Targeter is safe for concurrent use.
type Targeter struct {
	db    *tenancy.DB
	store *recipients.Store
}

// NewTargeter returns a Targeter over the recipients of store.
func NewTargeter(db *tenancy.DB, store *recipients.Store) (*Targeter, error) {
	if db == nil || store == nil {
		return nil, errors.New("persons: NewTargeter needs a DB and a Store of recipients")
	}
	return &Targeter{db, store}, nil
}

// TargetQuery asks for targets. The zero TargetQuery is all of the scope.
type TargetQuery struct {
	// Filter is a CEL expression over recipients. In the scope of a company it has no custom
	// fields: each workspace has its own.
	Filter string
	// Recipients, when there are any, are those to choose from, at most MaxTargets.
	Recipients []recipients.ID
	// Product is the name of an extension: of several recipients of a person one that is
	// enrolled in it comes first. Filter keeps out those who are not.
	Product string
	// PageSize is how many recipients a page looks at, at most and by default MaxTargets.
	PageSize int
	// Cursor is TargetPage.NextCursor of the page before.
	Cursor string
}

// Target is a recipient to send something to.
type Target struct {
	Ref

	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	// PersonID is nil for a recipient that is linked to no person.
	PersonID *ID `json:"personId"`
}

// TargetPage is some targets. It may have fewer than were asked for, or none, and there are
// still more while there is a NextCursor.
type TargetPage struct {
	Items      []Target
	NextCursor string
}

// Headcount is how many there are, as addresses and as humans.
type Headcount struct {
	Recipients int64 `json:"recipients"`
	Persons    int64 `json:"persons"`
}

// primaryOrder is in which order the recipients of a person are preferred: active ones, then
// those enrolled in the product, then the oldest. No two are alike in it.
const primaryOrder = `(r.status <> 'active'), %s, r.created_at, r.domain_id, r.id`

// targetsSQL looks at a page of candidates in a domain, and keeps those before which no other
// candidate of the same person comes. A person has at most MaxRecipients, found by its links.
const targetsSQL = `SELECT c.id, c.workspace_id, c.person_id, c.person_id IS NULL OR NOT $5 OR NOT EXISTS (
		SELECT FROM strata.person_links l
			JOIN strata.domains d ON d.company_id = l.company_id AND d.id = l.domain_id AND d.deleted_at IS NULL
			JOIN strata.recipients r ON r.domain_id = l.domain_id AND r.id = l.recipient_id AND r.deleted_at IS NULL%[1]s
		WHERE l.company_id = $2 AND l.alias_id = c.person_id AND l.state = 'linked' AND ($4::uuid IS NULL OR l.workspace_id = $4)%[2]s
			AND (%[3]s) < (c.inactive, c.unenrolled, c.created_at, c.domain_id, c.id))
	FROM (SELECT r.domain_id, r.id, r.workspace_id, r.person_id, r.created_at, r.status <> 'active' AS inactive, %[4]s AS unenrolled
		FROM strata.recipients r%[1]s
		WHERE r.domain_id = $1 AND r.company_id = $2 AND ($3::uuid IS NULL OR r.id > $3) AND r.deleted_at IS NULL%[2]s
		ORDER BY r.id LIMIT %[5]d) c
	ORDER BY c.id`

// Targets returns the next targets. It goes through the domains of the scope in the order of
// their ids and through each by the recipients' ids, so that the memory it needs is that of a
// page and a page costs the same at any depth. The primary recipient of a person is, of those
// that match, an active one before others, then one enrolled in Product, then the oldest.
//
// Each page sees its own moment. Where a person's primary changes between two pages, the
// person may come twice or not at all; who must not get a thing twice notes the PersonID, or
// the recipient where there is none, beside what was sent. Errors: *filter.Error,
// *tenancy.ValidationError, tenancy.ErrInvalidCursor, tenancy.ErrNoTenant.
func (g *Targeter) Targets(ctx context.Context, q TargetQuery) (TargetPage, error) {
	s, err := g.selection(ctx, &q, 6)
	if err != nil {
		return TargetPage{}, err
	}
	domains, err := g.domains(ctx, s.scope)
	if err != nil {
		return TargetPage{}, err
	}
	at := targetCursor{Query: q.sum()}
	if q.Cursor != "" {
		if at, err = parseTargetCursor(q); err != nil {
			return TargetPage{}, err
		}
	}
	order := fmt.Sprintf(primaryOrder, s.unenrolled)
	text := fmt.Sprintf(targetsSQL, s.joins, s.where, order, s.unenrolled, q.PageSize)
	page := TargetPage{Items: []Target{}}
	for left := q.PageSize; len(domains) > 0; domains = domains[1:] {
		d := domains[0]
		if compareRefs(Ref{DomainID: d}, Ref{DomainID: at.Domain}) < 0 {
			continue
		}
		if d != at.Domain {
			at.Domain, at.After = d, recipients.ID{}
		}
		if left <= 0 { // the domain is looked at by the next page
			page.NextCursor = at.String()
			return page, nil
		}
		n, err := g.candidates(ctx, text, append([]any{d, s.scope.CompanyID, at.After, s.workspace(), s.once()}, s.args...), &page, &at)
		if err != nil {
			return TargetPage{}, err
		}
		if left -= n; n == q.PageSize { // there may be more in it
			page.NextCursor = at.String()
			return page, nil
		}
	}
	return page, nil
}

// candidates reads a page of candidates of a domain, and returns how many they were.
func (g *Targeter) candidates(ctx context.Context, text string, args []any, page *TargetPage, at *targetCursor) (n int, err error) {
	err = g.db.ReadTrusted(ctx, text, args, func(rows pgx.Rows) error {
		t := Target{Ref: Ref{DomainID: at.Domain}}
		var chosen bool
		_, err := pgx.ForEachRow(rows, []any{&t.RecipientID, &t.WorkspaceID, &t.PersonID, &chosen}, func() error {
			n, at.After = n+1, t.RecipientID
			if chosen {
				page.Items = append(page.Items, t)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("persons: read targets: %w", err)
	}
	return n, nil
}

// Headcount returns how many recipients match, and how many humans they are in the scope: each
// person once, and every recipient without one. PageSize and Cursor do not count.
func (g *Targeter) Headcount(ctx context.Context, q TargetQuery) (h Headcount, err error) {
	s, err := g.selection(ctx, &q, 3)
	if err != nil {
		return h, err
	}
	domains, err := g.domains(ctx, s.scope)
	if err != nil {
		return h, err
	}
	err = g.db.ReadTrusted(ctx, `SELECT count(*), count(*) FILTER (WHERE r.person_id IS NULL) + count(DISTINCT r.person_id)
		FROM strata.recipients r`+s.joins+` WHERE r.domain_id = ANY ($1) AND r.company_id = $2 AND r.deleted_at IS NULL`+s.where,
		append([]any{domains, s.scope.CompanyID}, s.args...), func(rows pgx.Rows) error {
			rows.Next()
			return errors.Join(rows.Scan(&h.Recipients, &h.Persons), rows.Err())
		})
	if err != nil {
		return h, fmt.Errorf("persons: count targets: %w", err)
	}
	return h, nil
}

// selection is a checked TargetQuery as SQL.
type selection struct {
	scope      tenancy.Tenant
	joins      string
	where      string // begins with AND, or is empty
	unenrolled string
	args       []any
}

// once is whether a person comes once.
func (s selection) once() bool { return s.scope.Level() < tenancy.LevelDomain }

// workspace is that of the scope, or NULL.
func (s selection) workspace() any {
	if s.scope.Level() < tenancy.LevelWorkspace {
		return nil
	}
	return s.scope.WorkspaceID
}

// domains returns the live domains of the scope, in the order of their ids.
func (g *Targeter) domains(ctx context.Context, scope tenancy.Tenant) (out []tenancy.DomainID, err error) {
	var workspace, domain any
	if scope.Level() >= tenancy.LevelWorkspace {
		workspace = scope.WorkspaceID
	}
	if scope.Level() == tenancy.LevelDomain {
		domain = scope.DomainID
	}
	err = g.db.ReadTrusted(ctx, `SELECT d.id FROM strata.domains d JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id
		WHERE d.company_id = $1 AND ($2::uuid IS NULL OR d.workspace_id = $2) AND ($3::uuid IS NULL OR d.id = $3) AND d.deleted_at IS NULL AND w.deleted_at IS NULL
		ORDER BY d.id`, []any{scope.CompanyID, workspace, domain}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.DomainID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("persons: read the domains to look in: %w", err)
	}
	return out, nil
}

// selection checks q, whose parameters begin with number first.
func (g *Targeter) selection(ctx context.Context, q *TargetQuery, first int) (s selection, err error) {
	if s.scope, err = tenancy.TenantFrom(ctx); err != nil {
		return s, err
	}
	var v tenancy.ValidationError
	switch {
	case q.PageSize == 0:
		q.PageSize = MaxTargets
	case q.PageSize < 0 || q.PageSize > MaxTargets:
		v.Add("pageSize", "out_of_range", fmt.Sprintf("must be from 1 to %d", MaxTargets))
	}
	if len(q.Recipients) > MaxTargets {
		v.Add("recipients", "too_long", fmt.Sprintf("must have at most %d recipients: filter instead", MaxTargets))
	}
	var joins []string
	s.unenrolled = "false"
	if q.Product != "" {
		join, enrolled, err := g.store.EnrolledSQL(ctx, q.Product)
		var unknown *tenancy.ValidationError
		if errors.As(err, &unknown) {
			v.Fields = append(v.Fields, unknown.Fields...)
		} else if err != nil {
			return s, err
		}
		joins, s.unenrolled = append(joins, join), "(NOT "+enrolled+")"
	}
	if err := v.OrNil(); err != nil {
		return s, err
	}
	if len(q.Recipients) > 0 {
		s.args = append(s.args, q.Recipients)
		s.where += fmt.Sprintf(" AND r.id = ANY ($%d)", first)
	}
	if strings.TrimSpace(q.Filter) != "" {
		f, err := g.store.Filter(ctx, q.Filter)
		if err != nil {
			return s, err
		}
		sql, args := f.SQL(filter.Options{First: first + len(s.args)})
		joins = append(joins, f.Joins()...)
		s.where, s.args = s.where+" AND "+sql, append(s.args, args...)
	}
	for i, join := range joins {
		if !slices.Contains(joins[:i], join) { // the filter may ask for the product too
			s.joins += " " + join
		}
	}
	return s, nil
}

// targetCursor is the last candidate that was looked at.
type targetCursor struct {
	Query  string           `json:"q"`
	Domain tenancy.DomainID `json:"d"`
	After  recipients.ID    `json:"a"`
}

func (c targetCursor) String() string {
	data, _ := json.Marshal(c) // a text and two ids
	return base64.RawURLEncoding.EncodeToString(data)
}

// sum tells queries apart, so that a cursor of one is not taken for another's.
func (q TargetQuery) sum() string {
	h := sha256.New()
	for _, part := range []string{q.Filter, q.Product} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	for _, id := range q.Recipients {
		_, _ = h.Write(id[:])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:6])
}

func parseTargetCursor(q TargetQuery) (c targetCursor, err error) {
	data, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || json.Unmarshal(data, &c) != nil || c.Domain.IsZero() || c.Query != q.sum() {
		return c, tenancy.ErrInvalidCursor
	}
	return c, nil
}
