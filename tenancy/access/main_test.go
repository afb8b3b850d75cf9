package access_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

const (
	eventually = 30 * time.Second
	tick       = time.Millisecond
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// process is what one process of a product has.
type process struct {
	*tenancytest.Env
	resolver  *tenancy.Resolver
	hierarchy *tenancy.Store
	guard     *access.Guard
	store     *access.Store
}

type processConfig struct {
	db       *tenancy.DB // default: e's
	redis    redis.UniversalClient
	catalog  *access.Catalog
	guard    access.GuardConfig
	lifetime time.Duration // of the resolver
}

func newProcess(t testing.TB, e *tenancytest.Env, cfg processConfig) *process {
	t.Helper()
	if cfg.db == nil {
		cfg.db = e.DB
	}
	p := &process{Env: e}
	var err error
	p.resolver, err = tenancy.NewResolver(cfg.db, cfg.redis, &tenancy.ResolverConfig{Log: slog.New(slog.DiscardHandler), Lifetime: cfg.lifetime})
	require.NoError(t, err)
	t.Cleanup(p.resolver.Close)
	founder, err := access.NewFounder(e.Audit)
	require.NoError(t, err)
	p.hierarchy, err = tenancy.NewStore(cfg.db, e.Audit, &tenancy.StoreConfig{Resolver: p.resolver, Owners: founder})
	require.NoError(t, err)
	p.guard, err = access.NewGuard(cfg.db, cfg.catalog, &cfg.guard)
	require.NoError(t, err)
	p.store, err = access.NewStore(p.guard, p.hierarchy, e.Audit)
	require.NoError(t, err)
	return p
}

func open(t testing.TB) *process {
	t.Helper()
	return newProcess(t, tenancytest.Open(t), processConfig{})
}

// user is somebody of whom the product says nothing but the company.
func user(id string, company tenancy.CompanyID) tenancy.Actor {
	return tenancy.Actor{ID: id, Type: tenancy.ActorUser, CompanyID: company}
}

// as is ctx with another actor.
func as(ctx context.Context, id string) context.Context {
	t, err := tenancy.TenantFrom(ctx)
	if err != nil {
		panic(err)
	}
	return tenancy.WithActor(ctx, user(id, t.CompanyID))
}

var root = tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}

func asRoot(ctx context.Context) context.Context { return tenancy.WithActor(ctx, root) }

// workspace makes one more workspace of company A and returns contexts in it and in a
// domain of it.
func (p *process) workspace(t *testing.T, name string) (id tenancy.WorkspaceID, workspace, domain context.Context) {
	t.Helper()
	w, err := p.hierarchy.CreateWorkspace(p.A.CompanyCtx, tenancy.NewWorkspace{Name: name})
	require.NoError(t, err)
	d, err := p.hierarchy.CreateDomain(p.A.CompanyCtx, w.ID, tenancy.NewDomain{DomainName: name + ".example"})
	require.NoError(t, err)
	at := tenancy.Tenant{CompanyID: p.A.CompanyID, WorkspaceID: w.ID}
	workspace = tenancy.WithActor(tenancy.WithTenant(t.Context(), at), p.A.Actor)
	at.DomainID = d.ID
	return w.ID, workspace, tenancy.WithActor(tenancy.WithTenant(t.Context(), at), p.A.Actor)
}

// add makes somebody a member as the owner of the company.
func (p *process) add(t testing.TB, ctx context.Context, id, role string) {
	t.Helper()
	_, err := p.store.AddMember(ctx, access.NewMember{ActorID: id, Role: role})
	require.NoError(t, err)
}

// allows is the answer of the process's Guard.
func (p *process) allows(t testing.TB, ctx context.Context, permission access.Permission) bool {
	t.Helper()
	ok, err := p.guard.Allows(ctx, permission)
	require.NoError(t, err)
	return ok
}

func (p *process) names(t testing.TB, ctx context.Context) []access.Permission {
	t.Helper()
	set, err := p.guard.Permissions(ctx)
	require.NoError(t, err)
	return p.guard.Catalog().Names(set)
}
