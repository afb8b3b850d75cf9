package settings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// scope is a tenant as a key of memory: all of its ids, so that nothing which was read for
// one place is ever found from another.
type scope struct {
	company   tenancy.CompanyID
	workspace tenancy.WorkspaceID
	domain    tenancy.DomainID
}

func scopeOf(t tenancy.Tenant) scope { return scope{t.CompanyID, t.WorkspaceID, t.DomainID} }

// effective is every value of one tenant, as one statement saw them.
type effective struct {
	version int64 // the tenant's, at that time
	plan    string
	read    time.Time
	values  []any // in the order of the registry
}

// memory is what this process knows.
type memory struct {
	mu      sync.RWMutex // guards the rest
	entries map[scope]*effective
	// generation counts the changes that this process has made. What was read meanwhile
	// is not kept: a Tenant that was resolved before could not tell it from what is new.
	generation int64
}

func (m *memory) get(k scope) (*effective, int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.entries[k], m.generation
}

// keep stores what was read since generation; when there are too many, any other goes.
func (m *memory) keep(k scope, e *effective, generation int64, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.entries[k]; m.generation != generation || have != nil && have.version > e.version {
		return
	}
	for other := range m.entries {
		if len(m.entries) < most {
			break
		}
		delete(m.entries, other)
	}
	m.entries[k] = e
}

// forget drops what is known of companies.
func (m *memory) forget(companies ...tenancy.CompanyID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	for k := range m.entries {
		for _, company := range companies {
			if k.company == company {
				delete(m.entries, k)
			}
		}
	}
}

// changed marks a transaction in which something was set, by whichever Store.
type changed struct{}

// effective returns the values of ctx's tenant; a nil tx is legal. A transaction that has
// set something reads for itself: what it did may be rolled back.
func (s *Store) effective(ctx context.Context, tx *tenancy.Tx) (*effective, error) {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return nil, err
	}
	var from reader = s.db
	own := false
	if tx != nil {
		if err := sameCompany(t, tx); err != nil {
			return nil, err
		}
		from, own = tx, tx.Marked(changed{})
	}
	now := s.cfg.Now()
	e, generation := s.memory.get(scopeOf(t))
	if !own && e != nil && e.version >= t.Version && e.plan == t.Plan && now.Sub(e.read) < s.cfg.Lifetime {
		return e, nil
	}
	e, err = s.load(ctx, from, t, now)
	if err == nil && !own {
		s.memory.keep(scopeOf(t), e, generation, s.cfg.MaxTenants)
	}
	return e, err
}

// load reads and resolves everything for t.
func (s *Store) load(ctx context.Context, from reader, t tenancy.Tenant, now time.Time) (*effective, error) {
	version, stored, err := readStored(ctx, from, t)
	if err != nil {
		return nil, err
	}
	e := &effective{version: version, plan: t.Plan, read: now, values: make([]any, len(s.registry.keys))}
	for i, d := range s.registry.keys {
		e.values[i] = s.resolve(d, t.Plan, stored[d.name], t.Level()).value.typed
	}
	return e, nil
}

// sameCompany refuses a transaction that would see nothing of t: that looks like nothing
// being set.
func sameCompany(t tenancy.Tenant, tx *tenancy.Tx) error {
	if t.CompanyID != tx.Tenant().CompanyID {
		return errors.New("settings: the transaction is in the scope of another company than the context")
	}
	return nil
}

// sameTenant refuses a transaction that would announce the change of something else.
func sameTenant(t tenancy.Tenant, tx *tenancy.Tx) error {
	if have := tx.Tenant(); scopeOf(t) != scopeOf(have) {
		return fmt.Errorf("settings: the transaction is in the scope of another %s than the context's %s", have.Level(), t.Level())
	}
	return nil
}
