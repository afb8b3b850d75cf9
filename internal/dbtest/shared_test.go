package dbtest_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
)

// clientVariable makes TestClient use a server and wait to be killed.
const clientVariable = "STRATA_DBTEST_TEST_CLIENT"

// TestClient is the other process of TestServersEndAfterTheirLastClient.
func TestClient(t *testing.T) {
	if os.Getenv(clientVariable) == "" {
		t.Skip("started by another test")
	}
	fmt.Println("url", dbtest.Database(t, dbtest.Template{}).Config().ConnString())
	_, err := io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
}

func TestServersEndAfterTheirLastClient(t *testing.T) {
	if os.Getenv("DATABASE_URL") != "" {
		t.Skip("DATABASE_URL names a server that stays")
	}
	t.Parallel()
	tmp, err := os.MkdirTemp("/tmp", "dbtest-") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })

	first, killFirst := startClient(t, tmp)
	second, killSecond := startClient(t, tmp)
	require.Equal(t, serverOf(t, first), serverOf(t, second), "both use one server")
	killFirst()
	require.NoError(t, ping(t, second))
	killSecond()
	require.Eventually(t, func() bool { return ping(t, second) != nil }, time.Minute, 100*time.Millisecond,
		"the server lives on without clients")

	// The next one starts anew.
	third, killThird := startClient(t, tmp)
	require.NoError(t, ping(t, third))
	killThird()
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(tmp, "strata-dbtest-*", "*"))
		require.NoError(t, err)
		return ping(t, third) != nil && len(left) == 1 && filepath.Base(left[0]) == "lock"
	}, time.Minute, 100*time.Millisecond, "the directory of the last keeper is left")
}

// startClient returns the URL of a database and a function that kills its process hard.
func startClient(t *testing.T, tmp string) (url string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestClient$")
	cmd.Env = append(os.Environ(), clientVariable+"=1", "TMPDIR="+tmp)
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
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if url, ok := strings.CutPrefix(lines.Text(), "url "); ok {
			return url, kill
		}
	}
	t.Fatal("the client ended early")
	return "", nil
}

func serverOf(t *testing.T, url string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
}

func ping(t *testing.T, url string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}
