package tenancy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
)

// ResolverConfig configures a Resolver. The zero value is legal.
type ResolverConfig struct {
	// Lifetime is how long a tenant is served from this process's memory: the longest
	// time a change can go unnoticed when every faster way fails. Default 30 s.
	Lifetime time.Duration
	// NegativeLifetime is how long "not found" is remembered. Default 5 s.
	NegativeLifetime time.Duration
	// StaleLimit is how long after its last successful load a tenant is still served,
	// marked Stale, while neither Redis nor PostgreSQL answers. Default 10 min.
	StaleLimit time.Duration
	// MaxEntries bounds the memory: a tenant takes about 300 bytes. Default 100,000.
	MaxEntries int
	// Log receives what goes wrong in the background. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Resolver turns an id into a Tenant: from this process's memory, else from Redis, else
// from PostgreSQL. Concurrent misses of one id load it once. Every process forgets a
// changed company at once, by a message through Redis; Run listens for it. A Resolver
// is safe for concurrent use.
type Resolver struct {
	db    *DB
	redis *redisTier // nil without Redis
	cfg   ResolverConfig

	fresh *otter.Cache[scopeKey, *resolved]
	known *otter.Cache[scopeKey, *resolved] // the last successful load, for when nothing answers

	// generation counts what this process was told to forget. What was loaded meanwhile
	// is not kept.
	generation atomic.Int64
	subscribed atomic.Bool
	pace       pace
}

// scopeKey is what an answer is kept under. A company may also be asked for by its slug;
// that answer is this process's alone.
type scopeKey struct {
	level Level
	id    uuid.UUID
	slug  string
}

// String names the key in messages.
func (k scopeKey) String() string {
	if k.slug != "" {
		return fmt.Sprintf("%s %q", k.level, k.slug)
	}
	return k.level.String() + " " + k.id.String()
}

// resolved is a cached answer: a tenant, or the knowledge that there is none.
type resolved struct {
	tenant     Tenant
	found      bool
	generation int64       // of the Resolver when the load began
	kept       atomic.Bool // nothing was forgotten during the load, so that whoever forgets from now on finds it
}

// NewResolver returns a Resolver. A nil client is legal: memory and PostgreSQL only.
// Close it when done.
func NewResolver(db *DB, client redis.UniversalClient, cfg *ResolverConfig) (*Resolver, error) {
	if db == nil {
		return nil, errors.New("tenancy: NewResolver needs a DB")
	}
	r := &Resolver{db: db, pace: defaultPace()}
	if cfg != nil {
		r.cfg = *cfg
	}
	setDefault(&r.cfg.Lifetime, 30*time.Second)
	setDefault(&r.cfg.NegativeLifetime, 5*time.Second)
	setDefault(&r.cfg.StaleLimit, 10*time.Minute)
	setDefault(&r.cfg.MaxEntries, 100_000)
	if r.cfg.Log == nil {
		r.cfg.Log = slog.Default()
	}
	if r.cfg.Now == nil {
		r.cfg.Now = time.Now
	}
	if client != nil {
		r.redis = newRedisTier(client, r.cfg.Now)
	}
	var err error
	r.fresh, err = otter.New(&otter.Options[scopeKey, *resolved]{
		MaximumSize: r.cfg.MaxEntries,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[scopeKey, *resolved]) time.Duration {
			if e.Value.found {
				return r.cfg.Lifetime
			}
			return r.cfg.NegativeLifetime
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("tenancy: make the tenant cache: %w", err)
	}
	r.known, err = otter.New(&otter.Options[scopeKey, *resolved]{
		MaximumSize:      r.cfg.MaxEntries,
		ExpiryCalculator: otter.ExpiryWriting[scopeKey, *resolved](r.cfg.StaleLimit),
	})
	if err != nil {
		return nil, fmt.Errorf("tenancy: make the tenant cache: %w", err)
	}
	return r, nil
}

// DB returns the database that the Resolver reads from.
func (r *Resolver) DB() *DB { return r.db }

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Close ends the caches' housekeeping. The Resolver must not be used afterwards.
func (r *Resolver) Close() {
	r.fresh.StopAllGoroutines()
	r.known.StopAllGoroutines()
}

// ResolveDomain returns the tenant of a domain, or ErrNotFound.
func (r *Resolver) ResolveDomain(ctx context.Context, id DomainID) (Tenant, error) {
	return r.resolve(ctx, scopeKey{level: LevelDomain, id: uuid.UUID(id)})
}

// ResolveWorkspace returns the tenant of a workspace, or ErrNotFound.
func (r *Resolver) ResolveWorkspace(ctx context.Context, id WorkspaceID) (Tenant, error) {
	return r.resolve(ctx, scopeKey{level: LevelWorkspace, id: uuid.UUID(id)})
}

// ResolveCompany returns the tenant of a company, or ErrNotFound.
func (r *Resolver) ResolveCompany(ctx context.Context, id CompanyID) (Tenant, error) {
	return r.resolve(ctx, scopeKey{level: LevelCompany, id: uuid.UUID(id)})
}

// ResolveCompanySlug returns the tenant of the company that has slug, or ErrNotFound: for
// requests that name their company by a host such as acme.example.com.
func (r *Resolver) ResolveCompanySlug(ctx context.Context, slug string) (Tenant, error) {
	if !slugForm.MatchString(slug) {
		return Tenant{}, ErrNotFound
	}
	return r.resolve(ctx, scopeKey{level: LevelCompany, slug: slug})
}

func (r *Resolver) resolve(ctx context.Context, key scopeKey) (Tenant, error) {
	if e, ok := r.fresh.GetIfPresent(key); ok && e.kept.Load() {
		return e.answer()
	}
	before := r.generation.Load()
	for { // twice at most: a load that is joined may have begun before, the next one has not
		e, err := r.fresh.Get(ctx, key, otter.LoaderFunc[scopeKey, *resolved](r.load))
		if err != nil {
			if e, ok := r.known.GetIfPresent(key); ok && ctx.Err() == nil {
				r.cfg.Log.WarnContext(ctx, "tenant served from memory: no backend answers", "tenant", key.String(), "error", err)
				stale := e.tenant
				stale.Stale = true
				return stale, nil
			}
			return Tenant{}, fmt.Errorf("tenancy: resolve %s: %w", key, err)
		}
		if r.generation.Load() == e.generation {
			e.kept.Store(true)
		} else { // something was forgotten while this was loading: it may be this
			drop(r.fresh, key, e)
			drop(r.known, key, e)
		}
		if e.generation >= before {
			return e.answer()
		}
	}
}

// drop removes e, and not what has taken its place.
func drop(from *otter.Cache[scopeKey, *resolved], key scopeKey, e *resolved) {
	from.ComputeIfPresent(key, func(now *resolved) (*resolved, otter.ComputeOp) {
		if now == e {
			return nil, otter.InvalidateOp
		}
		return nil, otter.CancelOp
	})
}

func (e *resolved) answer() (Tenant, error) {
	if !e.found {
		return Tenant{}, ErrNotFound
	}
	return e.tenant, nil
}

// load asks Redis, then PostgreSQL, and tells Redis what PostgreSQL said.
func (r *Resolver) load(ctx context.Context, key scopeKey) (*resolved, error) {
	e := &resolved{generation: r.generation.Load()}
	e.tenant, e.found = r.redis.get(ctx, key)
	if !e.found {
		t, err := r.read(ctx, key)
		if errors.Is(err, ErrNotFound) {
			r.known.Invalidate(key) // what is gone is not served when nothing answers
			return e, nil
		}
		if err != nil {
			return nil, err
		}
		r.redis.set(ctx, key, t)
		e.tenant, e.found = t, true
	}
	r.known.Set(key, e)
	return e, nil
}

// The row of a level joined with those above it. A deleted parent hides what is below.
// What is suspended is told as the number of the highest Level that is.
const (
	resolveCompanySQL = `SELECT c.id, NULL::uuid, NULL::uuid, c.plan, c.access,
			CASE WHEN c.suspended_at IS NOT NULL THEN 1 ELSE 0 END, false, c.version
		FROM strata.companies c WHERE c.id = $1 AND c.deleted_at IS NULL`
	resolveSlugSQL = `SELECT c.id, NULL::uuid, NULL::uuid, c.plan, c.access,
			CASE WHEN c.suspended_at IS NOT NULL THEN 1 ELSE 0 END, false, c.version
		FROM strata.companies c WHERE c.slug = $1 AND c.deleted_at IS NULL`
	resolveWorkspaceSQL = `SELECT c.id, w.id, NULL::uuid, c.plan, c.access,
			CASE WHEN c.suspended_at IS NOT NULL THEN 1 WHEN w.suspended_at IS NOT NULL THEN 2 ELSE 0 END,
			false, greatest(c.version, w.version)
		FROM strata.workspaces w JOIN strata.companies c ON c.id = w.company_id
		WHERE w.id = $1 AND w.deleted_at IS NULL AND c.deleted_at IS NULL`
	resolveDomainSQL = `SELECT c.id, w.id, d.id, c.plan, c.access,
			CASE WHEN c.suspended_at IS NOT NULL THEN 1 WHEN w.suspended_at IS NOT NULL THEN 2 WHEN d.suspended_at IS NOT NULL THEN 3 ELSE 0 END,
			d.moving_since IS NOT NULL, greatest(c.version, w.version, d.version)
		FROM strata.domains d
		JOIN strata.workspaces w ON w.company_id = d.company_id AND w.id = d.workspace_id
		JOIN strata.companies c ON c.id = d.company_id
		WHERE d.id = $1 AND d.deleted_at IS NULL AND w.deleted_at IS NULL AND c.deleted_at IS NULL`
)

func (r *Resolver) read(ctx context.Context, key scopeKey) (Tenant, error) {
	q, arg := resolveCompanySQL, any(key.id)
	switch key.level {
	case LevelWorkspace:
		q = resolveWorkspaceSQL
	case LevelDomain:
		q = resolveDomainSQL
	case LevelNone, LevelCompany:
		if key.slug != "" {
			q, arg = resolveSlugSQL, key.slug
		}
	}
	var t Tenant
	err := r.db.ReadTrusted(ctx, q, []any{arg}, func(rows pgx.Rows) (err error) {
		t, err = collectOne(rows, nil, func(row pgx.CollectableRow) (t Tenant, err error) {
			err = row.Scan(&t.CompanyID, &t.WorkspaceID, &t.DomainID, &t.Plan, &t.Access, &t.SuspendedLevel, &t.Moving, &t.Version)
			t.Suspended = t.SuspendedLevel != LevelNone
			return t, err
		})
		return err
	})
	return t, err
}
