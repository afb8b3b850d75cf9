package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// parties returns a tenant and those that it must be kept apart from at a level, nearest
// first. None of them is in the database.
func parties(level int) (first party, others []party) {
	company, workspace := tenancy.NewID[tenancy.Company](), tenancy.NewID[tenancy.Workspace]()
	at := func(name string, c tenancy.CompanyID, w tenancy.WorkspaceID) party {
		return party{tenancy.Tenant{
			CompanyID: c, WorkspaceID: w, DomainID: tenancy.NewID[tenancy.Domain](), Plan: "enterprise", Access: tenancy.AccessFull, Version: 1,
		}, name}
	}
	first = at("the tenant", company, workspace)
	all := []party{
		at("another company", tenancy.NewID[tenancy.Company](), tenancy.NewID[tenancy.Workspace]()),
		at("another workspace of its company", company, tenancy.NewID[tenancy.Workspace]()),
		at("another domain of its workspace", company, workspace),
	}
	for i := level - 1; i >= 0; i-- {
		others = append(others, all[i])
	}
	return first, others
}

// subject is a table with a row of the tenant and one of another.
type subject struct {
	*table
	a, b        party
	ours, other row // of a, of b
	want        string
}

// prove makes the rows of a table and runs the matrix on it.
func (p *proof) prove(ctx context.Context, t *table) error {
	p.t.Helper()
	a, others := parties(t.Level)
	want := t.WantPolicy()
	ours, err := p.own(ctx, t, a, 0)
	if err != nil {
		return p.cannot(t, err)
	}
	for _, b := range others {
		other, err := p.own(ctx, t, b, 0)
		if err != nil {
			return p.cannot(t, err)
		}
		s := subject{t, a, b, ours, other, want}
		for _, prove := range []func(context.Context, subject) error{
			p.proveReads, p.provePrepared, p.proveInserts, p.proveUpdates, p.proveUnique, p.proveForeignKeys, p.proveViews,
		} {
			if err := prove(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// cannot reports a table for which no row could be made, or none in a table that it refers to.
func (p *proof) cannot(t *table, err error) error {
	p.t.Helper()
	if p.tx.Conn().IsClosed() {
		return err
	}
	culprit := t
	var of *rowError
	if errors.As(err, &of) {
		culprit = of.table
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		p.fail(t, "not proven", culprit.hook(), "no row could be made: %v", err)
		return nil
	}
	if pg.Code == "42501" && strings.Contains(pg.Message, "row-level security") && culprit == t {
		p.fail(t, "insert, right scope", t.WantPolicy(), "a tenant cannot insert its own row: %v", err)
		return nil
	}
	var columns []string
	for _, k := range culprit.Checks {
		if k.Name == pg.ConstraintName {
			columns = append(columns, k.Columns...)
			err = fmt.Errorf("%w (%s)", err, k.Definition)
		}
	}
	if pg.ColumnName != "" {
		columns = append(columns, pg.ColumnName)
	}
	p.fail(t, "not proven", culprit.hook(columns...), "no row could be made: %v", err)
	return nil
}

// where is the condition that finds a row, its arguments beginning with $n.
func (t *table) where(r row, n int, alias string) (string, []any) {
	if len(t.Key) == 0 {
		return fmt.Sprintf(`%sctid = $%d::text::tid`, alias, n), []any{*r["ctid"]}
	}
	var terms []string
	var args []any
	for i, name := range t.Key {
		terms = append(terms, fmt.Sprintf(`%s%s = $%d::text::%s`, alias, pgx.Identifier{name}.Sanitize(), n+i, t.column(name).Type))
		args = append(args, r[name])
	}
	return strings.Join(terms, " AND "), args
}

// mine is the condition that a row is of a party.
func (s subject) mine(of party) (string, []any) {
	return pgx.Identifier{s.Column}.Sanitize() + ` = $1::text::uuid`, []any{of.id(s.Level)}
}

// scopes calls fn without a scope and in that of the other tenant: in neither may anything
// of the tenant be reached.
func (s subject) scopes(fn func(level int, cell, in string) error) error {
	if err := fn(0, ", no scope", "without a scope"); err != nil {
		return err
	}
	return fn(s.Level, ", wrong scope", "in the scope of "+s.b.name)
}

// code returns the SQLSTATE of an error.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// broken returns err when it says nothing of the statement, such as that the connection is gone.
func broken(err error) error {
	if err != nil && code(err) == "" {
		return err
	}
	return nil
}

// none holds a statement to reaching nothing. Not even an error may come of it: without a
// scope there is nothing to see, which is no failure.
func (p *proof) none(s subject, cell, in, verb string, n int64, err error) error {
	p.t.Helper()
	switch {
	case err != nil:
		p.fail(s.table, cell, s.want, "%s it fails instead of finding nothing: %v", in, err)
	case n > 0:
		p.fail(s.table, cell, s.want, "a tenant reaches another's rows: %s %d of its rows %s", in, n, verb)
	}
	return broken(err)
}

func (p *proof) proveReads(ctx context.Context, s subject) error {
	p.t.Helper()
	if !s.CanSelect {
		return nil
	}
	where, args := s.where(s.ours, 1, "")
	n, err := p.count(ctx, s.a, s.Level, `SELECT count(*) FROM `+s.SQL+` WHERE `+where, args...)
	if err != nil || n != 1 {
		p.fail(s.table, "select, right scope", s.want, "a tenant sees %d rows instead of the one it inserted: %v", n, err)
	}
	mine, owner := s.mine(s.a)
	// Rows of nobody and of the platform, which a policy may show to everybody.
	shared := `coalesce(` + pgx.Identifier{s.Column}.Sanitize() + `, 'ffffffff-ffff-ffff-ffff-ffffffffffff') = 'ffffffff-ffff-ffff-ffff-ffffffffffff'`
	all, err := p.count(ctx, s.a, s.Level, `SELECT count(*) FROM `+s.SQL)
	own, ownErr := p.count(ctx, s.a, s.Level, `SELECT count(*) FROM `+s.SQL+` WHERE `+mine+` OR `+shared, owner...)
	if err != nil || ownErr != nil || all != own {
		p.fail(s.table, "count, right scope", s.want, "a tenant counts %d rows, of which %d are its own: %v", all, own, errors.Join(err, ownErr))
	}
	joined, joinedArgs := s.where(s.ours, 1, "theirs.")
	return s.scopes(func(level int, cell, in string) error {
		n, err := p.count(ctx, s.b, level, `SELECT count(*) FROM `+s.SQL+` WHERE `+where, args...)
		if err := p.none(s, "select"+cell, in, "are seen", n, err); err != nil {
			return err
		}
		n, err = p.count(ctx, s.b, level, `SELECT count(*) FROM `+s.SQL+` WHERE `+mine, owner...)
		if err := p.none(s, "count"+cell, in, "are counted", n, err); err != nil {
			return err
		}
		n, err = p.count(ctx, s.b, level, `SELECT count(theirs.*) FROM (SELECT count(*) FROM `+s.SQL+`) one LEFT JOIN `+s.SQL+` theirs ON `+joined, joinedArgs...)
		return p.none(s, "join"+cell, in, "are joined", n, err)
	})
}

// alternations is how often a prepared statement changes its tenant: PostgreSQL takes a
// plan for all values after the fifth use.
const alternations = 150

// provePrepared lets one prepared statement serve both tenants in turn, and the trusted
// role where it may read the table.
func (p *proof) provePrepared(ctx context.Context, s subject) error {
	p.t.Helper()
	if !s.CanSelect {
		return nil
	}
	mine, owner := s.mine(s.a)
	const name = "strata_prove"
	crossed, lost := 0, 0
	err := p.attempt(ctx, false, func() error {
		if err := p.enter(ctx, s.a, s.Level); err != nil {
			return err
		}
		if _, err := p.tx.Conn().Prepare(ctx, name, `SELECT count(*) FROM `+s.SQL+` WHERE `+mine); err != nil {
			return err
		}
		b := &pgx.Batch{}
		use := func(want bool, role string, of party, level int) {
			b.Queue(scopeSQL, scope(role, of, level)...)
			b.Queue(name, owner...).QueryRow(func(r pgx.Row) error {
				var n int
				if err := r.Scan(&n); err != nil {
					return err
				}
				if want && n == 0 {
					lost++
				}
				if !want && n > 0 {
					crossed++
				}
				return nil
			})
		}
		for range alternations {
			use(true, roleApp, s.a, s.Level)
			if s.QueryCanSelect {
				use(true, roleQuery, s.a, s.Level)
			}
			use(false, roleApp, s.b, s.Level)
			use(false, roleApp, s.b, 0)
		}
		return p.tx.SendBatch(ctx, b).Close()
	})
	if closeErr := p.tx.Conn().Deallocate(ctx, name); closeErr != nil && err == nil {
		err = closeErr
	}
	if err != nil || crossed > 0 || lost > 0 {
		p.fail(s.table, "prepared statement, tenants in turn", s.want, "of %d uses each, %d saw rows of the other tenant and %d missed their own: %v", alternations, crossed, lost, err)
	}
	return broken(err)
}

// proveViews reads the views over the table that show whose a row is. Of the others it
// cannot be seen: for them there is the check of their definition.
func (p *proof) proveViews(ctx context.Context, s subject) error {
	p.t.Helper()
	for _, v := range p.catalog.Views {
		if v.TableOID != s.OID {
			continue
		}
		mine, owner := s.mine(s.a)
		name := pgx.Identifier{v.Schema, v.Name}.Sanitize()
		var has bool
		if err := p.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1 AND attname = $2 AND atttypid = 'uuid'::regtype)`, v.OID, s.Column).Scan(&has); err != nil {
			return err
		}
		if !has {
			continue
		}
		s := s
		s.want = "ALTER VIEW " + v.Schema + "." + v.Name + " SET (security_invoker = true)"
		if err := s.scopes(func(level int, cell, in string) error {
			n, err := p.count(ctx, s.b, level, `SELECT count(*) FROM `+name+` WHERE `+mine, owner...)
			return p.none(s, "view "+v.Schema+"."+v.Name+cell, in, "are seen", n, err)
		}); err != nil {
			return err
		}
	}
	return nil
}
