package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// row is one stored value.
type row struct {
	raw    json.RawMessage
	locked bool
	reason string
	setBy  string
	setAt  time.Time
}

// rows are the stored values of one key: of the company, the workspace and the domain.
// Those not set are nil.
type rows [3]*row

// The index of a level in rows.
const (
	ofCompany = iota
	ofWorkspace
	ofDomain
)

func indexOf(l tenancy.Level) int { return int(l - tenancy.LevelCompany) }

const rowColumns = `s.key, CASE WHEN s.domain_id IS NOT NULL THEN 2 WHEN s.workspace_id IS NOT NULL THEN 1 ELSE 0 END,
	s.value::text, s.locked, s.reason, s.set_by, s.set_at`

// The version and what is set, as one statement sees them. Without its row of h a tenant
// is gone.
const storedSQL = `SELECT h.version, ` + rowColumns + ` FROM (
		SELECT greatest(c.version, w.version, d.version) AS version FROM strata.companies c
		LEFT JOIN strata.workspaces w ON w.company_id = c.id AND w.id = $2 AND w.deleted_at IS NULL
		LEFT JOIN strata.domains d ON d.company_id = c.id AND d.workspace_id = w.id AND d.id = $3 AND d.deleted_at IS NULL
		WHERE c.id = $1 AND c.deleted_at IS NULL AND (w.id IS NULL) = ($2::uuid IS NULL) AND (d.id IS NULL) = ($3::uuid IS NULL)) h
	LEFT JOIN strata.settings s ON s.company_id = $1 AND s.owner_id IN ($1, $2, $3)`

// readStored returns what is set for t and above it, by key, and t's version.
func readStored(ctx context.Context, from reader, t tenancy.Tenant) (version int64, stored map[string]rows, err error) {
	stored = map[string]rows{}
	found := false
	err = from.Read(ctx, storedSQL, []any{t.CompanyID, t.WorkspaceID, t.DomainID}, func(all pgx.Rows) error {
		for all.Next() {
			found = true
			var key, raw, reason, setBy *string
			var level *int
			var locked *bool
			var setAt *time.Time
			if err := all.Scan(&version, &key, &level, &raw, &locked, &reason, &setBy, &setAt); err != nil {
				return err
			}
			if key == nil { // the only row of a tenant for which nothing is set
				continue
			}
			put(stored, *key, *level, &row{json.RawMessage(*raw), *locked, *reason, *setBy, *setAt})
		}
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("settings: read what is set: %w", err)
	}
	if !found {
		return 0, nil, tenancy.ErrNotFound
	}
	return version, stored, nil
}

func put(stored map[string]rows, key string, level int, r *row) {
	of := stored[key]
	of[level] = r
	stored[key] = of
}

// resolution is the value of one key for one tenant, and how it came to be.
type resolution struct {
	value    value
	source   Source
	row      *row // nil: the default of the plan or of the key
	locked   bool
	shadowed []Layer
}

func (r *resolution) shadow(source Source, raw json.RawMessage, from *row, why Why, message string) {
	l := Layer{Source: source, Value: raw, Why: why, Message: message}
	if from != nil {
		l.SetBy, l.SetAt, l.Reason = from.setBy, &from.setAt, from.reason
	}
	r.shadowed = append(r.shadowed, l)
}

// resolve goes down from the default to the level at. What is stored and cannot be a value
// is passed over.
func (s *Store) resolve(d *definition, plan string, of rows, at tenancy.Level) resolution {
	r := resolution{value: d.fallback, source: SourceSystem, locked: d.mode == Locked}
	if v, ok := s.plans[plan][d.name]; ok {
		r.take(d, SourcePlan, v, nil)
	}
	for i, stored := range of {
		if stored == nil || i > indexOf(at) || d.mode == NeverInherited && i == ofCompany && at > tenancy.LevelCompany {
			continue
		}
		source := sources[i]
		v, why := d.parse(stored.raw, false)
		switch {
		case why != nil:
			r.shadow(source, stored.raw, stored, WhyInvalid, why.message)
			continue
		case r.locked && i > ofCompany:
			r.shadow(source, v.raw, stored, WhyLocked, "")
			continue
		}
		r.take(d, source, v, stored)
		r.locked = r.locked || stored.locked && d.lockable()
	}
	return r
}

// take lets a deeper level have its say.
func (r *resolution) take(d *definition, source Source, own value, from *row) {
	taken := own
	if d.tighten != nil {
		var why *refusal
		if taken, why = d.tighten(r.value, own); why != nil { // what is left has no JSON form
			r.shadow(source, own.raw, from, WhyInvalid, why.message)
			return
		}
		if same(taken, r.value) && !same(taken, own) {
			r.shadow(source, own.raw, from, WhyStricterAbove, "")
			return
		}
	}
	r.shadow(r.source, r.value.raw, r.row, WhyOverridden, "")
	if !same(taken, own) { // each of the two forbids something that the other does not
		r.shadow(source, own.raw, from, WhyStricterAbove, "")
	}
	r.value, r.source, r.row = taken, source, from
}

func same(a, b value) bool { return bytes.Equal(a.raw, b.raw) }

// lockable reports whether a company can lock its value.
func (d *definition) lockable() bool { return d.mode == Inheritable || d.mode == RestrictOnly }
