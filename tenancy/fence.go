package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/internal/fence"
)

// The fence keeps writes out of a domain while its rows change their company or workspace
// (package move), and writes of a tenant that is out of date for good. It stands in
// PostgreSQL and not in the Resolver: what a process has cached may be half a minute old.
// Reads go on while a domain is moved. Only what has a tenant from before finds nothing once
// it is done: rows keep their domain's id, and would else be shown to the company they left.

// WithDeleted returns a context whose transactions may also be in a domain that is deleted:
// for what ends or clears away what a domain has left.
func WithDeleted(ctx context.Context) context.Context {
	return context.WithValue(ctx, withDeletedKey, true)
}

// fenced reports whether what is in the scope of t has to ask where its domain is.
func fenced(ctx context.Context, t Tenant) bool {
	return t.Level() == LevelDomain && !fence.Passes(ctx)
}

// enterSQL is what a transaction in the scope of t begins with, after its settings. The
// ids are rendered from 16 bytes each, so there is nothing in the text to escape.
func (db *DB) enterSQL(ctx context.Context, t Tenant) string {
	if !fenced(ctx, t) {
		return ""
	}
	workspace := "NULL"
	if !t.WorkspaceID.IsZero() {
		workspace = "'" + t.WorkspaceID.String() + "'"
	}
	return db.SQL(fmt.Sprintf("SELECT strata.enter_domain('%s', %s, '%s', %t)",
		t.CompanyID, workspace, t.DomainID, ctx.Value(withDeletedKey) != nil))
}

// placeSQL returns one row if the domain is where the tenant has it, deleted or not. A read
// asks it after its data: each statement has a snapshot of its own, and a move that is done
// between the two must not be overlooked.
const placeSQL = `SELECT FROM strata.domains WHERE company_id = $1 AND id = $2 AND ($3::uuid IS NULL OR workspace_id = $3)`

// placeOf returns the arguments of placeSQL, nil where there is nothing to ask.
func placeOf(ctx context.Context, t Tenant) []any {
	if !fenced(ctx, t) {
		return nil
	}
	var workspace any // nil: it is not known
	if !t.WorkspaceID.IsZero() {
		workspace = t.WorkspaceID
	}
	return []any{t.CompanyID, t.DomainID, workspace}
}

// fenceError turns what enter_domain raised into the error that it stands for.
func fenceError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "ST423":
			return ErrMoving
		case "ST404":
			return ErrNotFound
		}
	}
	return err
}

// As runs fn in the scope of another tenant, in the same transaction, and then goes back
// to the scope before, also after an error. It is for work of the platform that spans two
// tenants, such as handing a domain from one company to another: a handler that serves one
// tenant has no use for it. ctx of fn carries t; what it returns is returned. Where fn
// fails with an error of PostgreSQL, the transaction can only be rolled back, as always.
func (tx *Tx) As(ctx context.Context, t Tenant, fn func(ctx context.Context, tx *Tx) error) (err error) {
	if t.CompanyID.IsZero() {
		return ErrNoTenant
	}
	before := tx.tenant
	if err := tx.scope(ctx, t); err != nil {
		return err
	}
	defer func() {
		// A context that has ended must not leave the transaction in the other scope.
		back := tx.scopeTo(context.WithoutCancel(ctx), before)
		if err == nil {
			err = back
		}
	}()
	return fn(WithTenant(ctx, t), tx)
}

// scope enters t, and returns to where the transaction was when that is refused.
func (tx *Tx) scope(ctx context.Context, t Tenant) error {
	before := tx.tenant
	err := tx.scopeTo(ctx, t)
	if enter := tx.db.enterSQL(ctx, t); err == nil && enter != "" {
		_, err = tx.Exec(ctx, enter)
	}
	if err != nil {
		_ = tx.scopeTo(context.WithoutCancel(ctx), before)
	}
	return fenceError(err)
}

func (tx *Tx) scopeTo(ctx context.Context, t Tenant) error {
	tx.tenant = t
	if _, err := tx.Exec(ctx, scopeSQL, settings(RoleApp, t)...); err != nil {
		return fmt.Errorf("tenancy: change the scope of a transaction: %w", err)
	}
	return nil
}
