package move_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/fence"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

// within is how long a test waits for what must happen.
const within = time.Minute

// world is two companies and a Strata that moves domains between them.
type world struct {
	*tenancytest.Env
	*strata.Strata

	DB *tenancy.DB // of both
	// second is another workspace of A.
	second tenancy.WorkspaceID
	run    func() // starts to work on moves
}

// hook is a Participant that does what a test wants.
type hook struct {
	preview func(ctx context.Context, m move.Move) ([]move.Finding, error)
	moved   func(ctx context.Context, tx *tenancy.Tx, m move.Move) error
}

func (h *hook) PreviewMove(ctx context.Context, m move.Move) ([]move.Finding, error) {
	if h.preview == nil {
		return nil, nil
	}
	return h.preview(ctx, m)
}

func (h *hook) DomainMoved(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
	if h.moved == nil {
		return nil
	}
	return h.moved(ctx, tx, m)
}

// open returns a world in which nobody works on moves before run is called. The hooks come
// before the library's own participants.
func open(t *testing.T, hooks ...move.Participant) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	quiet := slog.New(slog.DiscardHandler)
	cfg := &strata.Config{Log: quiet, Move: move.Config{BatchRows: 50, Poll: 20 * time.Millisecond, WriterWait: 100 * time.Millisecond, Log: quiet}}
	var err error
	w.Strata, err = strata.New(t.Context(), w.Pool, w.Redis, cfg)
	require.NoError(t, err)
	if len(hooks) > 0 {
		cfg.Move.Participants = append(hooks, w.Fields, w.Strata.Limits, w.Recipients, w.Runner)
		w.Mover, err = move.NewMover(w.Strata.DB, w.Resolver, w.Strata.Audit, &cfg.Move)
		require.NoError(t, err)
	}
	w.DB = w.Strata.DB
	second, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	w.second = second.ID
	ctx, cancel := context.WithCancel(context.Background())
	var ended chan struct{}
	w.run = func() {
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			_ = w.Mover.Run(ctx)
		}()
	}
	t.Cleanup(func() {
		cancel()
		if ended != nil {
			<-ended
		}
		require.NoError(t, w.Stop(context.Background()))
	})
	return w
}

// platform is ctx for an administrator of the platform.
func platform(ctx context.Context) context.Context {
	return tenancy.WithActor(ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin})
}

// fill makes n recipients in the domain of company A.
func (w *world) fill(t *testing.T, n int) {
	t.Helper()
	require.NoError(t, w.DB.InTx(w.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO strata.recipients (domain_id, id, company_id, workspace_id, email, email_norm, name)
			SELECT $1, gen_random_uuid(), $2, $3, e, e, 'Somebody' FROM generate_series(1, $4) i, LATERAL (SELECT 'r' || i || '@example.com' AS e) x`,
			w.A.DomainID, w.A.CompanyID, w.A.WorkspaceID, n)
		if err != nil {
			return err
		}
		if err := w.Env.Audit.RecordChange(w.A.Ctx, tx, tenancy.Change{Action: "recipients.made"}); err != nil {
			return err
		}
		return w.Env.Limits.Consume(w.A.Ctx, tx, "recipients", int64(n))
	}))
}

// academy makes a product's own table with n rows in the domain of company A and some in
// that of B, and registers it.
func (w *world) academy(t *testing.T, n int) {
	t.Helper()
	w.exec(t, `CREATE SCHEMA academy; GRANT USAGE ON SCHEMA academy TO strata_app;
		CREATE TABLE academy.progress (company_id uuid NOT NULL, workspace_id uuid NOT NULL, domain_id uuid NOT NULL,
			course text COLLATE "C" NOT NULL, day date NOT NULL, "Score" numeric, PRIMARY KEY (domain_id, course, day));
		ALTER TABLE academy.progress ENABLE ROW LEVEL SECURITY;
		ALTER TABLE academy.progress FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON academy.progress TO strata_app
			USING (domain_id = (SELECT nullif(current_setting('strata.domain_id', true), '')::uuid));
		GRANT SELECT, INSERT, UPDATE, DELETE ON academy.progress TO strata_app;`)
	for c, rows := range map[*tenancytest.Company]int{w.A: n, w.B: 5} {
		require.NoError(t, w.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO academy.progress SELECT $1, $2, $3, 'Course ' || i % 7, date '2026-01-01' + i FROM generate_series(1, $4) i`,
				c.CompanyID, c.WorkspaceID, c.DomainID, rows)
			return err
		}))
	}
	require.NoError(t, w.DB.RegisterTable(t.Context(), tenancy.Table{Schema: "academy", Name: "progress", Product: "academy"}))
}

func (w *world) exec(t *testing.T, q string) {
	t.Helper()
	_, err := w.Pool.Exec(t.Context(), q)
	require.NoError(t, err)
}

// count returns the one number that q selects in the scope of ctx.
func (w *world) count(t *testing.T, ctx context.Context, q string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, w.DB.Read(ctx, q, args, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}))
	return n
}

// at returns how many rows of the domain of A a table has that name this place.
func (w *world) at(t *testing.T, table string, p move.Place) int {
	t.Helper()
	return w.count(t, fence.Pass(w.A.Ctx), fmt.Sprintf(`SELECT count(*) FROM %s WHERE domain_id = $1 AND company_id = $2 AND workspace_id = $3`, table), w.A.DomainID, p.CompanyID, p.WorkspaceID)
}

// until waits for the latest move of the domain of A to be in a state.
func (w *world) until(t *testing.T, state move.State) move.Move {
	t.Helper()
	var m move.Move
	require.Eventually(t, func() bool {
		var err error
		m, err = w.Mover.Get(platform(w.A.Ctx))
		require.NoError(t, err)
		if m.State.Final() || m.State == move.Failed {
			require.Equal(t, state, m.State, m.Error)
		}
		return m.State == state
	}, within, 5*time.Millisecond)
	return m
}

// used returns what a company has used of a resource.
func (w *world) used(t *testing.T, c *tenancytest.Company, resource string) int64 {
	t.Helper()
	u, err := w.Env.Limits.Usage(c.CompanyCtx)
	require.NoError(t, err)
	return u.Resource(resource).Used
}

// trail returns the actions of a company's audit entries about the domain of A and its move.
func (w *world) trail(t *testing.T, c *tenancytest.Company, like string) (actions []string) {
	t.Helper()
	require.NoError(t, w.DB.Read(c.CompanyCtx, `SELECT action FROM strata.audit_entries WHERE company_id = $1 AND resource_id = $2 AND action LIKE $3 ORDER BY id`,
		[]any{c.CompanyID, w.A.DomainID.String(), like}, func(rows pgx.Rows) (err error) {
			actions, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		}))
	return actions
}

// resolved waits until the process knows that the domain of A is in a workspace: the mover
// tells it when the move is committed, which others may see before.
func (w *world) resolved(t *testing.T, workspace tenancy.WorkspaceID) (tenant tenancy.Tenant) {
	t.Helper()
	require.Eventually(t, func() bool {
		now, err := w.Resolver.ResolveDomain(t.Context(), w.A.DomainID)
		tenant = now
		return err == nil && now.WorkspaceID == workspace && !now.Moving
	}, time.Minute, time.Millisecond)
	return tenant
}
