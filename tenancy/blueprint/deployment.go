package blueprint

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// DeploymentID identifies a Deployment.
type DeploymentID = tenancy.ID[Deployment]

// Deployment is a blueprint in a workspace.
type Deployment struct {
	ID          DeploymentID        `json:"id"`
	BlueprintID ID                  `json:"blueprintId"`
	WorkspaceID tenancy.WorkspaceID `json:"workspaceId"`
	// WantedVersion is the version that was asked for last, AppliedVersion the one that
	// the workspace has, 0 before the first.
	WantedVersion  int        `json:"wantedVersion"`
	AppliedVersion int        `json:"appliedVersion"`
	AppliedAt      *time.Time `json:"appliedAt,omitempty"`
	// RunID is the run that asked last; State and Error are where the workspace stands in
	// it. Error is for everybody: what only operators may know is in the run's Outcome.
	RunID RunID  `json:"runId"`
	State State  `json:"state"`
	Error string `json:"error,omitempty"`
	// Overrides are the fields that the workspace has of its own, by name.
	Overrides []Override `json:"overrides"`
	PausedAt  *time.Time `json:"pausedAt,omitempty"`
	PausedBy  string     `json:"pausedBy,omitempty"`
}

// Override is a field of a definition that a workspace has of its own.
type Override struct {
	Field string `json:"field"`
	// Value is the workspace's, Blueprint that of the wanted version, and Base what the
	// blueprint had when the field was overridden; null where it had none.
	Value     json.RawMessage `json:"value"`
	Blueprint json.RawMessage `json:"blueprint"`
	Base      json.RawMessage `json:"base"`
	// Conflict is set when the blueprint has changed the field since.
	Conflict bool `json:"conflict"`
}

const deploymentSQL = `SELECT d.id, d.blueprint_id, d.workspace_id, d.wanted_version, coalesce(d.applied_version, 0), d.applied_at, d.run_id, t.state, t.error, t.error_code,
		d.overrides, CASE WHEN d.overrides = '{}' THEN '{}' ELSE (SELECT v.body FROM strata.blueprint_versions v
			WHERE v.company_id = d.company_id AND v.blueprint_id = d.blueprint_id AND v.version = d.wanted_version) END,
		d.paused_at, d.paused_by
	FROM strata.blueprint_deployments d
	JOIN strata.blueprint_tasks t ON t.company_id = d.company_id AND t.run_id = d.run_id AND t.workspace_id = d.workspace_id
	WHERE d.company_id = $1`

func scanDeployment(row pgx.CollectableRow) (d Deployment, err error) {
	var overrides map[string]override
	var body object
	var code string
	if err := row.Scan(&d.ID, &d.BlueprintID, &d.WorkspaceID, &d.WantedVersion, &d.AppliedVersion, &d.AppliedAt, &d.RunID, &d.State, &d.Error, &code,
		&overrides, &body, &d.PausedAt, &d.PausedBy); err != nil {
		return d, err
	}
	d.Error, d.Overrides = fault.Public(d.Error, code), overridden(overrides, body)
	return d, nil
}

// overridden lists overrides beside what the blueprint has.
func overridden(overrides map[string]override, own object) []Override {
	out := make([]Override, 0, len(overrides))
	orNull := func(raw json.RawMessage) json.RawMessage {
		if raw == nil {
			return json.RawMessage("null")
		}
		return raw
	}
	for _, field := range slices.Sorted(maps.Keys(overrides)) {
		o := overrides[field]
		out = append(out, Override{
			Field: field, Value: o.Value, Blueprint: orNull(own[field]), Base: orNull(o.Base), Conflict: !same(o.Base, own[field]),
		})
	}
	return out
}

// Deployment returns a blueprint as it stands in the workspace of ctx's tenant, or
// ErrNotFound.
func (s *Store) Deployment(ctx context.Context, id ID) (Deployment, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return Deployment{}, err
	}
	return readDeployment(ctx, s.db, t, id)
}

func readDeployment(ctx context.Context, db reader, t tenancy.Tenant, id ID) (Deployment, error) {
	return readOne(ctx, db, deploymentSQL+` AND d.workspace_id = $2 AND d.blueprint_id = $3`, scanDeployment, t.CompanyID, t.WorkspaceID, id)
}

// Deployments lists the workspaces that a blueprint of the company of ctx's tenant is
// deployed to.
func (s *Store) Deployments(ctx context.Context, id ID, p tenancy.PageRequest) (tenancy.Page[Deployment], error) {
	c, err := company(ctx)
	if err != nil {
		return tenancy.Page[Deployment]{}, err
	}
	return readPage(ctx, s.db, list[Deployment]{
		sql: deploymentSQL + ` AND d.blueprint_id = $2`, args: []any{c, id},
		key: "d.workspace_id", after: uuidCursor, scan: scanDeployment, cursor: func(d Deployment) string { return d.WorkspaceID.String() },
	}, p)
}

// Here lists the blueprints that are deployed to the workspace of ctx's tenant.
func (s *Store) Here(ctx context.Context, p tenancy.PageRequest) (tenancy.Page[Deployment], error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return tenancy.Page[Deployment]{}, err
	}
	return readPage(ctx, s.db, list[Deployment]{
		sql: deploymentSQL + ` AND d.workspace_id = $2`, args: []any{t.CompanyID, t.WorkspaceID},
		key: "d.blueprint_id", after: uuidCursor, scan: scanDeployment, cursor: func(d Deployment) string { return d.BlueprintID.String() },
	}, p)
}

// row is what a deployment's row says while it is locked.
type row struct {
	id          DeploymentID
	blueprint   ID
	kind        string
	run         RunID
	wanted      int
	applied     int
	appliedBody json.RawMessage // nil before the first
	overrides   map[string]override
	paused      bool
}

const rowSQL = `SELECT d.id, d.blueprint_id, b.kind, d.run_id, d.wanted_version, coalesce(d.applied_version, 0), d.applied_body, d.overrides, d.paused_at IS NOT NULL
	FROM strata.blueprint_deployments d JOIN strata.blueprints b ON b.company_id = d.company_id AND b.id = d.blueprint_id
	WHERE d.company_id = $1 AND d.workspace_id = $2 AND d.blueprint_id = $3`

func scanRow(r pgx.CollectableRow) (d row, err error) {
	err = r.Scan(&d.id, &d.blueprint, &d.kind, &d.run, &d.wanted, &d.applied, &d.appliedBody, &d.overrides, &d.paused)
	return d, err
}

// How a row is read.
const (
	unlocked   = ``
	locked     = ` FOR NO KEY UPDATE OF d`
	skipLocked = ` FOR NO KEY UPDATE OF d SKIP LOCKED`
)

// read returns a deployment's row in the workspace of tx's tenant, or ErrNotFound.
func (s *Store) read(ctx context.Context, tx *tenancy.Tx, id ID, lock string) (row, error) {
	t := tx.Tenant()
	return readOne(ctx, tx, rowSQL+lock, scanRow, t.CompanyID, t.WorkspaceID, id)
}
