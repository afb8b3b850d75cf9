package settings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/internal/fence"
	"github.com/stratakit/strata/tenancy"
)

// Difference is a setting that has another value where a domain moves to.
type Difference struct {
	Key string `json:"key" required:"true"`
	// Before is the domain's value where it is, After what the place it moves to gives.
	Before json.RawMessage `json:"before" required:"true"`
	After  json.RawMessage `json:"after"  required:"true"`
	// Kept: the domain keeps Before, as a value of its own that can be cleared. Otherwise
	// the rule of the place it moves to wins: the key is not Inheritable, or the company
	// has locked it.
	Kept bool `json:"kept" required:"true"`
}

// Preview returns what Moved would, and changes nothing. from is the domain where it is,
// to the same domain where it moves to, both with their company's plan. It reads both
// companies, whatever the tenant of ctx: it is for what moves domains, which has to know
// that the actor may.
func (s *Store) Preview(ctx context.Context, from, to tenancy.Tenant) ([]Difference, error) {
	if err := checkMove(from, to); err != nil {
		return nil, err
	}
	here, err := readOwners(tenancy.WithTenant(ctx, from), s.db, from)
	if err != nil {
		return nil, err
	}
	there, err := readOwners(fence.Pass(tenancy.WithTenant(ctx, to)), s.db, to) // where the domain is not yet
	if err != nil {
		return nil, err
	}
	differences, _ := s.planMove(ctx, from, to, here, there)
	return differences, nil
}

// Moved moves the domain's own values with it, those of keys that this process does not
// know included, and keeps as such every value that would change otherwise, where that is
// allowed: see Difference. A value that an earlier move kept is dropped when the domain
// inherits it again. Done a second time it changes nothing more.
//
// tx is the transaction that moves the domain, in the scope of either company, in whose
// trail this is audited; it may have changed the hierarchy already. The caller sees to it
// that the domain's version grows and that the Resolver forgets both companies. Unless it
// has locked them (tenancy.Store.LockTx), what is set meanwhile may be left out.
func (s *Store) Moved(ctx context.Context, tx *tenancy.Tx, from, to tenancy.Tenant) ([]Difference, error) {
	if err := checkMove(from, to); err != nil {
		return nil, err
	}
	if c := tx.Tenant().CompanyID; c != from.CompanyID && c != to.CompanyID {
		return nil, errors.New("settings: the transaction is in the scope of neither company of the move")
	}
	var here, there map[string]rows
	var differences []Difference
	var own map[string]*row
	err := inScope(ctx, tx, from.CompanyID, func() (err error) {
		here, err = takeOwn(ctx, tx, from)
		return err
	})
	if err == nil {
		err = inScope(ctx, tx, to.CompanyID, func() (err error) {
			if there, err = takeOwn(ctx, tx, to); err != nil {
				return err
			}
			differences, own = s.planMove(ctx, from, to, here, there)
			return insertOwn(ctx, tx, to, own)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("settings: move the domain's own values: %w", err)
	}
	if err := s.recordMove(ctx, tx, from, to, differences, own); err != nil {
		return nil, err
	}
	tx.Mark(changed{})
	tx.AfterCommit(func(context.Context) { s.memory.forget(from.CompanyID, to.CompanyID) })
	return differences, nil
}

// recordMove tells the trail of the company in whose scope tx is.
func (s *Store) recordMove(ctx context.Context, tx *tenancy.Tx, from, to tenancy.Tenant, differences []Difference, own map[string]*row) error {
	at := to
	if tx.Tenant().CompanyID != to.CompanyID {
		at = from
	}
	kept := []string{}
	for _, d := range differences {
		if d.Kept {
			kept = append(kept, d.Key)
		}
	}
	return s.audit.RecordChange(tenancy.WithTenant(ctx, at), tx, tenancy.Change{
		Action: "settings.moved", ResourceType: "domain", ResourceID: to.DomainID.String(),
		Metadata: map[string]any{"kept": kept, "own": slices.Sorted(maps.Keys(own))},
	})
}

func checkMove(from, to tenancy.Tenant) error {
	if from.Level() != tenancy.LevelDomain || from.DomainID != to.DomainID || to.WorkspaceID.IsZero() || to.CompanyID.IsZero() || from.WorkspaceID == to.WorkspaceID {
		return errors.New("settings: a move is of one domain, from one workspace to another")
	}
	return nil
}

// planMove returns what differs, and the values that the domain has of its own there.
func (s *Store) planMove(ctx context.Context, from, to tenancy.Tenant, here, there map[string]rows) ([]Difference, map[string]*row) {
	own := map[string]*row{}
	for _, stored := range []map[string]rows{there, here} { // there: by a move that is done again
		for name, of := range stored {
			if of[ofDomain] != nil {
				own[name] = of[ofDomain]
			}
		}
	}
	differences := []Difference{}
	for _, d := range s.registry.keys {
		of := here[d.name]
		of[ofDomain] = own[d.name]
		before := s.resolve(d, from.Plan, of, tenancy.LevelDomain)
		of = there[d.name]
		inherited := s.resolve(d, to.Plan, of, tenancy.LevelWorkspace)
		of[ofDomain] = own[d.name]
		after := s.resolve(d, to.Plan, of, tenancy.LevelDomain)
		if !same(before.value, after.value) {
			diff := Difference{Key: d.name, Before: before.value.raw, After: after.value.raw, Kept: d.mode == Inheritable && !inherited.locked}
			if diff.Kept {
				own[d.name] = &row{raw: before.value.raw, reason: ReasonMove, setBy: tenancy.ActorFrom(ctx).ID}
			}
			differences = append(differences, diff)
			continue
		}
		if r := after.row; r != nil && r == own[d.name] && r.reason == ReasonMove && same(after.value, inherited.value) {
			delete(own, d.name)
		}
	}
	return differences, own
}

// takeOwn is readOwners, and takes away what t has of its own.
func takeOwn(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant) (map[string]rows, error) {
	stored, err := readOwners(ctx, tx, t)
	if err == nil {
		_, err = tx.Exec(ctx, tx.SQL(`DELETE FROM strata.settings WHERE company_id = $1 AND owner_id = $2`), t.CompanyID, t.DomainID)
	}
	return stored, err
}

// readOwners returns what is set for t and above it, whatever the hierarchy says of t now.
func readOwners(ctx context.Context, from reader, t tenancy.Tenant) (map[string]rows, error) {
	stored := map[string]rows{}
	err := from.Read(ctx, `SELECT `+rowColumns+` FROM strata.settings s
		WHERE s.company_id = $1 AND s.owner_id IN ($1, $2, $3)`,
		[]any{t.CompanyID, t.WorkspaceID, t.DomainID}, func(all pgx.Rows) error {
			for all.Next() {
				var key, raw string
				var level int
				r := &row{}
				if err := all.Scan(&key, &level, &raw, &r.locked, &r.reason, &r.setBy, &r.setAt); err != nil {
					return err
				}
				r.raw = json.RawMessage(raw)
				put(stored, key, level, r)
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("settings: read what is set: %w", err)
	}
	return stored, nil
}

// insertOwn stores the values of a domain that has just arrived.
func insertOwn(ctx context.Context, tx *tenancy.Tx, to tenancy.Tenant, own map[string]*row) error {
	for _, name := range slices.Sorted(maps.Keys(own)) {
		r := own[name]
		var setAt *time.Time // now
		if !r.setAt.IsZero() {
			setAt = &r.setAt
		}
		if _, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.settings (company_id, workspace_id, domain_id, key, value, reason, set_by, set_at)
			VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, coalesce($8, now()))`),
			to.CompanyID, to.WorkspaceID, to.DomainID, name, string(r.raw), r.reason, r.setBy, setAt); err != nil {
			return err
		}
	}
	return nil
}

// inScope runs fn with company as the one that row-level security shows. A row cannot
// change its company in the scope of either, so a move deletes in one and inserts in the
// other.
func inScope(ctx context.Context, tx *tenancy.Tx, company tenancy.CompanyID, fn func() error) error {
	own := tx.Tenant().CompanyID
	if company == own {
		return fn()
	}
	scope := func(id tenancy.CompanyID) error {
		_, err := tx.Exec(ctx, `SELECT set_config('strata.company_id', $1, true)`, id.String())
		return err
	}
	if err := scope(company); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return errors.Join(err, scope(own)) // or the transaction is over
	}
	return scope(own)
}
