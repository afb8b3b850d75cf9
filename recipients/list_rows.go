package recipients

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// deep is from how many rows on those that a page skips are read by themselves.
const deep = 1_000

// reading is the rows of one page.
type reading struct {
	order  order
	where  where
	after  *cursorKey
	limit  int
	offset int
	few    bool
}

// listed is a row and what it is sorted by.
type listed struct {
	Recipient

	value *string
}

// rows reads a page: in one statement, or where rows may have no value to be sorted by in
// two, of which the second has those.
func (s *Store) rows(ctx context.Context, read reading) ([]listed, error) {
	o := read.order
	if o.set == "" {
		return s.part(ctx, read, true)
	}
	unset := read
	unset.where.sql += " AND " + o.unset
	if read.after != nil && read.after.Value == nil {
		return s.part(ctx, unset, false)
	}
	unset.after = nil
	set := read
	set.where.sql += " AND " + o.set
	rows, err := s.part(ctx, set, true)
	if err != nil || len(rows) == read.limit {
		return rows, err
	}
	unset.limit -= len(rows)
	if unset.offset > 0 {
		n := int64(read.offset + len(rows))
		if len(rows) == 0 {
			if n, err = s.count(ctx, set.where, 0); err != nil {
				return nil, err
			}
		}
		unset.offset = max(0, read.offset-int(n))
	}
	rest, err := s.part(ctx, unset, false)
	return append(rows, rest...), err
}

func (s *Store) part(ctx context.Context, read reading, set bool) (out []listed, err error) {
	where, args := read.where.sql, read.where.args
	if read.after != nil {
		if where, args, err = read.order.after(where, args, *read.after); err != nil {
			return nil, err
		}
	}
	value := read.order.value
	if !set {
		value = "NULL"
	}
	from, by, with := `strata.recipients r`+read.where.joins+` WHERE `+where, ` ORDER BY `+read.order.by(set), read.where.with
	page := fmt.Sprintf(`%s LIMIT %d OFFSET %d`, by, read.limit, read.offset)
	if read.few {
		// Left alone, PostgreSQL may walk through the domain in order until it has met
		// enough of them, and they are far apart.
		from = `(SELECT r.* FROM ` + from + ` OFFSET 0) r`
	}
	switch {
	case read.offset >= deep:
		// Of what is skipped no more than the id is read, which an index may have.
		from = `(SELECT r.id FROM ` + from + page + `) page JOIN strata.recipients r ON r.domain_id = $1 AND r.id = page.id` + with.joins()
		page = by
	case len(with) > 0: // the rows of a page are joined, not what was skipped on the way to it
		from = `(SELECT r.* FROM ` + from + page + `) r` + with.joins()
		page = by
	}
	q := `SELECT ` + recipientColumns + `, ` + value + with.columns() + ` FROM ` + from + page
	err = s.read(ctx, q, args, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l listed, err error) {
			joined, put := with.scan()
			l.Recipient, err = scanRecipient(read.where.fields, row, append([]any{&l.value}, joined...)...)
			if err != nil {
				return l, err
			}
			return l, put(&l.Recipient)
		})
		return err
	})
	return out, err
}
