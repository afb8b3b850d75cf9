package customfields

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Query asks for a page of the fields of a workspace.
type Query struct {
	tenancy.PageRequest

	// Archived asks for the archived fields only, or for the others. Nil: all of them,
	// those archived last.
	Archived *bool
}

// Page returns one page of the fields of the workspace, in the order of position and key.
// Errors: *tenancy.ValidationError, tenancy.ErrInvalidCursor.
func (r *Registry) Page(ctx context.Context, q Query) (tenancy.Page[Field], error) {
	p, err := q.Normalize()
	if err != nil {
		return tenancy.Page[Field]{}, err
	}
	fields, err := r.List(ctx) // a plan allows some hundreds
	if err != nil {
		return tenancy.Page[Field]{}, err
	}
	fields = slices.DeleteFunc(fields, func(f Field) bool { return q.Archived != nil && *q.Archived != (f.ArchivedAt != nil) })
	page := tenancy.Page[Field]{Total: int64(len(fields)), Page: p.Page, PageSize: p.PageSize}
	from := min(p.Offset(), len(fields))
	if p.Cursor != "" {
		from = 1 + slices.IndexFunc(fields, func(f Field) bool { return f.Key == p.Cursor })
		if from == 0 {
			return tenancy.Page[Field]{}, tenancy.ErrInvalidCursor
		}
		page.Page = 1
	}
	to := min(from+p.PageSize, len(fields))
	page.Items, page.HasMore = fields[from:to], to < len(fields)
	if page.HasMore {
		page.NextCursor = fields[to-1].Key
	}
	return page, nil
}

// Get returns the field of a key, archived or not, or ErrNotFound.
func (r *Registry) Get(ctx context.Context, key string) (Field, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return Field{}, err
	}
	var f Field
	err = r.db.Read(ctx, `SELECT `+fieldColumns+` FROM strata.custom_fields f WHERE f.workspace_id = $1 AND f.key = $2`, []any{t.WorkspaceID, key}, func(rows pgx.Rows) error {
		f, err = one(rows)
		return err
	})
	return f, err
}
