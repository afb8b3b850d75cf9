package backends

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// The tests of this file change the environment, so they run one after the other.

func TestEnvironmentIsTakenFirstAndErrorsAreOneLine(t *testing.T) {
	needLocal(t)
	ctx := t.Context()
	pg, err := localPostgres(ctx, Options{})
	require.NoError(t, err)
	closing(t, pg)
	st := pg.server.(*localServer).st

	t.Setenv("DATABASE_URL", pg.URL)
	got, err := StartPostgres(ctx, Options{})
	require.NoError(t, err)
	require.Equal(t, &Postgres{URL: pg.URL, Source: "environment DATABASE_URL", Kind: Environment}, got)
	require.NoError(t, got.Close())
	require.NoError(t, pingPostgres(ctx, pg.URL), "a server from the environment is not stopped")

	free, err := freePort()
	require.NoError(t, err)
	at := fmt.Sprintf("127.0.0.1:%d", st.Port)
	for _, tt := range []struct{ url, want string }{
		{"postgres://postgres:secret@" + at + "/postgres", `PostgreSQL at ` + at + ` refuses the password of user "postgres"`},
		{strings.Replace(pg.URL, "/postgres?", "/gone?", 1), `PostgreSQL at ` + at + ` has no database "gone": create it with: createdb gone`},
		{fmt.Sprintf("postgres://u:secret@127.0.0.1:%d/db", free), fmt.Sprintf("nothing listens at 127.0.0.1:%d: is PostgreSQL running there?", free)},
		{"postgres://u:secret@host.invalid/db", `host "host.invalid" is not known`},
		{"postgres:///db?host=/nonexistent&user=u&password=secret", "there is no PostgreSQL socket in /nonexistent"},
		{"postgres://u:secret@:x/db", "not a PostgreSQL URL such as postgres://user:password@host:5432/database"},
	} {
		t.Setenv("DATABASE_URL", tt.url)
		_, err := StartPostgres(ctx, Options{})
		require.ErrorContains(t, err, "DATABASE_URL: "+tt.want)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestEnvironmentRedis(t *testing.T) {
	needLocal(t)
	ctx := t.Context()
	rd, err := localRedis(ctx, Options{})
	require.NoError(t, err)
	closing(t, rd)
	t.Setenv("REDIS_URL", rd.URL)
	got, err := StartRedis(ctx, Options{})
	require.NoError(t, err)
	require.Equal(t, &Redis{URL: rd.URL, Source: "environment REDIS_URL", Kind: Environment, Databases: ownDatabases}, got)
	require.True(t, got.Options().ContextTimeoutEnabled, "deadlines of contexts are heeded")

	free, err := freePort()
	require.NoError(t, err)
	for _, tt := range []struct{ url, want string }{
		{"redis://:secret@" + rd.Options().Addr, "Redis at " + rd.Options().Addr + " refuses the password"},
		{fmt.Sprintf("redis://:secret@127.0.0.1:%d", free), fmt.Sprintf("nothing listens at 127.0.0.1:%d: is Redis running there?", free)},
		{"http://:secret@x", "not a Redis URL such as redis://:password@host:6379/0"},
	} {
		t.Setenv("REDIS_URL", tt.url)
		_, err := StartRedis(ctx, Options{})
		require.EqualError(t, err, "REDIS_URL: "+tt.want+" (correct it, or unset it to have a server found or started)")
	}
}

func TestMiniredisIsTheLastResort(t *testing.T) {
	ctx := t.Context()
	t.Setenv("REDIS_URL", "")
	t.Setenv("PATH", t.TempDir())
	if d, err := findDaemon(ctx); err == nil {
		require.NoError(t, d.Close())
		t.Skip("a Docker daemon answers")
	}
	var said []string
	rd, err := StartRedis(ctx, Options{Log: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }})
	require.NoError(t, err)
	closing(t, rd)
	require.Equal(t, InProcess, rd.Kind)
	require.Len(t, said, 3, "a line about each source")
	require.Contains(t, said[1], "no redis-server in PATH")
	require.Equal(t, "Redis: miniredis in process (development only)", said[2])

	c := redis.NewClient(rd.Options())
	defer func() { _ = c.Close() }()
	require.NoError(t, c.Set(ctx, "k", "v", 0).Err())
	require.NoError(t, rd.Stop(ctx))
	require.Error(t, c.Ping(ctx).Err())
	require.NoError(t, rd.Start(ctx))
	require.Equal(t, "v", c.Get(ctx, "k").Val())
}

func TestDataOfOneSourceIsNotOpenedByAnother(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	dir := dataDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis.source"), []byte("elsewhere"), 0o600))
	_, err := StartRedis(t.Context(), Options{DataDir: dir})
	var missing *UnavailableError
	require.ErrorAs(t, err, &missing)
	require.Len(t, missing.Tried, 4)
	require.Contains(t, err.Error(), "miniredis: "+dir+" holds data made by elsewhere")
	require.NotContains(t, err.Error(), "\n")
}

func TestRelativeDataDir(t *testing.T) {
	needLocal(t)
	t.Setenv("DATABASE_URL", "")
	t.Setenv("REDIS_URL", "")
	t.Chdir(dataDir(t))
	require.NoError(t, os.Mkdir("kept", 0o755))
	for _, service := range []string{"postgres", "redis"} { // no volumes in a daemon
		require.NoError(t, setMadeBy(Options{DataDir: "kept"}, service, Local))
	}
	b, err := Start(t.Context(), Options{DataDir: "kept"})
	require.NoError(t, err)
	closing(t, b)
	require.FileExists(t, filepath.Join("kept", "postgres", "data", "PG_VERSION"))
	require.DirExists(t, filepath.Join("kept", "redis", "data"))
}

func TestStartLeavesNothingBehindOnError(t *testing.T) {
	needLocal(t)
	t.Setenv("DATABASE_URL", "")
	t.Setenv("REDIS_URL", "not a URL")
	dir := dataDir(t)
	_, err := Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "REDIS_URL: not a Redis URL")
	require.Empty(t, processesIn(filepath.Join(dir, "postgres", "data")))
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"LOG:  starting\nFATAL:  lock file exists\nLOG:  shut down": "FATAL:  lock file exists",
		"a\nb": "b",
		"":     "",
		"1:M * Server initialized\n1:M # Failed listening on port 1 (TCP), aborting.\n": "1:M # Failed listening on port 1 (TCP), aborting.",
	} {
		require.Equal(t, want, explain(log))
	}
}
