package blueprint

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// Work brings workspaces to what was asked for, of every company, until ctx ends. Start it
// once per process, in as many processes as you like. It returns ctx's error.
//
// Apply, what it leads to in the rows, and the audit entry are one transaction, under the
// lock of the deployment's row. So whatever dies, each workspace of a run is applied
// exactly once. That an attempt begins is written down before, in a transaction of its own:
// what kills its process every time must not go on for ever.
func (s *Store) Work(ctx context.Context) error {
	if len(s.kinds) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	var working sync.WaitGroup
	for range s.cfg.Workers {
		working.Go(func() { s.work(ctx) })
	}
	working.Wait()
	return ctx.Err()
}

// wake tells the workers of this process that there is work.
func (s *Store) wake() {
	for range cap(s.hint) {
		select {
		case s.hint <- struct{}{}:
		default:
			return
		}
	}
}

func (s *Store) work(ctx context.Context) {
	for ctx.Err() == nil {
		if s.next(ctx) {
			continue
		}
		// Processes that started together must not ask together for ever.
		poll := time.NewTimer(s.cfg.Poll - rand.N(s.cfg.Poll/5+1))
		select {
		case <-ctx.Done():
		case <-s.hint:
		case <-poll.C:
		}
		poll.Stop()
	}
}

// task is a workspace of a run that is due.
type task struct {
	tenant    tenancy.Tenant
	actor     tenancy.Actor
	blueprint ID
	run       RunID
	version   int
	gone      bool // the workspace or the company is deleted
	attempt   int  // from 1
	turn      int  // how many of its company are tried before
}

// scope returns ctx in the task's workspace, as the actor who asked for it.
func (t task) scope(ctx context.Context) context.Context {
	return tenancy.WithActor(tenancy.WithTenant(ctx, t.tenant), t.actor)
}

// looked is how many tasks of a company that are due are looked at: more than are being
// worked on and have been due for longer. lookedAll is that of all companies together.
const (
	looked    = 100
	lookedAll = 5 * looked
)

// due returns tasks that may be begun, of some companies that have any. While a company or
// a workspace is suspended, or its subscription allows no writes, its tasks wait.
//
// Which companies is left to chance, and not to the time: of one that has asked for ten
// thousand workspaces the last would be done before the first of the next company. waiting
// goes from one company in the index to the next.
func (s *Store) due(ctx context.Context) ([]task, error) {
	var out []task
	err := s.db.ReadTrusted(ctx, `WITH RECURSIVE waiting AS (
			(SELECT company_id FROM strata.blueprint_tasks WHERE state = 'pending' ORDER BY company_id LIMIT 1)
			UNION ALL
			SELECT n.company_id FROM waiting w CROSS JOIN LATERAL (SELECT t.company_id FROM strata.blueprint_tasks t
				WHERE t.state = 'pending' AND t.company_id > w.company_id ORDER BY t.company_id LIMIT 1) n)
		SELECT c.id, t.workspace_id, c.plan, c.access, greatest(c.version, t.workspace_version), t.actor, t.blueprint_id, t.run_id, t.version, t.gone
		FROM (SELECT c.* FROM waiting JOIN strata.companies c ON c.id = waiting.company_id ORDER BY random()) c
		CROSS JOIN LATERAL (SELECT t.workspace_id, w.version AS workspace_version, r.actor, t.blueprint_id, t.run_id, r.version,
				c.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL AS gone
			FROM strata.blueprint_tasks t
			JOIN strata.blueprint_runs r ON r.company_id = t.company_id AND r.id = t.run_id
			JOIN strata.workspaces w ON w.company_id = t.company_id AND w.id = t.workspace_id
			WHERE t.company_id = c.id AND t.state = 'pending' AND t.next_attempt_at <= now() AND t.kind = ANY($1)
				AND (c.deleted_at IS NOT NULL OR w.deleted_at IS NOT NULL OR c.suspended_at IS NULL AND w.suspended_at IS NULL AND c.access = 'full')
			ORDER BY t.next_attempt_at LIMIT $2) t
		LIMIT $3`, []any{s.names, looked, lookedAll}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t task, err error) {
			err = row.Scan(&t.tenant.CompanyID, &t.tenant.WorkspaceID, &t.tenant.Plan, &t.tenant.Access, &t.tenant.Version, &t.actor, &t.blueprint, &t.run, &t.version, &t.gone)
			return t, err
		})
		return err
	})
	return out, err
}

// next does one task that is due, and reports whether there was one to be had.
func (s *Store) next(ctx context.Context) bool {
	due, err := s.due(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "cannot look for blueprints to apply", "error", err)
		}
		return false
	}
	for _, t := range inTurn(due) {
		began, ended, err := s.begin(t.scope(ctx), &t)
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Log.ErrorContext(ctx, "cannot begin to apply a blueprint", "run", t.run, "workspace", t.tenant.WorkspaceID, "error", err)
		case ended:
			return true
		case began:
			s.attempt(ctx, t)
			return true
		}
	}
	return false
}

// inTurn puts tasks in the order in which they are tried: one of each company, then the
// next of each. Within that it is left to chance, or all would try the first.
func inTurn(tasks []task) []task {
	shuffle := func() { rand.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] }) }
	shuffle()
	had := map[tenancy.CompanyID]int{}
	for i, t := range tasks {
		tasks[i].turn = had[t.tenant.CompanyID]
		had[t.tenant.CompanyID]++
	}
	shuffle() // the first of a hundred would come before the only one of another company
	slices.SortFunc(tasks, func(a, b task) int { return cmp.Compare(a.turn, b.turn) })
	return tasks
}

// begin writes down that an attempt begins, unless somebody is at it. When the task cannot
// be done any more, it ends it.
func (s *Store) begin(ctx context.Context, t *task) (began, ended bool, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		d, err := s.read(ctx, tx, t.blueprint, skipLocked)
		if err != nil {
			return err
		}
		attempts, err := readOne(ctx, tx, `SELECT attempts FROM strata.blueprint_tasks
			WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3 AND state = 'pending' AND next_attempt_at <= now()`,
			pgx.RowTo[int], t.tenant.CompanyID, t.run, t.tenant.WorkspaceID)
		if err != nil {
			return err
		}
		switch {
		case t.gone:
			ended = true
			return s.end(ctx, tx, *t, d, ErrWorkspaceGone)
		case attempts >= s.cfg.MaxAttempts:
			ended = true
			return s.end(ctx, tx, *t, d, ErrDied)
		}
		began, t.attempt = true, attempts+1
		_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET attempts = $4, next_attempt_at = now() + $5::interval
			WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3`), t.tenant.CompanyID, t.run, t.tenant.WorkspaceID, t.attempt, s.cfg.Takeover+s.pause(t.attempt))
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	return began, ended, nil
}

// pause is how long the next attempt waits.
func (s *Store) pause(attempt int) time.Duration {
	const most = time.Minute
	return min(s.cfg.Backoff<<min(attempt-1, 16), max(most, s.cfg.Backoff))
}

// attempt applies a task that was begun, and writes down what came of it.
func (s *Store) attempt(ctx context.Context, t task) {
	err := s.apply(t.scope(ctx), t)
	if err == nil {
		return
	}
	stopped := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if stopped {
		err = s.giveBack(t.scope(ctx), t)
	} else {
		s.cfg.Log.WarnContext(ctx, "a blueprint was not applied", "run", t.run, "workspace", t.tenant.WorkspaceID, "attempt", t.attempt, "error", err)
		err = s.failed(t.scope(ctx), t, err)
	}
	if err != nil { // it is begun again after the pause
		s.cfg.Log.ErrorContext(ctx, "cannot write down how an attempt ended", "run", t.run, "workspace", t.tenant.WorkspaceID, "error", err)
	}
}

// hold locks the deployment of an attempt that still counts, or returns ErrNotFound.
func (s *Store) hold(ctx context.Context, tx *tenancy.Tx, t task) (row, error) {
	d, err := s.read(ctx, tx, t.blueprint, locked)
	if err != nil {
		return d, err
	}
	// Not in the same statement: that one would see the task as it was before the lock.
	_, err = readOne(ctx, tx, `SELECT true FROM strata.blueprint_tasks
		WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3 AND state = 'pending' AND attempts = $4`,
		pgx.RowTo[bool], t.tenant.CompanyID, t.run, t.tenant.WorkspaceID, t.attempt)
	return d, err
}

func (s *Store) apply(ctx context.Context, t task) error {
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		d, err := s.hold(ctx, tx, t)
		if err != nil {
			return err
		}
		p, err := s.perform(ctx, tx, s.kinds[d.kind], d, t.version)
		if err != nil {
			return err
		}
		return s.applied(ctx, tx, t, d, p)
	})
	var failure *applyError
	if errors.Is(err, ErrNotFound) && !errors.As(err, &failure) {
		return nil // it was paused, or asked for anew
	}
	return err
}

// applied writes down that the workspace has what it was to have.
func (s *Store) applied(ctx context.Context, tx *tenancy.Tx, t task, d row, p performed) error {
	c, w := t.tenant.CompanyID, t.tenant.WorkspaceID
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_deployments SET applied_version = $4, applied_body = $5, applied_at = now(), updated_at = now()
		WHERE company_id = $1 AND workspace_id = $2 AND blueprint_id = $3`), c, w, t.blueprint, t.version, []byte(p.body)); err != nil {
		return err
	}
	changes := make([]Change, len(p.changes))
	for i, c := range p.changes {
		changes[i] = Change{Action: c.Action, Subject: fault.Storable(c.Subject), Detail: fault.Storable(c.Detail)}
	}
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET state = 'applied', changes = $4, error = '', error_code = '', finished_at = now()
		WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3`), c, t.run, w, changes); err != nil {
		return err
	}
	if err := s.CountTx(ctx, tx, t.blueprint, p.counters); err != nil {
		return err
	}
	return s.record(ctx, tx, "blueprint.applied", d, map[string]any{
		"runId": t.run.String(), "version": t.version, "previousVersion": d.applied, "changes": len(p.changes),
	})
}

// failed notes an attempt that failed: the next follows after a pause, if there is one.
func (s *Store) failed(ctx context.Context, t task, cause error) error {
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		d, err := s.hold(ctx, tx, t)
		if err != nil {
			return err
		}
		if permanent(cause) || t.attempt >= s.cfg.MaxAttempts {
			return s.end(ctx, tx, t, d, cause)
		}
		text, code := fault.Kept(cause)
		_, err = tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET error = $4, error_code = $5, next_attempt_at = now() + $6::interval
			WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3`), t.tenant.CompanyID, t.run, t.tenant.WorkspaceID, text, code, s.pause(t.attempt))
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil // it does not count any more
	}
	return err
}

// end writes down that a task has failed for good.
func (s *Store) end(ctx context.Context, tx *tenancy.Tx, t task, d row, cause error) error {
	text, code := fault.Kept(cause)
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET state = 'failed', error = $4, error_code = $5, finished_at = now()
		WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3`), t.tenant.CompanyID, t.run, t.tenant.WorkspaceID, text, code); err != nil {
		return err
	}
	return s.record(ctx, tx, "blueprint.failed", d, map[string]any{"runId": t.run.String(), "version": t.version, "errorCode": code})
}

// giveBack takes back an attempt that the end of the process broke off.
func (s *Store) giveBack(ctx context.Context, t task) error {
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := s.hold(ctx, tx, t); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET attempts = attempts - 1, next_attempt_at = now() WHERE company_id = $1 AND run_id = $2 AND workspace_id = $3`),
			t.tenant.CompanyID, t.run, t.tenant.WorkspaceID)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
