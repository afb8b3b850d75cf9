package backends

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childVariable makes this binary start servers on the directory it holds (empty after the
// colon: a temporary one), "local:" or "docker:" first, and wait to be killed. "daemon" makes
// it look for a Docker daemon only: testcontainers-go looks once in a process.
const childVariable = "STRATA_BACKENDS_TEST_CHILD"

func TestMain(m *testing.M) {
	if v, ok := os.LookupEnv(childVariable); ok {
		if err := child(v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(v string) error {
	ctx := context.Background()
	kind, dir, _ := strings.Cut(v, ":")
	if kind == "daemon" {
		_, err := findDaemon(ctx)
		return err
	}
	pgStart, rdStart := localPostgres, localRedis
	if kind == "docker" {
		pgStart, rdStart = dockerPostgres, dockerRedis
	}
	pg, err := pgStart(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	rd, err := rdStart(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	fmt.Println(pg.URL)
	fmt.Println(rd.URL)
	_, err = io.Copy(io.Discard, os.Stdin) // until killed
	return err
}

// startChild returns the URLs of the child's servers and a function that kills it hard.
func startChild(t *testing.T, v string) (pgURL, rdURL string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childVariable+"="+v)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(stdout)
	for _, u := range []*string{&pgURL, &rdURL} {
		require.True(t, lines.Scan(), "the child ended early")
		*u = lines.Text()
	}
	return pgURL, rdURL, kill
}

// needLocal skips where the binaries are not installed.
func needLocal(t *testing.T) {
	t.Helper()
	if found, reasons := findBinaries(t.Context()); len(found) == 0 {
		t.Skip("no PostgreSQL binaries on this machine: ", reasons)
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
}

// execSQL runs one statement on a connection of its own.
func execSQL(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func queryInt(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n))
	return n
}
