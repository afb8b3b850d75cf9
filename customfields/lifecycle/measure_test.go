package lifecycle_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
)

// measureVariable is how many records TestMeasure converts, which does not run without it, and
// TestNoWriteIsLost.
const measureVariable = "STRATA_LIFECYCLE_MEASURE"

// TestMeasure converts a field of many records and prints how long that took, the longest
// transaction that there was, and how long a write of one record took meanwhile:
//
//	STRATA_LIFECYCLE_MEASURE=400000 go test -run Measure -v -timeout 1h ./customfields/lifecycle
func TestMeasure(t *testing.T) {
	t.Parallel()
	n, err := strconv.Atoi(os.Getenv(measureVariable))
	if err != nil {
		t.Skip(measureVariable + " does not say how many records")
	}
	w := open(t)
	ctx := w.A.WorkspaceCtx
	w.define(t, customfields.Field{Key: "size", Type: customfields.Text})
	ids := w.fill(t, w.A.Ctx, n, `jsonb_build_object('size', i::text, 'city', 'City ' || i % 1000, 'plan', 'team')`)

	began := time.Now()
	_, err = w.manager.Preview(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	t.Logf("preview of %d values: %s", n, time.Since(began).Round(time.Millisecond))

	var mu sync.Mutex
	writers, stop := sync.WaitGroup{}, make(chan struct{})
	var took []time.Duration
	for range 2 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var lock sync.Mutex
				var last any
				began := time.Now()
				if err := write(w.A.Ctx, w.recipients, ids[rand.IntN(len(ids))], &lock, &last); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	longest := make(chan oldest, 1)
	go func() { longest <- w.longestTransaction(stop) }()

	began = time.Now()
	run, err := w.manager.Convert(ctx, "size", customfields.Number, nil)
	require.NoError(t, err)
	w.work(t)
	step, at := lifecycle.Step(""), time.Now()
	for !run.State.Final() && run.State != lifecycle.Failed {
		if run, err = w.manager.Run(ctx, run.ID); run.Step != step {
			t.Logf("%s: %s after %s", step, time.Since(at).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			step, at = run.Step, time.Now()
		}
		require.NoError(t, err)
		<-time.After(20 * time.Millisecond)
	}
	close(stop)
	writers.Wait()
	require.Equal(t, lifecycle.Done, run.State, run.Error)
	slices.Sort(took)
	t.Logf("converted %d records in %s; longest transaction of anybody %s", n, time.Since(began).Round(time.Millisecond), <-longest)
	t.Logf("%d writes meanwhile: median %s, 99%% %s, longest %s", len(took), took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond), took[len(took)-1].Round(time.Millisecond))
}

// oldest is a transaction that has written, and what it was doing when it was last seen.
type oldest struct {
	age          time.Duration
	waits, doing string
}

func (o oldest) String() string {
	return fmt.Sprintf("%s (%s: %s)", o.age.Round(time.Millisecond), o.waits, o.doing)
}

// longestTransaction looks every few milliseconds how old the oldest transaction is that has
// written: so long at most it has locked a row.
func (w *world) longestTransaction(stop <-chan struct{}) (longest oldest) {
	for {
		select {
		case <-stop:
			return longest
		case <-time.After(5 * time.Millisecond):
		}
		var seen oldest
		var seconds float64
		err := w.Pool.QueryRow(context.Background(), `SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, concat_ws(' ', state, wait_event_type, wait_event), left(query, 120) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND backend_xid IS NOT NULL ORDER BY xact_start LIMIT 1`).Scan(&seconds, &seen.waits, &seen.doing)
		if seen.age = time.Duration(seconds * float64(time.Second)); err == nil && seen.age > longest.age {
			longest = seen
		}
	}
}
