package recipients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/emailaddr"
	"github.com/stratakit/strata/tenancy"
)

// maxTotal is where counting what matches stops: Page.Total is then maxTotal and marked as an
// estimate.
const maxTotal = 10_001

// fewPages is how many pages of matches are found and sorted rather than met in order:
// to meet a page of so few, a tenth of the domain or more would have to be read.
const fewPages = 10

// maxOffset is how far page numbers go: PostgreSQL reads what it skips.
const maxOffset = 1_000_000

// Query asks for recipients. The zero Query is the first page of all of them.
type Query struct {
	tenancy.PageRequest

	// Deleted asks for those that are deleted and not purged yet, instead of the others.
	Deleted bool
	// Filter is a CEL expression over Columns and fields.<key> (package customfields).
	Filter string
	// Search keeps those whose address begins with it, or whose name contains it; of one
	// or two characters, those with a word in the name that begins so. Case does not
	// matter, nor in names the accents that Unicode takes off a letter (NFKD: "škoda" and
	// "Skoda" find each other, "ø" and "o" do not). An address whose domain is not ASCII is
	// found by all of it, or as punycode. At most 300 characters.
	Search string
	// Sort is "createdAt" (the default), "updatedAt", "email", "name" or "fields.<key>",
	// with a leading "-" for the other direction. Of the fields it takes those that are
	// filterable and have one value; text is sorted by the code points of its first 255
	// characters, and recipients without
	// a value come last in both directions.
	Sort string
	// With are the extensions whose rows are read as well, by name, in the same statement:
	// Recipient.Extensions. At most 7.
	With []string
}

// List returns one page of the recipients of the domain. Filters run with the domain as
// their first condition, read-only and with a time limit. Errors:
// *filter.Error, *tenancy.ValidationError, tenancy.ErrInvalidCursor, ErrTimeout.
func (s *Store) List(ctx context.Context, q Query) (tenancy.Page[Recipient], error) {
	return withoutLost(ctx, s, func() (tenancy.Page[Recipient], error) { return s.list(ctx, q) })
}

func (s *Store) list(ctx context.Context, q Query) (tenancy.Page[Recipient], error) {
	p, pageErr := q.PageRequest.Normalize()
	o, sortErr := parseSort(q.Sort, func() (*customfields.Set, error) { return s.fields.Set(ctx) })
	var searchErr error
	q.Search, searchErr = parseSearch(q.Search)
	if err := all(pageErr, sortErr, searchErr); err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	w, err := s.where(ctx, q)
	if err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	if w.with, err = s.with(ctx, q.With); err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	if w.fields, err = s.fields.Set(ctx); err != nil {
		return tenancy.Page[Recipient]{}, err
	}
	if o.use.Slot != "" {
		w.uses = append(w.uses, o.use)
	}
	start := time.Now()
	page, err := s.page(ctx, q, p, o, w)
	if err == nil || errors.Is(err, ErrTimeout) {
		s.indexes.Ran(ctx, w.uses, time.Since(start))
	}
	return page, err
}

func (s *Store) page(ctx context.Context, q Query, p tenancy.PageRequest, o order, w where) (tenancy.Page[Recipient], error) {
	page := tenancy.Page[Recipient]{Page: p.Page, PageSize: p.PageSize, Total: -1}
	read := reading{order: o, where: w, limit: p.PageSize + 1}
	if p.Cursor == "" {
		if read.offset = p.Offset(); read.offset > maxOffset {
			v := &tenancy.ValidationError{}
			v.Add("page", "out_of_range", fmt.Sprintf("page numbers reach the first %d recipients: go on with the cursor", maxOffset))
			return page, v
		}
		var err error
		if page.Total, page.TotalIsEstimate, err = s.total(ctx, w); err != nil {
			return page, err
		}
		if !w.all && !page.TotalIsEstimate && page.Total <= int64(read.offset) {
			page.Items = []Recipient{} // so many were counted by looking at them
			return page, nil
		}
		read.few = len(w.args) > 1 && page.Total <= int64(fewPages*p.PageSize)
	} else {
		after, err := parseCursor(p.Cursor, q)
		if err != nil {
			return page, err
		}
		read.few, read.after = after.Few, &after
	}
	rows, err := s.rows(ctx, read)
	if err != nil {
		return page, err
	}
	if len(rows) > p.PageSize {
		rows, page.HasMore = rows[:p.PageSize], true
		last := rows[p.PageSize-1]
		page.NextCursor = makeCursor(cursorKey{Query: querySum(q), Value: last.value, ID: last.ID, Few: read.few})
	}
	page.Items = make([]Recipient, len(rows))
	for i, r := range rows {
		page.Items[i] = r.Recipient
	}
	return page, nil
}

// total counts what a list is of: all that is live is counted already, and of other lists
// counting ends at maxTotal.
func (s *Store) total(ctx context.Context, w where) (n int64, estimate bool, err error) {
	if w.all {
		n, err = liveCount(ctx, s.db, w.domain)
		return n, false, err
	}
	n, err = s.count(ctx, w, maxTotal)
	return n, n == maxTotal, err
}

// Count returns how many recipients of the domain match a filter, exactly.
func (s *Store) Count(ctx context.Context, filter string) (int64, error) {
	return s.CountOf(ctx, Query{Filter: filter})
}

// CountOf returns how many recipients of the domain a Query is about on all of its pages,
// exactly. Errors: *filter.Error, ErrTimeout.
func (s *Store) CountOf(ctx context.Context, q Query) (int64, error) {
	return withoutLost(ctx, s, func() (int64, error) { return s.countOf(ctx, q) })
}

func (s *Store) countOf(ctx context.Context, q Query) (int64, error) {
	w, err := s.where(ctx, q)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := s.count(ctx, w, 0)
	if err == nil || errors.Is(err, ErrTimeout) {
		s.indexes.Ran(ctx, w.uses, time.Since(start))
	}
	return n, err
}

func (s *Store) count(ctx context.Context, w where, limit int) (n int64, err error) {
	from := `FROM strata.recipients r` + w.joins + ` WHERE ` + w.sql
	q := `SELECT count(*) ` + from
	if limit > 0 {
		q = fmt.Sprintf(`SELECT count(*) FROM (SELECT %s LIMIT %d) t`, from, limit)
	}
	err = s.read(ctx, q, w.args, func(rows pgx.Rows) (err error) {
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

// where is the conditions of a query, and what they use.
type where struct {
	joins string // behind the table r
	sql   string
	args  []any
	uses  []filter.Use

	domain tenancy.DomainID
	all    bool              // of what is live in it
	fields *customfields.Set // by which rows are read
	with   joined            // what is read beside them
}

// where returns the conditions of a query, the domain first and the user's filter in
// parentheses of its own.
func (s *Store) where(ctx context.Context, q Query) (w where, err error) {
	t, err := tenancy.DomainFrom(ctx)
	if err != nil {
		return w, err
	}
	which := live
	if q.Deleted {
		which = deleted
	}
	conditions, args := []string{"r.domain_id = $1", which}, []any{t.DomainID}
	if strings.TrimSpace(q.Filter) != "" {
		f, err := s.Filter(ctx, q.Filter)
		if err != nil {
			return w, err
		}
		w.uses = f.Uses()
		for _, join := range f.Joins() {
			w.joins += " " + join
		}
		sql, filterArgs := f.SQL(filter.Options{First: len(args) + 1, Ready: s.indexes.Ready(ctx)})
		conditions, args = append(conditions, sql), append(args, filterArgs...)
	}
	if q.Search != "" {
		args = append(args, addressStart(q.Search), q.Search)
		n := len(args)
		conditions = append(conditions, fmt.Sprintf(`(starts_with(r.email_norm, $%d::text) OR strata.search_matches(r.name, $%d::text))`, n-1, n))
	}
	w.domain, w.all = t.DomainID, len(conditions) == 2 && !q.Deleted
	w.sql, w.args = strings.Join(conditions, " AND "), args
	return w, nil
}

// parseSearch is a Search as it is looked for. No name and no address is longer than what it
// takes, and folding what is takes seconds.
func parseSearch(s string) (string, error) {
	s = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), ""))
	if len(s) > maxText && utf8.RuneCountInString(s) > maxText {
		return "", &tenancy.ValidationError{Fields: []tenancy.FieldError{tooLong("search", s)}}
	}
	return s, nil
}

// addressStart is what a normalised address begins with when it begins with what is searched.
func addressStart(search string) string {
	if whole, problem := NormalizeEmail(search); problem == nil {
		return whole
	}
	return emailaddr.Fold(search)
}
