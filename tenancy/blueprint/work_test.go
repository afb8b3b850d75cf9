package blueprint_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/blueprint"
)

func TestTwoProcessesApplyEachWorkspaceOnce(t *testing.T) {
	t.Parallel()
	w := open(t, 20)
	actors := make(chan tenancy.Actor, 100)
	note := func(ctx context.Context, _ *tenancy.Tx, _ blueprint.Order[campaign]) error {
		actors <- tenancy.ActorFrom(ctx)
		return nil
	}
	one, two := w.store(t, quick(), note), w.store(t, quick(), note)
	working(t, one)
	working(t, two)
	id := w.create(t, one, campaign{Title: "Welcome"})

	canary := w.await(t, one, w.deploy(t, one, id, 0, blueprint.Only(w.workspaces[3])).ID)
	require.Equal(t, []int{1, 1}, []int{canary.Total, canary.Applied})
	run := w.await(t, two, w.deploy(t, one, id, 0, blueprint.All()).ID)
	require.Equal(t, []int{20, 20}, []int{run.Total, run.Applied})
	for i, ws := range w.workspaces {
		want := 1
		if i == 3 {
			want = 2
		}
		_, applied := w.item(t, ws)
		require.Equal(t, want, applied)
	}
	require.Len(t, actors, 21)
	for range 21 {
		require.Equal(t, w.A.Actor, <-actors)
	}
	sum, err := one.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, blueprint.Summary{
		LatestVersion: 1, Workspaces: 20, Applied: 20, Versions: map[int]int{1: 20}, Counters: map[string]int64{"applied": 21},
	}, sum)
	require.Equal(t, 21, w.entries(t, "blueprint.applied"), "each in its own workspace")
}

// entries counts audit entries, and holds each to the workspace that it is about.
func (w *world) entries(t *testing.T, action string) int {
	t.Helper()
	n := 0
	require.NoError(t, w.DB.Read(w.A.CompanyCtx, `SELECT workspace_id FROM strata.audit_entries e WHERE company_id = $1 AND action = $2 AND actor_id = $3
		AND (metadata->>'deploymentId' IS NULL AND workspace_id IS NULL OR EXISTS (SELECT FROM strata.blueprint_deployments d
			WHERE d.company_id = $1 AND d.workspace_id = e.workspace_id AND d.id::text = e.metadata->>'deploymentId'))`,
		[]any{w.A.CompanyID, action, w.A.Actor.ID}, func(rows pgx.Rows) error {
			for rows.Next() {
				n++
			}
			return rows.Err()
		}))
	return n
}

func TestOneFailingWorkspace(t *testing.T) {
	t.Parallel()
	w := open(t, 4)
	how := map[tenancy.WorkspaceID]func(context.Context) error{
		w.workspaces[0]: func(context.Context) error { return errors.New("no luck") },
		w.workspaces[1]: func(context.Context) error { panic("at the disco") },
		w.workspaces[2]: func(context.Context) error { return blueprint.Permanent(errors.New("never")) },
	}
	cfg := quick()
	cfg.MaxAttempts = 2
	s := w.store(t, cfg, func(ctx context.Context, tx *tenancy.Tx, _ blueprint.Order[campaign]) error {
		if fail := how[tx.Tenant().WorkspaceID]; fail != nil {
			if _, err := tx.Exec(ctx, `INSERT INTO items (deployment_id, workspace_id, title, seats, owner) VALUES (gen_random_uuid(), $1, 'half', 0, '')`, tx.Tenant().WorkspaceID); err != nil {
				return err
			}
			return fail(ctx)
		}
		return nil
	})
	stop := working(t, s)
	run := w.await(t, s, w.deploy(t, s, w.create(t, s, campaign{Title: "Welcome"}), 0, blueprint.All()).ID)
	require.Equal(t, []int{1, 3}, []int{run.Applied, run.Failed})
	out := w.outcomes(t, s, run.ID)
	for i, want := range []struct {
		attempts int
		error    string
	}{{2, "no luck"}, {2, "panic: at the disco"}, {1, "never"}} {
		o := out[w.workspaces[i]]
		require.Equal(t, []any{blueprint.StateFailed, want.attempts, "internal"}, []any{o.State, o.Attempts, o.ErrorCode})
		require.Contains(t, o.Error, want.error)
		_, applied := w.item(t, w.workspaces[i])
		require.Zero(t, applied)
	}
	require.Equal(t, 3, w.entries(t, "blueprint.failed"))
	// What went wrong inside is not for the workspace to read.
	d, err := s.Deployment(w.at(w.workspaces[1]), run.BlueprintID)
	require.NoError(t, err)
	require.Equal(t, []string{"internal error", "internal error"}, []string{d.Error, out[w.workspaces[1]].PublicError()})
	stop()

	clear(how)
	again, err := s.Retry(w.A.CompanyCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, []int{again.Applied, again.Pending})
	working(t, s)
	require.Equal(t, 4, w.await(t, s, run.ID).Applied)
	require.Empty(t, w.outcomes(t, s, run.ID)[w.workspaces[0]].Error)
}

func TestApplyTimeout(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	cfg := quick()
	cfg.ApplyTimeout, cfg.MaxAttempts = 100*time.Millisecond, 1
	s := w.store(t, cfg, func(ctx context.Context, tx *tenancy.Tx, _ blueprint.Order[campaign]) error {
		<-ctx.Done()
		return nil // and makes nothing of it
	})
	working(t, s)
	run := w.await(t, s, w.deploy(t, s, w.create(t, s, campaign{Title: "Welcome"}), 0, blueprint.All()).ID)
	require.Equal(t, "apply_timeout", w.outcomes(t, s, run.ID)[w.A.WorkspaceID].ErrorCode)
	_, applied := w.item(t, w.A.WorkspaceID)
	require.Zero(t, applied)
}

// PostgreSQL takes the lock from a process that does not move, and what it does when it
// moves again counts for nothing.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	cfg := mortal()
	cfg.ApplyTimeout = 500 * time.Millisecond
	cfg.Workers = 1
	began, thaw := make(chan struct{}), make(chan struct{})
	frozen := w.store(t, cfg, func(_ context.Context, tx *tenancy.Tx, _ blueprint.Order[campaign]) error {
		close(began)
		<-thaw
		return nil
	})
	id := w.create(t, frozen, campaign{Title: "Welcome"})
	run := w.deploy(t, frozen, id, 0, blueprint.All())
	stop := working(t, frozen)
	<-began
	other := w.store(t, mortal(), nil)
	working(t, other)
	require.Equal(t, 1, w.await(t, other, run.ID).Applied)
	close(thaw)
	stop()
	now, err := other.Run(w.A.CompanyCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, 1, now.Applied)
	_, applied := w.item(t, w.A.WorkspaceID)
	require.Equal(t, 1, applied)
	require.Greater(t, w.outcomes(t, other, run.ID)[w.A.WorkspaceID].Attempts, 1)
}

// Whoever does what at the same time: nobody waits in a circle, and in the end each
// workspace has what was asked for last.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t, 4)
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "v1"})
	for i := 2; i <= 4; i++ {
		_, err := s.Publish(w.A.CompanyCtx, id, campaign{Title: fmt.Sprint("v", i)}, "")
		require.NoError(t, err)
	}
	w.deploy(t, s, id, 1, blueprint.All())
	working(t, s)
	working(t, w.store(t, quick(), nil))
	var g errgroup.Group
	for n := range 2 {
		g.Go(func() error {
			for i := range 8 {
				if _, err := s.Deploy(w.A.CompanyCtx, id, 1+(i+n)%4, blueprint.All()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, ws := range w.workspaces {
		g.Go(func() error {
			ctx := w.at(ws)
			for i := range 6 {
				_, err := s.Override(ctx, id, "seats", i)
				if err == nil {
					_, err = s.Pause(ctx, id)
				}
				if err == nil {
					_, err = s.Resume(ctx, id, i%2 == 0)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		_, err := s.Plan(w.A.CompanyCtx, id, 0, blueprint.All())
		return err
	})
	require.NoError(t, g.Wait())
	last := w.await(t, s, w.deploy(t, s, id, 3, blueprint.All()).ID)
	require.Equal(t, 4, last.Applied)
	for _, ws := range w.workspaces {
		c, _ := w.item(t, ws)
		require.Equal(t, campaign{Title: "v3", Seats: 5}, c)
	}
	page, err := s.Runs(w.A.CompanyCtx, id, tenancy.PageRequest{PageSize: tenancy.MaxPageSize})
	require.NoError(t, err)
	total, applied := 0, 0
	for _, r := range page.Items {
		require.Zero(t, r.Pending+r.Failed)
		require.Equal(t, r.Total, r.Applied+r.Skipped+r.Superseded)
		total, applied = total+r.Total, applied+r.Applied
	}
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.EqualValues(t, applied, sum.Counters["applied"], "each that says so was applied once, of %d", total)
}

// What kills its process each time ends, although nobody is left to say that it failed.
func TestAttemptsOfProcessesThatDied(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	s := w.store(t, quick(), nil)
	run := w.deploy(t, s, w.create(t, s, campaign{Title: "Welcome"}), 0, blueprint.All())
	require.NoError(t, w.DB.InTx(w.A.WorkspaceCtx, func(tx *tenancy.Tx) error { // as they leave it
		_, err := tx.Exec(t.Context(), `UPDATE strata.blueprint_tasks SET attempts = 3 WHERE company_id = $1`, w.A.CompanyID)
		return err
	}))
	working(t, s)
	w.await(t, s, run.ID)
	require.Equal(t, "process_died", w.outcomes(t, s, run.ID)[w.A.WorkspaceID].ErrorCode)
}

func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	began := make(chan struct{}, 10)
	first := w.store(t, quick(), func(ctx context.Context, _ *tenancy.Tx, _ blueprint.Order[campaign]) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	stop := working(t, first)
	run := w.deploy(t, first, w.create(t, first, campaign{Title: "Welcome"}), 0, blueprint.All())
	<-began
	stop()
	require.Zero(t, w.outcomes(t, first, run.ID)[w.A.WorkspaceID].Attempts, "it costs no attempt")
	working(t, w.store(t, quick(), nil))
	require.Equal(t, 1, w.await(t, first, run.ID).Applied)
}

func TestDeletedAndSuspendedWorkspaces(t *testing.T) {
	t.Parallel()
	w := open(t, 3)
	s := w.store(t, quick(), nil)
	id := w.create(t, s, campaign{Title: "Welcome"})
	run := w.deploy(t, s, id, 0, blueprint.All())
	require.NoError(t, w.Store.DeleteWorkspace(w.A.CompanyCtx, w.workspaces[2]))
	_, err := w.Store.SetCompanySuspended(w.A.CompanyCtx, true)
	require.NoError(t, err)
	stop := working(t, s)
	require.Eventually(t, func() bool { // what is deleted is seen to, what is suspended waits
		return w.outcomes(t, s, run.ID)[w.workspaces[2]].State == blueprint.StateFailed
	}, within, 10*time.Millisecond)
	stop()
	gone := w.outcomes(t, s, run.ID)[w.workspaces[2]]
	require.Equal(t, []any{"workspace_gone", 0}, []any{gone.ErrorCode, gone.Attempts})
	_, err = w.Store.SetCompanySuspended(w.A.CompanyCtx, false)
	require.NoError(t, err)
	now, err := s.Run(w.A.CompanyCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, 2, now.Pending)

	working(t, s)
	require.Equal(t, 2, w.await(t, s, run.ID).Applied)
	now, err = s.Retry(w.A.CompanyCtx, run.ID)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, []int{now.Pending, now.Failed}, "there is nothing to try again in")
	require.Equal(t, 2, w.deploy(t, s, id, 0, blueprint.All()).Total)
	_, err = s.Deploy(w.A.CompanyCtx, id, 0, blueprint.Only(w.workspaces[2]))
	require.ErrorIs(t, err, blueprint.ErrNotFound)
	_, err = s.Pause(w.at(w.workspaces[2]), id)
	require.ErrorIs(t, err, blueprint.ErrNotFound)
	sum, err := s.Summary(w.A.CompanyCtx, id)
	require.NoError(t, err)
	require.Equal(t, 2, sum.Workspaces)
}

// A company that has asked for much does not keep the others waiting until all of it is
// done.
func TestOneCompanyDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	const many = 150 // more than are looked at for one company
	w := open(t, many)
	cfg := quick()
	cfg.Workers = 1
	var before, late atomic.Int32
	s := w.store(t, cfg, func(_ context.Context, tx *tenancy.Tx, _ blueprint.Order[campaign]) error {
		if tx.Tenant().CompanyID == w.B.CompanyID {
			late.Store(before.Load())
		}
		before.Add(1)
		return nil
	})
	w.deploy(t, s, w.create(t, s, campaign{Title: "Welcome"}), 0, blueprint.All())
	b, err := s.Create(w.B.CompanyCtx, blueprint.New{Kind: "campaign", Name: "Late", Body: campaign{Title: "Late"}})
	require.NoError(t, err)
	run, err := s.Deploy(w.B.CompanyCtx, b.ID, 0, blueprint.All())
	require.NoError(t, err)
	working(t, s)
	require.Eventually(t, func() bool {
		now, err := s.Run(w.B.CompanyCtx, run.ID)
		require.NoError(t, err)
		return now.Applied == 1
	}, within, 10*time.Millisecond)
	// Each time it is one of two companies: 40 times the same one is once in 2^40.
	require.Less(t, late.Load(), int32(40))
}
