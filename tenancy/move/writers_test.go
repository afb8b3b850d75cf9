package move_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// Many write while a move starts. What was accepted is there afterwards, in its new place;
// what came later was refused; and none was accepted after the mover had waited for the last.
func TestWritersMeetTheFence(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var drained int // how many rows there were when the last writer was gone
	h := &hook{}
	w := open(t, h)
	h.preview = func(context.Context, move.Move) ([]move.Finding, error) {
		if asked.Add(1) == 2 {
			drained = w.count(t, w.A.Ctx, `SELECT count(*) FROM strata.recipients WHERE domain_id = $1`, w.A.DomainID)
		}
		return nil, nil
	}
	w.run()
	var accepted, refused atomic.Int64
	var writers errgroup.Group
	for i := range 8 {
		writers.Go(func() error {
			for n := 0; ; n++ {
				_, err := w.Recipients.Create(w.A.Ctx, recipients.New{Email: fmt.Sprintf("w%d-%d@example.com", i, n)})
				switch {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, tenancy.ErrMoving):
					refused.Add(1)
				case errors.Is(err, tenancy.ErrNotFound): // it is over, and this tenant is of before
					return nil
				default:
					return err
				}
			}
		})
	}
	require.Eventually(t, func() bool { return accepted.Load() > 200 }, within, time.Millisecond)
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	m := w.until(t, move.Done)
	require.NoError(t, writers.Wait())
	require.Positive(t, refused.Load())
	require.EqualValues(t, accepted.Load(), drained)
	require.Equal(t, drained, w.at(t, "strata.recipients", m.To))
	require.Zero(t, w.at(t, "strata.recipients", m.From))
	require.EqualValues(t, drained, w.used(t, w.A, "recipients"), "and each is counted")
}

// A transaction that began before the move may take its time: its rows are moved too.
func TestTheLastWriterIsWaitedFor(t *testing.T) {
	t.Parallel()
	var released atomic.Bool
	asked := 0
	h := &hook{}
	w := open(t, h)
	h.preview = func(_ context.Context, m move.Move) ([]move.Finding, error) {
		if m.DomainID != w.A.DomainID {
			return nil, nil
		}
		if asked++; asked > 1 && !released.Load() {
			return nil, errors.New("a writer was not waited for")
		}
		return nil, nil
	}
	var began sync.WaitGroup
	began.Add(1)
	finish, written := make(chan struct{}), make(chan error, 1)
	go func() {
		written <- w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
			began.Done()
			<-finish
			_, err := w.Recipients.CreateTx(w.A.Ctx, tx, recipients.New{Email: "slow@example.com"})
			return err
		})
	}()
	began.Wait()
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	require.Eventually(t, func() bool { // it waits in the lock
		var waiting bool
		require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting))
		return waiting
	}, within, time.Millisecond)
	other, err := w.Store.CreateDomain(w.A.CompanyCtx, w.A.WorkspaceID, tenancy.NewDomain{DomainName: "other.example"})
	require.NoError(t, err)
	quick := tenancy.WithTenant(w.A.Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID, DomainID: other.ID})
	_, err = w.Mover.Start(quick, w.second)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // and no other domain does
		m, err := w.Mover.Get(quick)
		require.NoError(t, err)
		return m.State == move.Done
	}, within, 5*time.Millisecond)
	released.Store(true)
	close(finish)
	require.NoError(t, <-written)
	m := w.until(t, move.Done)
	require.Equal(t, 1, w.at(t, "strata.recipients", m.To))
}

// A limit of the login on the time of a statement, and one on idle transactions of its own,
// are there for requests. While the mover waits for the last writers, and while it flips, its
// own hold.
func TestTheMoversTransactionsAreLimitedByItself(t *testing.T) {
	t.Parallel()
	h := &hook{}
	w := open(t, h)
	w.exec(t, `CREATE FUNCTION strata.limits() RETURNS text LANGUAGE sql AS
		$$ SELECT current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('statement_timeout') $$;
		CREATE TABLE strata.seen (limits text NOT NULL); GRANT INSERT ON strata.seen TO strata_app;
		CREATE OR REPLACE FUNCTION strata.await_domain(in_domain uuid) RETURNS void LANGUAGE sql VOLATILE AS
		$$ INSERT INTO strata.seen SELECT strata.limits() $$`)
	var flipped string
	h.moved = func(ctx context.Context, tx *tenancy.Tx, _ move.Move) error {
		return tx.QueryRow(ctx, `SELECT strata.limits()`).Scan(&flipped)
	}
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	w.until(t, move.Done)
	var waited string
	require.NoError(t, w.Pool.QueryRow(t.Context(), `SELECT limits FROM strata.seen`).Scan(&waited))
	require.Equal(t, []string{"30s 0", "30s 0"}, []string{waited, flipped})
}
