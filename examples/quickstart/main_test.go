package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/backends"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// TestProgram builds the program and runs it as a person would.
func TestProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "quickstart.exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	o := dbtest.Redis(t).(*redis.Client).Options()
	redisURL := (&url.URL{Scheme: "redis", User: url.UserPassword(o.Username, o.Password), Host: o.Addr, Path: "/" + strconv.Itoa(o.DB)}).String()
	run := func(t *testing.T, databaseURL, redisURL string, args ...string) (stdout, stderr string, status int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for one that hangs
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "REDIS_URL="+redisURL)
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); err != nil {
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	refused := func(t *testing.T, want, stderr string, status int) {
		t.Helper()
		lines := strings.SplitAfter(stderr, "\n") // a slow machine may have it warn before that
		require.GreaterOrEqual(t, len(lines), 2, stderr)
		require.Equal(t, "quickstart: "+want+"\n", lines[len(lines)-2])
		require.Equal(t, 1, status)
	}

	files := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(files, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	good := file("good.csv", []byte("email,name\nada@example.com,Ada\n"))
	const nothing = "127.0.0.1:1" // nobody listens there

	// Refused before anything is looked for.
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"unknown file":   {[]string{"-file", "no.csv"}, "cannot read the file: open no.csv: no such file or directory"},
		"directory":      {[]string{"-file", files}, files + " is a directory: give a CSV file"},
		"negative rows":  {[]string{"-rows", "-3"}, "-rows -3: give a positive number"},
		"file and rows":  {[]string{"-file", good, "-rows", "3"}, "give -file or -rows, not both"},
		"extra argument": {[]string{good}, fmt.Sprintf("unexpected argument %q: a file is given with -file", good)},
		"data is a file": {[]string{"-file", good, "-data", good}, good + " is not a directory: give one for the data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			_, stderr, status := run(t, "", "", append([]string{"-data", data}, tt.args...)...)
			refused(t, tt.want, stderr, status)
			require.NoDirExists(t, data)
		})
	}
	t.Run("file without permission", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		closed := file("closed.csv", nil)
		require.NoError(t, os.Chmod(closed, 0))
		_, stderr, status := run(t, "", "", "-data", t.TempDir(), "-file", closed)
		refused(t, "cannot read the file: open "+closed+": permission denied", stderr, status)
	})

	// Refused once the library has seen them.
	for name, tt := range map[string]struct {
		content []byte
		want    string
	}{
		"PNG":             {[]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "this is an image: save it as CSV (UTF-8) and import that"},
		"Excel":           {workbook(t), "this is an Office file, and no workbook with sheets in XML: save the list as XLSX or CSV (UTF-8) and import that"},
		"empty":           {nil, "the file is empty: it needs a header and rows"},
		"blank lines":     {[]byte("\n\n"), "the file holds blank lines only: it needs a header and rows"},
		"header only":     {[]byte("email,name\n"), "the file has a header and no rows: add one row per recipient"},
		"no email column": {[]byte("name,city\nAda,Oslo\n"), `no column looks like an email address among "name", "city": call it "email", or say which one is with the mapping {"<column>": "email"}`},
		"header twice":    {[]byte("email,name,Name\na@example.com,a,b\n"), `columns 2 and 3 are both called "Name": rename or remove one`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := file(strings.ReplaceAll(name, " ", "-")+".csv", tt.content)
			pool := dbtest.Database(t, tenancytest.Template())
			_, stderr, status := run(t, dbtest.DirectURL(t, pool), redisURL, "-data", t.TempDir(), "-file", bad)
			refused(t, bad+": "+tt.want, stderr, status)
			db, err := tenancy.NewDB(pool, nil)
			require.NoError(t, err)
			defer func() { _ = db.Close() }()
			var left []string
			require.NoError(t, db.ReadTrusted(t.Context(), `SELECT status FROM strata.imports UNION ALL SELECT email FROM strata.recipients`, nil, func(rows pgx.Rows) (err error) {
				left, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			}))
			require.Equal(t, []string{"cancelled"}, left)
		})
	}

	// Servers that do not do.
	const hint = " (correct it, or unset it to have a server found or started)"
	t.Run("DATABASE_URL to a closed port", func(t *testing.T) {
		t.Parallel()
		_, stderr, status := run(t, "postgres://u:secret@"+nothing+"/db", redisURL, "-data", t.TempDir(), "-file", good)
		refused(t, "DATABASE_URL: nothing listens at "+nothing+": is PostgreSQL running there?"+hint, stderr, status)
	})
	t.Run("REDIS_URL to a closed port", func(t *testing.T) {
		t.Parallel()
		pool := dbtest.Database(t, dbtest.Template{})
		_, stderr, status := run(t, dbtest.DirectURL(t, pool), "redis://"+nothing, "-data", t.TempDir(), "-file", good)
		refused(t, "REDIS_URL: nothing listens at "+nothing+": is Redis running there?"+hint, stderr, status)
		var touched bool
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT to_regnamespace('strata') IS NOT NULL`).Scan(&touched))
		require.False(t, touched)
	})
	t.Run("DATABASE_URL with a wrong password", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(dbtest.PostgresServer(t).URL)
		require.NoError(t, err)
		u.User = url.UserPassword(u.User.Username(), "wrong-secret")
		_, stderr, status := run(t, u.String(), redisURL, "-data", t.TempDir(), "-file", good)
		refused(t, fmt.Sprintf("DATABASE_URL: PostgreSQL at %s refuses the password of user %q", u.Host, u.User.Username())+hint, stderr, status)
	})
	t.Run("database newer than the library", func(t *testing.T) {
		t.Parallel()
		pool := dbtest.Database(t, tenancytest.Template())
		_, err := pool.Exec(t.Context(), `UPDATE strata.schema_lines SET version = 99, compatible_from = 99 WHERE line = 'tenancy'`)
		require.NoError(t, err)
		_, stderr, status := run(t, dbtest.DirectURL(t, pool), redisURL, "-data", t.TempDir(), "-file", good)
		require.Regexp(t, `^quickstart: .*tenancy is at version 99, .*upgrade Strata in this program: .*\n$`, stderr)
		require.Equal(t, 1, status)
	})

	t.Run("servers of its own end with it", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("starts servers of its own")
		}
		data := openDir(t)
		for _, name := range []string{"postgres.source", "redis.source"} { // a container would leave a volume
			require.NoError(t, os.WriteFile(filepath.Join(data, name), []byte(backends.Local), 0o600))
		}
		bad := file("own.csv", []byte("name\nAda\n"))
		_, stderr, status := run(t, "", "", "-data", data, "-file", bad)
		if strings.Contains(stderr, "no PostgreSQL found") || strings.Contains(stderr, "no Redis found") {
			t.Skip("not on this machine: ", stderr)
		}
		require.Contains(t, stderr, "no column looks like an email address")
		require.Equal(t, 1, status)
		noneLeft(t, data)
		stdout, stderr, status := run(t, "", "", "-data", data, "-file", good) // what failed is in nobody's way
		require.Empty(t, stderr)
		require.Zero(t, status)
		require.Contains(t, stdout, "1 rows in file = 1 inserted")
		noneLeft(t, data)
	})
}

// workbook is the beginning of what a spreadsheet program saves.
func workbook(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("[Content_Types].xml")
	require.NoError(t, err)
	_, err = w.Write([]byte(`<?xml version="1.0"?><Types/>`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// openDir is a temporary directory that root's servers, which run as another user, can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "strata-example-") //nolint:usetesting // the parent of t.TempDir is closed to others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // see above
	return dir
}

// noneLeft fails when a server that was started on data still answers.
func noneLeft(t *testing.T, data string) {
	t.Helper()
	require.NoFileExists(t, filepath.Join(data, "postgres", "data", "postmaster.pid"))
	for _, name := range []string{"postgres", "redis"} {
		raw, err := os.ReadFile(filepath.Join(data, name, "state.json"))
		require.NoError(t, err)
		var at struct {
			Host string `json:"host"`
			Port int    `json:"port"`
		}
		require.NoError(t, json.Unmarshal(raw, &at))
		_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort(at.Host, strconv.Itoa(at.Port)))
		require.Error(t, err, "%s still runs", name)
	}
}
