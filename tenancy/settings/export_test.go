package settings

import (
	"context"

	"github.com/stratakit/strata/tenancy"
)

// LoadDuring reads what is set for ctx's tenant, then lets change happen, and only then
// keeps in memory what it has read: a reader that was overtaken.
func (s *Store) LoadDuring(ctx context.Context, change func()) error {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return err
	}
	_, generation := s.memory.get(scopeOf(t))
	e, err := s.load(ctx, s.db, t, s.cfg.Now())
	if err != nil {
		return err
	}
	change()
	s.memory.keep(scopeOf(t), e, generation, s.cfg.MaxTenants)
	return nil
}

// Tenants returns of how many tenants something is in memory.
func (s *Store) Tenants() int {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return len(s.memory.entries)
}
