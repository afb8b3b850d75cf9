package backends

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// endSessions ends what clients have open on a database, as far as the login may. A pooler
// keeps its sessions open when its own clients have gone.
const endSessions = `select pg_terminate_backend(pid) from pg_stat_activity
	where datname = $1 and backend_type = 'client backend' and pg_has_role(usesysid, 'member')`

// DropDatabase drops a database, if it is there, together with its connections. db is a
// connection or a pool on another database, of a login that may drop this one.
func DropDatabase(ctx context.Context, db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, name string,
) error {
	drop := "drop database if exists " + pgx.Identifier{name}.Sanitize()
	_, err := db.Exec(ctx, drop+" with (force)")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		// An autovacuum worker is there, and a login that is no superuser may not end it.
		// Without force PostgreSQL does so itself, but then the sessions are ours to end.
		if _, err := db.Exec(ctx, endSessions, name); err != nil {
			return fmt.Errorf("end the sessions of the database %s: %w", name, err)
		}
		_, err = db.Exec(ctx, drop)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", drop, err)
	}
	return nil
}
