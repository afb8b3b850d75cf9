package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/sampledata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// The files of these tests: 3 of every thousand rows cannot be imported.
const (
	crashRows  = 4000
	crashValid = crashRows - crashRows/1000*3
)

// childVariable makes this test binary a process that works on imports, in the database
// and the directory that it names, until it is killed.
const childVariable = "STRATA_CHILD"

func child() int {
	database, dir, _ := strings.Cut(os.Getenv(childVariable), "\n")
	fmt.Fprintln(os.Stderr, workUntilKilled(database, dir))
	return 1
}

func workUntilKilled(database, dir string) error {
	return tenancytest.UntilKilled(database, func(ctx context.Context, pool *pgxpool.Pool) (*strata.Strata, error) {
		s, _, err := worker(ctx, pool, nil, dir)
		return s, err
	})
}

// worker is a Strata with small batches and short leases over files in dir.
func worker(ctx context.Context, pool *pgxpool.Pool, client redis.UniversalClient, dir string) (*strata.Strata, *imports.LocalStore, error) {
	local, err := imports.OpenLocal(dir, &url.URL{Scheme: "http", Host: "localhost"}, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		return nil, nil, err
	}
	s, err := strata.New(ctx, pool, client, &strata.Config{
		Bucket: local.Bucket, Log: slog.New(slog.DiscardHandler), Imports: imports.Config{BatchRows: 25},
		Runner: bulk.Config{Lease: time.Second, Poll: 200 * time.Millisecond, Backoff: 20 * time.Millisecond, MaxFailures: 100},
	})
	return s, local, err
}

// started is a worker that works until the test ends.
func started(t *testing.T, pool *pgxpool.Pool, client redis.UniversalClient, dir string) *strata.Strata {
	t.Helper()
	s, local, err := worker(t.Context(), pool, client, dir)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, local.Bucket.Close())
	})
	return s
}

func upload(ctx context.Context, t *testing.T, s *strata.Strata) imports.ID {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, sampledata.CSV(&file, crashRows, 3))
	imp, err := s.Imports.CreateFromReader(ctx, "crash.csv", &file)
	require.NoError(t, err)
	_, err = s.Imports.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	return imp.ID
}

// reach waits until an import has a status, or has done so many rows.
func reach(ctx context.Context, t *testing.T, s *strata.Strata, id imports.ID, status imports.Status, rows int64) {
	t.Helper()
	var imp imports.Import
	require.Eventually(t, func() bool {
		now, err := s.Imports.Get(ctx, id)
		if err != nil { // PostgreSQL may be away
			return false
		}
		imp = now
		return imp.Status == status || imp.Status == imports.Failed || rows > 0 && imp.ProcessedRows >= rows
	}, time.Minute, time.Millisecond)
	require.NotEqual(t, imports.Failed, imp.Status, imp.Error)
	if rows > 0 {
		require.NotEqual(t, status, imp.Status, "too quick")
	}
}

// hold keeps the work on an import from getting past a row of its order until release is
// called: it writes that row, in a transaction that will be rolled back.
func hold(ctx context.Context, t *testing.T, db *tenancy.DB, q string, args ...any) (release func()) {
	t.Helper()
	held, end, done := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = db.InTx(ctx, func(tx *tenancy.Tx) error {
			tag, err := tx.Exec(ctx, q, args...)
			if err == nil && tag.RowsAffected() != 1 {
				err = fmt.Errorf("%d rows", tag.RowsAffected())
			}
			held <- err
			<-end
			return errors.New("roll back")
		})
	}()
	release = sync.OnceFunc(func() { close(end); <-done })
	t.Cleanup(release)
	require.NoError(t, <-held)
	return release
}

// holdReading stops the reading of a file at a row, holdCommit the commit at the n-th address.
func holdReading(ctx context.Context, t *testing.T, db *tenancy.DB, id imports.ID, row int) (release func()) {
	t.Helper()
	tenant, err := tenancy.TenantFrom(ctx)
	require.NoError(t, err)
	return hold(ctx, t, db, `INSERT INTO strata.import_rows (domain_id, import_id, row_no, company_id, workspace_id, verdict) VALUES ($1, $2, $3, $4, $5, 'invalid')`,
		tenant.DomainID, id, row, tenant.CompanyID, tenant.WorkspaceID)
}

func holdCommit(ctx context.Context, t *testing.T, db *tenancy.DB, id imports.ID, n int) (release func()) {
	t.Helper()
	return hold(ctx, t, db, `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm)
		SELECT domain_id, gen_random_uuid(), company_id, workspace_id, email, email_norm FROM strata.import_rows
		WHERE import_id = $1 AND verdict = 'new' ORDER BY email_norm OFFSET $2 LIMIT 1`, id, n)
}

// exact holds a finished import to every row exactly once, and the counters to the table.
func exact(ctx context.Context, t *testing.T, s *strata.Strata, id imports.ID) {
	t.Helper()
	reach(ctx, t, s, id, imports.Done, 0)
	imp, err := s.Imports.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []int64{crashRows, crashValid, 0, crashRows - crashValid}, []int64{imp.TotalRows, imp.Inserted, imp.Updated + imp.Unchanged + imp.Skipped + imp.Duplicate, imp.Invalid})
	n, err := s.Recipients.Count(ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, crashValid, n)
	usage, err := s.Limits.Usage(ctx)
	require.NoError(t, err)
	require.EqualValues(t, crashValid, usage.Resource(billing.ResourceRecipients).Used)
	require.Zero(t, usage.Resource(billing.ResourceRecipients).Reserved)
	run, err := s.Runner.Get(ctx, bulk.RunID(id))
	require.NoError(t, err)
	require.EqualValues(t, crashValid, run.Processed)
}

func TestImportSurvivesKillsOfItsProcess(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	dir := t.TempDir()
	s, local, err := worker(t.Context(), e.Pool, nil, dir) // submits and looks only
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(s.Stop(t.Context()), local.Bucket.Close())) }()
	ctx := e.A.Ctx
	id := upload(ctx, t, s)
	// killed lets a process work on the import until it has a status or so many rows.
	killed := func(status imports.Status, rows int64) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dbtest.PoolURL(t, e.Pool)+"\n"+dir)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		reach(ctx, t, s, id, status, rows)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "killed")
	}
	for _, row := range []int{1500, 3000} {
		release := holdReading(ctx, t, e.DB, id, row)
		killed(imports.Previewed, int64(row)-100)
		release()
	}
	killed(imports.Previewed, 0)
	_, err = s.Imports.Commit(ctx, id)
	require.NoError(t, err)
	for _, n := range []int{1500, 3000} {
		release := holdCommit(ctx, t, e.DB, id, n)
		killed(imports.Done, int64(n)-100)
		release()
	}
	killed(imports.Done, 0)
	exact(ctx, t, s, id)
}

func TestTwoProcessesShareAnImport(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	dir := t.TempDir()
	s := started(t, e.Pool, e.Redis, dir)
	started(t, e.Pool, e.Redis, dir)
	id := upload(e.A.Ctx, t, s)
	reach(e.A.Ctx, t, s, id, imports.Previewed, 0)
	_, err := s.Imports.Commit(e.A.Ctx, id)
	require.NoError(t, err)
	exact(e.A.Ctx, t, s, id)
}

func TestImportSurvivesRedis(t *testing.T) {
	t.Parallel()
	server := dbtest.RedisServer(t)
	client := redis.NewClient(server.Options())
	t.Cleanup(func() { _ = client.Close() })
	x := openSiteOn(t, tenancytest.Open(t), client, imports.Config{BatchRows: 25})
	ctx := x.A.Ctx
	id := upload(ctx, t, x.s)
	reach(ctx, t, x.s, id, imports.Previewed, 0)
	release := holdCommit(ctx, t, x.DB, id, crashValid/2)
	_, err := x.s.Imports.Commit(ctx, id)
	require.NoError(t, err)
	killed := false
	last := x.stream(t, "/domains/"+x.A.DomainID.String()+"/jobs/"+id.String()+"/progress", func(p bulk.Progress) {
		if p.Processed > 0 && !killed {
			require.NoError(t, server.Kill(t.Context()))
			release()
			killed = true
		}
	})
	require.True(t, killed)
	require.Equal(t, bulk.StateCompleted, last.Status)
	require.EqualValues(t, crashValid, last.Processed)
	exact(ctx, t, x.s, id)
}

func TestImportSurvivesPostgres(t *testing.T) {
	t.Parallel()
	server := dbtest.PostgresServer(t)
	if !server.Restartable() {
		t.Skip("this PostgreSQL cannot be restarted: " + server.Source)
	}
	pool, err := pgxpool.New(t.Context(), server.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, strata.Migrate(t.Context(), pool, &strata.MigrateConfig{Log: slog.New(slog.DiscardHandler)}))
	s := started(t, pool, nil, t.TempDir())
	tenant, err := s.Tenancy.Bootstrap(t.Context(), tenancy.NewCompany{Name: "Company", Plan: "enterprise"}, tenancy.NewDomain{DomainName: "company.example"})
	require.NoError(t, err)
	ctx := tenancy.WithTenant(t.Context(), tenant)
	id := upload(ctx, t, s)
	reach(ctx, t, s, id, imports.Previewed, 0)
	holdCommit(ctx, t, s.DB, id, crashValid/2) // until PostgreSQL dies
	_, err = s.Imports.Commit(ctx, id)
	require.NoError(t, err)
	reach(ctx, t, s, id, imports.Done, crashValid/2-100)
	require.NoError(t, server.Kill(t.Context()))
	require.NoError(t, server.Start(t.Context()))
	exact(ctx, t, s, id)
}
