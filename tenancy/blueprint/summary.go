package blueprint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/tenancy"
)

// Summary adds up a blueprint over the workspaces that it is deployed to.
type Summary struct {
	LatestVersion int `json:"latestVersion"`
	// Workspaces is how many there are, without those that are deleted, and the numbers by
	// state add up to it. Paused, Behind and Overridden count some of them again: Behind
	// those that have not the version that was asked for, Overridden those with a field of
	// their own.
	Workspaces int `json:"workspaces"`
	Pending    int `json:"pending"`
	Applied    int `json:"applied"`
	Failed     int `json:"failed"`
	Skipped    int `json:"skipped"`
	Paused     int `json:"paused"`
	Behind     int `json:"behind"`
	Overridden int `json:"overridden"`
	// Versions is how many workspaces have each version, 0 being none yet.
	Versions map[int]int `json:"versions"`
	// Counters are the sums of what CountTx and Spec.Apply have counted, in workspaces
	// that are deleted too.
	Counters map[string]int64 `json:"counters"`
}

// Summary returns what has become of a blueprint of the company of ctx's tenant, or
// ErrNotFound.
func (s *Store) Summary(ctx context.Context, id ID) (Summary, error) {
	c, err := company(ctx)
	if err != nil {
		return Summary{}, err
	}
	return readOne(ctx, s.db, `WITH d AS (
			SELECT coalesce(d.applied_version, 0) AS version, t.state, d.paused_at IS NOT NULL AS paused,
				d.wanted_version IS DISTINCT FROM d.applied_version AS behind, d.overrides <> '{}' AS overridden
			FROM strata.blueprint_deployments d
			JOIN strata.blueprint_tasks t ON t.company_id = d.company_id AND t.run_id = d.run_id AND t.workspace_id = d.workspace_id
			JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id AND w.deleted_at IS NULL
			WHERE d.company_id = $1 AND d.blueprint_id = $2)
		SELECT b.latest_version, n.*,
			coalesce((SELECT jsonb_object_agg(version, n) FROM (SELECT version, count(*) AS n FROM d GROUP BY version) v), '{}'),
			coalesce((SELECT jsonb_object_agg(name, total) FROM (SELECT name, sum(value)::bigint AS total FROM strata.blueprint_counters
				WHERE company_id = $1 AND blueprint_id = $2 GROUP BY name) c), '{}')
		FROM strata.blueprints b CROSS JOIN (SELECT count(*), count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'applied'),
			count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'skipped'),
			count(*) FILTER (WHERE paused), count(*) FILTER (WHERE behind), count(*) FILTER (WHERE overridden) FROM d) n
		WHERE b.company_id = $1 AND b.id = $2`, func(row pgx.CollectableRow) (v Summary, err error) {
		err = row.Scan(&v.LatestVersion, &v.Workspaces, &v.Pending, &v.Applied, &v.Failed, &v.Skipped, &v.Paused, &v.Behind, &v.Overridden, &v.Versions, &v.Counters)
		return v, err
	}, c, id)
}

// CountTx adds to the counters of a blueprint in the workspace that tx is in the scope of,
// once for each call that commits: completions, say, in the transaction that writes them.
// It is not audited: what it counts is. Errors: ErrNotFound when the blueprint is not
// deployed there, *tenancy.ValidationError for a name that is not 1 to 63 characters.
//
// The counters of one blueprint in one workspace are rows that transactions wait for each
// other at: call it late in yours.
func (s *Store) CountTx(ctx context.Context, tx *tenancy.Tx, id ID, add map[string]int64) error {
	t := tx.Tenant()
	if t.Level() < tenancy.LevelWorkspace {
		return &tenancy.LevelError{Want: tenancy.LevelWorkspace, Have: t.Level()}
	}
	if len(add) == 0 {
		return nil
	}
	var v tenancy.ValidationError
	names := slices.Sorted(maps.Keys(add)) // in one order, or two transactions wait for each other
	values := make([]int64, len(names))
	for i, name := range names {
		values[i] = add[name]
		if n := utf8.RuneCountInString(name); n == 0 || n > 63 || name != fault.Storable(name) {
			v.Add(fmt.Sprintf("counters.%q", name), "invalid_name", "must be 1 to 63 characters of UTF-8")
		}
	}
	if err := v.OrNil(); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.blueprint_counters AS c (company_id, workspace_id, blueprint_id, name, value)
		SELECT d.company_id, d.workspace_id, d.blueprint_id, n.name, n.value
		FROM strata.blueprint_deployments d, unnest($4::text[], $5::bigint[]) n (name, value)
		WHERE d.company_id = $1 AND d.workspace_id = $2 AND d.blueprint_id = $3 ORDER BY n.name
		ON CONFLICT (company_id, blueprint_id, workspace_id, name) DO UPDATE SET value = c.value + EXCLUDED.value`),
		t.CompanyID, t.WorkspaceID, id, names, values)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return err
}
