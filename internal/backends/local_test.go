package backends

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// dataDir is a directory that the user that runs the servers can enter.
func dataDir(t *testing.T) string {
	t.Helper()
	u, err := findServerUser()
	require.NoError(t, err)
	root, err := tempRoot(u, false)
	require.NoError(t, err)
	dir, err := os.MkdirTemp(root, "strata-backends-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func closing(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, c.Close()) })
}

// homeOf is where a local server of ours is.
func homeOf(pg *Postgres) *home { return pg.server.(*localServer).home }

func TestLocalPostgresLosesNoCommitWhenKilled(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx := t.Context()
	pg, err := localPostgres(ctx, Options{})
	require.NoError(t, err)
	closing(t, pg)
	require.Equal(t, Local, pg.Kind)
	require.Contains(t, pg.Source, "local binaries /")
	require.True(t, pg.Restartable())

	execSQL(t, pg.URL, "create table t as select 7 as n")
	require.NoError(t, pg.Kill(ctx))
	require.ErrorContains(t, pingPostgres(ctx, pg.URL), "nothing listens at 127.0.0.1")
	require.NoError(t, pg.Start(ctx))
	require.Equal(t, 7, queryInt(t, pg.URL, "select n from t"))
	require.NoError(t, pg.Stop(ctx))
	require.NoError(t, pg.Start(ctx))
	require.NoError(t, pg.Start(ctx), "starting twice does nothing")
	require.Equal(t, 7, queryInt(t, pg.SocketURL, "select n from t"))
}

func TestLocalServersListenOnLoopbackWithPassword(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx := t.Context()
	pg, err := localPostgres(ctx, Options{})
	require.NoError(t, err)
	closing(t, pg)
	u, err := url.Parse(pg.URL)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", u.Hostname())
	u.User = url.UserPassword("postgres", "guess")
	require.EqualError(t, pingPostgres(ctx, u.String()),
		"PostgreSQL at "+u.Host+` refuses the password of user "postgres"`)
	u.User = url.User("postgres")
	require.ErrorContains(t, pingPostgres(ctx, u.String()), "password")

	rd, err := localRedis(ctx, Options{})
	require.NoError(t, err)
	closing(t, rd)
	_, err = pingRedis(ctx, "redis://:guess@"+rd.Options().Addr+"/0")
	require.EqualError(t, err, "Redis at "+rd.Options().Addr+" refuses the password")
	_, err = pingRedis(ctx, "redis://"+rd.Options().Addr+"/0")
	require.ErrorContains(t, err, "wants a password")
}

func TestLocalTemporaryDataIsRemoved(t *testing.T) {
	t.Parallel()
	needLocal(t)
	pg, err := localPostgres(t.Context(), Options{})
	require.NoError(t, err)
	dir := homeOf(pg).dir
	require.DirExists(t, dir)
	require.NoError(t, pg.Close())
	require.NoDirExists(t, dir)
}

func TestLocalDataDirKeepsDataAndPort(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx := t.Context()
	opts := Options{DataDir: dataDir(t), Durable: true}

	pg, err := localPostgres(ctx, opts)
	require.NoError(t, err)
	execSQL(t, pg.URL, "create table t as select 7 as n")
	require.NoError(t, pg.Close())
	rd, err := localRedis(ctx, opts)
	require.NoError(t, err)
	c := redis.NewClient(rd.Options())
	require.NoError(t, c.Set(ctx, "k", "v", 0).Err())
	require.NoError(t, c.Close())
	require.NoError(t, rd.Close())

	again, err := localPostgres(ctx, opts)
	require.NoError(t, err)
	require.Equal(t, pg.URL, again.URL)
	require.Equal(t, 7, queryInt(t, again.URL, "select n from t"))
	require.NoError(t, again.Close())
	rd, err = localRedis(ctx, opts)
	require.NoError(t, err)
	closing(t, rd)
	c = redis.NewClient(rd.Options())
	defer func() { _ = c.Close() }()
	require.Equal(t, "v", c.Get(ctx, "k").Val())

	// The port has been taken meanwhile.
	u, err := url.Parse(pg.URL)
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", u.Host)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	moved, err := localPostgres(ctx, opts)
	require.NoError(t, err)
	closing(t, moved)
	require.NotEqual(t, pg.URL, moved.URL)
}

func TestLocalDataDirIsShared(t *testing.T) {
	t.Parallel()
	needLocal(t)
	dir := dataDir(t)
	pgURL, rdURL, _ := startChild(t, "local:"+dir)

	pg, err := localPostgres(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	closing(t, pg)
	require.Equal(t, pgURL, pg.URL)
	require.Contains(t, pg.Source, "shared with the process that started it")
	require.ErrorIs(t, pg.Stop(t.Context()), ErrNotRestartable)
	rd, err := localRedis(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	closing(t, rd)
	require.Equal(t, rdURL, rd.URL)
}

func TestServersDieWithAKilledProcess(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx := t.Context()
	dir := dataDir(t)
	pgURL, rdURL, kill := startChild(t, "local:"+dir)
	execSQL(t, pgURL, "create table t as select 7 as n")
	kill()

	// No wait: the next start copes with servers that are just ending.
	pg, err := localPostgres(ctx, Options{DataDir: dir})
	require.NoError(t, err)
	closing(t, pg)
	require.True(t, pg.Restartable(), "a new server, not the dead process's")
	require.Equal(t, 7, queryInt(t, pg.URL, "select n from t"))
	rd, err := localRedis(ctx, Options{DataDir: dir})
	require.NoError(t, err)
	closing(t, rd)
	require.Equal(t, rdURL, rd.URL, "the port is free again")
}

func TestTemporaryServersOfAKilledProcessAreSwept(t *testing.T) {
	t.Parallel()
	needLocal(t)
	pgURL, _, kill := startChild(t, "local:")
	conn := queryData(t, pgURL)
	kill()
	home := filepath.Dir(conn)
	require.Eventually(t, func() bool { return len(processesIn(conn)) == 0 }, time.Minute, 10*time.Millisecond,
		"PostgreSQL lives on after its process was killed")
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(home, old, old))
	require.Eventually(t, func() bool { // another process may be sweeping just now
		sweep(filepath.Dir(home))
		_, err := os.Stat(home)
		return os.IsNotExist(err)
	}, time.Minute, 10*time.Millisecond)
}

// queryData asks a server for its data directory.
func queryData(t *testing.T, url string) (dir string) {
	t.Helper()
	execSQL(t, url, "select 1")
	conn := connect(t, url)
	require.NoError(t, conn.QueryRow(t.Context(), "show data_directory").Scan(&dir))
	return dir
}

func TestLocalPostgresSurvivesAStalePidFile(t *testing.T) {
	t.Parallel()
	needLocal(t)
	dir := dataDir(t)
	pg, err := localPostgres(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	require.NoError(t, pg.Close())
	// As after a kill, with the number now another process's: PostgreSQL alone refuses.
	pid := fmt.Sprintf("%d\n%s\n1\n5432\n\n127.0.0.1\n0 0\nready\n", os.Getppid(), homeOf(pg).data())
	require.NoError(t, os.WriteFile(filepath.Join(homeOf(pg).data(), "postmaster.pid"), []byte(pid), 0o600))
	pg, err = localPostgres(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	closing(t, pg)
}

func TestLocalDataDirOfAnotherVersion(t *testing.T) {
	t.Parallel()
	needLocal(t)
	dir := dataDir(t)
	data := filepath.Join(dir, "postgres", "data")
	require.NoError(t, os.MkdirAll(data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600))
	_, err := localPostgres(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "was made by PostgreSQL 9, and only ")
}

func TestLocalDataDirWithoutPermission(t *testing.T) {
	t.Parallel()
	needLocal(t)
	dir := dataDir(t)
	require.NoError(t, os.Chmod(dir, 0o600))
	_, err := localPostgres(t.Context(), Options{DataDir: filepath.Join(dir, "x")})
	require.Error(t, err)
	if os.Geteuid() == 0 {
		require.ErrorContains(t, err, "cannot enter "+dir)
	} else {
		require.ErrorContains(t, err, "permission denied")
	}
	require.NoError(t, os.Chmod(dir, 0o700))
}

func TestPathVersion(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]int{"/usr/lib/postgresql/17/bin": 17, "/opt/homebrew/opt/postgresql@16/bin": 16, "/x": 0} {
		require.Equal(t, want, pathVersion(dir), strconv.Quote(dir))
	}
}

func TestDefaultDataDir(t *testing.T) {
	cache := t.TempDir() // root's home or not: the servers' user cannot enter this one
	t.Setenv("XDG_CACHE_HOME", cache)
	require.NoError(t, os.Chmod(cache, 0o700))
	dir, err := DefaultDataDir("test-of-backends")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	u, err := findServerUser()
	require.NoError(t, err)
	require.NoError(t, u.canEnter(filepath.Join(dir, "x")))
}
