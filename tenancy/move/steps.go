package move

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stratakit/strata/tenancy"
)

// prepare waits until nobody writes to the domain any more, and looks once more whether it
// can be moved: what was asked before may have changed while writes still came in.
func (s *session) prepare(ctx context.Context) error {
	if err := s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) { // the wait takes time
		return s.update(ctx, tx, now.State, now.progress)
	}); err != nil || s.rec.State != Preparing {
		return err
	}
	err := s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true), `+s.limits(), fmt.Sprint(s.cfg.WriterWait.Milliseconds())); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, tx.SQL(`SELECT strata.await_domain($1)`), s.rec.DomainID)
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" {
		return errWritersRemain
	}
	if err != nil {
		return wrap("wait for the last writers", err)
	}
	mv := s.rec.Move
	if err := s.readPlans(ctx, &mv); err != nil {
		return err
	}
	p, err := s.preview(ctx, mv)
	if err != nil {
		return err
	}
	if found := p.blocking(); len(found) > 0 {
		return &BlockedError{found}
	}
	return s.inTx(ctx, func(tx *tenancy.Tx, _ *record) (*record, error) {
		return s.update(ctx, tx, Copying, p.progress())
	})
}

// rewrite does one batch of the first table that is not done, in the direction that the
// state says.
func (s *session) rewrite(ctx context.Context) error {
	return s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) {
		i := 0
		for i < len(now.progress) && now.progress[i].Done {
			i++
		}
		if i == len(now.progress) {
			return s.rewritten(ctx, tx, now)
		}
		p := &now.progress[i]
		r, err := s.rewriter(now, *p)
		if err != nil {
			return nil, err
		}
		if r == nil {
			p.Done = true
			return s.update(ctx, tx, now.State, now.progress)
		}
		n, last, err := r.batch(ctx, tx, p.Cursor, s.cfg.BatchRows)
		if err != nil {
			return nil, err
		}
		p.Rewritten, p.Cursor, p.Done = p.Rewritten+n, last, last == nil
		if n > 0 {
			err := s.record(ctx, tx, now.Move, "domain.rows_rewritten", map[string]any{"table": p.Schema + "." + p.Table, "rows": n, "back": now.State == Cancelling})
			if err != nil {
				return nil, err
			}
		}
		return s.update(ctx, tx, now.State, now.progress)
	})
}

// rewritten goes on after the last row.
func (s *session) rewritten(ctx context.Context, tx *tenancy.Tx, now *record) (*record, error) {
	if now.State == Copying {
		return s.update(ctx, tx, Flipping, now.progress)
	}
	if err := s.verify(ctx, tx, now); err != nil {
		return nil, err
	}
	if _, err := lockCompanies(ctx, tx, now.From.CompanyID); err != nil {
		return nil, err
	}
	if err := letIn(ctx, tx, now.Move); err != nil {
		return nil, err
	}
	if err := s.record(ctx, tx, now.Move, "domain.move_cancelled", nil); err != nil {
		return nil, err
	}
	tx.AfterCommit(func(ctx context.Context) { s.resolver.Forget(ctx, now.From.CompanyID) })
	return s.update(ctx, tx, Cancelled, now.progress)
}

// verify returns errRowsRemain unless every row of every table says where the domain is to
// be. The fence lets nobody write meanwhile; this is for who goes round it.
func (s *session) verify(ctx context.Context, tx *tenancy.Tx, now *record) error {
	for _, p := range now.progress {
		r, err := s.rewriter(now, p)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		left, err := r.left(ctx, tx)
		if err != nil {
			return err
		}
		if left {
			return fmt.Errorf("table %s.%s: %w", p.Schema, p.Table, errRowsRemain)
		}
	}
	return nil
}

// flip makes the domain the target's, in one transaction with all that goes with it.
func (s *session) flip(ctx context.Context) error {
	return s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) {
		if all, more := s.added(now.progress); more {
			return s.update(ctx, tx, Copying, all)
		}
		if err := s.verify(ctx, tx, now); err != nil {
			return nil, err
		}
		mv, err := lockPlaces(ctx, tx, now.Move)
		if err != nil {
			return nil, err
		}
		for _, participant := range s.cfg.Participants {
			if err := participant.DomainMoved(ctx, tx, mv); err != nil {
				return nil, err
			}
		}
		if err := handOver(ctx, tx, now.Move); err != nil {
			return nil, err
		}
		if err := s.tell(ctx, tx, now.Move); err != nil {
			return nil, err
		}
		tx.AfterCommit(func(ctx context.Context) {
			// The new one first: that takes the domain, which is its own now, out of Redis. Who then
			// forgets the old one, where a process still has it, finds nothing old there.
			s.resolver.Forget(ctx, now.To.CompanyID)
			if now.CrossCompany() {
				s.resolver.Forget(ctx, now.From.CompanyID)
			}
		})
		return s.update(ctx, tx, Done, now.progress)
	})
}

// tell writes into the trail of both companies that the domain has moved.
func (s *session) tell(ctx context.Context, tx *tenancy.Tx, mv Move) error {
	rows, _ := mv.Rows()
	more := map[string]any{"rows": rows}
	if !mv.CrossCompany() {
		to := mv.Target()
		to.DomainID = mv.DomainID
		return s.recordAt(ctx, tx, mv, to, "domain.moved", more)
	}
	if err := s.record(ctx, tx, mv, "domain.moved_out", more); err != nil {
		return err
	}
	return tx.As(ctx, mv.Target(), func(ctx context.Context, tx *tenancy.Tx) error {
		to := mv.Target()
		to.DomainID = mv.DomainID
		return s.recordAt(ctx, tx, mv, to, "domain.moved_in", more)
	})
}

// unlessRowsRemain returns err, and when that says that rows were left has every table
// walked once more.
func (s *session) unlessRowsRemain(ctx context.Context, err error) error {
	if !errors.Is(err, errRowsRemain) {
		return err
	}
	return errors.Join(err, s.inTx(ctx, func(tx *tenancy.Tx, now *record) (*record, error) {
		for i := range now.progress {
			now.progress[i].Cursor, now.progress[i].Done = nil, false
		}
		state := now.State
		if state == Flipping {
			state = Copying
		}
		return s.update(ctx, tx, state, now.progress)
	}))
}
