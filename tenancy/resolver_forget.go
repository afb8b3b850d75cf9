package tenancy

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Forget makes every process forget a company with all its workspaces and domains.
// Call it after the change has committed, as Tx.AfterCommit does. It never fails: what
// it cannot reach now, the sweep of Run reaches later. A Redis that does not answer
// holds it up for a second.
func (r *Resolver) Forget(ctx context.Context, company CompanyID) {
	// Redis first: what is loaded from it in between is forgotten with the rest. It is
	// tried although it may have failed a moment ago: other processes may reach it.
	if err := r.forgetRedis(ctx, []CompanyID{company}); err != nil {
		r.cfg.Log.WarnContext(ctx, "a changed company stays in Redis until the sweep", "company", company, "error", err)
	}
	r.forgetHere(company)
	r.redis.publish(ctx, company)
}

// forgetHere drops the entries of companies, and every "not found": one of them may be
// about what was just created.
func (r *Resolver) forgetHere(companies ...CompanyID) {
	if len(companies) == 0 {
		return
	}
	changed := make(map[CompanyID]bool, len(companies))
	for _, company := range companies {
		changed[company] = true
	}
	r.generation.Add(1)
	for key, e := range r.fresh.All() {
		if !e.found || changed[e.tenant.CompanyID] {
			r.fresh.Invalidate(key)
		}
	}
	for key, e := range r.known.All() {
		if changed[e.tenant.CompanyID] {
			r.known.Invalidate(key)
		}
	}
}

func (r *Resolver) forgetAllHere() {
	r.generation.Add(1)
	r.fresh.InvalidateAll()
}

// A row's version as resolve computes it: a tombstone under the company's largest would
// keep out what was read of the other rows too.
const tombstonesSQL = `SELECT $2::int, c.id, c.version FROM strata.companies c WHERE c.id = ANY($1)
	UNION ALL SELECT $3, w.id, greatest(c.version, w.version)
		FROM strata.workspaces w JOIN strata.companies c ON c.id = w.company_id WHERE w.company_id = ANY($1)
	UNION ALL SELECT $4, d.id, greatest(c.version, w.version, d.version)
		FROM strata.domains d
		JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id
		JOIN strata.companies c ON c.id = d.company_id WHERE d.company_id = ANY($1)`

// forgetRedis replaces what Redis has of companies by tombstones. Without an error
// nothing older is there any more.
func (r *Resolver) forgetRedis(ctx context.Context, companies []CompanyID) error {
	if r.redis == nil || len(companies) == 0 {
		return nil
	}
	var tombstones []tombstone
	err := r.db.ReadTrusted(ctx, tombstonesSQL, []any{companies, int(LevelCompany), int(LevelWorkspace), int(LevelDomain)}, func(rows pgx.Rows) (err error) {
		tombstones, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tombstone, err error) {
			var level int
			var id uuid.UUID
			err = row.Scan(&level, &id, &t.version)
			t.key = scopeKey{level: Level(level), id: id}
			return t, err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("tenancy: read what to forget: %w", err)
	}
	if err := r.redis.forget(ctx, tombstones); err != nil {
		return fmt.Errorf("tenancy: forget in Redis: %w", err)
	}
	return nil
}
