package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// TestProgram builds the program and runs it as a person would.
func TestProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "server.exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	o := dbtest.Redis(t).(*redis.Client).Options()
	redisURL := (&url.URL{Scheme: "redis", User: url.UserPassword(o.Username, o.Password), Host: o.Addr, Path: "/" + strconv.Itoa(o.DB)}).String()
	command := func(t *testing.T, databaseURL, redisURL, addr string, args ...string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute) // for one that hangs
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, program, append([]string{"-data", filepath.Join(t.TempDir(), "new")}, args...)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "REDIS_URL="+redisURL, "ADDR="+addr, "STRATA_ENV=", "STRATA_DEV_TOKENS=")
		return cmd
	}
	refused := func(t *testing.T, cmd *exec.Cmd) (stderr string) {
		t.Helper()
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit)
		require.Equal(t, 1, exit.ExitCode())
		require.Empty(t, o.String())
		line, found := strings.CutPrefix(e.String(), "server: ")
		require.True(t, found, e.String())
		line, found = strings.CutSuffix(line, "\n")
		require.True(t, found, e.String())
		require.NotContains(t, line, "\n")
		return line
	}
	const anyPort = "127.0.0.1:0"
	const hint = " (correct it, or unset it to have a server found or started)"
	const nothing = "127.0.0.1:1" // nobody listens there

	t.Run("address taken", func(t *testing.T) {
		t.Parallel()
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", anyPort)
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		require.Equal(t, "cannot listen: listen tcp "+l.Addr().String()+": bind: address already in use: free the port, or set ADDR to another",
			refused(t, command(t, "", "", l.Addr().String())))
	})
	t.Run("extra argument", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, `unexpected argument ":9000": an address to listen on is given in ADDR`, refused(t, command(t, "", "", anyPort, ":9000")))
	})
	t.Run("production", func(t *testing.T) {
		t.Parallel()
		cmd := command(t, "", "", anyPort)
		cmd.Env = append(cmd.Env, "STRATA_ENV=production")
		require.Equal(t, "this example hands out development tokens: it does not run with STRATA_ENV=production", refused(t, cmd))
	})
	for tokens, want := range map[string]string{
		"secret":      `STRATA_DEV_TOKENS: "secret" is not token=userID:companyID:role`,
		"t=u:x:admin": `STRATA_DEV_TOKENS: company of "u": "x": not a valid id: want the 36-character form of a UUID`,
		"t=u:01900000-0000-7000-8000-000000000000:ownr":         `STRATA_DEV_TOKENS: "u:01900000-0000-7000-8000-000000000000:ownr": want a user id and a role such as workspace_admin`,
		"t=:01900000-0000-7000-8000-000000000000:company_owner": `STRATA_DEV_TOKENS: ":01900000-0000-7000-8000-000000000000:company_owner": want a user id and a role such as workspace_admin`,
	} {
		t.Run("tokens "+tokens, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, dbtest.DirectURL(t, dbtest.Database(t, tenancytest.Template())), redisURL, anyPort)
			cmd.Env = append(cmd.Env, "STRATA_DEV_TOKENS="+tokens)
			require.Equal(t, want, refused(t, cmd))
		})
	}
	t.Run("damaged secret", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		name := filepath.Join(data, "secret")
		require.NoError(t, os.WriteFile(name, nil, 0o600))
		cmd := command(t, dbtest.DirectURL(t, dbtest.Database(t, tenancytest.Template())), redisURL, anyPort, "-data", data)
		require.Equal(t, name+" is damaged: remove it, and a new one is made", refused(t, cmd))
	})
	t.Run("DATABASE_URL to a closed port", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "DATABASE_URL: nothing listens at "+nothing+": is PostgreSQL running there?"+hint,
			refused(t, command(t, "postgres://u:secret@"+nothing+"/db", redisURL, anyPort)))
	})
	t.Run("DATABASE_URL with a wrong password", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(dbtest.PostgresServer(t).URL)
		require.NoError(t, err)
		u.User = url.UserPassword(u.User.Username(), "wrong-secret")
		require.Equal(t, fmt.Sprintf("DATABASE_URL: PostgreSQL at %s refuses the password of user %q", u.Host, u.User.Username())+hint,
			refused(t, command(t, u.String(), redisURL, anyPort)))
	})
	t.Run("REDIS_URL to a closed port", func(t *testing.T) {
		t.Parallel()
		pool := dbtest.Database(t, dbtest.Template{})
		require.Equal(t, "REDIS_URL: nothing listens at "+nothing+": is Redis running there?"+hint,
			refused(t, command(t, dbtest.DirectURL(t, pool), "redis://"+nothing, anyPort)))
	})
	t.Run("database newer than the library", func(t *testing.T) {
		t.Parallel()
		pool := dbtest.Database(t, tenancytest.Template())
		_, err := pool.Exec(t.Context(), `UPDATE strata.schema_lines SET version = 99, compatible_from = 99 WHERE line = 'tenancy'`)
		require.NoError(t, err)
		require.Regexp(t, `^tenancy is at version 99, .*: upgrade Strata in this program: `, refused(t, command(t, dbtest.DirectURL(t, pool), redisURL, anyPort)))
	})
	t.Run("stops", func(t *testing.T) {
		t.Parallel()
		stops(t, command(t, dbtest.DirectURL(t, dbtest.Database(t, tenancytest.Template())), redisURL, anyPort, "-json"))
	})
}

// stops ends a server that has a stream open and a request half received: the stream ends,
// the request is answered.
func stops(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // when it is still there
	var f facts
	require.NoError(t, json.NewDecoder(stdout).Decode(&f), "%s", &stderr)

	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	call := func(method, path string, body io.Reader) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, f.Addr+"/domains/"+f.DomainID.String()+path, body)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+f.Token)
		r.Header.Set("Expect", "100-continue") // the body is sent when the server wants to read it
		return transport.RoundTrip(r)
	}
	stream, err := call(http.MethodGet, "/jobs/progress", nil)
	require.NoError(t, err)
	defer func() { _ = stream.Body.Close() }()
	require.Equal(t, http.StatusOK, stream.StatusCode)
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.Addr+riverPath+"/", http.NoBody)
	require.NoError(t, err)
	page.SetBasicAuth("operator", f.AdminToken)
	shown, err := transport.RoundTrip(page)
	require.NoError(t, err)
	require.NoError(t, shown.Body.Close())
	require.Equal(t, http.StatusOK, shown.StatusCode)

	news := bufio.NewReader(stream.Body)
	line, err := news.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "retry: ")

	body, rest := io.Pipe()
	type answer struct {
		response *http.Response
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		response, err := call(http.MethodPost, "/recipients", body)
		_ = body.CloseWithError(err)
		answered <- answer{response, err}
	}()
	_, err = io.WriteString(rest, `{"email":`)
	require.NoError(t, err)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_, err = io.Copy(io.Discard, news)
	require.NoError(t, err, "the stream ends in order")
	_, err = io.WriteString(rest, `"ada@example.com"}`)
	require.NoError(t, err)
	require.NoError(t, rest.Close())
	a := <-answered
	require.NoError(t, a.err)
	require.Equal(t, http.StatusCreated, a.response.StatusCode)
	require.NoError(t, a.response.Body.Close())

	require.NoError(t, cmd.Wait(), "%s", &stderr)
	require.Empty(t, stderr.String())
}

// What was seeded and deleted by somebody is made anew: the example must start again.
func TestSeed(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, tenancytest.Template())
	s, err := strata.New(t.Context(), pool, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	first, err := seed(t.Context(), s)
	require.NoError(t, err)
	again, err := seed(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, first, again)
	ctx := tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: first.CompanyID})
	require.NoError(t, s.Tenancy.DeleteDomain(ctx, first.DomainID))
	moved, err := seed(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, first.WorkspaceID, moved.WorkspaceID)
	require.NotEqual(t, first.DomainID, moved.DomainID)
	require.NoError(t, s.Tenancy.DeleteWorkspace(ctx, first.WorkspaceID))
	anew, err := seed(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, first.CompanyID, anew.CompanyID)
	require.NotEqual(t, first.DomainID, anew.DomainID)
	require.NoError(t, s.Tenancy.DeleteCompany(ctx))
	other, err := seed(t.Context(), s)
	require.NoError(t, err)
	require.NotEqual(t, first.CompanyID, other.CompanyID)
}
