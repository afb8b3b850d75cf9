package filter_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/customfields/filter"
)

// go test ./customfields/filter -run TestSQLAgreesWithCEL -filter.expressions 100000 -v
var (
	expressions = flag.Int("filter.expressions", 2000, "how many telling random filters the differential test compares")
	seed        = flag.Uint64("filter.seed", 1, "what the random filters are made from")
)

// tally is how far a run has come.
type tally struct{ compared, telling atomic.Int64 }

// refusable is what the language may refuse of what the generator writes: it is the size of a
// filter, or a number, time or option, that is out of bounds, and not what it does.
var refusable = regexp.MustCompile(`too large|too much arithmetic|the filter costs|levels? deep|deep within each other|must be 0, or between 1e-15 and 1e15|years 1 and 9999|at most 292 years|none of the options|flag m,|at most \d+ bytes|at most \d+ repeats`)

// chunkOf makes the filters of one statement. The same seed and number make the same ones.
func (d *differ) chunkOf(seed, n uint64) (terms []*term, exprs []string) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, n))}
	for len(terms) < chunk {
		t := g.condition(g.IntN(6))
		if _, err := filter.Compile(d.schema, t.String()); err != nil && refusable.MatchString(err.Error()) {
			continue
		}
		terms, exprs = append(terms, t), append(exprs, t.String())
	}
	return terms, exprs
}

// run compares the filters of one chunk.
func (d *differ) run(ctx context.Context, seed, n uint64, sum *tally) error {
	d = d.in(n)
	terms, exprs := d.chunkOf(seed, n)
	matched, err := d.compare(ctx, exprs)
	var found *disagreement
	if errors.As(err, &found) {
		for i, expr := range exprs {
			if expr == found.expr {
				small := d.smallest(ctx, found, terms[i])
				return fmt.Errorf("expression %d of seed %d: %s\nthe smallest part of it: %w", int(n)*chunk+i+1, seed, expr, small)
			}
		}
	}
	if err != nil {
		return err
	}
	sum.compared.Add(chunk)
	for _, m := range matched {
		if m > 0 && m < d.lawful() {
			sum.telling.Add(1)
		}
	}
	return nil
}

// The oracle of the SQL is cel-go on the same record. A filter that matches every row or none
// proves little and does not count.
func TestSQLAgreesWithCEL(t *testing.T) {
	t.Parallel()
	d := newDiffer(t)
	var sum tally
	var next, said atomic.Int64
	start := time.Now()
	g, ctx := errgroup.WithContext(t.Context())
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for sum.telling.Load() < int64(*expressions) {
				if err := d.run(ctx, *seed, uint64(next.Add(1)-1), &sum); err != nil {
					return err
				}
				if n := sum.compared.Load(); n/5000 > said.Load() && said.CompareAndSwap(said.Load(), n/5000) {
					t.Logf("%d compared, %d telling, %.0f a second", n, sum.telling.Load(), float64(n)/time.Since(start).Seconds())
				}
			}
			return nil
		})
	}
	err := g.Wait()
	t.Logf("%d filters on %d rows, %d telling (%.0f %%), %.0f a second", sum.compared.Load(), len(d.rows), sum.telling.Load(),
		100*float64(sum.telling.Load())/float64(max(sum.compared.Load(), 1)), float64(sum.compared.Load())/time.Since(start).Seconds())
	require.NoError(t, err)
	require.Greater(t, 3*sum.telling.Load(), sum.compared.Load(), "too many filters match everything or nothing")
}
