package blueprint

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Targets says which workspaces are meant. The zero value means none.
type Targets struct {
	which string
	ids   []tenancy.WorkspaceID
}

// Only means these workspaces: try a version in a few before it goes to All.
func Only(ids ...tenancy.WorkspaceID) Targets { return Targets{which: "only", ids: ids} }

// All means every workspace that the company has now.
func All() Targets { return Targets{which: "all"} }

// Deployed means every workspace where the blueprint is deployed already.
func Deployed() Targets { return Targets{which: "deployed"} }

// workspaces returns the targets' ids in their order, ErrNotFound when one that was named
// is not the company's, and a *tenancy.ValidationError when there is none.
func (t Targets) workspaces(ctx context.Context, db reader, c tenancy.CompanyID, id ID) ([]tenancy.WorkspaceID, error) {
	var out []tenancy.WorkspaceID
	err := db.Read(ctx, `SELECT w.id FROM strata.workspaces w WHERE w.company_id = $1 AND w.deleted_at IS NULL AND CASE $3::text
			WHEN 'all' THEN true
			WHEN 'only' THEN w.id = ANY($4::uuid[])
			WHEN 'deployed' THEN EXISTS (SELECT FROM strata.blueprint_deployments d WHERE d.company_id = $1 AND d.blueprint_id = $2 AND d.workspace_id = w.id)
			ELSE false END ORDER BY w.id`, []any{c, id, t.which, t.ids}, func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.WorkspaceID])
		return err
	})
	if err != nil {
		return nil, err
	}
	named := map[tenancy.WorkspaceID]bool{}
	for _, w := range t.ids {
		named[w] = true
	}
	if t.which == "only" && len(out) != len(named) {
		return nil, ErrNotFound
	}
	if len(out) == 0 {
		var v tenancy.ValidationError
		v.Add("workspaces", "required", "must name at least one workspace")
		return nil, v.OrNil()
	}
	return out, nil
}

// target is a blueprint and the version of it that is meant.
type target struct {
	id      ID
	kind    string
	version int
}

// target returns a version of a blueprint, 0 being the latest, or ErrNotFound.
func (s *Store) target(ctx context.Context, db reader, c tenancy.CompanyID, id ID, version int) (target, error) {
	return readOne(ctx, db, `SELECT b.id, b.kind, v.version FROM strata.blueprints b
		JOIN strata.blueprint_versions v ON v.company_id = b.company_id AND v.blueprint_id = b.id
		WHERE b.company_id = $1 AND b.id = $2 AND v.version = `+asked, func(row pgx.CollectableRow) (t target, err error) {
		err = row.Scan(&t.id, &t.kind, &t.version)
		return t, err
	}, c, id, int64(version))
}

// Deploy asks for workspaces to be brought to a version of a blueprint: 0 is the latest,
// and an older one than theirs takes them back. The work is done by the processes that
// run Work, as the actor of ctx; where the blueprint is paused it is only noted. What
// another run was still to do in these workspaces, this one does instead. An attempt
// that is going on in one of them is waited for. Errors: ErrNotFound,
// *tenancy.ValidationError when there is no workspace, ErrCompanyLevel.
func (s *Store) Deploy(ctx context.Context, id ID, version int, to Targets) (r Run, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		r, err = s.DeployTx(ctx, tx, id, version, to)
		return err
	})
	return r, err
}

// DeployTx is Deploy in the caller's transaction; the work starts when that commits.
func (s *Store) DeployTx(ctx context.Context, tx *tenancy.Tx, id ID, version int, to Targets) (Run, error) {
	c, err := companyTx(ctx, tx)
	if err != nil {
		return Run{}, err
	}
	t, err := s.target(ctx, tx, c, id, version)
	if err != nil {
		return Run{}, err
	}
	workspaces, err := to.workspaces(ctx, tx, c, id)
	if err != nil {
		return Run{}, err
	}
	run, err := s.insertRun(ctx, tx, t, ByDeploy)
	if err != nil {
		return Run{}, err
	}
	ids := make([]DeploymentID, len(workspaces))
	for i := range ids {
		ids[i] = tenancy.NewID[Deployment]()
	}
	// In the order of the workspaces: two requests at once wait for each other.
	if _, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.blueprint_deployments AS d (company_id, workspace_id, blueprint_id, id, run_id, wanted_version)
		SELECT $1, n.workspace_id, $2, n.id, $3, $4 FROM unnest($5::uuid[], $6::uuid[]) n (workspace_id, id) ORDER BY n.workspace_id
		ON CONFLICT (company_id, blueprint_id, workspace_id) DO UPDATE SET run_id = $3, wanted_version = $4, updated_at = now()`),
		c, id, run, t.version, workspaces, ids); err != nil {
		return Run{}, err
	}
	if err := s.enqueue(ctx, tx, t, run, workspaces...); err != nil {
		return Run{}, err
	}
	r, err := readOne(ctx, tx, runsSQL+` AND r.id = $2`, scanRun, c, run)
	if err != nil {
		return Run{}, err
	}
	return r, s.audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "blueprint.deployed", ResourceType: "blueprint", ResourceID: id.String(),
		Metadata: map[string]any{"runId": run.String(), "version": t.version, "workspaces": r.Total, "skipped": r.Skipped},
	})
}

func (s *Store) insertRun(ctx context.Context, tx *tenancy.Tx, t target, reason Reason) (RunID, error) {
	id, actor := tenancy.NewID[Run](), tenancy.ActorFrom(ctx)
	_, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.blueprint_runs (company_id, id, blueprint_id, version, reason, requested_by, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)`),
		tx.Tenant().CompanyID, id, t.id, t.version, string(reason), actor.ID, actor)
	return id, err
}

// enqueue makes the run's tasks out of deployments whose rows tx has locked and pointed at
// the run, and takes them away from the run before.
func (s *Store) enqueue(ctx context.Context, tx *tenancy.Tx, t target, run RunID, workspaces ...tenancy.WorkspaceID) error {
	c := tx.Tenant().CompanyID
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET state = 'superseded', finished_at = now()
		WHERE company_id = $1 AND blueprint_id = $2 AND workspace_id = ANY($3::uuid[]) AND state = 'pending'`), c, t.id, workspaces); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.blueprint_tasks (company_id, workspace_id, run_id, blueprint_id, kind, state, finished_at)
		SELECT d.company_id, d.workspace_id, d.run_id, d.blueprint_id, $5, CASE WHEN d.paused_at IS NULL THEN 'pending' ELSE 'skipped' END,
			CASE WHEN d.paused_at IS NOT NULL THEN now() END
		FROM strata.blueprint_deployments d
		WHERE d.company_id = $1 AND d.blueprint_id = $2 AND d.workspace_id = ANY($3::uuid[]) AND d.run_id = $4`), c, t.id, workspaces, run, t.kind)
	if err == nil && tag.RowsAffected() > 0 {
		tx.AfterCommit(func(context.Context) { s.wake() })
	}
	return err
}

// Retry tries again where a run has failed, as if for the first time, and returns the run.
// It leaves out workspaces that are deleted, where the blueprint is paused, or which a
// newer run has taken over. Errors: ErrNotFound, ErrCompanyLevel.
func (s *Store) Retry(ctx context.Context, id RunID) (r Run, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		r, err = s.RetryTx(ctx, tx, id)
		return err
	})
	return r, err
}

// RetryTx is Retry in the caller's transaction.
func (s *Store) RetryTx(ctx context.Context, tx *tenancy.Tx, id RunID) (Run, error) {
	c, err := companyTx(ctx, tx)
	if err != nil {
		return Run{}, err
	}
	// Whoever writes tasks locks their deployments first, in a statement of its own: one
	// that has waited has not seen what it waited for.
	var workspaces []tenancy.WorkspaceID
	err = tx.Read(ctx, `SELECT d.workspace_id FROM strata.blueprint_deployments d
		JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id AND w.deleted_at IS NULL
		WHERE d.company_id = $1 AND d.blueprint_id = (SELECT blueprint_id FROM strata.blueprint_runs WHERE company_id = $1 AND id = $2)
			AND d.run_id = $2 AND d.paused_at IS NULL ORDER BY d.workspace_id FOR NO KEY UPDATE OF d`, []any{c, id}, func(rows pgx.Rows) (err error) {
		workspaces, err = pgx.CollectRows(rows, pgx.RowTo[tenancy.WorkspaceID])
		return err
	})
	if err != nil {
		return Run{}, err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET state = 'pending', attempts = 0, next_attempt_at = now(), finished_at = NULL
		WHERE company_id = $1 AND run_id = $2 AND workspace_id = ANY($3::uuid[]) AND state = 'failed'`), c, id, workspaces)
	if err != nil {
		return Run{}, err
	}
	r, err := readOne(ctx, tx, runsSQL+` AND r.id = $2`, scanRun, c, id)
	if err != nil || tag.RowsAffected() == 0 {
		return r, err
	}
	tx.AfterCommit(func(context.Context) { s.wake() })
	return r, s.audit.RecordChange(ctx, tx, tenancy.Change{
		Action: "blueprint.retried", ResourceType: "blueprint", ResourceID: r.BlueprintID.String(),
		Metadata: map[string]any{"runId": id.String(), "workspaces": tag.RowsAffected()},
	})
}
