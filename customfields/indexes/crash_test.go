package indexes_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/indexes"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that does one step on the database it names.
const childVariable = "STRATA_INDEXES_CHILD"

func child() int {
	err := func() error {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, os.Getenv(childVariable))
		if err != nil {
			return err
		}
		db, err := tenancy.NewDB(pool, nil)
		if err != nil {
			return err
		}
		cfg := eager()
		cfg.LockTimeout = within
		a, err := indexes.New(db, &cfg)
		if err != nil {
			return err
		}
		_, err = a.Step(ctx)
		return errors.Join(err, errors.New("nobody killed it"))
	}()
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// hold begins a transaction that has written, for which every build waits, and returns what
// ends it.
func (w *world) hold(t *testing.T) (release func()) {
	t.Helper()
	tx, err := w.direct.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE strata.recipients SET version = version`)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(context.Background())) }
}

// A process is killed while its build waits: what it leaves is taken away and built anew.
func TestKilledWhileBuilding(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 2000)
	w.filter(t, w.A, `fields.seats > 5`)
	w.advisor.Recipients().Ready(t.Context())
	release := w.hold(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dbtest.DirectURL(t, w.Pool))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	building := func() bool {
		rows := w.catalog(t)
		return len(rows) == 1 && rows[0] == "seats invalid"
	}
	require.Eventually(t, building, within, 5*time.Millisecond)
	require.Zero(t, w.step(t, w.advisor), "another builds")
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "killed")
	require.Equal(t, []string{"seats number building"}, w.list(t))
	require.False(t, w.advisor.Recipients().Ready(t.Context())("seats", customfields.Number))
	require.Eventually(t, func() bool {
		var held bool
		require.NoError(t, w.direct.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&held))
		return !held
	}, within, 5*time.Millisecond, "PostgreSQL notices that the process has died, although its build waits")
	require.Equal(t, []string{"seats invalid"}, w.catalog(t))
	release()
	require.Equal(t, 1, w.step(t, w.advisor))
	require.Equal(t, []string{"seats number ready"}, w.list(t))
	require.Equal(t, []string{"seats valid"}, w.catalog(t))
}

// Wherever else a process may have died, the next step goes on.
func TestGoesOnWhereAnotherDied(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 100)
	require.NoError(t, w.advisor.Create(t.Context(), "strata", "recipients", "seats", customfields.Number))
	ready := func() bool { return w.advisor.Recipients().Ready(t.Context())("seats", customfields.Number) }
	for _, died := range []string{
		`DROP INDEX strata.%[1]s; UPDATE strata.field_indexes SET state = 'building'`,
		`DROP STATISTICS strata.%[1]s; UPDATE strata.field_indexes SET state = 'building'`,
		`UPDATE strata.field_indexes SET state = 'building' WHERE index_name = '%[1]s'`,
		`DROP INDEX strata.%[1]s`, // by hand
	} {
		require.True(t, ready())
		all, err := w.advisor.List(t.Context())
		require.NoError(t, err)
		w.exec(t, fmt.Sprintf(died, all[0].Name))
		require.False(t, ready(), died)
		require.Equal(t, 1, w.step(t, w.advisor), died)
		require.Equal(t, []string{"seats number ready"}, w.list(t), died)
		require.Equal(t, []string{"seats valid"}, w.catalog(t), died)
		var statistics int
		require.NoError(t, w.direct.QueryRow(t.Context(), `SELECT count(*) FROM pg_statistic_ext`).Scan(&statistics))
		require.Equal(t, 1, statistics, died)
	}
	w.exec(t, `UPDATE strata.field_indexes SET state = 'dropping'`)
	require.False(t, ready())
	require.Equal(t, 1, w.step(t, w.advisor))
	require.Empty(t, w.list(t))
	require.Empty(t, w.catalog(t))
}

// A build that cannot get its lock fails, leaves nothing, is tried again later and not at
// once, and works then.
func TestFailedBuild(t *testing.T) {
	t.Parallel()
	cfg := eager()
	cfg.LockTimeout = time.Millisecond
	w := open(t, cfg)
	w.fill(t, w.A, 100)
	w.filter(t, w.A, `fields.seats > 5`)
	release := w.hold(t)
	done, err := w.advisor.Step(t.Context())
	require.ErrorContains(t, err, "lock timeout")
	require.Zero(t, done)
	require.Equal(t, []string{"seats number failed"}, w.list(t))
	all, err := w.advisor.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, all[0].Attempts)
	require.Contains(t, all[0].Error, "lock timeout")
	require.WithinRange(t, *all[0].RetryAt, all[0].ChangedAt.Add(14*time.Minute), all[0].ChangedAt.Add(16*time.Minute))
	release()
	require.Zero(t, w.step(t, w.advisor), "not yet")
	w.exec(t, `UPDATE strata.field_indexes SET retry_at = now()`)
	patient := w.another(t, eager())
	require.Equal(t, 1, w.step(t, patient))
	require.Equal(t, []string{"seats number ready"}, w.list(t))
	require.Equal(t, []string{"seats valid"}, w.catalog(t))
	all, err = w.advisor.List(t.Context())
	require.NoError(t, err)
	require.Zero(t, all[0].Attempts)
	require.Empty(t, all[0].Error)
}

func TestManyProcessesBuildOnce(t *testing.T) {
	t.Parallel()
	w := open(t, eager())
	w.fill(t, w.A, 1000)
	w.filter(t, w.A, `fields.seats > 5 && fields.city > "a"`)
	w.advisor.Recipients().Ready(t.Context())
	var g errgroup.Group
	total := make(chan int, 8)
	for range 6 {
		a := w.another(t, eager())
		g.Go(func() error {
			done, err := a.Step(t.Context())
			total <- done
			return err
		})
	}
	for range 2 {
		a := w.another(t, eager())
		g.Go(func() error { return a.Create(t.Context(), "strata", "recipients", "seats", customfields.Number) })
	}
	require.NoError(t, g.Wait())
	close(total)
	w.step(t, w.advisor)
	require.Equal(t, []string{"city text ready", "seats number ready"}, w.list(t))
	require.Equal(t, []string{"city valid", "seats valid"}, w.catalog(t))
}
