package access

import (
	"context"
	"errors"
	"time"

	"github.com/stratakit/strata/tenancy"
)

// GuardConfig configures a Guard. The zero value is legal.
type GuardConfig struct {
	// Lifetime is how long what was read of an actor is used for a Tenant that was resolved
	// before a change of it. For one that is resolved afterwards it is read again at once.
	// Default 30 s.
	Lifetime time.Duration
	// MaxActors bounds the memory: an actor takes about 300 bytes. Default 100,000.
	MaxActors int
}

// Guard says what the actor of a context may do with its tenant. It answers from memory:
// what was read of an actor counts until the company's version grows, as it does with every
// change of a member or a role. So the Guard learns of a change from the Tenant it is asked
// about, and a Resolver that has forgotten the company, here or in another process, is all
// it needs to be told. It is safe for concurrent use.
type Guard struct {
	db      *tenancy.DB // nil: there are no members
	catalog *Catalog
	memory  memory
	nothing holdings // what everybody holds without a db
}

// NewGuard returns a Guard over the members in db. A nil catalog has the library's own
// permissions only.
func NewGuard(db *tenancy.DB, catalog *Catalog, cfg *GuardConfig) (*Guard, error) {
	if db == nil {
		return nil, errors.New("access: NewGuard needs a DB: without one, use RolesOnly")
	}
	var c GuardConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 30 * time.Second
	}
	if c.MaxActors <= 0 {
		c.MaxActors = 100_000
	}
	g := RolesOnly(catalog)
	g.db = db
	g.memory.init(c.Lifetime, c.MaxActors)
	return g, nil
}

// RolesOnly returns a Guard that knows no members: only the built-in role that the product
// says an actor has counts. A nil catalog has the library's own permissions only.
func RolesOnly(catalog *Catalog) *Guard {
	if catalog == nil {
		catalog = builtIn()
	}
	return &Guard{catalog: catalog}
}

// Catalog returns what the Guard knows of permissions.
func (g *Guard) Catalog() *Catalog { return g.catalog }

// Permissions returns what ctx's actor may do with ctx's tenant. Platform actors may do
// everything. Without a tenant it returns tenancy.ErrNoTenant.
func (g *Guard) Permissions(ctx context.Context) (Set, error) {
	a := tenancy.ActorFrom(ctx)
	if a.Platform() {
		return everything(), nil
	}
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return Set{}, err
	}
	h, claimed, ok := g.catalog.of(&t.CompanyID, &a)
	if !ok {
		return Set{}, nil
	}
	e, err := g.holdings(ctx, &t, &h)
	if err != nil {
		return Set{}, err
	}
	return claimed.Union(e.setAt(&t)), nil
}

// Allows reports whether ctx's actor has p. An error says that it could not be found out:
// treat it as no. A platform actor has every permission, and nobody else one that the
// catalog does not know.
func (g *Guard) Allows(ctx context.Context, p Permission) (bool, error) {
	allowed, _, err := g.check(ctx, p)
	return allowed, err
}

// Require returns nil when ctx's actor has p; an empty p is any permission at all. Else it
// returns tenancy.ErrNotFound for an actor that may do nothing with the tenant, from whom it
// is to be hidden, and ErrForbidden for one that may do something else. Other errors are
// those of Allows.
func (g *Guard) Require(ctx context.Context, p Permission) error {
	allowed, something, err := g.check(ctx, p)
	switch {
	case err != nil:
		return err
	case allowed:
		return nil
	case something:
		return ErrForbidden
	}
	return tenancy.ErrNotFound
}

// check reports whether p is allowed, and whether anything is. What the product says of the
// actor may suffice: then nothing is read.
func (g *Guard) check(ctx context.Context, p Permission) (allowed, something bool, err error) {
	a := tenancy.ActorFrom(ctx)
	if a.Platform() {
		return true, true, nil
	}
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		return false, false, err
	}
	h, claimed, ok := g.catalog.of(&t.CompanyID, &a)
	if !ok {
		return false, false, nil
	}
	bit, known := g.catalog.bits[p]
	if known && claimed.Has(bit) || p == "" && !claimed.IsEmpty() {
		return true, true, nil
	}
	e, err := g.holdings(ctx, &t, &h)
	if err != nil {
		return false, false, err
	}
	if known && e.has(&t, bit) {
		return true, true, nil
	}
	something = !claimed.IsEmpty() || !e.setAt(&t).IsEmpty()
	return something && p == "", something, nil
}

// holdings returns what h has from the database.
func (g *Guard) holdings(ctx context.Context, t *tenancy.Tenant, h *holder) (*holdings, error) {
	if g.db == nil {
		return &g.nothing, nil
	}
	if e := g.memory.get(&t.CompanyID, h); e != nil && e.asOf >= t.Version {
		return e, nil
	}
	generation := g.memory.generation(&t.CompanyID)
	e, err := g.catalog.read(ctx, g.db, t, *h)
	if err != nil {
		return nil, err
	}
	g.memory.keep(t.CompanyID, *h, e, generation)
	return e, nil
}

// PermissionsTx is Permissions for the tenant of tx, as the transaction sees it now: for
// decisions that must not be made on what was true a moment ago. It asks the database each
// time.
func (g *Guard) PermissionsTx(ctx context.Context, tx *tenancy.Tx) (Set, error) {
	held, err := g.grantedTx(ctx, tx, tx.Tenant())
	return held.set, err
}

func (g *Guard) grantedTx(ctx context.Context, tx *tenancy.Tx, t tenancy.Tenant) (granted, error) {
	a := tenancy.ActorFrom(ctx)
	if a.Platform() {
		return granted{set: everything()}, nil
	}
	h, claimed, ok := g.catalog.of(&t.CompanyID, &a)
	if !ok || g.db == nil {
		return granted{set: *claimed}, nil
	}
	e, err := g.catalog.read(ctx, tx, &t, h)
	if err != nil {
		return granted{}, err
	}
	return e.at(&t).union(granted{set: *claimed}), nil
}
