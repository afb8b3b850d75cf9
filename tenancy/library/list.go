package library

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/suggest"
	"github.com/stratakit/strata/tenancy"
)

// Query asks for items. The zero Query is the first page of all that can be seen.
type Query struct {
	tenancy.PageRequest

	// Level keeps the items of owners at one level. Empty: all levels.
	Level Level
	// Search keeps those whose name begins with it; letters' case and spaces count as
	// little as where names must differ.
	Search string
}

// List returns one page of the items that can be seen from ctx, by name. Errors:
// *tenancy.ValidationError, tenancy.ErrInvalidCursor.
func (t *Type[T]) List(ctx context.Context, q Query) (tenancy.Page[Item[T]], error) {
	p, err := q.PageRequest.Normalize()
	if err != nil {
		return tenancy.Page[Item[T]]{}, err
	}
	page := tenancy.Page[Item[T]]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	where, args, err := t.where(ctx, q)
	if err != nil {
		return page, err
	}
	limit := fmt.Sprintf(` ORDER BY i.name_norm, i.id LIMIT %d`, p.PageSize+1)
	if p.Cursor == "" {
		err := t.store.db.Read(ctx, `SELECT count(*) FROM strata.library_items i WHERE `+where, args, func(rows pgx.Rows) (err error) {
			page.Total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
		if err != nil {
			return page, err
		}
		limit += fmt.Sprintf(` OFFSET %d`, p.Offset())
	} else {
		after, err := parseCursor(p.Cursor)
		if err != nil {
			return page, err
		}
		args = append(args, after.Name, after.ID)
		where += fmt.Sprintf(` AND (i.name_norm, i.id) > ($%d, $%d)`, len(args)-1, len(args))
	}
	var rows []row
	err = t.store.db.Read(ctx, `SELECT `+columns+` FROM strata.library_items i WHERE `+where+limit, args, func(found pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(found, scanRow)
		return err
	})
	if err != nil {
		return page, err
	}
	if len(rows) > p.PageSize {
		rows = rows[:p.PageSize]
		last := rows[len(rows)-1]
		page.HasMore, page.NextCursor = true, cursor{last.nameNorm, last.ID}.String()
	}
	page.Items = make([]Item[T], len(rows))
	for i, r := range rows {
		page.Items[i] = t.item(r)
	}
	return page, nil
}

// where returns the conditions of a query, the tenant's first.
func (t *Type[T]) where(ctx context.Context, q Query) (string, []any, error) {
	visible, err := t.store.Visible(ctx, "i")
	if err != nil {
		return "", nil, err
	}
	where, args := visible.SQL(1)
	args = append(args, t.name)
	where += fmt.Sprintf(` AND i.type = $%d AND i.deleted_at IS NULL`, len(args))
	switch q.Level {
	case "":
	case Global, Company:
		is := "="
		if q.Level == Company {
			is = "<>"
		}
		args = append(args, platform())
		where += fmt.Sprintf(` AND i.company_id %s $%d AND i.workspace_id IS NULL`, is, len(args))
	case Workspace:
		where += ` AND i.workspace_id IS NOT NULL`
	default:
		v := &tenancy.ValidationError{Fields: []tenancy.FieldError{{
			Field: "level", Code: "unknown_level", Message: "must be global, company or workspace",
			Suggestion: suggest.Closest(string(q.Level), []string{string(Global), string(Company), string(Workspace)}),
		}}}
		return "", nil, v
	}
	if search := normalize(strings.ReplaceAll(strings.ToValidUTF8(q.Search, ""), "\x00", "")); search != "" {
		args = append(args, search)
		where += fmt.Sprintf(` AND i.name_norm ^@ $%d::text`, len(args))
	}
	return where, args, nil
}

// cursor is where a page ends.
type cursor struct {
	Name string `json:"n"`
	ID   ID     `json:"id"`
}

func (c cursor) String() string {
	data, _ := json.Marshal(c) // two texts
	return base64.RawURLEncoding.EncodeToString(data)
}

// parseCursor reads what String wrote. No item has a name with NUL.
func parseCursor(s string) (c cursor, err error) {
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(data, &c) != nil || c.ID.IsZero() || strings.IndexByte(c.Name, 0) >= 0 {
		return c, tenancy.ErrInvalidCursor
	}
	return c, nil
}
