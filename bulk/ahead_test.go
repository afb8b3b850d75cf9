package bulk_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/tenancy"
)

type preparedFunc = func(ctx context.Context, tx *tenancy.Tx) (bulk.Outcome, error)

// preparing is a shop whose bump is prepared by fn, in batches of 10 rows, and before each of
// which wait is called.
func preparing(t *testing.T, fn func(ctx context.Context, ids []uuid.UUID) error, wait func(ctx context.Context)) (s *shop, rows *atomic.Int64) {
	t.Helper()
	s, rows = openShop(t, nil), &atomic.Int64{}
	rc := quick()
	runner, err := bulk.NewRunner(s.DB, s.Redis, s.Audit, s.resolver, &rc)
	require.NoError(t, err)
	ops, err := bulk.NewOperations(runner, things{}, &bulk.OperationsConfig{InlineLimit: 1, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, bulk.Register(ops, bulk.Operation[bump]{
		Name: "bump", MaxBatch: 10,
		Apply: func(ctx context.Context, tx *tenancy.Tx, b bump, ids []uuid.UUID) (bulk.Outcome, error) {
			wait(ctx)
			return b.apply(ctx, tx, ids)
		},
		Prepare: func(ctx context.Context, b bump, ids []uuid.UUID) (preparedFunc, error) {
			if err := fn(ctx, ids); err != nil {
				return nil, err
			}
			return func(ctx context.Context, tx *tenancy.Tx) (bulk.Outcome, error) {
				wait(ctx)
				rows.Add(int64(len(ids)))
				return b.apply(ctx, tx, ids)
			}, nil
		},
	}))
	s.runner, s.ops = runner, ops
	return s, rows
}

// While rows are written the next ones are prepared, each once and in their order.
func TestRowsArePreparedWhileOthersAreWritten(t *testing.T) {
	t.Parallel()
	next := make(chan struct{}, 1)
	s, rows := preparing(t,
		func(context.Context, []uuid.UUID) error {
			next <- struct{}{}
			return nil
		},
		func(ctx context.Context) { // the last batch has no next
			select {
			case <-next:
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		})
	s.fill(t, s.A.Ctx, 1_005)
	res := s.queue(t, all)
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 1_005})
	require.Equal(t, map[int64]int64{1: 1_005}, s.counted(t, s.A.Ctx))
	require.Positive(t, rows.Load())
}

// What cannot be prepared, or takes too long, is done without.
func TestRowsThatAreNotPrepared(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(ctx context.Context, ids []uuid.UUID) error{
		"an error": func(context.Context, []uuid.UUID) error { return errors.New("not now") },
		"a panic":  func(context.Context, []uuid.UUID) error { panic("not now") },
		"for ever": func(ctx context.Context, _ []uuid.UUID) error {
			<-ctx.Done()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, rows := preparing(t, fn, func(context.Context) {})
			s.fill(t, s.A.Ctx, 55)
			res := s.queue(t, all)
			start(t, s.runner)
			s.done(t, res.RunID, map[string]int64{"changed": 55})
			require.Equal(t, map[int64]int64{1: 55}, s.counted(t, s.A.Ctx))
			require.Zero(t, rows.Load())
		})
	}
}

// A row that is refused among prepared ones is found like any other.
func TestAPoisonedRowAmongPreparedOnes(t *testing.T) {
	t.Parallel()
	s, _ := preparing(t, func(context.Context, []uuid.UUID) error { return nil }, func(context.Context) {})
	ids := s.fill(t, s.A.Ctx, 100)
	s.exec(t, s.A.Ctx, `UPDATE things SET poison = true WHERE id = ANY ($1)`, []uuid.UUID{ids[0], ids[55], ids[99]})
	res := s.queue(t, all)
	start(t, s.runner)
	s.done(t, res.RunID, map[string]int64{"changed": 97, "failed": 3})
	require.Equal(t, map[int64]int64{0: 3, 1: 97}, s.counted(t, s.A.Ctx))
}
