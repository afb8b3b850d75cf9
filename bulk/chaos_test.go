package bulk_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

// chaosBatch is how many rows a batch has at most, so that there are many of them.
const chaosBatch = 1_000

// chaosOperations registers an operation of a product's own, whose batches take a moment.
func chaosOperations(r *bulk.Runner) (*bulk.Operations, error) {
	ops, err := bulk.NewOperations(r, things{}, &bulk.OperationsConfig{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return ops, bulk.Register(ops, bulk.Operation[bump]{
		Name: "bump", MaxBatch: chaosBatch,
		Apply: func(ctx context.Context, tx *tenancy.Tx, b bump, ids []uuid.UUID) (bulk.Outcome, error) {
			out, err := b.apply(ctx, tx, ids)
			if err == nil {
				_, err = tx.Exec(ctx, `SELECT pg_sleep(0.02)`)
			}
			return out, err
		},
	})
}

// chaosConfig makes a process that died be missed soon. A kill can come before the first
// batch, again and again.
func chaosConfig() bulk.Config {
	cfg := quick()
	cfg.Lease, cfg.Slice, cfg.MaxFailures = time.Second, 2*time.Second, 10_000
	return cfg
}

// chaosWorker is a process that works on runs of the operation, with Redis, until its input ends.
func chaosWorker(url string) error {
	o, err := redis.ParseURL(os.Getenv(chaosVariable))
	if err != nil {
		return err
	}
	r, err := begin(url, redis.NewClient(o), chaosConfig(), func(r *bulk.Runner) error {
		_, err := chaosOperations(r)
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // until its parent kills it, or is gone
	return errors.Join(err, r.Stop(context.Background()))
}
