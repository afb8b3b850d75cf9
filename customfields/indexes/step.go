package indexes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/pooler"
)

// Run calls Step every Config.Poll until ctx ends, and logs what goes wrong. It returns
// ctx's error.
func (a *Advisor) Run(ctx context.Context) error {
	for {
		if _, err := a.Step(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "indexes over fields are not as they should be, trying again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.cfg.Poll):
		}
	}
}

// Step notes what filters did, finishes what a process that died has left half done, and
// does what Plan says, one index after the other. It returns how many it has built and
// dropped. While another process builds it does nothing. A build that fails is recorded
// and tried again later, after longer and longer; the errors of all come back joined.
// Errors: ErrNotOwner and ErrPooler when there is something to do, and what PostgreSQL said.
func (a *Advisor) Step(ctx context.Context) (done int, err error) {
	if err := errors.Join(a.refresh(ctx), a.prune(ctx)); err != nil {
		return 0, err
	}
	f, err := a.facts(ctx)
	if err != nil {
		return 0, err
	}
	plan := a.decide(f)
	if len(plan) == 0 && len(f.indexes) == 0 {
		return 0, nil
	}
	if err := a.mayBuild(ctx, plan); err != nil {
		return 0, unlessIdle(plan, err)
	}
	_, err = a.locked(ctx, func(b *builder) error {
		if err := b.note(ctx); err != nil {
			return err
		}
		plan, err := a.Plan(ctx) // before the lock another process may have done it
		if err != nil {
			return err
		}
		var failures []error
		for _, act := range plan {
			if err := b.do(ctx, act); err != nil {
				failures = append(failures, err)
				continue
			}
			done++
		}
		return errors.Join(failures...)
	})
	if err == nil && done > 0 {
		err = a.refresh(ctx)
	}
	return done, unlessIdle(plan, err)
}

// unlessIdle is err, or nil where nothing is to be built: to note which indexes are used takes
// the owner too, and can wait.
func unlessIdle(plan []Action, err error) error {
	if len(plan) == 0 && (errors.Is(err, ErrNotOwner) || errors.Is(err, ErrPooler)) {
		return nil
	}
	return err
}

// Create builds an index over a field of a table of Config.Tables, or of recipients, and
// returns when it is ready: slot is the JSON key under which the values are stored. What is
// there already is success. Step does not drop it, whether it is used or not. It waits for
// another process that builds. Errors: ErrUnknownTable, ErrInvalidField, ErrTooMany,
// ErrNotOwner, ErrPooler, ctx's, and what PostgreSQL said; after that Step tries again.
func (a *Advisor) Create(ctx context.Context, schema, table, slot string, fieldType customfields.Type) error {
	t, x, err := a.named(schema, table, slot, fieldType)
	if err != nil {
		return err
	}
	act := create(t, x, "asked for")
	return a.byHand(ctx, act, func(have []Index) (Action, error) {
		count := 0
		for _, other := range have {
			if other.key() == x.key() {
				return act, nil
			}
			if other.Schema == schema && other.Table == table {
				count++
			}
		}
		if count >= a.cfg.MaxPerTable {
			return act, fmt.Errorf("table %s has %d: %w", t, count, ErrTooMany)
		}
		return act, nil
	})
}

// Drop drops an index, whoever had it built, and returns when it is gone. Other processes may
// look for it up to Config.Refresh longer, and are slow until then. If filters go on as they
// did, Step builds it again. Errors: those of Create but ErrTooMany, and ErrNotFound.
func (a *Advisor) Drop(ctx context.Context, schema, table, slot string, fieldType customfields.Type) error {
	t, x, err := a.named(schema, table, slot, fieldType)
	if err != nil {
		return err
	}
	return a.byHand(ctx, drop(t, x, "asked for"), func(have []Index) (Action, error) {
		for _, other := range have {
			if other.key() == x.key() {
				return drop(t, other, "asked for"), nil
			}
		}
		return Action{}, fmt.Errorf("%s over %q of %s: %w", x.Form, slot, t, ErrNotFound)
	})
}

func (a *Advisor) named(schema, table, slot string, fieldType customfields.Type) (Table, Index, error) {
	t, err := a.table(schema, table)
	if err != nil {
		return t, Index{}, err
	}
	form, ok := FormOf(fieldType)
	if !ok || !customfields.ValidSlot(slot) {
		return t, Index{}, fmt.Errorf("%q, a %s: %w", slot, fieldType, ErrInvalidField)
	}
	return t, newIndex(t, slot, form), nil
}

// byHand does what somebody asked for, when it is this process's turn.
func (a *Advisor) byHand(ctx context.Context, would Action, choose func(have []Index) (Action, error)) error {
	if err := a.mayBuild(ctx, []Action{would}); err != nil {
		return err
	}
	for {
		ran, err := a.locked(ctx, func(b *builder) error {
			have, err := a.list(ctx)
			if err != nil {
				return err
			}
			act, err := choose(have)
			if err != nil {
				return err
			}
			return b.do(ctx, act)
		})
		if err != nil {
			return err
		}
		if ran {
			return a.refresh(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("indexes: another process has been building all this time: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// mayBuild returns ErrNotOwner when the login cannot do what is planned.
func (a *Advisor) mayBuild(ctx context.Context, plan []Action) error {
	check := append([]Action{{table: Table{Schema: a.db.Schema(), Name: "field_indexes"}}}, plan...)
	for _, act := range check {
		var owner, login string
		var may bool
		err := a.owner.QueryRow(ctx, `SELECT pg_get_userbyid(c.relowner), current_user, pg_has_role(current_user, c.relowner, 'USAGE')
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, act.table.Schema, act.table.Name).Scan(&owner, &login, &may)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("indexes: table %s does not exist", act.table)
		}
		if err != nil {
			return fmt.Errorf("indexes: look at the owner of %s: %w", act.table, err)
		}
		if !may {
			why := ""
			if len(plan) > 0 {
				why = fmt.Sprintf(" (there is to do: %s: %s)", plan[0].SQL, plan[0].Why)
			}
			return fmt.Errorf("table %s is owned by %s: give indexes.Config.Owner a pool of that login, or GRANT %s TO %s%s: %w",
				act.table, owner, pgx.Identifier{owner}.Sanitize(), pgx.Identifier{login}.Sanitize(), why, ErrNotOwner)
		}
	}
	return nil
}

// lockPoll is how often Create and Drop ask whether another process is done: whoever waits
// inside PostgreSQL holds a snapshot, for which a build waits.
const lockPoll = 100 * time.Millisecond

// locked runs fn if no other process builds, and reports whether it did. The lock is a
// session's own: it ends with the process, however that ends.
func (a *Advisor) locked(ctx context.Context, fn func(b *builder) error) (ran bool, err error) {
	pooled, err := a.owner.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("indexes: connect: %w", err)
	}
	conn := pooled.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // and with it ends the lock
	if between, err := pooler.Between(ctx, conn); err != nil {
		return false, fmt.Errorf("indexes: %w", err)
	} else if between {
		return false, ErrPooler
	}
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('strata.indexes.' || $1, 0))`, a.db.Schema()).Scan(&ran); err != nil {
		return false, fmt.Errorf("indexes: lock: %w", err)
	}
	if !ran {
		return false, nil
	}
	defer func() { // or the next one would have to wait until PostgreSQL has noticed the end of the session
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.Exec(end, `SELECT pg_advisory_unlock_all()`)
	}()
	b := &builder{a, conn}
	if err := b.settings(ctx); err != nil {
		return true, err
	}
	return true, fn(b)
}
