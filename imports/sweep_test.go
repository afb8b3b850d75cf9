package imports_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/tenancy"
)

// write changes an import beside the Importer, in a transaction that ends with fn.
func (b *bundle) write(ctx context.Context, id imports.ID, set string, fn func(*tenancy.Tx) error) error {
	return b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE strata.imports SET `+set+` WHERE domain_id = $1 AND id = $2`, tx.Tenant().DomainID, id); err != nil {
			return err
		}
		if err := b.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test", ResourceType: "import", ResourceID: id.String()}); err != nil {
			return err
		}
		return fn(tx)
	})
}

// old makes an import one that nobody touched for 8 days.
func (b *bundle) old(ctx context.Context, t *testing.T, id imports.ID) {
	t.Helper()
	require.NoError(t, b.write(ctx, id, `updated_at = now() - interval '8 days'`, func(*tenancy.Tx) error { return nil }))
}

// files returns what there is in the upload directory.
func (b *bundle) files(t *testing.T) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// kept counts what is left of an import: its file and staged rows.
func (b *bundle) kept(ctx context.Context, t *testing.T, id imports.ID) (keys, rows int) {
	t.Helper()
	return one[int](ctx, t, b, `SELECT count(*)::int FROM strata.imports WHERE id = $1 AND object_key <> ''`, id),
		one[int](ctx, t, b, `SELECT count(*)::int FROM strata.import_rows WHERE import_id = $1`, id)
}

func TestSweep(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	abandoned := b.process(ctx, t, addresses(3), imports.ProcessOptions{})
	done := b.run(ctx, t, "email\ndone@example.com\n", imports.ProcessOptions{})
	recent := b.process(ctx, t, addresses(3), imports.ProcessOptions{})
	other := b.process(b.B.Ctx, t, addresses(3), imports.ProcessOptions{})
	// What is left where a process is killed while it receives a file.
	for _, id := range []imports.ID{abandoned.ID, recent.ID} {
		objectKey := one[string](ctx, t, b, `SELECT object_key FROM strata.imports WHERE id = $1`, id)
		require.NoError(t, b.local.Bucket.WriteAll(ctx, objectKey+".18a3c5.tmp", []byte("email\nhalf"), nil))
	}
	require.Len(t, b.files(t), 6)
	b.old(ctx, t, abandoned.ID)
	b.old(ctx, t, done.ID)
	for _, want := range []int{2, 0} { // twice
		n, err := b.importer.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
		require.Len(t, b.files(t), 3, "those of the recent ones")
		for _, id := range []imports.ID{abandoned.ID, done.ID} {
			keys, rows := b.kept(ctx, t, id)
			require.Equal(t, []int{0, 0}, []int{keys, rows})
			require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'import.swept' AND resource_id = $1`, id.String()))
		}
	}
	for id, want := range map[imports.ID]imports.Status{abandoned.ID: imports.Cancelled, done.ID: imports.Done} {
		got, err := b.importer.Get(ctx, id)
		require.NoError(t, err)
		require.Equal(t, want, got.Status)
		require.ErrorIs(t, b.importer.WriteErrorReport(ctx, id, nil), imports.ErrSwept)
	}
	require.EqualValues(t, 3, b.commit(ctx, t, recent.ID).Inserted)
	require.EqualValues(t, 3, b.commit(b.B.Ctx, t, other.ID).Inserted)
}

// What fails in the middle is done by the next sweep, and keeps no other import.
func TestSweepFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	var ids []imports.ID
	for range 2 {
		ids = append(ids, b.process(ctx, t, addresses(3), imports.ProcessOptions{}).ID)
		b.old(ctx, t, ids[len(ids)-1])
	}
	drop := b.before(t, "DELETE", "strata.import_rows", "old.row_no = 3 AND old.import_id = '"+ids[0].String()+"'", `RAISE 'not now'`)
	n, err := b.importer.Sweep(t.Context())
	require.ErrorContains(t, err, "not now")
	require.ErrorContains(t, err, ids[0].String())
	require.Equal(t, 1, n)
	keys, rows := b.kept(ctx, t, ids[0])
	require.Equal(t, []int{1, 3}, []int{keys, rows}, "it is known what is left to do")
	keys, rows = b.kept(ctx, t, ids[1])
	require.Equal(t, []int{0, 0}, []int{keys, rows})
	drop()
	n, err = b.importer.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	keys, rows = b.kept(ctx, t, ids[0])
	require.Equal(t, []int{0, 0}, []int{keys, rows})
	require.Empty(t, b.files(t))
}

// Who goes on with an import while it is about to be swept keeps it.
func TestSweepOfWhatIsUsedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, addresses(3), imports.ProcessOptions{})
	b.old(ctx, t, imp.ID)
	type result struct {
		n   int
		err error
	}
	swept := make(chan result, 1)
	require.NoError(t, b.write(ctx, imp.ID, `updated_at = now()`, func(*tenancy.Tx) error {
		go func() {
			n, err := b.importer.Sweep(t.Context())
			swept <- result{n, err}
		}()
		require.Eventually(t, func() bool { // it has found the import, and waits for us
			var waiting bool
			err := b.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%imports%FOR UPDATE')`).Scan(&waiting)
			return err == nil && waiting
		}, within, 5*time.Millisecond)
		return nil
	}))
	require.Equal(t, result{}, <-swept)
	require.EqualValues(t, 3, b.commit(ctx, t, imp.ID).Inserted)
}
