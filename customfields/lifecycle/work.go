package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

const (
	maxFailures = 8 // of one step
	maxPause    = time.Minute
	// lockWait is how long a batch waits for a record that somebody else holds. The records
	// that it has by then are held as long.
	lockWait = 500 * time.Millisecond
	// idle is how long a process may stand still in the middle of a step before PostgreSQL
	// takes the step from it.
	idle = 20 * time.Second
	// pendingList is how much, in kB, the index over custom_fields may put off. With the 4 MB
	// that PostgreSQL allows, one batch in a hundred pays for all the others, for seconds.
	pendingList = 256
)

// Work works on runs of the Manager's queue, of every workspace, until ctx ends. Start it
// once per process, in as many processes as you like. It returns ctx's error.
func (m *Manager) Work(ctx context.Context) error {
	for ctx.Err() == nil {
		if m.next(ctx) {
			continue
		}
		// Processes that started together must not ask together for ever.
		poll := time.NewTimer(m.cfg.Poll - rand.N(m.cfg.Poll/5+1))
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-poll.C:
		}
		poll.Stop()
	}
	return ctx.Err()
}

// due is a run whose next step may be done.
type due struct {
	company   tenancy.CompanyID
	workspace tenancy.WorkspaceID
	id        RunID
	domain    *tenancy.DomainID
	actor     tenancy.Actor
}

// scope returns ctx where the next step of the run works, as the actor who asked for it.
// The domain may be deleted: its records come back with it.
func (d due) scope(ctx context.Context) context.Context {
	t := tenancy.Tenant{CompanyID: d.company, WorkspaceID: d.workspace}
	if d.domain != nil {
		t.DomainID = *d.domain
	}
	return tenancy.WithDeleted(tenancy.WithActor(tenancy.WithTenant(ctx, t), d.actor))
}

// next does the next step of one run, and reports whether there was one. The run that has
// waited longest comes first: a step is a batch, so runs take turns.
func (m *Manager) next(ctx context.Context) bool {
	var waiting []due
	err := m.db.ReadTrusted(ctx, `SELECT company_id, workspace_id, id, (cursor ->> 'domain')::uuid, actor FROM strata.custom_field_runs
		WHERE queue = $1 AND state IN ('running', 'cancelling') AND next_attempt_at <= now() ORDER BY updated_at LIMIT 16`, []any{m.cfg.Queue}, func(rows pgx.Rows) (err error) {
		waiting, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
			err = row.Scan(&d.company, &d.workspace, &d.id, &d.domain, &d.actor)
			return d, err
		})
		return err
	})
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.ErrorContext(ctx, "cannot look for changes of custom fields", "error", err)
	}
	for _, d := range waiting {
		if ctx.Err() != nil {
			return false
		}
		done, err := m.step(d.scope(ctx), d)
		if err != nil && ctx.Err() == nil {
			m.failed(ctx, d, err)
		}
		if done || err != nil {
			return true
		}
	}
	return false
}

// step does the next step of a run, unless somebody else is at it.
func (m *Manager) step(ctx context.Context, d due) (done bool, err error) {
	defer func() {
		if p := recover(); p != nil { // of a Holder: its process must not die of it, again and again
			err = fmt.Errorf("lifecycle: panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = m.db.InTx(ctx, func(tx *tenancy.Tx) error {
		rec, err := one(tx.Query(ctx, tx.SQL(fmt.Sprintf(`SELECT `+runColumns+` FROM strata.custom_field_runs,
				(SELECT set_config('lock_timeout', '%d', true), set_config('idle_in_transaction_session_timeout', '%d', true), set_config('statement_timeout', '0', true), set_config('gin_pending_list_limit', '%d', true)) limits
			WHERE workspace_id = $1 AND id = $2 AND state IN ('running', 'cancelling') AND next_attempt_at <= now()
			FOR NO KEY UPDATE OF custom_field_runs SKIP LOCKED`, lockWait.Milliseconds(), idle.Milliseconds(), pendingList)), d.workspace, d.id))
		if errors.Is(err, ErrRunNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if rec.cursor.Domain != tx.Tenant().DomainID {
			return nil // it went on meanwhile
		}
		pause, err := m.advance(ctx, tx, &rec)
		if err != nil {
			return err
		}
		rec.failures, rec.Error, rec.ErrorCode = 0, "", ""
		done = true
		if pause > 0 {
			tx.AfterCommit(func(context.Context) { time.AfterFunc(pause, m.nudge) })
		}
		_, err = m.update(ctx, tx, rec, pause)
		return err
	})
	return done, err
}

// advance does what the step of a run asks for, and returns for how long nothing is to be
// done then.
func (m *Manager) advance(ctx context.Context, tx *tenancy.Tx, rec *record) (pause time.Duration, err error) {
	switch rec.Step {
	case Wait, Drain:
		return m.settle(ctx, tx, rec)
	case Fill, Clean:
		return 0, m.batch(ctx, tx, rec)
	case Flip:
		return 0, m.flip(ctx, tx, rec)
	case End:
		return 0, m.end(ctx, tx, rec)
	}
	return 0, fmt.Errorf("lifecycle: nothing to do in step %s", rec.Step)
}

// goOn makes the next step of a run the one after the one it is in.
func (rec *record) goOn() {
	rec.Step, rec.cursor = rec.Step.next(rec.Kind, rec.State), cursor{}
	if rec.Step == Fill || rec.Step == Clean {
		rec.Processed, rec.Changed, rec.Lost = 0, 0, 0
	}
}

// update writes down where a run is. Nothing is done to it before the pause is over.
func (m *Manager) update(ctx context.Context, tx *tenancy.Tx, rec record, pause time.Duration) (Run, error) {
	failedIn := State("")
	if rec.State == Failed {
		failedIn = rec.failedIn
	}
	rec, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.custom_field_runs SET state = $3, failed_in = $4, step = $5, cursor = $6, processed = $7, changed = $8, lost = $9,
			failures = $10, error = $11, error_code = $12, next_attempt_at = clock_timestamp() + $13::interval, updated_at = clock_timestamp(),
			finished_at = CASE WHEN $3 IN ('done', 'cancelled') THEN clock_timestamp() END
		WHERE workspace_id = $1 AND id = $2 RETURNING `+runColumns), tx.Tenant().WorkspaceID, rec.ID, string(rec.State), string(failedIn), string(rec.Step), rec.cursor,
		rec.Processed, rec.Changed, rec.Lost, rec.failures, rec.Error, rec.ErrorCode, pause))
	return rec.Run, wrap("note a step", err)
}

// failed notes that an attempt at a step failed. What time may help is tried again after a
// while; anything else waits for a person.
func (m *Manager) failed(ctx context.Context, d due, cause error) {
	d.domain = nil
	scoped, cancel := context.WithTimeout(d.scope(context.WithoutCancel(ctx)), 10*time.Second)
	defer cancel()
	err := m.db.InTx(scoped, func(tx *tenancy.Tx) error {
		rec, err := lockRun(scoped, tx, d.id)
		if err != nil || rec.State != Running && rec.State != Cancelling {
			return err
		}
		rec.Error, rec.ErrorCode = fault.Kept(cause)
		if occupied(cause) { // it is nobody's fault, and passes
			rec.cursor.Rows = max(minRows, rec.cursor.Rows/2)
			_, err := m.update(scoped, tx, rec, 100*time.Millisecond+rand.N(400*time.Millisecond))
			return err
		}
		m.cfg.Log.WarnContext(ctx, "a step of the change of a custom field failed", "run", rec.ID, "workspace", d.workspace, "step", rec.Step, "error", cause)
		rec.failures++
		switch fault.KindOf(cause) { //nolint:exhaustive // all the others are for a person
		case fault.Internal, fault.Unavailable, fault.Throttled, fault.Moving:
			if rec.failures < maxFailures || fault.KindOf(cause) == fault.Moving {
				_, err := m.update(scoped, tx, rec, min(maxPause, 100*time.Millisecond<<min(rec.failures, 12)))
				return err
			}
		}
		rec.failedIn, rec.State = rec.State, Failed
		if _, err := m.update(scoped, tx, rec, 0); err != nil {
			return err
		}
		return m.record(scoped, tx, rec, "custom_field.change_failed", map[string]any{"reason": rec.ErrorCode})
	})
	if err != nil {
		m.cfg.Log.ErrorContext(ctx, "the state of a change of a custom field could not be written", "run", d.id, "workspace", d.workspace, "error", err)
	}
}

// occupied reports whether somebody else had what a step needed.
func occupied(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "55P03", "40P01", "40001": // a lock was not to be had, a deadlock, a conflict
		return true
	}
	return false
}

// settle waits until nobody can write any more by the definitions as they were: first for
// processes, which may use them for a while, then for the transactions that write by them.
// Each of those is in a domain and holds its lock (strata.enter_domain) to its end.
func (m *Manager) settle(ctx context.Context, tx *tenancy.Tx, rec *record) (pause time.Duration, err error) {
	c := &rec.cursor
	if !c.Waiting { // what changed the definitions has committed: the time begins now
		c.Waiting = true
		return m.cfg.Settle, nil
	}
	const again = 50 * time.Millisecond
	holders, err := m.writers(ctx, tx)
	if err != nil {
		return 0, err
	}
	if !c.Settled {
		c.Settled, c.Writers = true, holders
	}
	there := map[string]bool{}
	for _, h := range holders {
		there[h] = true
	}
	left := []string{}
	for _, w := range c.Writers {
		if there[w] {
			left = append(left, w)
		}
	}
	if c.Writers = left; len(left) > 0 {
		return again, nil
	}
	rec.goOn()
	return 0, nil
}

// writers returns the transactions that are in a domain of the workspace now.
func (m *Manager) writers(ctx context.Context, tx *tenancy.Tx) (out []string, err error) {
	t := tx.Tenant()
	rows, err := tx.Query(ctx, tx.SQL(`SELECT DISTINCT l.virtualtransaction FROM pg_locks l
		JOIN (SELECT hashtextextended('strata.domains/' || d.id::text, 0) AS key FROM strata.domains d WHERE d.company_id = $1 AND d.workspace_id = $2) d
			ON l.classid::bigint = (d.key >> 32) & 4294967295 AND l.objid::bigint = d.key & 4294967295
		WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`),
		t.CompanyID, t.WorkspaceID)
	if err != nil {
		return nil, wrap("look for writers", err)
	}
	out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return out, wrap("look for writers", err)
}

// flip makes the new slot and type those of the field.
func (m *Manager) flip(ctx context.Context, tx *tenancy.Tx, rec *record) error {
	if rec.Lost > rec.AcceptLoss {
		return &LossError{Key: rec.Key, To: rec.To, Lost: rec.Lost, AcceptLoss: rec.AcceptLoss}
	}
	_, err := m.alter(ctx, tx, *rec, "flipped", func(f *customfields.Field) error {
		before := f.Place()
		next := *f.Transition.Next
		*f = *f.At(next)
		f.Transition = &customfields.Transition{RunID: rec.ID.String(), Kind: rec.Kind, Retired: &before}
		return nil
	})
	if err != nil {
		return err
	}
	rec.goOn()
	return nil
}

// end takes the transition out of the definition, and the field itself when it was purged.
func (m *Manager) end(ctx context.Context, tx *tenancy.Tx, rec *record) error {
	cancelled := rec.State == Cancelling
	rec.State = Done
	if cancelled {
		rec.State = Cancelled
	}
	switch rec.Kind {
	case customfields.KindPurge:
		f, err := m.fields.FindTx(ctx, tx, customfields.ByID(rec.FieldID))
		if err == nil {
			err = ours(f, *rec)
		}
		if err != nil {
			return err
		}
		return m.fields.RemoveTx(ctx, tx, rec.FieldID, "custom_field.purged")
	case customfields.KindRemoveOption:
		f, err := m.alter(ctx, tx, *rec, "finished", func(f *customfields.Field) error {
			remove(f, rec.Option)
			f.Transition = nil
			return nil
		})
		if err != nil || rec.Replacement == "" {
			return err
		}
		return m.replaceInFilters(ctx, tx, f.Key, rec.Option, rec.Replacement)
	case customfields.KindConvert:
	}
	_, err := m.alter(ctx, tx, *rec, "finished", func(f *customfields.Field) error {
		f.Transition = nil
		return nil
	})
	return err
}
