package settings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
)

// Config configures a Store. The zero value is legal.
type Config struct {
	// Plans are defaults that a plan has instead of the keys' own, by the plan's key and
	// the setting's name. For a RestrictOnly key a plan can only be stricter. A plan that
	// is not here has none. Default none.
	Plans map[string]map[string]any
	// Lifetime is how long the values of a tenant are used without asking PostgreSQL: how
	// late work that keeps one Tenant all the while can notice another process's change.
	// Default 30 s.
	Lifetime time.Duration
	// MaxTenants bounds the tenants whose values are kept in memory. Default 10,000.
	MaxTenants int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store keeps what companies and workspaces have set. It is safe for concurrent use.
//
// A change makes the version of its company or workspace grow (tenancy.Store.TouchTx), in
// its own transaction, and values in memory are used for a Tenant only when they were
// read at its Version or a later one. So whoever resolves its tenant after a change, as
// every request does, gets the new values, in every process: no message of this package's
// own can be lost or late. The process that made the change sees it at once in any case.
type Store struct {
	db       *tenancy.DB
	tenants  *tenancy.Store
	audit    tenancy.Auditor
	registry *Registry
	plans    map[string]map[string]value
	cfg      Config
	memory   memory
}

// NewStore returns a Store of the keys in registry that tells audit of every change.
// tenants should know the Resolver: it is how a change is announced. It fails, with
// everything that is wrong at once, when Config.Plans has names or values that the
// registry does not know.
func NewStore(db *tenancy.DB, tenants *tenancy.Store, audit tenancy.Auditor, registry *Registry, cfg *Config) (*Store, error) {
	if db == nil || tenants == nil || audit == nil || registry == nil {
		return nil, errors.New("settings: NewStore needs a DB, a tenancy.Store, an Auditor and a Registry")
	}
	s := &Store{db: db, tenants: tenants, audit: audit, registry: registry, memory: memory{entries: map[scope]*effective{}}}
	if cfg != nil {
		s.cfg = *cfg
	}
	if s.cfg.Lifetime == 0 {
		s.cfg.Lifetime = 30 * time.Second
	}
	if s.cfg.MaxTenants == 0 {
		s.cfg.MaxTenants = 10_000
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	var err error
	s.plans, err = registry.plans(s.cfg.Plans)
	return s, err
}

// plans checks the defaults of plans.
func (r *Registry) plans(in map[string]map[string]any) (map[string]map[string]value, error) {
	out := make(map[string]map[string]value, len(in))
	var wrong []error
	for plan, defaults := range in {
		out[plan] = make(map[string]value, len(defaults))
		for name, v := range defaults {
			d, why := r.named(name)
			if why == nil {
				out[plan][name], why = d.accept(v)
			}
			if why == nil && d.tighten != nil {
				why = d.notLaxer(d.fallback, out[plan][name], "the default")
			}
			if why != nil {
				wrong = append(wrong, fmt.Errorf("settings: plan %q, key %q: %s", plan, name, why.message))
			}
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, errors.Join(wrong...)
}

// reader is a tenancy.DB or a tenancy.Tx.
type reader interface {
	Read(ctx context.Context, q string, args []any, scan func(pgx.Rows) error) error
}
