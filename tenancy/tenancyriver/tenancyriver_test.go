package tenancyriver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/tenancyriver"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type args struct {
	Fail   bool `json:"fail"`   // the first attempt
	Moving bool `json:"moving"` // what it writes to is
}

func (args) Kind() string { return "report" }

// worked is what a worker saw.
type worked struct {
	tenant tenancy.Tenant
	err    error // of asking for the tenant
	actor  tenancy.Actor
}

type worker struct {
	river.WorkerDefaults[args]
	saw chan worked
}

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	t, err := tenancy.TenantFrom(ctx)
	w.saw <- worked{t, err, tenancy.ActorFrom(ctx)}
	if job.Args.Moving {
		return fmt.Errorf("write a report: %w", tenancy.ErrMoving)
	}
	if job.Args.Fail && job.Attempt == 1 {
		return errors.New("once more")
	}
	return nil
}

func (w *worker) NextRetry(*river.Job[args]) time.Time { return time.Now() }

type world struct {
	*tenancytest.Env
	store  *tenancy.Store
	client *river.Client[pgx.Tx]
	saw    chan worked
	ended  <-chan *river.Event
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t), saw: make(chan worked, 100)}
	resolver, err := tenancy.NewResolver(w.DB, w.Redis, nil)
	require.NoError(t, err)
	t.Cleanup(resolver.Close)
	w.store, err = tenancy.NewStore(w.DB, w.Audit, &tenancy.StoreConfig{Resolver: resolver})
	require.NoError(t, err)
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{saw: w.saw})
	w.client, err = river.NewClient(riverpgxv5.New(w.Pool), &river.Config{
		Schema:     w.DB.RiverSchema(),
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
		Workers:    workers,
		Middleware: []rivertype.Middleware{tenancyriver.New(resolver, nil)},
		Logger:     slog.New(slog.DiscardHandler),
		PollOnly:   dbtest.Pooled(),
	})
	require.NoError(t, err)
	ended, stop := w.client.Subscribe(river.EventKindJobCompleted, river.EventKindJobCancelled, river.EventKindJobSnoozed)
	t.Cleanup(stop)
	w.ended = ended
	return w
}

// start works on what is there, with a client whose own context is in the scope of B: that
// must not show.
func (w *world) start(t *testing.T) {
	t.Helper()
	require.NoError(t, w.client.Start(context.WithoutCancel(w.B.Ctx)))
	t.Cleanup(func() { require.NoError(t, w.client.Stop(context.Background())) })
}

// end returns how the next job ends.
func (w *world) end(t *testing.T) *river.Event {
	t.Helper()
	select {
	case e := <-w.ended:
		return e
	case <-time.After(time.Minute):
		t.Fatal("no job ended")
		return nil
	}
}

func (w *world) insert(t *testing.T, ctx context.Context, a args, opts *river.InsertOpts) {
	t.Helper()
	_, err := w.client.Insert(ctx, a, opts)
	require.NoError(t, err)
}

func TestJobWorksInTheTenantThatItWasInsertedIn(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.start(t)
	want, err := tenancy.TenantFrom(w.A.Ctx)
	require.NoError(t, err)

	// With metadata of its own, in a transaction, and tried twice: the tenant stays.
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := w.client.InsertTx(w.A.Ctx, tx.Tx, args{Fail: true}, &river.InsertOpts{Metadata: []byte(`{"own": 1}`)})
		return err
	}))
	for range 2 {
		got := <-w.saw
		require.NoError(t, got.err)
		require.Equal(t, want.DomainID, got.tenant.DomainID)
		require.Equal(t, want.CompanyID, got.tenant.CompanyID)
		require.Equal(t, w.A.Actor, got.actor)
	}
	job := w.end(t).Job
	require.Equal(t, rivertype.JobStateCompleted, job.State)
	require.Contains(t, string(job.Metadata), `"own"`)

	// One that has a tenant keeps it, whoever inserts it again.
	w.insert(t, w.B.Ctx, args{}, &river.InsertOpts{Metadata: job.Metadata})
	require.Equal(t, want.DomainID, (<-w.saw).tenant.DomainID)

	w.insert(t, w.A.CompanyCtx, args{}, nil)
	require.Equal(t, tenancy.LevelCompany, (<-w.saw).tenant.Level())

	// Without a tenant there is none, although the client was started in one.
	w.insert(t, t.Context(), args{}, nil)
	got := <-w.saw
	require.ErrorIs(t, got.err, tenancy.ErrNoTenant)
	require.Equal(t, tenancy.Actor{Type: tenancy.ActorSystem}, got.actor)
}

// What is unique is so in its tenant: nobody's job is taken for somebody else's.
func TestUniqueJobsAreOfTheirTenant(t *testing.T) {
	t.Parallel()
	w := open(t)
	unique := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
	duplicate := func(ctx context.Context, opts *river.InsertOpts) bool {
		t.Helper()
		res, err := w.client.Insert(ctx, args{}, opts)
		require.NoError(t, err)
		return res.UniqueSkippedAsDuplicate
	}
	for _, ctx := range []context.Context{t.Context(), w.A.CompanyCtx, w.A.WorkspaceCtx, w.A.Ctx, w.B.Ctx} {
		require.False(t, duplicate(ctx, unique))
		require.True(t, duplicate(ctx, unique))
	}
	carried := *unique
	carried.Metadata = []byte(`{"strata": {"companyId": "` + w.A.CompanyID.String() + `", "domainId": "` + w.A.DomainID.String() + `"}}`)
	require.True(t, duplicate(t.Context(), &carried), "the tenant that it carries is its tenant")
	other := tenancy.WithActor(w.A.Ctx, tenancy.Actor{ID: "other", Type: tenancy.ActorUser, CompanyID: w.A.CompanyID})
	require.True(t, duplicate(other, unique), "whoever inserts it")
}

func TestJobOfATenantThatIsGoneIsCancelled(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.insert(t, w.A.Ctx, args{}, nil)
	require.NoError(t, w.store.DeleteWorkspace(w.A.CompanyCtx, w.A.WorkspaceID))
	w.start(t)
	e := w.end(t)
	require.Equal(t, river.EventKindJobCancelled, e.Kind)
	require.Equal(t, 1, e.Job.Attempt)
	require.Contains(t, e.Job.Errors[0].Error, "the tenant of the job is gone")

	// Somebody else's domain in a stamp is as gone: a job cannot be made to cross over.
	w.insert(t, w.B.Ctx, args{}, &river.InsertOpts{Metadata: []byte(`{"strata": {"companyId": "` + w.A.CompanyID.String() + `", "domainId": "` + w.B.DomainID.String() + `"}}`)})
	require.Equal(t, river.EventKindJobCancelled, w.end(t).Kind)
	require.Empty(t, w.saw, "neither was worked on")
}

func TestJobOfASuspendedTenantWaits(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.insert(t, w.A.Ctx, args{}, nil)
	_, err := w.store.SetCompanySuspended(w.A.CompanyCtx, true)
	require.NoError(t, err)
	w.start(t)
	e := w.end(t)
	require.Equal(t, river.EventKindJobSnoozed, e.Kind)
	require.Equal(t, rivertype.JobStateScheduled, e.Job.State)
	require.Empty(t, w.saw)
}

// A move is no fault of a job: its last attempt too comes after it.
func TestJobThatMeetsAMoveWaits(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.insert(t, w.A.Ctx, args{Moving: true}, &river.InsertOpts{MaxAttempts: 1})
	w.start(t)
	e := w.end(t)
	require.Equal(t, river.EventKindJobSnoozed, e.Kind)
	require.Equal(t, rivertype.JobStateScheduled, e.Job.State)
}
