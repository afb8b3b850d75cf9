package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// row is a row as text, as PostgreSQL writes it. A column that is not in it takes its
// default; nil is NULL. "ctid" is in a row that was made.
type row map[string]*string

func text(s string) *string { return &s }

// rowKey says whose row of a table it is.
type rowKey struct {
	table uint32
	owner string
}

// maxTries is how many values of CHECKs are tried for one row.
const maxTries = 400

var errNoValue = errors.New("no value is known that it accepts")

// level is that of the tenants that have a row each: the table's, and deeper where its rows
// are workspaces or domains themselves.
func (p *proof) level(t *table) int {
	if t.Table == nil {
		return 0
	}
	return max(t.Level, t.Root(p.Schema))
}

// own returns the row of a table for a party, made when there is none yet. At level 0 every
// party has the same row; a deeper level than the table's may be asked for.
func (p *proof) own(ctx context.Context, t *table, of party, level int) (row, error) {
	level = max(level, p.level(t))
	key := rowKey{t.OID, of.id(level)}
	if r := p.rows[key]; r != nil {
		return r, nil
	}
	if slices.Contains(p.making, t.OID) {
		return nil, fmt.Errorf("%s needs a row of itself: %w", t, errNoValue)
	}
	p.making = append(p.making, t.OID)
	defer func() { p.making = p.making[:len(p.making)-1] }()
	var r row
	var err error
	if level == 0 {
		if r, err = p.existing(ctx, t, of); err != nil {
			return nil, err
		}
	}
	if r == nil {
		if r, err = p.make(ctx, t, of); err != nil {
			return nil, err
		}
	}
	p.rows[key] = r
	return r, nil
}

// existing returns any row of a table that is of no tenant, such as a list of countries.
func (p *proof) existing(ctx context.Context, t *table, of party) (r row, err error) {
	if !t.CanSelect {
		return nil, nil
	}
	if err := p.enter(ctx, of, int(tenancy.LevelDomain)); err != nil {
		return nil, err
	}
	r, err = p.scan(ctx, t, `SELECT `+t.texts()+` FROM `+t.SQL+` LIMIT 1`)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// make inserts a row for a party, as the role that statements run as, and as the pool's
// login where that may not. What it finds that a CHECK accepts is kept for the next row.
func (p *proof) make(ctx context.Context, t *table, of party) (row, error) {
	var last error
	for range maxTries {
		values, err := p.values(ctx, t, of)
		if err != nil {
			return nil, t.cannot(err)
		}
		r, err := p.insert(ctx, t, of, values)
		if err == nil {
			return r, nil
		}
		last = err
		if !p.advance(t, err) {
			break
		}
	}
	return nil, t.cannot(last)
}

// rowError says of which table no row could be made.
type rowError struct {
	table *table
	err   error
}

func (e *rowError) Error() string { return e.err.Error() }
func (e *rowError) Unwrap() error { return e.err }

// cannot blames t for err, unless it is a parent's.
func (t *table) cannot(err error) error {
	var of *rowError
	if err == nil || errors.As(err, &of) {
		return err
	}
	return &rowError{t, err}
}

// insert inserts a row and keeps it.
func (p *proof) insert(ctx context.Context, t *table, of party, values row) (r row, err error) {
	level := int(tenancy.LevelDomain)
	if t.Table != nil {
		level = t.Level
	}
	q, args := t.insertSQL(values)
	err = p.attempt(ctx, true, func() error {
		if err := p.enter(ctx, of, level); err != nil {
			return err
		}
		if !t.CanInsert {
			if err := p.as(ctx, "none", of, level); err != nil {
				return err
			}
		}
		if !t.CanSelect {
			r = values
			_, err := p.tx.Exec(ctx, q, args...)
			return err
		}
		r, err = p.scan(ctx, t, q+` RETURNING `+t.texts(), args...)
		return err
	})
	return r, err
}

// texts lists all columns as text, for scan.
func (t *table) texts() string {
	list := []string{"ctid::text"}
	for _, c := range t.Columns {
		list = append(list, pgx.Identifier{c.Name}.Sanitize()+"::text")
	}
	return strings.Join(list, ", ")
}

func (p *proof) scan(ctx context.Context, t *table, q string, args ...any) (row, error) {
	values := make([]*string, len(t.Columns)+1)
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := p.tx.QueryRow(ctx, q, args...).Scan(dest...); err != nil {
		return nil, err
	}
	r := row{"ctid": values[0]}
	for i, c := range t.Columns {
		r[c.Name] = values[i+1]
	}
	return r, nil
}

// insertSQL returns an INSERT of values. PostgreSQL casts text to any type.
func (t *table) insertSQL(values row) (string, []any) {
	var columns, casts []string
	var args []any
	for _, c := range t.Columns {
		if v, ok := values[c.Name]; ok {
			args = append(args, v)
			columns = append(columns, pgx.Identifier{c.Name}.Sanitize())
			casts = append(casts, fmt.Sprintf("$%d::text::%s", len(args), c.Type))
		}
	}
	return fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, t.SQL, strings.Join(columns, ", "), strings.Join(casts, ", ")), args
}

// advance takes the next candidates of the columns that an error is about. It returns
// false when there are none, or when the error is about something else.
func (p *proof) advance(t *table, err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	var about []*column
	switch pg.Code {
	case "23505", "23P01": // taken: the next values are others, or those of other candidates
		next(slices.DeleteFunc(slices.Clone(t.Columns), func(c *column) bool { return !c.Unique }))
		return true
	case "23502":
		about = append(about, t.column(pg.ColumnName))
	case "23514":
		for _, k := range t.Checks {
			if k.Name == pg.ConstraintName {
				for _, name := range k.Columns {
					about = append(about, t.column(name))
				}
			}
		}
		if len(about) == 0 { // of a domain
			for _, c := range t.Columns {
				if c.Domain {
					about = append(about, c)
				}
			}
		}
	case "22001", "22003", "22007", "22008", "22P02", "22023": // a value that its type does not take
		for _, c := range t.Columns {
			if len(c.candidates) > 1 && c.candidates[c.pick].value != nil {
				about = append(about, c)
			}
		}
	}
	return next(about)
}

// next counts on, the columns being the digits.
func next(columns []*column) bool {
	for _, c := range columns {
		if c == nil || len(c.candidates) == 0 {
			continue
		}
		if c.pick++; c.pick < len(c.candidates) {
			return true
		}
		c.pick = 0
	}
	return false
}
