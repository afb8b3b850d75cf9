package imports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/tenancytest"
)

// The commits of these tests are of addresses(35) in batches of 10; the 15th address is in the second.
const (
	fifteenth = `new.email_norm = 'r0014@example.com'`
	inTens    = 10
)

// untilRun waits for a run to be as wanted.
func (b *bundle) untilRun(ctx context.Context, t *testing.T, id imports.ID, ok func(bulk.Run) bool) bulk.Run {
	t.Helper()
	var run bulk.Run
	require.Eventually(t, func() bool {
		var err error
		run, err = b.runner.Get(ctx, bulk.RunID(id))
		require.NoError(t, err)
		return ok(run)
	}, within, 5*time.Millisecond)
	return run
}

// What was written when a commit is cancelled stays and is counted; the rest of the room
// is given back.
func TestCancelInTheMiddleOfACommit(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, addresses(35), imports.ProcessOptions{})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.EqualValues(t, 35, p.Limit.Incoming)
	b.before(t, "INSERT", "strata.recipients", fifteenth, `UPDATE strata.runs SET pause_requested = true WHERE domain_id = new.domain_id; RETURN new`)
	_, err = b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State == bulk.StatePaused })
	got, err := b.importer.Cancel(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, []any{imports.Cancelled, int64(35), int64(20), int64(20), int64(0)}, []any{got.Status, got.TotalRows, got.ProcessedRows, got.Inserted, got.Updated + got.Skipped})
	require.EqualValues(t, 20, b.counted(ctx, t))
	p, err = b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.Nil(t, p.Limit, "it would count the import against itself")
}

// failed returns an import whose commit failed after its first batch, and what removes the reason.
func (b *bundle) failed(ctx context.Context, t *testing.T) (id imports.ID, repair func()) {
	t.Helper()
	imp := b.process(ctx, t, addresses(35), imports.ProcessOptions{})
	repair = b.before(t, "INSERT", "strata.recipients", fifteenth, `RAISE 'broken'`)
	_, err := b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	got := b.until(ctx, t, imp.ID, imports.Failed)
	require.Equal(t, []any{"internal error", int64(10), int64(10)}, []any{got.Error, got.ProcessedRows, got.Inserted})
	require.EqualValues(t, 10, b.counted(ctx, t), "and the room for the rest is given back")
	return imp.ID, repair
}

func TestRetryOfAFailedCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	id, repair := b.failed(ctx, t)
	repair()
	_, err := b.runner.Retry(ctx, bulk.RunID(id))
	require.NoError(t, err)
	run := b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
	require.Equal(t, bulk.StateCompleted, run.State, run.Error)
	require.EqualValues(t, 35, run.Processed)
	done := b.until(ctx, t, id, imports.Done)
	require.Equal(t, []any{"", int64(35), int64(35)}, []any{done.Error, done.ProcessedRows, done.Inserted})
	require.EqualValues(t, 35, b.counted(ctx, t))
}

// What a retry cannot help ends it at once, and says why.
func TestRetryThatCannotHelp(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		happens func(ctx context.Context, t *testing.T, b *bundle, id imports.ID)
		want    error
	}{
		"import_swept": {func(ctx context.Context, t *testing.T, b *bundle, id imports.ID) {
			b.old(ctx, t, id)
			n, err := b.importer.Sweep(ctx)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}, imports.ErrSwept},
		"fields_changed": {func(ctx context.Context, t *testing.T, b *bundle, _ imports.ID) {
			b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
		}, imports.ErrFieldsChanged},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
			ctx := b.A.Ctx
			id, repair := b.failed(ctx, t)
			repair()
			c.happens(ctx, t, b, id)
			_, err := b.runner.Retry(ctx, bulk.RunID(id))
			require.NoError(t, err)
			run := b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
			require.Equal(t, []any{bulk.StateFailed, code, 1}, []any{run.State, run.ErrorCode, run.Failures})
			got, err := b.importer.Get(ctx, id)
			require.NoError(t, err)
			require.Equal(t, []any{imports.Failed, int64(10)}, []any{got.Status, got.Inserted})
			require.Contains(t, got.Error, c.want.Error())
			require.EqualValues(t, 10, b.counted(ctx, t))
		})
	}
}

// A commit that stood still until its room was taken for lost goes on when there is room.
func TestCommitThatStoodStill(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"room": false, "no room": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil).start(t)
			c := b.Company(t, "free") // 1,000 recipients
			imp := b.process(c.Ctx, t, addresses(600), imports.ProcessOptions{})
			require.NoError(t, b.runner.Stop(t.Context()))
			_, err := b.importer.Commit(c.Ctx, imp.ID)
			require.NoError(t, err)
			_, err = b.runner.Pause(c.Ctx, bulk.RunID(imp.ID))
			require.NoError(t, err)
			n, err := later(t, b.Env, 8*24*time.Hour).ExpireReservations(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, n)

			b.wire(t, runs(), nil)
			b.start(t)
			if taken {
				b.run(c.Ctx, t, strings.ReplaceAll(addresses(401), "r", "other"), imports.ProcessOptions{})
			}
			_, err = b.runner.Resume(c.Ctx, bulk.RunID(imp.ID))
			require.NoError(t, err)
			run := b.untilRun(c.Ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
			if taken {
				require.Equal(t, []any{bulk.StateFailed, "limit_exceeded", 1}, []any{run.State, run.ErrorCode, run.Failures})
				require.EqualValues(t, 401, b.counted(c.Ctx, t))
				return
			}
			require.EqualValues(t, 600, b.until(c.Ctx, t, imp.ID, imports.Done).Inserted)
			require.EqualValues(t, 600, b.counted(c.Ctx, t))
		})
	}
}

// later returns Limits whose clock is ahead.
func later(t *testing.T, e *tenancytest.Env, by time.Duration) *billing.Limits {
	t.Helper()
	catalog, err := billing.NewCatalog()
	require.NoError(t, err)
	l, err := billing.NewLimits(e.DB, catalog, e.Audit, &billing.Config{Now: func() time.Time { return time.Now().Add(by) }})
	require.NoError(t, err)
	return l
}

func TestNegativeConfig(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, cfg := range []imports.Config{{MaxFileSize: -1}, {UploadExpiry: -1}, {BatchRows: -1}, {Keep: -1}} {
		_, err := imports.NewImporter(b.DB, b.runner, b.store, b.fields, b.Limits, b.Audit, b.local.Bucket, &cfg)
		require.ErrorContains(t, err, "negative")
	}
}
