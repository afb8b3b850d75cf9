package blueprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stratakit/strata/tenancy"
)

// change runs fn on the locked deployment of a blueprint in the workspace of ctx's tenant,
// and returns what came of it.
func (s *Store) change(ctx context.Context, tx *tenancy.Tx, id ID, fn func(ctx context.Context, d row) error) (Deployment, error) {
	t, err := tenancy.WorkspaceFrom(ctx)
	if err != nil {
		return Deployment{}, err
	}
	if t.CompanyID != tx.Tenant().CompanyID || t.WorkspaceID != tx.Tenant().WorkspaceID {
		return Deployment{}, errors.New("blueprint: the transaction is in the scope of another workspace than the context")
	}
	t.DomainID = tenancy.DomainID{} // whatever the context holds below: it is the workspace's change
	ctx = tenancy.WithTenant(ctx, t)
	d, err := s.read(ctx, tx, id, locked)
	if err != nil {
		return Deployment{}, err
	}
	if err := tx.LiveWorkspace(ctx); errors.Is(err, tenancy.ErrNotFound) {
		return Deployment{}, ErrNotFound
	} else if err != nil {
		return Deployment{}, err
	}
	if err := fn(ctx, d); err != nil {
		return Deployment{}, err
	}
	return readDeployment(ctx, tx, t, id)
}

func (s *Store) changed(ctx context.Context, fn func(tx *tenancy.Tx) (Deployment, error)) (d Deployment, err error) {
	err = s.db.InTx(ctx, func(tx *tenancy.Tx) error {
		d, err = fn(tx)
		return err
	})
	return d, err
}

// Override gives the workspace of ctx's tenant a value of its own for one top-level field
// of a blueprint that is deployed there. It is applied at once unless the blueprint is
// paused, and stays through every later version until ClearOverride. value is what the
// field holds, as Go or JSON. Errors: ErrNotFound, ErrLocked, *tenancy.ValidationError
// for an unknown field or a definition that Spec.Validate refuses, ErrUnknownKind.
func (s *Store) Override(ctx context.Context, id ID, field string, value any) (Deployment, error) {
	return s.changed(ctx, func(tx *tenancy.Tx) (Deployment, error) { return s.OverrideTx(ctx, tx, id, field, value) })
}

// OverrideTx is Override in the caller's transaction.
func (s *Store) OverrideTx(ctx context.Context, tx *tenancy.Tx, id ID, field string, value any) (Deployment, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Deployment{}, invalid(err)
	}
	return s.change(ctx, tx, id, func(ctx context.Context, d row) error {
		k, err := s.kind(d.kind)
		if err != nil {
			return err
		}
		var v tenancy.ValidationError
		k.checkField(&v, "field", field)
		if err := v.OrNil(); err != nil {
			return err
		}
		if slices.Contains(k.locked, field) {
			return fmt.Errorf("field %q: %w", field, ErrLocked)
		}
		alone, err := json.Marshal(object{field: raw})
		if err == nil {
			err = k.known(alone)
		}
		if err != nil {
			return err
		}
		version, err := readVersion(ctx, tx, id, d.wanted)
		if err != nil {
			return err
		}
		overrides := maps.Clone(d.overrides)
		overrides[field] = override{Value: plain(raw)}
		definition, own, err := laidOver(version, overrides)
		if err != nil {
			return err
		}
		overrides[field] = override{Value: plain(raw), Base: own[field]}
		if err := k.validate(definition); err != nil {
			return err
		}
		return s.setOverrides(ctx, tx, d, overrides, "blueprint.overridden", field)
	})
}

// ClearOverride gives a field back to the blueprint. One that is not overridden is left
// as it is. Errors: ErrNotFound.
func (s *Store) ClearOverride(ctx context.Context, id ID, field string) (Deployment, error) {
	return s.changed(ctx, func(tx *tenancy.Tx) (Deployment, error) { return s.ClearOverrideTx(ctx, tx, id, field) })
}

// ClearOverrideTx is ClearOverride in the caller's transaction.
func (s *Store) ClearOverrideTx(ctx context.Context, tx *tenancy.Tx, id ID, field string) (Deployment, error) {
	return s.change(ctx, tx, id, func(ctx context.Context, d row) error {
		overrides := maps.Clone(d.overrides)
		if _, ok := overrides[field]; !ok {
			return nil
		}
		delete(overrides, field)
		return s.setOverrides(ctx, tx, d, overrides, "blueprint.override_cleared", field)
	})
}

// setOverrides writes overrides and has the definition applied that they make.
func (s *Store) setOverrides(ctx context.Context, tx *tenancy.Tx, d row, overrides map[string]override, action, field string) error {
	t := tx.Tenant()
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_deployments SET overrides = $4, updated_at = now() WHERE company_id = $1 AND workspace_id = $2 AND blueprint_id = $3`),
		t.CompanyID, t.WorkspaceID, d.blueprint, overrides); err != nil {
		return unstorable(err, "body."+field)
	}
	if !d.paused {
		if err := s.again(ctx, tx, d, ByOverride); err != nil {
			return err
		}
	}
	return s.record(ctx, tx, action, d, map[string]any{"field": field})
}

// again makes a run for one workspace, at the version that it is to have.
func (s *Store) again(ctx context.Context, tx *tenancy.Tx, d row, reason Reason) error {
	c, w := tx.Tenant().CompanyID, tx.Tenant().WorkspaceID
	t := target{id: d.blueprint, kind: d.kind, version: d.wanted}
	run, err := s.insertRun(ctx, tx, t, reason)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_deployments SET run_id = $4, updated_at = now() WHERE company_id = $1 AND workspace_id = $2 AND blueprint_id = $3`),
		c, w, d.blueprint, run); err != nil {
		return err
	}
	return s.enqueue(ctx, tx, t, run, w)
}

// Pause leaves the workspace of ctx's tenant with what it has: nothing is applied there
// until Resume, whatever is deployed. Errors: ErrNotFound.
func (s *Store) Pause(ctx context.Context, id ID) (Deployment, error) {
	return s.changed(ctx, func(tx *tenancy.Tx) (Deployment, error) { return s.PauseTx(ctx, tx, id) })
}

// PauseTx is Pause in the caller's transaction.
func (s *Store) PauseTx(ctx context.Context, tx *tenancy.Tx, id ID) (Deployment, error) {
	return s.change(ctx, tx, id, func(ctx context.Context, d row) error {
		if d.paused {
			return nil
		}
		c, w := tx.Tenant().CompanyID, tx.Tenant().WorkspaceID
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_deployments SET paused_at = now(), paused_by = $4, updated_at = now()
			WHERE company_id = $1 AND workspace_id = $2 AND blueprint_id = $3`), c, w, id, tenancy.ActorFrom(ctx).ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_tasks SET state = 'skipped', finished_at = now()
			WHERE company_id = $1 AND workspace_id = $2 AND run_id = $3 AND state = 'pending'`), c, w, d.run); err != nil {
			return err
		}
		return s.record(ctx, tx, "blueprint.paused", d, nil)
	})
}

// Resume lets the workspace of ctx's tenant take part again: with catchUp it is brought at
// once to what was deployed and overridden meanwhile, without it only with the next
// Deploy, Override or ClearOverride. Errors: ErrNotFound.
func (s *Store) Resume(ctx context.Context, id ID, catchUp bool) (Deployment, error) {
	return s.changed(ctx, func(tx *tenancy.Tx) (Deployment, error) { return s.ResumeTx(ctx, tx, id, catchUp) })
}

// ResumeTx is Resume in the caller's transaction.
func (s *Store) ResumeTx(ctx context.Context, tx *tenancy.Tx, id ID, catchUp bool) (Deployment, error) {
	return s.change(ctx, tx, id, func(ctx context.Context, d row) error {
		if !d.paused {
			return nil
		}
		if _, err := tx.Exec(ctx, tx.SQL(`UPDATE strata.blueprint_deployments SET paused_at = NULL, paused_by = '', updated_at = now()
			WHERE company_id = $1 AND workspace_id = $2 AND blueprint_id = $3`), tx.Tenant().CompanyID, tx.Tenant().WorkspaceID, id); err != nil {
			return err
		}
		if catchUp {
			if err := s.again(ctx, tx, d, ByResume); err != nil {
				return err
			}
		}
		return s.record(ctx, tx, "blueprint.resumed", d, map[string]any{"catchUp": catchUp})
	})
}

// record audits what happened to a deployment, in the workspace of ctx's tenant.
func (s *Store) record(ctx context.Context, tx *tenancy.Tx, action string, d row, metadata map[string]any) error {
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["deploymentId"] = d.id.String()
	return s.audit.RecordChange(ctx, tx, tenancy.Change{Action: action, ResourceType: "blueprint", ResourceID: d.blueprint.String(), Metadata: metadata})
}
