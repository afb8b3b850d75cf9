package recipients

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/tenancy"
)

// maxTotal is where counting stops: Page.Total is then maxTotal and marked as an estimate.
const maxTotal = 10_001

// fewPages is how many pages of matches are found and sorted rather than met in order:
// to meet a page of so few, a tenth of the domain or more would have to be read.
const fewPages = 10

// maxOffset is how far page numbers go: PostgreSQL reads what it skips.
const maxOffset = 100_000

// Query asks for recipients. The zero Query is the first page of all of them.
type Query struct {
	tenancy.PageRequest

	// Filter is a CEL expression over Columns and fields.<key> (package customfields).
	Filter string
	// Search keeps those whose address begins with it, or whose name contains it,
	// letters' case aside.
	Search string
	// Sort is "createdAt" (the default), "updatedAt", "email" or "name", with a leading
	// "-" for the other direction.
	Sort string
}

// sortColumn is what a Sort means. Every order ends with the id, so that it is total.
type sortColumn struct {
	sql  string
	read func(r Recipient, norm string) any
	cast string
}

func sortColumns() map[string]sortColumn {
	return map[string]sortColumn{
		"createdAt": {"r.id", nil, ""}, // ids grow with time
		"updatedAt": {"r.updated_at", func(r Recipient, _ string) any { return r.UpdatedAt }, "timestamptz"},
		"email":     {"r.email_norm", func(_ Recipient, norm string) any { return norm }, "text"},
		"name":      {`r.name COLLATE "C"`, func(r Recipient, _ string) any { return r.Name }, "text"},
	}
}

// List returns one page of the recipients of the domain. Filters run with the domain as
// their first condition, read-only and with a time limit. Errors:
// *filter.Error, *tenancy.ValidationError, tenancy.ErrInvalidCursor, ErrTimeout.
func (s *Store) List(ctx context.Context, q Query) (tenancy.Page[Recipient], error) {
	p, pageErr := q.PageRequest.Normalize()
	column, descending, sortErr := parseSort(q.Sort)
	if err := all(pageErr, sortErr); err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	where, args, err := s.where(ctx, q)
	if err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	set, err := s.fields.Set(ctx)
	if err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	page := tenancy.Page[Recipient]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	offset, few := 0, false
	if p.Cursor == "" {
		if offset = p.Offset(); offset > maxOffset {
			v := &tenancy.ValidationError{}
			v.Add("page", "out_of_range", fmt.Sprintf("page numbers reach the first %d recipients: go on with the cursor", maxOffset))
			return page, v
		}
		if page.Total, err = s.count(ctx, where, args, maxTotal); err != nil {
			return page, err
		}
		page.TotalIsEstimate = page.Total == maxTotal
		few = len(args) > 1 && page.Total <= int64(fewPages*p.PageSize)
	} else {
		after, err := parseCursor(p.Cursor, q)
		if err != nil {
			return page, err
		}
		few = after.Few
		if where, args, err = keyset(where, args, column, descending, after); err != nil {
			return page, err
		}
	}
	direction := ""
	if descending {
		direction = " DESC"
	}
	order := column.sql + direction
	if column.read != nil {
		order += ", r.id" + direction
	}
	from := `strata.recipients r WHERE ` + where
	if few {
		// Left alone, PostgreSQL may walk through the domain in order until it has met
		// enough of them, and they are far apart.
		from = `(SELECT * FROM ` + from + ` OFFSET 0) r`
	}
	var norms []string
	err = s.read(ctx, fmt.Sprintf(`SELECT `+recipientColumns+`, r.email_norm FROM %s ORDER BY %s LIMIT %d OFFSET %d`, from, order, p.PageSize+1, offset), args,
		func(rows pgx.Rows) (err error) {
			page.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Recipient, err error) {
				var norm string
				r, err = scanRecipient(set, row, &norm)
				norms = append(norms, norm)
				return r, err
			})
			return err
		})
	if err != nil {
		return page, err
	}
	if len(page.Items) > p.PageSize {
		page.Items, page.HasMore = page.Items[:p.PageSize], true
		last := page.Items[p.PageSize-1]
		page.NextCursor = makeCursor(q, column, last, norms[p.PageSize-1], few)
	}
	return page, nil
}

// Count returns how many recipients of the domain match a filter, exactly.
func (s *Store) Count(ctx context.Context, filter string) (int64, error) {
	where, args, err := s.where(ctx, Query{Filter: filter})
	if err != nil {
		return 0, err
	}
	return s.count(ctx, where, args, 0)
}

func (s *Store) count(ctx context.Context, where string, args []any, limit int) (n int64, err error) {
	q := `SELECT count(*) FROM strata.recipients r WHERE ` + where
	if limit > 0 {
		q = fmt.Sprintf(`SELECT count(*) FROM (SELECT FROM strata.recipients r WHERE %s LIMIT %d) t`, where, limit)
	}
	err = s.read(ctx, q, args, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	return n, err
}

// read runs a filter statement: as the role that uses the indexes, with a time limit.
func (s *Store) read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, ErrTimeout)
	defer cancel()
	err := s.db.ReadTrusted(ctx, q, args, scan)
	var pg *pgconn.PgError
	if err != nil && (errors.Is(context.Cause(ctx), ErrTimeout) || errors.As(err, &pg) && pg.Code == "57014" && ctx.Err() == nil) {
		return ErrTimeout
	}
	return err
}

// where returns the conditions of a query, the domain first and the user's filter in
// parentheses of its own.
func (s *Store) where(ctx context.Context, q Query) (string, []any, error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return "", nil, err
	}
	conditions, args := []string{"r.domain_id = $1", "r.deleted_at IS NULL"}, []any{t.DomainID}
	if strings.TrimSpace(q.Filter) != "" {
		set, err := s.fields.Set(ctx)
		if err != nil {
			return "", nil, err
		}
		f, err := filter.Compile(filter.Schema{Fields: set, Columns: s.columns}, q.Filter)
		if err != nil {
			return "", nil, err
		}
		sql, filterArgs := f.SQL(filter.Options{First: len(args) + 1})
		conditions, args = append(conditions, sql), append(args, filterArgs...)
	}
	if search := strings.ToLower(strings.TrimSpace(q.Search)); search != "" {
		args = append(args, strings.ToValidUTF8(strings.ReplaceAll(search, "\x00", ""), ""))
		n := len(args)
		conditions = append(conditions, fmt.Sprintf(`(starts_with(r.email_norm, $%d::text) OR strpos(lower(r.name), $%d::text) > 0)`, n, n))
	}
	return strings.Join(conditions, " AND "), args, nil
}

func parseSort(s string) (column sortColumn, descending bool, err error) {
	name, descending := strings.CutPrefix(s, "-")
	if name == "" {
		name = "createdAt"
	}
	column, ok := sortColumns()[name]
	if !ok {
		v := &tenancy.ValidationError{}
		v.Add("sort", "unknown_sort", "must be createdAt, updatedAt, email or name, with a leading - for the other direction")
		return column, false, v
	}
	return column, descending, nil
}

// A cursor is the sort value and id of the last row of a page, a sum of the query that it
// belongs to, and what is known of its plan.
type cursorKey struct {
	Query string          `json:"q"`
	Value json.RawMessage `json:"v,omitempty"`
	ID    ID              `json:"id"`
	Few   bool            `json:"few,omitempty"` // only few match
}

func querySum(q Query) string {
	sum := sha256.Sum256([]byte(q.Filter + "\x00" + q.Search + "\x00" + q.Sort))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func makeCursor(q Query, column sortColumn, last Recipient, norm string, few bool) string {
	key := cursorKey{Query: querySum(q), ID: last.ID, Few: few}
	if column.read != nil {
		key.Value, _ = json.Marshal(column.read(last, norm)) // a time or a string
	}
	data, _ := json.Marshal(key)
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseCursor(s string, q Query) (cursorKey, error) {
	var key cursorKey
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(data, &key) != nil || key.ID.IsZero() || key.Query != querySum(q) {
		return key, tenancy.ErrInvalidCursor
	}
	return key, nil
}

// keyset adds the condition that a row comes after the cursor's.
func keyset(where string, args []any, column sortColumn, descending bool, after cursorKey) (string, []any, error) {
	op := ">"
	if descending {
		op = "<"
	}
	args = slices.Clone(args)
	if column.read == nil {
		args = append(args, after.ID)
		return fmt.Sprintf("%s AND r.id %s $%d", where, op, len(args)), args, nil
	}
	value, err := cursorValue(after.Value, column.cast)
	if err != nil {
		return "", nil, err
	}
	args = append(args, value, after.ID)
	n := len(args)
	return fmt.Sprintf("%s AND (%s, r.id) %s ($%d::%s, $%d)", where, column.sql, op, n-1, column.cast, n), args, nil
}

// cursorValue reads a cursor's sort value. What PostgreSQL could not hold in the column
// no list has returned.
func cursorValue(raw json.RawMessage, cast string) (any, error) {
	if cast == "timestamptz" {
		var t time.Time
		if json.Unmarshal(raw, &t) != nil {
			return nil, tenancy.ErrInvalidCursor
		}
		return t, nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil || strings.IndexByte(s, 0) >= 0 {
		return nil, tenancy.ErrInvalidCursor
	}
	return s, nil
}
