package tenancy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
)

// Tx is one database connection in one READ COMMITTED transaction that carries the
// tenant's settings and serves four users at once: pgx (COPY, batches) through the
// embedded pgx.Tx, bun through Bun, River by passing the embedded pgx.Tx to InsertTx,
// and the caller's own SQL. What one of them does, all of them see, and one rollback
// undoes it all. A Tx is for one goroutine, and DB.InTx alone begins and ends it: do
// not call Commit or Rollback.
//
// The transaction runs as RoleApp. SQL on a product's own tables needs a
// GRANT ... TO strata_app.
type Tx struct {
	pgx.Tx
	db     *DB
	conn   bun.Conn
	tenant Tenant
	after  []func(context.Context)
	marks  map[any]bool

	released bool
}

// Bun returns bun on the same connection, inside the same transaction. Its BeginTx and
// RunInTx return an error: what may fail alone goes into a Savepoint.
func (tx *Tx) Bun() bun.IDB { return scopedBun{tx.conn} }

// scopedBun is a bun.Conn that begins no transaction. The COMMIT of one would end the
// transaction that it is in, and with it the role and the tenant.
type scopedBun struct{ bun.Conn }

var errBegin = errors.New("tenancy: bun is inside a transaction already: use Tx.Savepoint")

func (scopedBun) BeginTx(context.Context, *sql.TxOptions) (bun.Tx, error) {
	return bun.Tx{}, errBegin
}

func (scopedBun) RunInTx(context.Context, *sql.TxOptions, func(context.Context, bun.Tx) error) error {
	return errBegin
}

// SQL is DB.SQL.
func (tx *Tx) SQL(q string) string { return tx.db.SQL(q) }

// Tenant returns the tenant in whose scope the transaction runs.
func (tx *Tx) Tenant() Tenant { return tx.tenant }

// Read is DB.Read on the transaction's own connection. Inside a transaction nothing may
// wait for a second one: enough transactions doing so at once would wait for each other.
func (tx *Tx) Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error {
	rows, err := tx.Query(ctx, tx.SQL(q), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := scan(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// Mark notes key for the rest of the transaction, and Marked reports whether it was: for a
// package that must know later in a transaction what it did in it. As with values of a
// context, the key is of a type of the package's own.
func (tx *Tx) Mark(key any) {
	if tx.marks == nil {
		tx.marks = map[any]bool{}
	}
	tx.marks[key] = true
}

// Marked reports whether key was marked, also in a savepoint that was undone.
func (tx *Tx) Marked(key any) bool { return tx.marks[key] }

// AfterCommit runs fn once the transaction has committed, in the order of the calls,
// with a context that keeps its values but is not cancelled with the caller's. It is
// for hints such as dropping a cache entry: a process that dies between the commit
// and fn never runs it.
func (tx *Tx) AfterCommit(fn func(ctx context.Context)) { tx.after = append(tx.after, fn) }

// Savepoint runs fn inside a savepoint: on an error or a panic what fn did is undone, its
// AfterCommit hooks too, the transaction goes on, and the error is returned.
func (tx *Tx) Savepoint(ctx context.Context, fn func(tx *Tx) error) (err error) {
	if _, err := tx.Exec(ctx, `SAVEPOINT strata`); err != nil {
		return err
	}
	hooks, keep := len(tx.after), false
	// A context that has ended must not leave in the transaction what is to be undone.
	end := context.WithoutCancel(ctx)
	defer func() {
		if keep {
			return
		}
		tx.after = tx.after[:hooks]
		if _, undoErr := tx.Exec(end, `ROLLBACK TO SAVEPOINT strata; RELEASE SAVEPOINT strata`); undoErr != nil {
			err = errors.Join(err, undoErr)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	_, err = tx.Exec(end, `RELEASE SAVEPOINT strata`)
	keep = err == nil
	return err
}

// InTx runs fn in one transaction as RoleApp in the scope of ctx's tenant. It commits
// when fn returns nil and rolls back when fn returns an error or panics. It returns
// ErrNoTenant without a tenant, fn's error as it is, or the error of the commit. In the
// scope of a domain it returns, and fn is not called, ErrMoving while the domain is being
// moved, and ErrNotFound when it is deleted or is not where the tenant has it any more.
func (db *DB) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	t, err := TenantFrom(ctx)
	if err != nil {
		return err
	}
	tx, err := db.begin(ctx, t)
	if err != nil {
		return err
	}
	defer tx.release(ctx)
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return err
	}
	tx.release(ctx) // before the hooks, which may want a connection of their own
	for _, hook := range tx.after {
		hook(context.WithoutCancel(ctx))
	}
	return nil
}

// maxAttempts is how often InTxRetry runs a transaction.
const maxAttempts = 10

// InTxRetry is InTx for writers that cannot lock all rows in one order: a transaction that
// PostgreSQL ended as part of a deadlock is run again, up to 10 times in all. fn may run more
// than once, and must keep nothing of a run that came to nothing.
func (db *DB) InTxRetry(ctx context.Context, fn func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.InTx(ctx, fn)
		var pg *pgconn.PgError
		if deadlocked := errors.As(err, &pg) && pg.Code == "40P01"; !deadlocked || attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
	}
}

// begin takes a connection out of the pool through database/sql, because bun knows no
// other kind, and begins a pgx transaction on the connection underneath.
func (db *DB) begin(ctx context.Context, t Tenant) (*Tx, error) {
	conn, err := db.bun.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("tenancy: take a connection: %w", err)
	}
	tx := &Tx{db: db, conn: conn, tenant: t}
	err = conn.Raw(func(driverConn any) error {
		var err error
		// One round trip begins the transaction, sets role and tenant and passes the fence. The
		// ids are rendered from 16 bytes each, so there is nothing in the text to escape.
		c := driverConn.(*stdlib.Conn).Conn()
		tx.Tx, err = c.BeginTx(ctx, pgx.TxOptions{BeginQuery: db.beginSQL(ctx, t)})
		if err != nil && !c.IsClosed() && c.PgConn().TxStatus() != 'I' {
			_, _ = c.Exec(context.WithoutCancel(ctx), "ROLLBACK") // or the pool would throw a good connection away
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fenceError(setupError(err)), conn.Close())
	}
	return tx, nil
}

// release rolls back what was not committed and gives the connection back. It is safe
// to call twice.
func (tx *Tx) release(ctx context.Context) {
	if tx.released {
		return
	}
	tx.released = true
	// A cancelled context must not keep the rollback from being sent. After a commit it
	// does nothing; where it fails, the pool destroys the connection on its return.
	_ = tx.Rollback(context.WithoutCancel(ctx))
	_ = tx.conn.Close()
}

func (db *DB) beginSQL(ctx context.Context, t Tenant) string {
	q := fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('role', '%s', true), set_config('strata.company_id', '%s', true), set_config('strata.workspace_id', '%s', true), set_config('strata.domain_id', '%s', true)", settings(RoleApp, t)...)
	if enter := db.enterSQL(ctx, t); enter != "" {
		q += "; " + enter
	}
	return q
}

// setupError turns "role does not exist" and "permission denied to set role" into what to
// do. The codes are those of much else, so the message has to be about a role of ours; the
// name stands in it whatever the server's language is.
func setupError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "22023" || pg.Code == "42501") &&
		(strings.Contains(pg.Message, RoleApp) || strings.Contains(pg.Message, RoleQuery)) {
		return fmt.Errorf("tenancy: the login cannot become %s: run strata.Migrate, or as an administrator GRANT %s TO the login: %w", RoleApp, RoleApp, err)
	}
	return err
}

// ReadTrusted is DB.ReadTrusted on the transaction's own connection: it sees what the
// transaction has done, and the transaction is RoleApp again afterwards.
func (tx *Tx) ReadTrusted(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) (err error) {
	if _, err := tx.Exec(ctx, scopeTrustedSQL, settings(RoleQuery, tx.tenant)...); err != nil {
		return setupError(err)
	}
	defer func() {
		// After an error of PostgreSQL the transaction, or its savepoint, can only be rolled back,
		// which sets the role back too.
		back := scopeSQL + `, set_config('plan_cache_mode', 'auto', true)`
		if _, backErr := tx.Exec(context.WithoutCancel(ctx), back, settings(RoleApp, tx.tenant)...); err == nil {
			err = backErr
		}
	}()
	return tx.Read(ctx, q, args, scan)
}
