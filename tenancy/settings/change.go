package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/stratakit/strata/tenancy"
)

// Change is what Store.Change does to several settings, all or nothing.
type Change struct {
	// Set holds values by name: a T, or JSON as json.RawMessage.
	Set map[string]any
	// Clear names the values of its own that the tenant gives up. One that it has not is
	// no error.
	Clear []string
	// Lock says of values of a company, those in Set included, whether its workspaces may
	// have others. Values they have already are kept and do not count while it is locked.
	Lock map[string]bool
}

// Change sets, clears and locks values of the company or workspace of ctx's tenant; in a
// domain it can only clear. Errors: *tenancy.ValidationError with everything that is
// wrong, up to 100, whose fields are the names; ErrDomainLevel; tenancy.ErrNotFound when the tenant
// is gone.
func (s *Store) Change(ctx context.Context, c Change) error {
	return s.db.InTx(ctx, func(tx *tenancy.Tx) error { return s.ChangeTx(ctx, tx, c) })
}

// ChangeTx is Change in the caller's transaction, which must be in the scope of ctx's
// tenant. Until it ends, other changes of the company wait; GetTx sees what it has set.
func (s *Store) ChangeTx(ctx context.Context, tx *tenancy.Tx, c Change) error {
	_, err := s.change(ctx, tx, c)
	return err
}

// Clear takes away the value of its own that ctx's tenant has. Errors: ErrUnknownKey,
// ErrNotSet, tenancy.ErrNotFound when the tenant is gone.
func (s *Store) Clear(ctx context.Context, name string) error {
	return s.db.InTx(ctx, func(tx *tenancy.Tx) error { return s.ClearTx(ctx, tx, name) })
}

// ClearTx is Clear in the caller's transaction, with what ChangeTx says of it.
func (s *Store) ClearTx(ctx context.Context, tx *tenancy.Tx, name string) error {
	if _, why := s.registry.named(name); why != nil {
		return unknown(name, why)
	}
	changed, err := s.change(ctx, tx, Change{Clear: []string{name}})
	if err == nil && changed == 0 {
		return fmt.Errorf("%q: %w", name, ErrNotSet)
	}
	return err
}

// edit is what becomes of one key at the tenant's level. The zero value is a clear.
type edit struct {
	set    bool
	value  value
	locked bool
}

// change returns how many settings it changed.
func (s *Store) change(ctx context.Context, tx *tenancy.Tx, c Change) (int, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return 0, err
	}
	if err := sameTenant(t, tx); err != nil {
		return 0, err
	}
	if t.Level() == tenancy.LevelDomain && len(c.Set)+len(c.Lock) > 0 {
		return 0, ErrDomainLevel
	}
	if err := s.tenants.LockTx(ctx, tx); err != nil {
		return 0, err
	}
	_, stored, err := readStored(ctx, tx, t)
	if err != nil {
		return 0, err
	}
	edits, err := s.plan(t, stored, c)
	if err != nil || len(edits) == 0 {
		return 0, err
	}
	tx.Mark(changed{})
	if err := write(ctx, tx, t, edits); err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(edits)) {
		if err := s.audit.RecordChange(ctx, tx, entry(name, stored[name][indexOf(t.Level())], edits[name])); err != nil {
			return 0, err
		}
	}
	tx.AfterCommit(func(context.Context) { s.memory.forget(t.CompanyID) })
	return len(edits), s.tenants.TouchTx(ctx, tx)
}

// maxWrong is how many wrong settings are named: a request can name tens of thousands, to
// look for what each may mean takes seconds, and the company is locked meanwhile.
const maxWrong = 100

// plan returns the edits that change something, or everything that is wrong, up to
// maxWrong.
func (s *Store) plan(t tenancy.Tenant, stored map[string]rows, c Change) (map[string]edit, error) {
	var v tenancy.ValidationError
	edits := map[string]edit{}
	have := func(name string) *row { return stored[name][indexOf(t.Level())] }
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		if len(v.Fields) == maxWrong {
			break
		}
		d, why := s.registry.named(name)
		e := edit{set: true, locked: have(name) != nil && have(name).locked}
		if why == nil {
			e.value, why = d.accept(c.Set[name])
		}
		if why == nil {
			why = s.allowed(d, t, stored[name], e.value)
		}
		if why != nil {
			v.Fields = append(v.Fields, why.on(name))
			continue
		}
		edits[name] = e
	}
	for _, name := range c.Clear {
		if len(v.Fields) == maxWrong {
			break
		}
		if _, why := s.registry.named(name); why != nil {
			v.Fields = append(v.Fields, why.on(name))
		} else if _, both := c.Set[name]; both {
			v.Add(name, "contradiction", "cannot be set and cleared at once")
		} else if have(name) != nil {
			edits[name] = edit{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Lock)) {
		if len(v.Fields) == maxWrong {
			break
		}
		if _, refused := c.Set[name]; refused && !edits[name].set {
			continue // that is said already
		}
		e, why := s.lock(t, name, have(name), edits)
		if why != nil {
			v.Fields = append(v.Fields, why.on(name))
			continue
		}
		e.locked = c.Lock[name]
		edits[name] = e
	}
	for name, e := range edits {
		if r := have(name); r != nil && e.set && e.locked == r.locked && s.is(name, r, e.value) {
			delete(edits, name)
		}
	}
	return edits, v.OrNil()
}

// accept reads a value that somebody wants to set.
func (d *definition) accept(in any) (value, *refusal) {
	if raw, ok := in.(json.RawMessage); ok {
		return d.parse(raw, true)
	}
	return d.format(in)
}

// allowed says why t cannot have a value of its own, or not this one.
func (s *Store) allowed(d *definition, t tenancy.Tenant, of rows, own value) *refusal {
	above := of
	for i := indexOf(t.Level()); i < len(above); i++ {
		above[i] = nil
	}
	r := s.resolve(d, t.Plan, above, t.Level())
	switch {
	case t.Level() == tenancy.LevelCompany && d.mode == Locked:
	case d.mode == Locked:
		return refuse("locked", "only the company can set this")
	case r.locked:
		return refuse("locked", "the company has locked this")
	}
	if d.tighten == nil {
		return nil
	}
	return d.notLaxer(r.value, own, "the "+string(r.source))
}

// notLaxer refuses a value that is less strict than what is above.
func (d *definition) notLaxer(above, own value, whose string) *refusal {
	taken, why := d.tighten(above, own)
	if why != nil || same(taken, own) {
		return why
	}
	why = refuse("too_lax", "must not be less strict than what %s has: %s", whose, above.raw)
	why.suggestion = string(taken.raw)
	return why
}

// lock returns the edit of a company's value that is to be locked or unlocked.
func (s *Store) lock(t tenancy.Tenant, name string, have *row, edits map[string]edit) (edit, *refusal) {
	d, why := s.registry.named(name)
	switch {
	case why != nil:
		return edit{}, why
	case t.Level() != tenancy.LevelCompany:
		return edit{}, refuse("not_company", "only a company locks a value")
	case !d.lockable():
		return edit{}, refuse("not_lockable", "no workspace inherits this and overrides it: there is nothing to lock")
	}
	if e, ok := edits[name]; ok && e.set {
		return e, nil
	}
	if _, cleared := edits[name]; cleared || have == nil {
		return edit{}, refuse("not_set", "the company has no value of its own to lock: set one")
	}
	v, why := d.parse(have.raw, false)
	return edit{set: true, value: v}, why
}

// is reports whether a row has that value already.
func (s *Store) is(name string, r *row, v value) bool {
	d, _ := s.registry.named(name)
	now, why := d.parse(r.raw, false)
	return why == nil && same(now, v)
}

// write stores edits as t's own.
func write(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant, edits map[string]edit) error {
	var cleared, names, values []string
	var locked []bool
	for name, e := range edits {
		if !e.set {
			cleared = append(cleared, name)
			continue
		}
		names, values, locked = append(names, name), append(values, string(e.value.raw)), append(locked, e.locked)
	}
	if len(cleared) > 0 {
		if _, err := tx.Exec(ctx, tx.SQL(`DELETE FROM strata.settings WHERE company_id = $1 AND owner_id = coalesce($3::uuid, $2::uuid, $1) AND key = ANY($4)`),
			t.CompanyID, t.WorkspaceID, t.DomainID, cleared); err != nil {
			return fmt.Errorf("settings: clear: %w", err)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, tx.SQL(`INSERT INTO strata.settings (company_id, workspace_id, domain_id, key, value, locked, set_by)
		SELECT $1, $2, $3, key, value::jsonb, locked, $7 FROM unnest($4::text[], $5::text[], $6::bool[]) AS new (key, value, locked)
		ON CONFLICT (company_id, owner_id, key) DO UPDATE SET value = excluded.value, locked = excluded.locked, reason = excluded.reason,
			set_by = excluded.set_by, set_at = excluded.set_at`),
		t.CompanyID, t.WorkspaceID, t.DomainID, names, values, locked, tenancy.ActorFrom(ctx).ID); err != nil {
		return fmt.Errorf("settings: set: %w", err)
	}
	return nil
}

// entry is what the audit trail is told.
func entry(name string, before *row, e edit) tenancy.Change {
	c := tenancy.Change{Action: "setting.changed", ResourceType: "setting", ResourceID: name, Metadata: map[string]any{}}
	if before != nil {
		c.Metadata["before"] = before.raw
	}
	if !e.set {
		c.Action = "setting.cleared"
		return c
	}
	c.Metadata["after"], c.Metadata["locked"] = e.value.raw, e.locked
	return c
}
