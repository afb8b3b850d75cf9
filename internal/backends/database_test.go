package backends

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// foreignWorker is a connection beside a session that its login may not end, which goes
// away after the first statement, as an autovacuum worker does when it is asked to.
type foreignWorker struct {
	*pgx.Conn
	session *pgx.Conn
	codes   []string // of the errors
}

func (w *foreignWorker) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := w.Conn.Exec(ctx, sql, args...)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		w.codes = append(w.codes, pgErr.Code)
	}
	return tag, errors.Join(err, w.session.Close(ctx))
}

func TestDropDatabaseBesideAWorkerOfTheServer(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx := t.Context()
	pg, err := localPostgres(ctx, Options{})
	require.NoError(t, err)
	closing(t, pg)
	execSQL(t, pg.URL, "create role product login createdb password 'product'")
	execSQL(t, pg.URL, "create database gone owner product")
	cfg, err := pgx.ParseConfig(pg.URL)
	require.NoError(t, err)
	cfg.User, cfg.Password = "product", "product"
	product, err := pgx.ConnectConfig(ctx, cfg)
	require.NoError(t, err)
	defer func() { _ = product.Close(ctx) }()

	// A session of its own, as a pooler keeps one.
	own := cfg.Copy()
	own.Database = "gone"
	kept, err := pgx.ConnectConfig(ctx, own)
	require.NoError(t, err)
	defer func() { _ = kept.Close(ctx) }()

	w := &foreignWorker{Conn: product, session: connect(t, strings.Replace(pg.URL, "/postgres?", "/gone?", 1))}
	require.NoError(t, DropDatabase(ctx, w, "gone"))
	require.Equal(t, []string{"42501"}, w.codes)
	require.Zero(t, queryInt(t, pg.URL, "select count(*) from pg_database where datname = 'gone'"))
	require.NoError(t, DropDatabase(ctx, product, "gone"), "it is gone already")
}
