package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// childVariable makes this test binary a process that works on runs in the database it
// names, in batches of few records, until it is killed.
const childVariable = "STRATA_LIFECYCLE_CHILD"

func child() int {
	fmt.Fprintln(os.Stderr, workOn(os.Getenv(childVariable)))
	return 1
}

func workOn(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), within()) // if its parent dies
	defer cancel()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	db, err := tenancy.NewDB(pool, nil)
	if err != nil {
		return err
	}
	recorder, err := audit.NewRecorder(db, nil)
	if err != nil {
		return err
	}
	catalog, err := billing.NewCatalog()
	if err != nil {
		return err
	}
	limits, err := billing.NewLimits(db, catalog, recorder, nil)
	if err != nil {
		return err
	}
	fields, err := customfields.NewRegistry(db, nil, limits, recorder, &customfields.Config{Lifetime: lifetime})
	if err != nil {
		return err
	}
	cfg := managerConfig()
	if os.Getenv(measureVariable) == "" {
		cfg.BatchTime = time.Nanosecond // the smallest batches
	}
	m, err := lifecycle.NewManager(db, fields, recorder, cfg)
	if err != nil {
		return err
	}
	return m.Work(ctx)
}

// startChild starts the process, and returns what kills it.
func startChild(t *testing.T, w *world) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, w.Pool))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return func() {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}
}

// A field becomes a number while writers in two processes, whose definitions are as old as
// they may be, set and clear it all the time, and the process that does it is killed twice:
// every record has the value that was written last.
func TestNoWriteIsLost(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	records := 3000
	if n, err := strconv.Atoi(os.Getenv(measureVariable)); err == nil {
		records = n
	}
	ids := w.fill(t, w.A.Ctx, records, `jsonb_build_object('size', i::text)`)
	type row struct {
		sync.Mutex
		last any // as a number, nil for none
	}
	rows := make([]row, len(ids))
	for i := range rows {
		rows[i].last = float64(i + 1)
	}
	var writes atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	failed := make(chan error, 8)
	for range 4 {
		store := w.store(t, w.registry(t))
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := rand.IntN(len(ids))
				if err := write(w.A.Ctx, store, ids[i], &rows[i].Mutex, &rows[i].last); err != nil {
					failed <- err
					return
				}
				writes.Add(1)
			}
		})
	}
	longest := make(chan oldest, 1)
	go func() { longest <- w.longestTransaction(stop) }()
	began := time.Now()
	run, err := w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	kill := startChild(t, w)
	w.until(t, ctx, run.ID, func(r lifecycle.Run) bool {
		return r.Step == lifecycle.Fill && r.Processed > int64(records)/6 || r.State != lifecycle.Running
	})
	kill()
	kill = startChild(t, w)
	killed := w.until(t, ctx, run.ID, func(r lifecycle.Run) bool {
		return r.Step == lifecycle.Clean && r.Processed > int64(records)/6 || r.State != lifecycle.Running
	})
	kill()
	require.Equal(t, lifecycle.Running, killed.State, killed.Error)
	w.work(t)
	run = w.await(t, ctx, run.ID)
	close(stop)
	writers.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err)
	default:
	}
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	require.EqualValues(t, len(ids), run.Processed)
	require.Zero(t, run.Lost)
	t.Logf("%d records converted in %s, %d writes meanwhile, longest transaction of anybody %s", records, time.Since(began).Round(time.Millisecond), writes.Load(), <-longest)
	stored := w.stored(t, w.A.DomainID)
	for i, id := range ids {
		want := map[string]any{}
		if rows[i].last != nil {
			want["size~2"] = rows[i].last
		}
		require.Equal(t, want, stored[id], "record %d", i)
	}
}

// write sets or clears the field of a record, as text or, where that is refused because it
// is a number by now, as a number, and notes which value it has.
func write(ctx context.Context, store *recipients.Store, id recipients.ID, mu *sync.Mutex, last *any) error {
	mu.Lock()
	defer mu.Unlock()
	n := rand.IntN(1_000_000)
	number := any(float64(n))
	values := []any{strconv.Itoa(n), number}
	if n%10 == 0 {
		number, values = nil, []any{nil}
	}
	var invalid *tenancy.ValidationError
	for _, value := range values {
		_, err := store.Update(ctx, id, recipients.Change{CustomFields: map[string]any{"size": value}})
		switch {
		case err == nil:
			*last = number
			return nil
		case !errors.As(err, &invalid) || invalid.Fields[0].Code != "wrong_type":
			return err
		}
	}
	return nil // between the two its definitions have changed
}
