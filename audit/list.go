package audit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// maxTotal is where counting stops: Page.Total is then maxTotal and marked as an estimate.
const maxTotal = 10_001

// Query asks for entries. Empty fields do not filter.
type Query struct {
	tenancy.PageRequest

	ActorID      string
	Action       string
	ResourceType string
	ResourceID   string
	Status       Status
	From, To     time.Time // From is included, To is not
}

const entryColumns = `company_id, id, workspace_id, domain_id, occurred_at, actor_id, actor_type, actor_email, action, resource_type,
	resource_id, status, error_message, ip, user_agent, request_id, metadata`

func scanEntry(row pgx.CollectableRow) (e Entry, err error) {
	var metadata []byte
	err = row.Scan(&e.CompanyID, &e.ID, &e.WorkspaceID, &e.DomainID, &e.OccurredAt, &e.ActorID, &e.ActorType, &e.ActorEmail, &e.Action, &e.ResourceType,
		&e.ResourceID, &e.Status, &e.ErrorMessage, &e.IP, &e.UserAgent, &e.RequestID, &metadata)
	e.OccurredAt = e.OccurredAt.UTC()
	if err == nil && json.Unmarshal(metadata, &e.Metadata) != nil {
		e.Metadata = unreadable() // written by other means than RecordTx: it must not hide the rest of the trail
	}
	return e, err
}

// List returns entries of ctx's tenant, newest first: all of a company, or those of one
// workspace or domain of it. Page.Total stops at 10,001 and is then an estimate; with a
// cursor it is not counted and -1. Errors: tenancy.ErrNoTenant,
// tenancy.ErrInvalidCursor, *tenancy.ValidationError.
func (r *Recorder) List(ctx context.Context, q Query) (tenancy.Page[Entry], error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return tenancy.Page[Entry]{}, err
	}
	p, err := q.PageRequest.Normalize()
	if err != nil {
		return tenancy.Page[Entry]{}, err
	}
	if q.Status != "" && q.Status != Success && q.Status != Failure {
		var v tenancy.ValidationError
		v.Add("status", "not_allowed", "must be success or failure")
		return tenancy.Page[Entry]{}, v.OrNil()
	}
	where, args := q.where(t)
	page := tenancy.Page[Entry]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	if p.Cursor == "" {
		count := fmt.Sprintf(`SELECT count(*) FROM (SELECT FROM strata.audit_entries WHERE %s LIMIT %d) t`, where, maxTotal)
		err := r.db.Read(ctx, count, args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return page, err
		}
		page.TotalIsEstimate = page.Total == maxTotal
	} else {
		at, id, err := parseCursor(p.Cursor)
		if err != nil {
			return page, err
		}
		args = append(args, at, id)
		where += fmt.Sprintf(` AND (occurred_at, id) < ($%d, $%d)`, len(args)-1, len(args))
		p.Page = 1
	}
	list := fmt.Sprintf(`SELECT `+entryColumns+` FROM strata.audit_entries WHERE %s ORDER BY occurred_at DESC, id DESC LIMIT %d OFFSET %d`, where, p.PageSize+1, p.Offset())
	err = r.db.Read(ctx, list, args, func(rows pgx.Rows) (err error) {
		page.Items, err = pgx.CollectRows(rows, scanEntry)
		return err
	})
	if err != nil {
		return page, err
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		last := page.Items[p.PageSize-1]
		page.NextCursor = cursor(last.OccurredAt, last.ID)
	}
	return page, nil
}

// where returns the conditions, the tenant's first.
func (q Query) where(t tenancy.Tenant) (string, []any) {
	args := []any{t.CompanyID}
	conditions := []string{"company_id = $1"}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if !t.WorkspaceID.IsZero() {
		add("workspace_id = $%d", t.WorkspaceID)
	}
	if !t.DomainID.IsZero() {
		add("domain_id = $%d", t.DomainID)
	}
	for _, f := range []struct{ column, value string }{
		{"actor_id", q.ActorID}, {"action", q.Action}, {"resource_type", q.ResourceType}, {"resource_id", q.ResourceID}, {"status", string(q.Status)},
	} {
		if f.value != "" {
			add(f.column+" = $%d", clean(f.value, maxText)) // as it was stored
		}
	}
	if !q.From.IsZero() {
		add("occurred_at >= $%d", q.From)
	}
	if !q.To.IsZero() {
		add("occurred_at < $%d", q.To)
	}
	return strings.Join(conditions, " AND "), args
}

// A cursor is the time and id of the last entry of a page.
func cursor(at time.Time, id ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(at.Format(time.RFC3339Nano) + " " + id.String()))
}

func parseCursor(s string) (time.Time, ID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return time.Time{}, ID{}, tenancy.ErrInvalidCursor
	}
	at, id, _ := strings.Cut(string(raw), " ")
	t, errTime := time.Parse(time.RFC3339Nano, at)
	parsed, errID := tenancy.ParseID[Entry](id)
	if errTime != nil || errID != nil {
		return time.Time{}, ID{}, tenancy.ErrInvalidCursor
	}
	return t, parsed, nil
}
