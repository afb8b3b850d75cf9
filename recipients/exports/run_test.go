package exports_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// childVariable makes this test binary a process that works on the exports of the database it
// names, with the files in the directory of filesVariable, until it is killed.
const (
	childVariable = "STRATA_EXPORTS_CHILD"
	filesVariable = "STRATA_EXPORTS_CHILD_FILES"
)

func child() int {
	fmt.Fprintln(os.Stderr, work(os.Getenv(childVariable), os.Getenv(filesVariable)))
	return 1
}

func work(databaseURL, dir string) error {
	return tenancytest.UntilKilled(databaseURL, func(ctx context.Context, pool *pgxpool.Pool) (*strata.Strata, error) {
		local, err := openFiles(dir)
		if err != nil {
			return nil, err
		}
		cfg := runs()
		cfg.Lease = time.Second
		return strata.New(ctx, pool, nil, &strata.Config{Bucket: local.Bucket, Log: slog.New(slog.DiscardHandler), Runner: cfg})
	})
}

// Who is killed in the middle leaves nothing that anybody sees, and the next one does it.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil)
	ctx := b.A.Ctx
	const n = 20_000
	b.fill(ctx, t, n)
	id := b.large(ctx, t, exports.Request{Format: exports.CSV})
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), filesVariable+"="+b.dir, childVariable+"="+dbtest.PoolURL(t, b.Pool))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	b.partial(t, 1)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait(), "killed")
	left := b.files(t)
	require.Len(t, left, 1)
	require.True(t, strings.HasSuffix(left[0], ".tmp"), "nothing whole: %s", left)
	e, err := b.exporter.Get(ctx, id)
	require.NoError(t, err)
	require.False(t, e.Status.Final(), e.Status)

	b.start(t)
	done := b.until(ctx, t, id, bulk.StateCompleted)
	records := table(t, b.fetch(t, done))
	require.Len(t, records, n+1)
	seen := map[string]bool{}
	for _, r := range records[1:] {
		seen[r[0]] = true
	}
	require.Len(t, seen, n, "each once")
	require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'recipients.export.completed'`))
	require.Len(t, b.files(t), 2)
	swept, err := b.exporter.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, swept)
	require.Len(t, b.files(t), 1, "what the killed one has left is gone")
	require.Len(t, table(t, b.fetch(t, done)), n+1)
}

// hold keeps everybody from reading recipients, until release.
func (b *bundle) hold(t *testing.T) (release func()) {
	t.Helper()
	tx, err := b.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE strata.recipients IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(context.Background())) }
}

func TestCancelledInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t, &exports.Config{InlineLimit: 1}, nil)
	ctx := b.A.Ctx
	b.fill(ctx, t, 2)
	id := b.large(ctx, t, exports.Request{Format: exports.CSV})
	release := b.hold(t)
	defer release()
	b.start(t)
	b.partial(t, 0)
	_, err := b.runner.Cancel(ctx, bulk.RunID(id))
	require.NoError(t, err)
	e := b.until(ctx, t, id, bulk.StateCancelled)
	require.Nil(t, e.Download)
	require.Empty(t, b.files(t))
}

func TestBucketThatTakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, &exports.Config{InlineLimit: 1}, nil)
	ctx := b.A.Ctx
	b.fill(ctx, t, 2)
	id := b.large(ctx, t, exports.Request{Format: exports.XLSX})
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "exports"), nil, 0o600)) // where a directory should be
	b.start(t)
	e := b.until(ctx, t, id, bulk.StateFailed)
	require.Equal(t, exports.ErrStore.Error(), e.Error)
	require.Equal(t, []string{"exports"}, b.files(t))
	temp, err := os.ReadDir(b.temp)
	require.NoError(t, err)
	require.Empty(t, temp)

	require.NoError(t, os.Remove(filepath.Join(b.dir, "exports")))
	_, err = b.runner.Retry(ctx, bulk.RunID(id))
	require.NoError(t, err)
	require.EqualValues(t, 2, b.until(ctx, t, id, bulk.StateCompleted).Download.Rows)
}

// An export is of one moment, whatever is written meanwhile.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil)
	ctx := b.A.Ctx
	const n = 20_000
	b.fill(ctx, t, n)
	before := map[recipients.ID]bool{}
	require.NoError(t, b.store.Stream(ctx, recipients.Query{}, func(r recipients.Recipient) error {
		if len(before) == 0 { // in the middle: most rows have not been read
			b.write(ctx, t, `UPDATE strata.recipients SET name = 'changed'`)
			b.write(ctx, t, `DELETE FROM strata.recipients WHERE id IN (SELECT id FROM strata.recipients ORDER BY id DESC LIMIT 5000)`)
			b.fill(ctx, t, 100)
		}
		require.False(t, before[r.ID])
		before[r.ID] = true
		if len(r.Name) != 200 {
			return errors.New("a row of another moment")
		}
		return nil
	}))
	require.Len(t, before, n, "every one, deleted meanwhile or not, and none that is new")
}

// The same through a whole export, while a writer gives all recipients another name, again and
// again, each time in one transaction.
func TestSnapshotOfAFile(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil).start(t)
	ctx := b.A.Ctx
	const n = 3000
	b.fill(ctx, t, n)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				b.write(ctx, t, `UPDATE strata.recipients SET name = $1`, fmt.Sprint("name ", i))
			}
		}
	})
	done := b.until(ctx, t, b.large(ctx, t, exports.Request{Format: exports.CSV, Columns: []string{"id", "name"}}), bulk.StateCompleted)
	close(stop)
	writer.Wait()
	ids, names := map[string]bool{}, map[string]bool{}
	for _, r := range table(t, b.fetch(t, done))[1:] {
		ids[r[0]], names[r[1]] = true, true
	}
	require.Len(t, ids, n)
	require.Len(t, names, 1, "values of one moment")
}

// Files go when their time is over, when their domain is deleted, and when it is moved.
func TestSweep(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	b := setup(t, &exports.Config{InlineLimit: 1, Now: clock}, nil).start(t)
	sweep := func(want int) {
		t.Helper()
		n, err := b.exporter.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	gone := func(ctx context.Context, e exports.Export) {
		t.Helper()
		_, err := b.exporter.Get(ctx, e.ID)
		require.ErrorIs(t, err, exports.ErrExpired)
	}
	export := func(ctx context.Context) exports.Export {
		t.Helper()
		b.fill(ctx, t, 2)
		return b.until(ctx, t, b.large(ctx, t, exports.Request{Format: exports.JSONL}), bulk.StateCompleted)
	}
	old := export(b.A.Ctx)
	sweep(0)
	require.Len(t, b.files(t), 1)
	mu.Lock()
	now = now.Add(7 * 24 * time.Hour)
	mu.Unlock()
	gone(b.A.Ctx, old) // before it is swept too
	kept := export(b.A.Ctx)
	sweep(1)
	require.Len(t, b.files(t), 1)
	gone(b.A.Ctx, old)
	b.fetch(t, kept)
	require.Equal(t, 1, one[int](b.A.Ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'recipients.export.expired'`))

	// A file of the company before is none of the company after.
	u := kept.Download.URL
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		if err := b.exporter.DomainMoved(b.A.Ctx, tx, move.Move{DomainID: b.A.DomainID}); err != nil {
			return err
		}
		return b.Audit.RecordTx(b.A.Ctx, tx, entry)
	}))
	gone(b.A.Ctx, kept)
	_, err := b.exporter.Open(t.Context(), keyOf(t, u))
	require.ErrorIs(t, err, exports.ErrURL, "at once, whatever a URL says")
	sweep(1)
	require.Empty(t, b.files(t))

	second := b.Domain(t, b.A, "second.example")
	doomed := export(second)
	tenant, err := tenancy.DomainFrom(second)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteDomain(b.A.WorkspaceCtx, tenant.DomainID))
	_, err = b.exporter.Open(t.Context(), keyOf(t, doomed.Download.URL))
	require.ErrorIs(t, err, exports.ErrURL)
	sweep(1)
	require.Empty(t, b.files(t))
}

var entry = audit.Entry{Action: "test"}

func keyOf(t *testing.T, signed string) string {
	t.Helper()
	u, err := url.Parse(signed)
	require.NoError(t, err)
	return u.Query().Get("obj")
}
