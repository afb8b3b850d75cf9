package move_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// childVariable makes this test binary a process that works on the moves of the database it
// names, until it is killed.
const childVariable = "STRATA_MOVE_CHILD"

// rowsVariable is how many recipients the domain of TestKilledThreeTimes has, unless 20,000.
const rowsVariable = "STRATA_MOVE_ROWS"

func child() int {
	fmt.Fprintln(os.Stderr, work(os.Getenv(childVariable)))
	return 1
}

func work(databaseURL string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	size, err := strconv.Atoi(os.Getenv(rowsVariable))
	if err != nil {
		return err
	}
	s, err := strata.New(ctx, pool, nil, &strata.Config{Log: log, Move: move.Config{BatchRows: size / 60, Lease: time.Second, Poll: 50 * time.Millisecond}})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	time.Sleep(5 * time.Minute) // its parent kills it
	return errors.New("nobody killed it")
}

// spawn starts a process that works on moves, and returns what kills it.
func (w *world) spawn(t *testing.T, rows int) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), rowsVariable+"="+strconv.Itoa(rows), childVariable+"="+dbtest.PoolURL(t, w.Pool))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return func() {
		t.Helper()
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}
}

// all is a digest of every row of the domain of A but for where it is.
func (w *world) all(t *testing.T, ctx context.Context) (digest string) {
	t.Helper()
	require.NoError(t, w.DB.Read(ctx, `SELECT (SELECT md5(string_agg((to_jsonb(r) - 'company_id' - 'workspace_id')::text, '' ORDER BY id)) FROM strata.recipients r WHERE domain_id = $1)
		|| (SELECT md5(string_agg((to_jsonb(p) - 'company_id' - 'workspace_id')::text, '' ORDER BY course, day)) FROM academy.progress p WHERE domain_id = $1)`,
		[]any{w.A.DomainID}, func(rows pgx.Rows) (err error) {
			digest, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			return err
		}))
	return digest
}

// A process that moves a domain to another company is killed three times, somewhere, while
// others try to write to the domain all the time. In the end everything is where it should
// be, and nobody got anything in.
func TestKilledThreeTimes(t *testing.T) {
	t.Parallel()
	n := 20_000
	if v := os.Getenv(rowsVariable); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	w := open(t) // only starts the move
	w.fill(t, n)
	w.academy(t, n/4)
	before := w.all(t, w.A.Ctx)
	began := time.Now()
	_, err := w.Mover.Start(platform(w.A.Ctx), w.B.WorkspaceID)
	require.NoError(t, err)

	var refused, accepted atomic.Int64
	stop, writer := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(writer)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, err := w.Recipients.Create(w.A.Ctx, recipients.New{Email: fmt.Sprintf("late%d@example.com", i)})
			if errors.Is(err, tenancy.ErrMoving) || errors.Is(err, tenancy.ErrNotFound) {
				refused.Add(1)
			} else {
				accepted.Add(1)
			}
		}
	}()

	kill := w.spawn(t, n)
	for i := range int64(3) {
		at := int64(n+n/4) * (i*100 + rand.Int64N(100)) / 300
		require.Eventually(t, func() bool {
			m, err := w.Mover.Get(platform(w.A.Ctx))
			require.NoError(t, err)
			rewritten, _ := m.Rows()
			return rewritten > at || m.State.Final()
		}, within, time.Millisecond)
		time.Sleep(rand.N(30 * time.Millisecond)) // somewhere: in a batch, between two, in the flip
		kill()
		kill = w.spawn(t, n)
	}
	m := w.until(t, move.Done)
	kill()
	close(stop)
	<-writer
	t.Logf("%d rows in %s, %d writes refused", n+n/4, time.Since(began).Round(time.Millisecond), refused.Load())

	require.Zero(t, accepted.Load())
	require.Positive(t, refused.Load())
	tenant, err := w.Resolver.ResolveDomain(t.Context(), w.A.DomainID)
	require.NoError(t, err)
	for tries := 0; tenant.CompanyID != w.B.CompanyID && tries < 1000; tries++ { // no Redis in the children: word is late
		w.Resolver.Forget(t.Context(), w.A.CompanyID)
		tenant, err = w.Resolver.ResolveDomain(t.Context(), w.A.DomainID)
		require.NoError(t, err)
	}
	require.Equal(t, w.B.WorkspaceID, tenant.WorkspaceID)
	ctx := tenancy.WithTenant(t.Context(), tenant)
	require.Equal(t, before, w.all(t, ctx), "the rows are what they were")
	for table, rows := range map[string]int{"strata.recipients": n, "academy.progress": n / 4} {
		require.Equal(t, rows, w.at(t, table, m.To), table)
		require.Equal(t, rows, w.count(t, ctx, `SELECT count(*) FROM `+table+` WHERE domain_id = $1`, w.A.DomainID), table)
	}
	rewritten, _ := m.Rows()
	require.EqualValues(t, n+n/4+w.count(t, ctx, `SELECT count(*) FROM strata.recipient_counts WHERE domain_id = $1`, w.A.DomainID), rewritten, "each row once")
	require.Equal(t, []int64{0, 0, int64(n), 2},
		[]int64{w.used(t, w.A, "recipients"), w.used(t, w.A, "domains"), w.used(t, w.B, "recipients"), w.used(t, w.B, "domains")})
	require.Equal(t, []string{"domain.moved_out"}, w.trail(t, w.A, "domain.moved%"), "it went over once")
	_, err = w.Recipients.Create(ctx, recipients.New{Email: "new@example.com"})
	require.NoError(t, err)
}
