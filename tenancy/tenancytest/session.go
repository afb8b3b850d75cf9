package tenancytest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stratakit/strata/tenancy"
)

// session is the transaction that everything happens in.
type session struct{ tx pgx.Tx }

// begin begins it. The function that it returns undoes everything.
func (s *session) begin(ctx context.Context, pool *pgxpool.Pool) (func(), error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if s.tx, err = conn.Begin(ctx); err != nil {
		conn.Release()
		return nil, err
	}
	return func() {
		_ = s.tx.Rollback(context.WithoutCancel(ctx)) // where it fails, the pool destroys the connection
		conn.Release()
	}, nil
}

// party is a tenant and what to call it.
type party struct {
	tenancy.Tenant
	name string
}

// id returns the party's id at a level, as text.
func (p party) id(level int) string {
	switch tenancy.Level(level) {
	case tenancy.LevelCompany:
		return p.CompanyID.String()
	case tenancy.LevelWorkspace:
		return p.WorkspaceID.String()
	case tenancy.LevelDomain:
		return p.DomainID.String()
	case tenancy.LevelNone:
	}
	return ""
}

const scopeSQL = `SELECT set_config('role', $1, true), set_config('strata.company_id', $2, true), set_config('strata.workspace_id', $3, true), set_config('strata.domain_id', $4, true)`

// scope returns the arguments of scopeSQL for a party at a level; at level 0 there is none.
func scope(role string, p party, level int) []any {
	args := []any{role, "", "", ""}
	for l := 1; l <= level; l++ {
		args[l] = p.id(l)
	}
	return args
}

// enter puts the transaction into a scope, as the role that statements run as.
func (s *session) enter(ctx context.Context, p party, level int) error {
	return s.as(ctx, tenancy.RoleApp, p, level)
}

func (s *session) as(ctx context.Context, role string, p party, level int) error {
	if _, err := s.tx.Exec(ctx, scopeSQL, scope(role, p, level)...); err != nil {
		return fmt.Errorf("enter the scope: %w", err)
	}
	return nil
}

// attempt runs fn and undoes what it did, unless it is to be kept and succeeded. An error
// of fn does not end the transaction.
func (s *session) attempt(ctx context.Context, keep bool, fn func() error) error {
	if _, err := s.tx.Exec(ctx, `SAVEPOINT prove`); err != nil {
		return err
	}
	err := fn()
	undo := `ROLLBACK TO SAVEPOINT prove; RELEASE SAVEPOINT prove`
	if keep && err == nil {
		undo = `RELEASE SAVEPOINT prove`
	}
	if _, undoErr := s.tx.Exec(context.WithoutCancel(ctx), undo); undoErr != nil {
		return fmt.Errorf("go on after %w: %w", err, undoErr)
	}
	return err
}

// try runs one statement in a scope, undoes it, and returns how many rows it touched.
func (s *session) try(ctx context.Context, p party, level int, q string, args ...any) (n int64, err error) {
	err = s.attempt(ctx, false, func() error {
		if err := s.enter(ctx, p, level); err != nil {
			return err
		}
		tag, err := s.tx.Exec(ctx, q, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// count runs a query for one number in a scope.
func (s *session) count(ctx context.Context, p party, level int, q string, args ...any) (n int64, err error) {
	err = s.attempt(ctx, false, func() error {
		if err := s.enter(ctx, p, level); err != nil {
			return err
		}
		return s.tx.QueryRow(ctx, q, args...).Scan(&n)
	})
	return n, err
}
