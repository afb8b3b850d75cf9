package exports_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

const within = time.Minute // bounds a wait for a run; no measurement

type bundle struct {
	*tenancytest.Env
	fields   *customfields.Registry
	store    *recipients.Store
	runner   *bulk.Runner
	exporter *exports.Exporter
	local    *imports.LocalStore
	dir      string // of local
	temp     string // for XLSX
}

// runs is how the runners of these tests work.
func runs() bulk.Config {
	return bulk.Config{Log: slog.New(slog.DiscardHandler), Poll: 200 * time.Millisecond, MaxFailures: 2, Backoff: time.Millisecond}
}

func openFiles(dir string) (*imports.LocalStore, error) {
	return imports.OpenLocal(dir, &url.URL{Scheme: "http", Host: "files.example", Path: "/uploads"}, bytes.Repeat([]byte("s"), 32))
}

func setup(t *testing.T, cfg *exports.Config, registry *recipients.Registry) *bundle {
	t.Helper()
	b := &bundle{Env: tenancytest.Open(t), dir: t.TempDir(), temp: t.TempDir()}
	var err error
	b.local, err = openFiles(b.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.local.Bucket.Close() })
	if registry != nil {
		require.NoError(t, registry.Migrate(t.Context(), b.Direct(t)))
	}
	b.fields, err = customfields.NewRegistry(b.DB, b.Redis, b.Limits, b.Audit, nil)
	require.NoError(t, err)
	b.store, err = recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, &recipients.Config{Extensions: registry})
	require.NoError(t, err)
	resolver, err := tenancy.NewResolver(b.DB, nil, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	work := runs()
	b.runner, err = bulk.NewRunner(b.DB, b.Redis, b.Audit, resolver, &work)
	require.NoError(t, err)
	var c exports.Config
	if cfg != nil {
		c = *cfg
	}
	c.TempDir = b.temp
	b.exporter, err = exports.NewExporter(b.DB, b.runner, b.store, b.Audit, b.local.Bucket, &c)
	require.NoError(t, err)
	return b
}

func (b *bundle) start(t *testing.T) *bundle {
	t.Helper()
	require.NoError(t, b.runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.runner.Stop(context.Background())) })
	return b
}

func (b *bundle) define(ctx context.Context, t *testing.T, fields ...customfields.Field) {
	t.Helper()
	for _, f := range fields {
		_, err := b.fields.Create(ctx, f)
		require.NoError(t, err)
	}
}

// write runs a statement in the domain of ctx.
func (b *bundle) write(ctx context.Context, t *testing.T, q string, args ...any) {
	t.Helper()
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, q, args...); err != nil {
			return err
		}
		return b.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test"})
	}))
}

// fill adds n recipients.
func (b *bundle) fill(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	tenant, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	b.write(ctx, t, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name)
		SELECT $1, gen_random_uuid(), $2, $3, e, e, repeat('n', 200) FROM (SELECT 'r' || i || '-' || gen_random_uuid() || '@example.com' AS e FROM generate_series(1, $4) i) e`,
		tenant.DomainID, tenant.CompanyID, tenant.WorkspaceID, n)
}

// one returns the one value that a statement returns in the scope of ctx.
func one[T any](ctx context.Context, t *testing.T, b *bundle, q string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, b.DB.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
		v, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
		return err
	}))
	return v
}

// small returns an export that is answered at once.
func (b *bundle) small(ctx context.Context, t *testing.T, r exports.Request) *exports.File {
	t.Helper()
	answer, err := b.exporter.Export(ctx, r)
	require.NoError(t, err)
	require.NotNil(t, answer.File)
	return answer.File
}

// large begins an export that is a run.
func (b *bundle) large(ctx context.Context, t *testing.T, r exports.Request) exports.ID {
	t.Helper()
	answer, err := b.exporter.Export(ctx, r)
	require.NoError(t, err)
	require.Nil(t, answer.File)
	return answer.ID
}

// until waits for an export to be in a state.
func (b *bundle) until(ctx context.Context, t *testing.T, id exports.ID, want bulk.State) exports.Export {
	t.Helper()
	var e exports.Export
	require.Eventually(t, func() bool {
		var err error
		e, err = b.exporter.Get(ctx, id)
		require.NoError(t, err)
		return e.Status.Final()
	}, within, 5*time.Millisecond)
	require.Equal(t, want, e.Status, e.Error)
	return e
}

// fetch returns the file of a completed export by its URL, as a server in front of local does.
func (b *bundle) fetch(t *testing.T, e exports.Export) []byte {
	t.Helper()
	u, err := url.Parse(e.Download.URL)
	require.NoError(t, err)
	key, ok := b.local.DownloadKey(t.Context(), u)
	require.True(t, ok)
	f, err := b.exporter.Open(t.Context(), key)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	body, err := io.ReadAll(f)
	require.NoError(t, err)
	require.EqualValues(t, len(body), e.Download.Size)
	return body
}

// files returns what there is in the bucket's directory, by its names there.
func (b *bundle) files(t *testing.T) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(b.dir, path)
			files = append(files, path)
		}
		return err
	}))
	return files
}

// partial waits until the file of an export is being written, and returns its size.
func (b *bundle) partial(t *testing.T, atLeast int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, name := range b.files(t) {
			info, err := os.Stat(filepath.Join(b.dir, name))
			if err == nil && strings.HasSuffix(name, ".tmp") && info.Size() >= atLeast {
				return true
			}
		}
		return false
	}, within, time.Millisecond)
}

func table(t *testing.T, file []byte) [][]string {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	require.NoError(t, err)
	return records
}

func TestOneThousandAtOnceAndOneMoreInARun(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil).start(t)
	ctx := b.A.Ctx
	b.fill(ctx, t, 1000)
	b.fill(b.B.Ctx, t, 3)
	for _, format := range []exports.Format{exports.CSV, exports.JSONL, exports.XLSX} {
		f := b.small(ctx, t, exports.Request{Format: format})
		require.EqualValues(t, 1000, f.Rows)
		require.Regexp(t, `^recipients-\d{4}-\d\d-\d\d\.`+string(format)+`$`, f.Name)
	}
	require.Empty(t, b.files(t))

	b.fill(ctx, t, 1)
	answer, err := b.exporter.Export(ctx, exports.Request{Format: exports.CSV, Columns: []string{"email"}})
	require.NoError(t, err)
	require.Nil(t, answer.File)
	require.EqualValues(t, 1001, answer.Estimated)
	done := b.until(ctx, t, answer.ID, bulk.StateCompleted)
	require.EqualValues(t, 1001, done.Download.Rows)
	records := table(t, b.fetch(t, done))
	require.Len(t, records, 1002)
	seen := map[string]bool{}
	for _, r := range records[1:] {
		seen[r[0]] = true
	}
	require.Len(t, seen, 1001, "each once")
	require.Len(t, b.small(ctx, t, exports.Request{Format: exports.CSV, Filter: `email.startsWith("r77-")`}).Body, len(b.small(ctx, t, exports.Request{Format: exports.CSV, Search: "r77-"}).Body))

	// What was asked for and what came of it is in the audit trail.
	for action, want := range map[string]int{"recipients.export.answered": 5, "recipients.export.requested": 1, "recipients.export.completed": 1, "run.completed": 1} {
		require.Equal(t, want, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = $1`, action), action)
	}
	require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'recipients.export.answered' AND metadata->>'filter' LIKE 'email.starts%' AND (metadata->>'rows')::int >= 1`))

	// To the other company it is not there.
	_, err = b.exporter.Get(b.B.Ctx, answer.ID)
	require.ErrorIs(t, err, exports.ErrNotFound)
	require.EqualValues(t, 3, b.small(b.B.Ctx, t, exports.Request{Format: exports.CSV}).Rows)
}

func TestTheSameExportRunsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, &exports.Config{InlineLimit: 1}, nil) // not started
	ctx := b.A.Ctx
	b.fill(ctx, t, 2)
	id := b.large(ctx, t, exports.Request{Format: exports.CSV})
	_, err := b.exporter.Export(ctx, exports.Request{Format: exports.CSV})
	var already *bulk.AlreadyRunningError
	require.ErrorAs(t, err, &already)
	require.Equal(t, bulk.RunID(id), already.RunID)
	require.NotEqual(t, id, b.large(ctx, t, exports.Request{Format: exports.JSONL}))
	e, err := b.exporter.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, bulk.StateQueued, e.Status)
	require.Nil(t, e.Download)
}

func TestWhatCannotBeExported(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "tier", Type: customfields.Text}, customfields.Field{Key: "gone", Type: customfields.Text})
	require.NoError(t, b.fields.Archive(ctx, "gone"))
	for _, c := range []struct {
		in   exports.Request
		want string
	}{
		{exports.Request{}, "format unknown_format"},
		{exports.Request{Format: "pdf\x00"}, "format unknown_format"},
		{exports.Request{Format: exports.CSV, Search: "a\x00"}, "search invalid_text"},
		{exports.Request{Format: exports.CSV, Filter: "name == \"a\x00\""}, "filter invalid_text"},
		{exports.Request{Format: exports.JSONL, Columns: []string{"email"}}, "columns not_allowed"},
		{exports.Request{Format: exports.XLSX, BOM: true}, "bom not_allowed"},
		{exports.Request{Format: exports.CSV, Columns: []string{"email", "emial", "fields.tire", "fields.gone", "sms.phone", "email"}}, "columns[1] unknown_column columns[2] unknown_column columns[3] unknown_column columns[4] unknown_column columns[5] duplicate"},
		{exports.Request{Format: exports.CSV, With: []string{"sms"}}, "with unknown_extension"},
	} {
		_, err := b.exporter.Export(ctx, c.in)
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, "%+v", c.in)
		var got []string
		for _, f := range v.Fields {
			got = append(got, f.Field, f.Code)
		}
		require.Equal(t, c.want, strings.Join(got, " "))
	}
	_, err := b.exporter.Export(ctx, exports.Request{Format: exports.CSV, Filter: "nope =="})
	require.ErrorContains(t, err, "filter")

	work := runs()
	work.Queue = "other"
	runner, err := bulk.NewRunner(b.DB, nil, b.Audit, failing{}, &work)
	require.NoError(t, err)
	homeless, err := exports.NewExporter(b.DB, runner, b.store, b.Audit, nil, &exports.Config{InlineLimit: 2})
	require.NoError(t, err)
	b.fill(ctx, t, 2)
	answer, err := homeless.Export(ctx, exports.Request{Format: exports.CSV})
	require.NoError(t, err)
	require.EqualValues(t, 2, answer.File.Rows, "without a bucket what is small is answered all the same")
	b.fill(ctx, t, 1)
	_, err = homeless.Export(ctx, exports.Request{Format: exports.CSV})
	require.ErrorIs(t, err, exports.ErrNoBucket)
}

// failing is a Resolver that nothing asks.
type failing struct{}

func (failing) ResolveDomain(context.Context, tenancy.DomainID) (tenancy.Tenant, error) {
	return tenancy.Tenant{}, fmt.Errorf("not now")
}
