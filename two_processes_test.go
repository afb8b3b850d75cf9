package strata_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// serverVariable makes this test binary a process that serves the database, and with the
// Redis, that it names, says where on its output, and ends when its input does.
const serverVariable = "STRATA_SERVER_CHILD"

// companyHeader holds the company that such a process takes a request's principal to own.
const companyHeader = "X-Company"

func serverChild() int {
	database, redisURL, _ := strings.Cut(os.Getenv(serverVariable), "\n")
	if err := serveUntilEOF(context.Background(), database, redisURL); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveUntilEOF(ctx context.Context, database, redisURL string) error {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	var client redis.UniversalClient
	if redisURL != "" {
		o, err := redis.ParseURL(redisURL)
		if err != nil {
			return err
		}
		c := redis.NewClient(o)
		defer func() { _ = c.Close() }()
		client = c
	}
	s, err := strata.New(ctx, pool, client, &strata.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	h, err := s.Handler(func(r *http.Request) (tenancy.Actor, error) {
		company, err := tenancy.ParseID[tenancy.Company](r.Header.Get(companyHeader))
		return tenancy.Actor{ID: "owner", Type: tenancy.ActorUser, CompanyID: company, Role: access.CompanyOwner}, err
	}, nil)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = server.Close()
	return s.Stop(ctx)
}

// otherProcess returns how a process that serves e's database answers a request for a page
// of c's recipients.
func otherProcess(t *testing.T, e *tenancytest.Env, redisURL string) func(c *tenancytest.Company) int {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+dbtest.PoolURL(t, e.Pool)+"\n"+redisURL)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return func(c *tenancytest.Company) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+strings.TrimSpace(addr)+"/domains/"+c.DomainID.String()+"/recipients", nil)
		require.NoError(t, err)
		r.Header.Set(companyHeader, c.CompanyID.String())
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
}

// What one process changes another enforces. How long that takes is said, not asserted: under
// a second is promised with Redis, ResolverConfig.Lifetime without.
func TestSuspensionIsEnforcedByAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, withRedis := range map[string]bool{"with Redis": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := tenancytest.Open(t)
			var client redis.UniversalClient
			redisURL := ""
			if withRedis {
				client = e.Redis
				redisURL = dbtest.RedisURL(t, e.Redis)
			}
			status := otherProcess(t, e, redisURL)
			s, err := strata.New(t.Context(), e.Pool, client, &strata.Config{Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })

			for _, suspend := range []bool{true, false, true} {
				before, want := 200, 403
				if !suspend {
					before, want = want, before
				}
				require.Eventually(t, func() bool { return status(e.A) == before }, time.Minute, time.Millisecond)
				_, err = s.Tenancy.SetCompanySuspended(e.A.CompanyCtx, suspend)
				require.NoError(t, err)
				start := time.Now()
				require.Eventually(t, func() bool { return status(e.A) == want }, time.Minute, time.Millisecond)
				t.Logf("suspended: %t, enforced by the other process %d ms after the commit was known here", suspend, time.Since(start).Milliseconds())
				require.Equal(t, 200, status(e.B))
			}
		})
	}
}
