package bulk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// maxTotal is where counting stops: Page.Total is then maxTotal and marked as an estimate.
const maxTotal = 10_001

// ListQuery asks for runs. Empty fields do not filter.
type ListQuery struct {
	tenancy.PageRequest

	Kind  string
	State State
}

// Get returns a run of ctx's domain, or of the workspace or company when ctx has no more
// than that (Submission.Level), or ErrNotFound.
func (r *Runner) Get(ctx context.Context, id RunID) (Run, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Run{}, err
	}
	read, where, args := r.db.Read, `domain_id = $1 AND id = $2 AND level = 'domain'`, []any{t.DomainID, id}
	if t.Level() != tenancy.LevelDomain { // the domain that the row is in is not known yet
		read, where = r.db.ReadTrusted, `company_id = $1 AND id = $2 AND level <> 'domain' AND level = $3 AND ($4::uuid IS NULL OR workspace_id = $4)`
		args = []any{t.CompanyID, id, t.Level().String(), t.WorkspaceID}
	}
	var rec *record
	err = read(ctx, `SELECT `+runColumns+` FROM strata.runs WHERE `+where, args, func(rows pgx.Rows) (err error) {
		rec, err = one(rows, nil)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, ErrNotFound
	}
	if err != nil {
		return Run{}, fmt.Errorf("bulk: get: %w", err)
	}
	return rec.Run, nil
}

// List returns the runs of ctx's domain, newest first. Errors: tenancy.ErrNoTenant,
// tenancy.ErrInvalidCursor, *tenancy.ValidationError.
func (r *Runner) List(ctx context.Context, q ListQuery) (tenancy.Page[Run], error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return tenancy.Page[Run]{}, err
	}
	p, err := q.PageRequest.Normalize()
	if err != nil {
		return tenancy.Page[Run]{}, err
	}
	page := tenancy.Page[Run]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	const where = `FROM strata.runs WHERE domain_id = $1 AND level = 'domain' AND ($2 = '' OR kind = $2) AND ($3 = '' OR state = $3)`
	args := []any{t.DomainID, q.Kind, string(q.State)}
	before := `` // ids are made in the order of time
	if p.Cursor == "" {
		err := r.db.Read(ctx, fmt.Sprintf(`SELECT count(*) FROM (SELECT `+where+` LIMIT %d) t`, maxTotal), args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return page, fmt.Errorf("bulk: count: %w", err)
		}
		page.TotalIsEstimate = page.Total == maxTotal
	} else {
		id, err := parseCursor(p.Cursor)
		if err != nil {
			return page, err
		}
		before, args, p.Page = ` AND id < $4`, append(args, id), 1
	}
	list := fmt.Sprintf(`SELECT `+runColumns+` `+where+before+` ORDER BY id DESC LIMIT %d OFFSET %d`, p.PageSize+1, p.Offset())
	err = r.db.Read(ctx, list, args, func(rows pgx.Rows) error {
		recs, err := pgx.CollectRows(rows, scanRecord)
		for _, rec := range recs {
			page.Items = append(page.Items, rec.Run)
		}
		return err
	})
	if err != nil {
		return page, fmt.Errorf("bulk: list: %w", err)
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		page.NextCursor = cursorOf(page.Items[p.PageSize-1].ID)
	}
	return page, nil
}

// A cursor is the id of the last run of a page.
func cursorOf(id RunID) string { return base64.RawURLEncoding.EncodeToString([]byte(id.String())) }

func parseCursor(s string) (RunID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return RunID{}, tenancy.ErrInvalidCursor
	}
	id, err := tenancy.ParseID[Run](string(raw))
	if err != nil {
		return RunID{}, tenancy.ErrInvalidCursor
	}
	return id, nil
}
