// Package pooler tells whether something stands before PostgreSQL that hands the sessions
// of the server from client to client, such as PgBouncer.
package pooler

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Between reports whether conn ends at a pooler. A pooler cannot name the process that
// serves a client, because that changes: it makes a number up. In which mode it works it
// does not say.
func Between(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var serves uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&serves); err != nil {
		return false, fmt.Errorf("ask for the process that serves the connection: %w", err)
	}
	return serves != conn.PgConn().PID(), nil
}

// Before is Between for a connection of pool.
func Before(ctx context.Context, pool *pgxpool.Pool) (pooled bool, err error) {
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		pooled, err = Between(ctx, conn.Conn())
		return err
	})
	return pooled, err
}
