package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// rewriter writes where a domain is now into the rows of one table. It walks the table's key
// (keyset): no batch looks at rows of an earlier one. A row that says so already is left
// alone, so that doing a batch again does nothing.
type rewriter struct {
	table  tenancy.DomainTable
	domain tenancy.DomainID
	to     Place
}

func columns(t tenancy.DomainTable) (list string) {
	names := make([]string, len(t.Key))
	for i, k := range t.Key {
		names[i] = "t." + pgx.Identifier{k.Name}.Sanitize()
	}
	return strings.Join(names, ", ")
}

// key renders a key as a row of typed parameters, the first of which is $n. It is passed as
// text, which every type can be read from again.
func (r rewriter) key(n int) string {
	params := make([]string, len(r.table.Key))
	for i, k := range r.table.Key {
		params[i] = fmt.Sprintf("$%d::text::%s", n+i, k.Type)
	}
	return strings.Join(params, ", ")
}

// set and differs are the assignment of the new place and the condition that a row has
// another one. Their parameters are $2 and $3.
func (r rewriter) set() string {
	if r.table.Workspace {
		return `company_id = $2::uuid, workspace_id = $3::uuid`
	}
	return `company_id = $2::uuid`
}

func (r rewriter) differs() string {
	if r.table.Workspace {
		return `(t.company_id <> $2::uuid OR t.workspace_id <> $3::uuid)`
	}
	return `t.company_id <> $2::uuid`
}

func (r rewriter) args(more ...[]string) []any {
	args := []any{r.domain, r.to.CompanyID}
	if r.table.Workspace {
		args = append(args, r.to.WorkspaceID)
	}
	for _, key := range more {
		for _, v := range key {
			args = append(args, v)
		}
	}
	return args
}

// batch rewrites the next rows behind the key after, and returns the key of the last one:
// nil when there are no more.
func (r rewriter) batch(ctx context.Context, tx *tenancy.Tx, after []string, rows int) (n int64, last []string, err error) {
	if len(r.table.Key) > 0 {
		if last, err = r.bound(ctx, tx, after, rows); err != nil {
			return 0, nil, wrap("find the end of a batch", err)
		}
	}
	args := r.args()
	where := `t.domain_id = $1`
	for _, b := range []struct {
		op  string
		key []string
	}{{">", after}, {"<=", last}} {
		if b.key != nil {
			where += fmt.Sprintf(` AND (%s) %s (%s)`, columns(r.table), b.op, r.key(len(args)+1))
			for _, v := range b.key {
				args = append(args, v)
			}
		}
	}
	tag, err := tx.Exec(ctx, fmt.Sprintf(`UPDATE %s AS t SET %s WHERE %s AND %s`, r.table, r.set(), where, r.differs()), args...)
	return tag.RowsAffected(), last, wrap("rewrite rows", err)
}

// bound returns the key of the last row of a batch behind after, or nil when fewer rows
// than that are left.
func (r rewriter) bound(ctx context.Context, tx *tenancy.Tx, after []string, rows int) ([]string, error) {
	args, where := []any{r.domain}, `t.domain_id = $1`
	if after != nil {
		where += fmt.Sprintf(` AND (%s) > (%s)`, columns(r.table), r.key(2))
		for _, v := range after {
			args = append(args, v)
		}
	}
	texts := strings.ReplaceAll(columns(r.table), ", ", "::text, ") + "::text"
	var last []string
	err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT ARRAY[%s] FROM %s AS t WHERE %s ORDER BY %s OFFSET %d LIMIT 1`,
		texts, r.table, where, columns(r.table), rows-1), args...).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return last, err
}

// left reports whether a row is left that says something else.
func (r rewriter) left(ctx context.Context, tx *tenancy.Tx) (left bool, err error) {
	err = tx.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s AS t WHERE t.domain_id = $1 AND %s)`, r.table, r.differs()), r.args()...).Scan(&left)
	return left, wrap("look for rows that are left", err)
}

// readTables reads which tables there are now.
func (s *session) readTables(ctx context.Context) error {
	tables, err := s.db.DomainTables(ctx)
	if err != nil {
		return err
	}
	s.tables = tables
	return nil
}

func (s *session) table(p progress) (tenancy.DomainTable, bool) {
	i := slices.IndexFunc(s.tables, func(t tenancy.DomainTable) bool { return t.Schema == p.Schema && t.Name == p.Table })
	if i < 0 {
		return tenancy.DomainTable{}, false
	}
	return s.tables[i], true
}

// added returns progress with the tables that it does not have yet.
func (s *session) added(have []progress) (all []progress, more bool) {
	all = have
	for _, t := range s.tables {
		if !slices.ContainsFunc(have, func(p progress) bool { return p.Schema == t.Schema && p.Table == t.Name }) {
			all, more = append(all, progress{TableProgress: TableProgress{Schema: t.Schema, Table: t.Name, Product: t.Product}}), true
		}
	}
	return all, more
}

// rewriter returns how the rows of a table are rewritten, or nil when it has none any more.
func (s *session) rewriter(rec *record, p progress) (*rewriter, error) {
	t, ok := s.table(p)
	to := rec.To
	if rec.State == Cancelling {
		to = rec.From
		if !ok || !t.Exists() {
			return nil, nil
		}
	}
	if !ok || len(t.Missing) > 0 {
		why := "it is not registered any more"
		if ok {
			why = strings.Join(t.Missing, "; ")
		}
		return nil, fmt.Errorf("table %s.%s of %s: %s: %w", p.Schema, p.Table, p.Product, why, errUnfit)
	}
	return &rewriter{t, rec.DomainID, to}, nil
}

var errUnfit error = fault.New(fault.Conflict, "table_unfit", "its rows cannot be moved")
