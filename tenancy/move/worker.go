package move

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/internal/fence"
	"github.com/stratakit/strata/tenancy"
)

// runnable is the condition under which a move may be claimed. One that failed is claimed
// when its domain is deleted: nobody can decide about it any more, for nobody gets to it.
const runnable = `(state IN ('preparing', 'copying', 'flipping', 'cancelling') OR state = 'failed' AND NOT EXISTS (
		SELECT FROM strata.domains d JOIN strata.companies c ON c.id = d.company_id
		WHERE d.company_id = moves.company_id AND d.id = moves.domain_id AND d.deleted_at IS NULL AND c.deleted_at IS NULL))
	AND next_attempt_at <= now() AND (lease_until IS NULL OR lease_until < now())`

const (
	maxFailures = 5
	maxWait     = time.Minute
	// handBack bounds what is still to be written when the work is broken off.
	handBack = 5 * time.Second
)

// Run works on moves of its queue, those that were started here and those whose process
// died, until ctx ends. Run it in every process that does background work. It returns ctx's error.
func (m *Mover) Run(ctx context.Context) error {
	for {
		for m.next(ctx) {
		}
		// Processes that started together must not ask together for ever.
		poll := time.NewTimer(m.cfg.Poll - rand.N(m.cfg.Poll/5+1))
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-poll.C:
		}
		poll.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// next works on one move, and reports whether there was one.
func (m *Mover) next(ctx context.Context) bool {
	rec, err := m.claim(ctx)
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.ErrorContext(ctx, "cannot look for moves of domains", "error", err)
	}
	if rec == nil {
		return false
	}
	s := &session{Mover: m, rec: rec}
	s.run(ctx)
	return true
}

// claim takes the lease of a move that nobody works on, or returns nil.
func (m *Mover) claim(ctx context.Context) (*record, error) {
	type ref struct {
		Company tenancy.CompanyID
		ID      ID
	}
	var due []ref
	err := m.db.ReadTrusted(ctx, `SELECT company_id, id FROM strata.moves WHERE queue = $1 AND `+runnable+` ORDER BY next_attempt_at LIMIT 32`, []any{m.cfg.Queue}, func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ref])
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, at := range due {
		var rec *record
		scoped := tenancy.WithTenant(ctx, tenancy.Tenant{CompanyID: at.Company})
		err := m.db.InTx(scoped, func(tx *tenancy.Tx) (err error) {
			rec, err = one(tx.Query(ctx, tx.SQL(`UPDATE strata.moves SET lease = $3, lease_until = now() + $4::interval, updated_at = now()
				WHERE company_id = $1 AND id = (SELECT id FROM strata.moves WHERE company_id = $1 AND id = $2 AND `+runnable+` FOR UPDATE SKIP LOCKED)
				RETURNING `+moveColumns), at.Company, at.ID, uuid.New(), m.cfg.Lease))
			return err
		})
		if !errors.Is(err, pgx.ErrNoRows) {
			return rec, err
		}
	}
	return nil, nil
}

// session is the work of one process on a move, from a claim to the end of the lease.
type session struct {
	*Mover

	rec    *record // what the row said last
	tables []tenancy.DomainTable
}

// run does step after step until the move has ended, failed, or is somebody else's.
func (s *session) run(ctx context.Context) {
	ctx = fence.Pass(tenancy.WithActor(tenancy.WithTenant(ctx, s.rec.Source()), s.rec.actor))
	for !s.rec.State.Final() {
		err := s.step(ctx)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errLeaseLost):
			s.cfg.Log.WarnContext(ctx, "a move was taken over", "move", s.rec.ID, "domain", s.rec.DomainID)
			return
		}
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), handBack)
		if ctx.Err() != nil || errors.Is(err, errWritersRemain) { // other moves need not wait for these writers
			err = s.release(after)
		} else {
			s.cfg.Log.ErrorContext(ctx, "an attempt at a move failed", "move", s.rec.ID, "domain", s.rec.DomainID, "state", s.rec.State, "error", err)
			err = s.failed(after, err)
		}
		cancel()
		if err != nil && !errors.Is(err, errLeaseLost) { // the lease runs out by itself
			s.cfg.Log.ErrorContext(ctx, "the state of a move could not be written", "move", s.rec.ID, "domain", s.rec.DomainID, "error", err)
		}
		return
	}
}

// step does the next thing that the state of the move asks for.
func (s *session) step(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil { // of a Participant: its process must not die of it, again and again
			err = fmt.Errorf("move: panic: %v\n%s", p, debug.Stack())
		}
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.tables == nil || s.rec.State == Flipping {
		if err := s.readTables(ctx); err != nil {
			return err
		}
	}
	switch s.rec.State {
	case Preparing:
		return s.prepare(ctx)
	case Copying, Cancelling:
		return s.unlessRowsRemain(ctx, s.rewrite(ctx))
	case Flipping:
		return s.unlessRowsRemain(ctx, s.flip(ctx))
	case Failed: // and claimed
		return errDomainGone
	case Done, Cancelled:
	}
	return fmt.Errorf("move: nothing to do in state %s", s.rec.State)
}

// limits is what a transaction of a move selects first. It may be idle for as long as a lease
// only: a process that is frozen must hold neither the row nor the domain. And its statements
// take what they take: those that look at every row of a large domain would else meet a limit
// that is meant for requests, each time again.
func (s *session) limits() string {
	ms := min(max(s.cfg.Lease.Milliseconds(), 1), math.MaxInt32) // what PostgreSQL takes; 0 is no limit
	return fmt.Sprintf(`set_config('idle_in_transaction_session_timeout', '%d', true), set_config('statement_timeout', '0', true)`, ms)
}

// inTx runs fn in a transaction that has locked the row of a move that is still ours and in
// the state that we know. In another one, such as after Cancel, the step ends and the next
// one goes by that.
func (s *session) inTx(ctx context.Context, fn func(tx *tenancy.Tx, now *record) (*record, error)) error {
	next := s.rec
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		now, err := one(tx.Query(ctx, tx.SQL(`SELECT `+moveColumns+` FROM strata.moves, (SELECT `+s.limits()+`) limits
			WHERE company_id = $1 AND id = $2 AND lease = $3 FOR NO KEY UPDATE OF moves`), s.rec.From.CompanyID, s.rec.ID, s.rec.token))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errLeaseLost
		case err != nil:
			return wrap("lock a move", err)
		case now.State != s.rec.State:
			next = now
			return nil
		}
		next, err = fn(tx, now)
		return err
	})
	if err == nil {
		s.rec = next
	}
	return err
}

// update writes what a step did, and lets the lease begin anew.
func (s *session) update(ctx context.Context, tx *tenancy.Tx, state State, tables []progress) (*record, error) {
	rec, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.moves SET state = $3, tables = $4, updated_at = now(),
			lease = CASE WHEN $5 THEN NULL ELSE lease END, lease_until = CASE WHEN $5 THEN NULL ELSE clock_timestamp() + $6::interval END,
			finished_at = CASE WHEN $5 THEN clock_timestamp() END,
			error = CASE WHEN $3 IN ('cancelling', 'cancelled') THEN error ELSE '' END, error_code = CASE WHEN $3 IN ('cancelling', 'cancelled') THEN error_code ELSE '' END
		WHERE company_id = $1 AND id = $2 RETURNING `+moveColumns),
		s.rec.From.CompanyID, s.rec.ID, string(state), tables, state.Final(), s.cfg.Lease))
	return rec, wrap("note a step", err)
}

// release gives the move to whoever looks next, behind those that wait.
func (s *session) release(ctx context.Context) error {
	return s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) {
		_, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.moves SET lease = NULL, lease_until = NULL, next_attempt_at = clock_timestamp() WHERE company_id = $1 AND id = $2`), now.From.CompanyID, now.ID)
		return now, err
	})
}

// failed notes that an attempt failed. What time may help is tried again after a while, a
// few times. Anything else waits for a person, except that a move which was found to be
// impossible before anything was done to it, or whose domain was deleted, is cancelled; and
// a cancellation is tried for ever.
func (s *session) failed(ctx context.Context, cause error) error {
	return s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) {
		state, failures := now.State, now.failures+1
		final := !passing(cause) || failures >= maxFailures
		switch {
		case now.State == Cancelling:
		case errors.Is(cause, errDomainGone), now.State == Preparing && errors.Is(cause, ErrBlocked):
			state = Cancelling
			for i := range now.progress {
				now.progress[i].Cursor, now.progress[i].Done, now.progress[i].Rewritten = nil, false, 0
			}
		case final:
			state = Failed
		}
		wait := min(maxWait, time.Second<<min(failures-1, 10))
		if state != now.State {
			wait = 0
		}
		text, code := fault.Kept(cause)
		rec, err := one(tx.Query(ctx, tx.SQL(`UPDATE strata.moves SET state = $3, tables = $4, failures = $5, failed_in = $6, error = $7, error_code = $8,
				next_attempt_at = now() + $9::interval, lease = NULL, lease_until = NULL, updated_at = now()
			WHERE company_id = $1 AND id = $2 RETURNING `+moveColumns),
			now.From.CompanyID, now.ID, string(state), now.progress, failures, string(now.State), text, code, wait))
		if err != nil || state == now.State {
			return rec, wrap("note a failure", err)
		}
		if now.CrossCompany() { // as in seenBy: it may be about the other company
			code = string(fault.Internal)
		}
		return rec, s.record(ctx, tx, now.Move, "domain.move_failed", map[string]any{"reason": code})
	})
}
