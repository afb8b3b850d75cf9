package bulk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/stratakit/strata/bulk"
)

// measured is what a reader finds, by the name and then the attributes of each point: a count, a
// value, or how often a histogram was recorded to.
func measured(t *testing.T, reader sdk.Reader) map[string]map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	found := map[string]map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			points := map[string]float64{}
			of := func(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					points[of(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					points[of(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					points[of(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					points[of(p.Attributes)] = float64(p.Count)
				}
			}
			found[m.Name] = points
		}
	}
	return found
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := open(t)
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	var good, broken bulk.Run
	opening, stuck := make(chan struct{}, 1), make(chan struct{})
	h := &addOne{size: 10, open: func(ctx context.Context, run bulk.Run) error {
		switch run.ID {
		case good.ID:
			opening <- struct{}{}
			select {
			case <-stuck:
			case <-ctx.Done():
			}
		case broken.ID:
			return errors.New("broken")
		}
		return ctx.Err()
	}}
	cfg := quick()
	cfg.Meter, cfg.MaxFailures, cfg.MaxWorkers, cfg.Slice = provider.Meter("test"), 2, 1, time.Hour
	r := w.runner(t, h, cfg)
	good, broken = w.submit(t, w.A.Ctx, r, 25), w.submit(t, w.A.Ctx, r, 25)
	died, other := w.submit(t, w.A.Ctx, r, 5), w.submit(t, w.B.Ctx, r, 5)
	w.change(t, `UPDATE strata.runs SET next_attempt_at = now() - interval '1 hour' WHERE id = $1`, good.ID)
	w.change(t, `UPDATE strata.runs SET next_attempt_at = now() - interval '1 minute' WHERE id = $1`, broken.ID)
	require.NotContains(t, measured(t, reader), "strata.runs.waiting", "it has not started")

	start(t, r)
	<-opening
	now := measured(t, reader)
	require.InDelta(t, 3, now["strata.runs.waiting"]["queue=strata_runs"], 0)
	require.GreaterOrEqual(t, now["strata.runs.lag"]["queue=strata_runs"], 60.0)
	require.Less(t, now["strata.runs.lag"]["queue=strata_runs"], 3600.0)
	w.change(t, `UPDATE strata.runs SET state = 'processing', lease = gen_random_uuid(), lease_until = now(), attempts = 1 WHERE id = $1`, died.ID)
	w.change(t, `INSERT INTO strata.run_attempts (company_id, domain_id, run_id, number, worker, before) VALUES ($1, $2, $3, 1, 'dead', 0)`, w.A.CompanyID, w.A.DomainID, died.ID)
	close(stuck)
	for _, run := range []bulk.Run{good, died} {
		await(t, w.A.Ctx, r, run.ID, bulk.StateCompleted)
	}
	await(t, w.B.Ctx, r, other.ID, bulk.StateCompleted)
	await(t, w.A.Ctx, r, broken.ID, bulk.StateFailed)
	stop(t, r)

	now = measured(t, reader)
	require.Equal(t, map[string]float64{
		"kind=add_one,queue=strata_runs,state=completed": 3,
		"kind=add_one,queue=strata_runs,state=failed":    1,
	}, now["strata.runs.ended"])
	require.Equal(t, now["strata.runs.ended"], now["strata.runs.duration"])
	require.Equal(t, map[string]float64{
		"kind=add_one,outcome=failed,queue=strata_runs": 2,
		"kind=add_one,outcome=died,queue=strata_runs":   1,
	}, now["strata.runs.attempts.failed"])
	require.Equal(t, map[string]float64{"kind=add_one,queue=strata_runs": 5}, now["strata.runs.batch.duration"])
	require.NotContains(t, now, "strata.runs.waiting", "it is stopped")
}
