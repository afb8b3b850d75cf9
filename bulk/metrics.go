package bulk

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// meter is what a Runner measures. What it counts it counts when that has committed, in the
// process that did it; what waits is asked of PostgreSQL by each started process that is asked.
type meter struct {
	queue attribute.KeyValue

	ended    metric.Int64Counter
	duration metric.Float64Histogram
	failed   metric.Int64Counter
	batches  metric.Float64Histogram
	depth    metric.Int64ObservableGauge
	lag      metric.Float64ObservableGauge
	meter    metric.Meter
}

func newMeter(m metric.Meter, queue string) (*meter, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &meter{queue: attribute.String("queue", queue), meter: m}
	var errs [6]error
	t.ended, errs[0] = m.Int64Counter("strata.runs.ended", metric.WithUnit("{run}"), metric.WithDescription("Runs that ended, by kind and state."))
	t.duration, errs[1] = m.Float64Histogram("strata.runs.duration", metric.WithUnit("s"), metric.WithDescription("From the submission of a run to its end, by kind and state."))
	t.failed, errs[2] = m.Int64Counter("strata.runs.attempts.failed", metric.WithUnit("{attempt}"), metric.WithDescription("Attempts that failed or whose process died, by kind and outcome."))
	t.batches, errs[3] = m.Float64Histogram("strata.runs.batch.duration", metric.WithUnit("s"), metric.WithDescription("Transactions of batches, by kind."))
	t.depth, errs[4] = m.Int64ObservableGauge("strata.runs.waiting", metric.WithUnit("{run}"), metric.WithDescription("Runs that are due and not worked on, by queue."))
	t.lag, errs[5] = m.Float64ObservableGauge("strata.runs.lag", metric.WithUnit("s"), metric.WithDescription("For how long the longest of them has waited, by queue."))
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("meter: %w", err)
		}
	}
	return t, nil
}

func (t *meter) runEnded(ctx context.Context, run Run) {
	of := metric.WithAttributes(t.queue, attribute.String("kind", run.Kind), attribute.String("state", string(run.State)))
	t.ended.Add(ctx, 1, of)
	t.duration.Record(ctx, run.FinishedAt.Sub(run.CreatedAt).Seconds(), of)
}

func (t *meter) attemptFailed(ctx context.Context, kind string, outcome AttemptOutcome) {
	t.failed.Add(ctx, 1, metric.WithAttributes(t.queue, attribute.String("kind", kind), attribute.String("outcome", string(outcome))))
}

func (t *meter) batch(ctx context.Context, kind string, took time.Duration) {
	t.batches.Record(ctx, took.Seconds(), metric.WithAttributes(t.queue, attribute.String("kind", kind)))
}

// observe answers what waits in the runner's queue, until the returned function is called.
func (r *Runner) observe() (end func(), err error) {
	t := r.meter
	registered, err := t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		var depth int64
		var lag float64
		err := r.db.ReadTrusted(ctx, `SELECT count(*), coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8
			FROM strata.runs WHERE queue = $1 AND state = 'queued' AND next_attempt_at <= now()`, []any{r.cfg.Queue}, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&depth, &lag}, func() error { return nil })
			return err
		})
		if err != nil {
			return fmt.Errorf("bulk: measure the queue: %w", err)
		}
		o.ObserveInt64(t.depth, depth, metric.WithAttributes(t.queue))
		o.ObserveFloat64(t.lag, lag, metric.WithAttributes(t.queue))
		return nil
	}, t.depth, t.lag)
	if err != nil {
		return func() {}, err
	}
	return func() { _ = registered.Unregister() }, nil
}
