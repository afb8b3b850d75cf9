package blueprint

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// RunID identifies a Run.
type RunID = tenancy.ID[Run]

// Run is one request to bring workspaces to a version, and how far it got. The numbers
// of workspaces add up to Total; the run is over when none is Pending.
type Run struct {
	ID          RunID     `json:"id"`
	BlueprintID ID        `json:"blueprintId"`
	Version     int       `json:"version"`
	Reason      Reason    `json:"reason"`
	RequestedBy string    `json:"requestedBy,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`

	Total      int `json:"total"`
	Pending    int `json:"pending"`
	Applied    int `json:"applied"`
	Failed     int `json:"failed"`
	Skipped    int `json:"skipped"`
	Superseded int `json:"superseded"`
}

// Reason is what a run was made for.
type Reason string

// The reasons.
const (
	ByDeploy   Reason = "deploy"
	ByOverride Reason = "override" // one was set or cleared in a workspace
	ByResume   Reason = "resume"   // a workspace takes what it missed
)

// State is where a workspace stands in a run.
type State string

// The states; all but StatePending are final, and Retry makes StatePending of StateFailed.
const (
	StatePending State = "pending"
	StateApplied State = "applied"
	StateFailed  State = "failed"
	// StateSkipped is that of a workspace where the blueprint is paused.
	StateSkipped State = "skipped"
	// StateSuperseded is that of one where a newer run has taken over before it was applied.
	StateSuperseded State = "superseded"
)

// Outcome is what a run has done in one workspace.
type Outcome struct {
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	State       State               `json:"state"`
	// Changes is what Spec.Apply said it did, after the fields that the workspace keeps.
	Changes []Change `json:"changes"`
	// Attempts is how often it was begun.
	Attempts int `json:"attempts"`
	// Error and ErrorCode are those of the last attempt that failed. With ErrorCode
	// "internal" Error may speak of internals and is for operators only; PublicError is for
	// everybody.
	Error      string     `json:"error,omitempty"`
	ErrorCode  string     `json:"errorCode,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// PublicError is Error without what is nobody's business outside.
func (o Outcome) PublicError() string { return fault.Public(o.Error, o.ErrorCode) }

const runColumns = `r.id, r.blueprint_id, r.version, r.reason, r.requested_by, r.created_at, n.total, n.pending, n.applied, n.failed, n.skipped, n.superseded`

// runsSQL counts the workspaces of runs where they stand: there is no counter to keep in step.
const runsSQL = `SELECT ` + runColumns + ` FROM strata.blueprint_runs r CROSS JOIN LATERAL (SELECT count(*) AS total,
		count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'applied') AS applied,
		count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'skipped') AS skipped,
		count(*) FILTER (WHERE state = 'superseded') AS superseded
		FROM strata.blueprint_tasks t WHERE t.company_id = $1 AND t.run_id = r.id) n
	WHERE r.company_id = $1`

func scanRun(row pgx.CollectableRow) (r Run, err error) {
	err = row.Scan(&r.ID, &r.BlueprintID, &r.Version, &r.Reason, &r.RequestedBy, &r.CreatedAt,
		&r.Total, &r.Pending, &r.Applied, &r.Failed, &r.Skipped, &r.Superseded)
	return r, err
}

// Run returns a run of the company of ctx's tenant, or ErrNotFound.
func (s *Store) Run(ctx context.Context, id RunID) (Run, error) {
	c, err := company(ctx)
	if err != nil {
		return Run{}, err
	}
	return readOne(ctx, s.db, runsSQL+` AND r.id = $2`, scanRun, c, id)
}

// Runs lists the runs of a blueprint, oldest first, those of a single workspace included.
func (s *Store) Runs(ctx context.Context, id ID, p tenancy.PageRequest) (tenancy.Page[Run], error) {
	c, err := company(ctx)
	if err != nil {
		return tenancy.Page[Run]{}, err
	}
	return readPage(ctx, s.db, list[Run]{
		sql: runsSQL + ` AND r.blueprint_id = $2`, args: []any{c, id},
		count: `SELECT FROM strata.blueprint_runs r WHERE r.company_id = $1 AND r.blueprint_id = $2`,
		key:   "r.id", after: uuidCursor, scan: scanRun, cursor: func(r Run) string { return r.ID.String() },
	}, p)
}

// Outcomes lists what a run has done, workspace by workspace. Of a run that is not the
// company's there is nothing.
func (s *Store) Outcomes(ctx context.Context, id RunID, p tenancy.PageRequest) (tenancy.Page[Outcome], error) {
	c, err := company(ctx)
	if err != nil {
		return tenancy.Page[Outcome]{}, err
	}
	return readPage(ctx, s.db, list[Outcome]{
		sql: `SELECT workspace_id, state, changes, attempts, error, error_code, finished_at FROM strata.blueprint_tasks
			WHERE company_id = $1 AND run_id = $2`, args: []any{c, id},
		key: "workspace_id", after: uuidCursor, scan: scanOutcome, cursor: func(o Outcome) string { return o.WorkspaceID.String() },
	}, p)
}

func scanOutcome(row pgx.CollectableRow) (o Outcome, err error) {
	err = row.Scan(&o.WorkspaceID, &o.State, &o.Changes, &o.Attempts, &o.Error, &o.ErrorCode, &o.FinishedAt)
	return o, err
}
