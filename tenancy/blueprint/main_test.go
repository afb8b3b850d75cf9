package blueprint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/blueprint"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	dbtest.Main(m)
}

// within is how long a test waits for what must happen.
const within = time.Minute

// campaign is what a product lets its customers define once.
type campaign struct {
	Title string   `json:"title"`
	Seats int      `json:"seats"`
	Tags  []string `json:"tags,omitempty"`
	Owner string   `json:"owner"`
}

// hook is called by Apply before it writes.
type hook func(ctx context.Context, tx *tenancy.Tx, o blueprint.Order[campaign]) error

// campaigns is a kind whose Apply keeps one row of items for each deployment, and counts
// in it how often it was called.
func campaigns(before hook) *blueprint.Kind {
	return blueprint.NewKind("campaign", blueprint.Spec[campaign]{
		Locked: []string{"owner"},
		Validate: func(c campaign) error {
			var v tenancy.ValidationError
			if c.Title == "" {
				v.Add("body.title", "required", "must not be empty")
			}
			if c.Seats < 0 {
				v.Add("body.seats", "out_of_range", "must not be negative")
			}
			return v.OrNil()
		},
		Apply: func(ctx context.Context, tx *tenancy.Tx, o blueprint.Order[campaign]) (blueprint.Result, error) {
			if before != nil {
				if err := before(ctx, tx, o); err != nil {
					return blueprint.Result{}, err
				}
			}
			var had campaign
			err := tx.QueryRow(ctx, `SELECT title, seats, tags, owner FROM items WHERE deployment_id = $1`, o.DeploymentID).Scan(&had.Title, &had.Seats, &had.Tags, &had.Owner)
			isNew := errors.Is(err, pgx.ErrNoRows)
			if err != nil && !isNew {
				return blueprint.Result{}, err
			}
			if isNew != (o.Previous == nil) || o.Previous != nil && fmt.Sprint(*o.Previous) != fmt.Sprint(had) {
				return blueprint.Result{}, blueprint.Permanent(fmt.Errorf("previous is %v, the workspace has %v", o.Previous, had))
			}
			_, err = tx.Exec(ctx, `INSERT INTO items AS i (deployment_id, workspace_id, title, seats, tags, owner) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (deployment_id) DO UPDATE SET title = $3, seats = $4, tags = $5, owner = $6, applied = i.applied + 1`,
				o.DeploymentID, tx.Tenant().WorkspaceID, o.Definition.Title, o.Definition.Seats, o.Definition.Tags, o.Definition.Owner)
			if err != nil {
				return blueprint.Result{}, err
			}
			r := blueprint.Result{Counters: map[string]int64{"applied": 1}}
			switch now := o.Definition; {
			case isNew:
				r.Changes = append(r.Changes, blueprint.Change{Action: blueprint.Created, Subject: "campaign"})
			case fmt.Sprint(now) != fmt.Sprint(had):
				r.Changes = append(r.Changes, blueprint.Change{Action: blueprint.Changed, Subject: "campaign", Detail: fmt.Sprintf("%v -> %v", had, now)})
			}
			return r, nil
		},
	})
}

const itemsSQL = `CREATE TABLE items (deployment_id uuid PRIMARY KEY, workspace_id uuid NOT NULL, title text NOT NULL, seats integer NOT NULL, tags text[],
	owner text NOT NULL, applied integer NOT NULL DEFAULT 1);
	GRANT SELECT, INSERT, UPDATE ON items TO strata_app`

// quick is a Config in which what takes seconds takes moments, but for the takeover: where
// no process dies, none is to be taken for dead because the machine is busy.
func quick() *blueprint.Config {
	return &blueprint.Config{
		Poll: 50 * time.Millisecond, Backoff: 10 * time.Millisecond, Takeover: time.Minute, MaxAttempts: 3, Log: slog.New(slog.DiscardHandler),
	}
}

// mortal is a Config for processes that die.
func mortal() *blueprint.Config {
	cfg := quick()
	cfg.Takeover, cfg.MaxAttempts = 100*time.Millisecond, 50
	return cfg
}

// world is an Env with a product, and a company A of some workspaces.
type world struct {
	*tenancytest.Env
	workspaces []tenancy.WorkspaceID // of A; the first is A.WorkspaceID
}

func open(t *testing.T, workspaces int) *world {
	t.Helper()
	w := &world{Env: tenancytest.Open(t)}
	_, err := w.Pool.Exec(t.Context(), itemsSQL)
	require.NoError(t, err)
	w.workspaces = append(w.workspaces, w.A.WorkspaceID)
	for i := 1; i < workspaces; i++ {
		ws, err := w.Store.CreateWorkspace(w.A.CompanyCtx, tenancy.NewWorkspace{Name: fmt.Sprintf("Workspace %d", i)})
		require.NoError(t, err)
		w.workspaces = append(w.workspaces, ws.ID)
	}
	return w
}

// store returns a Store that does no work.
func (w *world) store(t *testing.T, cfg *blueprint.Config, before hook) *blueprint.Store {
	t.Helper()
	s, err := blueprint.NewStore(w.DB, w.Audit, cfg, campaigns(before))
	require.NoError(t, err)
	return s
}

// working lets s work until the test ends, or stop is called.
func working(t *testing.T, s *blueprint.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Work(ctx) // the context's error
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func (w *world) create(t *testing.T, s *blueprint.Store, body campaign) blueprint.ID {
	t.Helper()
	b, err := s.Create(w.A.CompanyCtx, blueprint.New{Kind: "campaign", Name: "Onboarding", Body: body})
	require.NoError(t, err)
	return b.ID
}

func (w *world) deploy(t *testing.T, s *blueprint.Store, id blueprint.ID, version int, to blueprint.Targets) blueprint.Run {
	t.Helper()
	run, err := s.Deploy(w.A.CompanyCtx, id, version, to)
	require.NoError(t, err)
	return run
}

// await waits until a run is over.
func (w *world) await(t *testing.T, s *blueprint.Store, id blueprint.RunID) blueprint.Run {
	t.Helper()
	var run blueprint.Run
	require.Eventually(t, func() bool {
		var err error
		run, err = s.Run(w.A.CompanyCtx, id)
		require.NoError(t, err)
		return run.Pending == 0
	}, within, 10*time.Millisecond)
	return run
}

// outcomes returns what a run has done by workspace.
func (w *world) outcomes(t *testing.T, s *blueprint.Store, id blueprint.RunID) map[tenancy.WorkspaceID]blueprint.Outcome {
	t.Helper()
	page, err := s.Outcomes(w.A.CompanyCtx, id, tenancy.PageRequest{PageSize: tenancy.MaxPageSize})
	require.NoError(t, err)
	out := map[tenancy.WorkspaceID]blueprint.Outcome{}
	for _, o := range page.Items {
		out[o.WorkspaceID] = o
	}
	return out
}

// at returns a context of A's owner in one of its workspaces.
func (w *world) at(id tenancy.WorkspaceID) context.Context {
	return tenancy.WithTenant(w.A.CompanyCtx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: id, Access: tenancy.AccessFull})
}

// item is what the product has in a workspace, and how often it was applied.
func (w *world) item(t *testing.T, id tenancy.WorkspaceID) (c campaign, applied int) {
	t.Helper()
	err := w.Pool.QueryRow(t.Context(), `SELECT title, seats, tags, owner, applied FROM items WHERE workspace_id = $1`, id).Scan(&c.Title, &c.Seats, &c.Tags, &c.Owner, &applied)
	if !errors.Is(err, pgx.ErrNoRows) {
		require.NoError(t, err)
	}
	return c, applied
}
