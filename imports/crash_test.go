package imports_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

// childVariable makes this test binary a process that works on the imports of the database
// it names, with the uploads in the directory of uploadsVariable, until it is killed.
const (
	childVariable    = "STRATA_IMPORTS_CHILD"
	uploadsVariable  = "STRATA_IMPORTS_CHILD_UPLOADS"
	productsVariable = "STRATA_IMPORTS_CHILD_PRODUCTS" // not empty: it has the products of these tests
)

func child() int {
	fmt.Fprintln(os.Stderr, work(os.Getenv(childVariable), os.Getenv(uploadsVariable)))
	return 1
}

func work(databaseURL, uploads string) error {
	return tenancytest.UntilKilled(databaseURL, func(ctx context.Context, pool *pgxpool.Pool) (*strata.Strata, error) {
		local, err := openUploads(uploads)
		if err != nil {
			return nil, err
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		cfg := &strata.Config{Bucket: local.Bucket, Log: log, Runner: brief(), Imports: small}
		if os.Getenv(productsVariable) != "" {
			p, err := register("")
			if err != nil {
				return nil, err
			}
			cfg.Extensions = p.all
		}
		return strata.New(ctx, pool, nil, cfg)
	})
}

// brief makes a death known soon, and processes take turns often.
func brief() bulk.Config {
	cfg := runs()
	cfg.Lease, cfg.Slice, cfg.MaxFailures = time.Second, 200*time.Millisecond, 50 // a kill can come before the first batch
	return cfg
}

var small = imports.Config{BatchRows: 25}

// slowly makes every batch take its time, so that something can happen in the middle.
func (b *bundle) slowly(t *testing.T) {
	t.Helper()
	_, err := b.Pool.Exec(t.Context(), `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN new; END $$;
		CREATE TRIGGER slowly BEFORE UPDATE ON strata.runs FOR EACH ROW EXECUTE FUNCTION slowly()`)
	require.NoError(t, err)
}

// spawn starts a process that works on imports, and returns what kills it.
func (b *bundle) spawn(t *testing.T) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), uploadsVariable+"="+b.dir, childVariable+"="+dbtest.PoolURL(t, b.Pool))
	if b.extensions != nil {
		cmd.Env = append(cmd.Env, productsVariable+"=yes")
	}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return func() {
		t.Helper()
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}
}

const (
	crashRows    = 3000 // in the file: the last 100 of them invalid, the 100 before duplicates
	crashUpdates = 500  // of the new ones, in fact
	crashNew     = crashRows - 200 - crashUpdates
)

// crashFile is a file of every kind of rows, and makes the recipients that it updates.
func (b *bundle) crashFile(ctx context.Context, t *testing.T) string {
	t.Helper()
	var s strings.Builder
	s.WriteString("email,name\n")
	for i := range crashRows - 200 {
		fmt.Fprintf(&s, "r%04d@example.com,Name %d\n", i, i)
	}
	for i := range 100 {
		fmt.Fprintf(&s, "r%04d@example.com,Name %d\n", i, i)
	}
	for i := range 100 {
		fmt.Fprintf(&s, "nobody%d,X\n", i)
	}
	for i := range crashUpdates {
		_, err := b.store.Create(ctx, recipients.New{Email: fmt.Sprintf("r%04d@example.com", i), Name: "Before"})
		require.NoError(t, err)
	}
	return s.String()
}

// amid waits until a third of a run is done, and holds it to not being over.
func (b *bundle) amid(ctx context.Context, t *testing.T, id imports.ID) {
	t.Helper()
	var run bulk.Run
	require.Eventually(t, func() bool {
		var err error
		run, err = b.runner.Get(ctx, bulk.RunID(id))
		require.NoError(t, err)
		return run.Processed > crashRows/3
	}, within, time.Millisecond)
	require.False(t, run.State.Final(), run.State) // between two slices it is queued
}

// exact holds a finished import of a crashFile to every row exactly once.
func (b *bundle) exact(ctx context.Context, t *testing.T, id imports.ID) {
	t.Helper()
	imp := b.until(ctx, t, id, imports.Done)
	require.Equal(t, []int64{crashRows, crashNew, crashUpdates, 0, 0, 100, 100},
		[]int64{imp.TotalRows, imp.Inserted, imp.Updated, imp.Unchanged, imp.Skipped, imp.Duplicate, imp.Invalid})
	require.EqualValues(t, crashNew+crashUpdates, b.counted(ctx, t), "and nothing is reserved any more")
	for what, q := range map[string]string{
		"recipients written once": `SELECT count(*) FROM strata.recipients WHERE domain_id = $1 AND $2::uuid IS NOT NULL AND deleted_at IS NULL
			AND name LIKE 'Name %' AND version = CASE WHEN email_norm < 'r0500' THEN 2 ELSE 1 END`,
		"audit trail": `SELECT sum((metadata->>'inserted')::int + (metadata->>'updated')::int) FROM strata.audit_entries
			WHERE domain_id = $1 AND resource_id = $2::uuid::text AND action = 'recipients.imported'`,
		"ledger": `SELECT sum(processed)::bigint FROM strata.run_batches WHERE domain_id = $1 AND run_id = $2 AND counters <> '{}'`,
	} {
		var n int64
		require.NoError(t, b.DB.Read(ctx, q, []any{b.A.DomainID, id}, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&n)
		}), what)
		require.EqualValues(t, crashNew+crashUpdates, n, what)
	}
}

func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, pack := range map[string]func(t *testing.T, file string) []byte{
		"plain":       func(_ *testing.T, file string) []byte { return []byte(file) },
		"UTF-16, zip": func(t *testing.T, file string) []byte { return zipped(t, "x.csv", encoded(t, "utf-16le", file)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedInTheMiddle(t, name != "plain", pack)
		})
	}
}

func killedInTheMiddle(t *testing.T, copied bool, pack func(t *testing.T, file string) []byte) {
	b := setup(t, &small) // only submits
	ctx := b.A.Ctx
	file := pack(t, b.crashFile(ctx, t))
	b.slowly(t)
	imp := b.begin(ctx, t, string(file), imports.ProcessOptions{})
	kill := b.spawn(t)
	b.amid(ctx, t, imp.ID)
	kill()
	if copied { // it is made again
		copies, err := filepath.Glob(filepath.Join(b.dir, "*", "*", "*", "*.csv"))
		require.NoError(t, err)
		require.Len(t, copies, 1)
		require.NoError(t, os.Remove(copies[0]))
	}
	kill = b.spawn(t) // finishes without being asked
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	require.Equal(t, []int64{crashRows, crashNew, crashUpdates, 100, 100}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Duplicate, imp.Invalid})
	require.Eventually(t, func() bool { return len(b.files(t)) == 1 }, within, time.Millisecond, "the copy is not needed any more")
	_, err := b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.amid(ctx, t, imp.ID)
	kill()
	kill = b.spawn(t)
	b.exact(ctx, t, imp.ID)
	kill()
}

func TestTwoProcessesOnOneImport(t *testing.T) {
	t.Parallel()
	b := setup(t, &small)
	ctx := b.A.Ctx
	file := b.crashFile(ctx, t)
	for range 2 {
		t.Cleanup(b.spawn(t))
	}
	b.exact(ctx, t, b.run(ctx, t, file, imports.ProcessOptions{}).ID)
}
