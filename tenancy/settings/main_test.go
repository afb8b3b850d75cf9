package settings_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// quota is a value with members.
type quota struct {
	Hard int64  `json:"hard"`
	Unit string `json:"unit"`
}

// The keys of the tests, one of each kind.
var (
	greeting = settings.NewKey("ui.greeting", settings.Spec[string]{Default: "Hello", Summary: "What the first page says", Validate: func(s string) error {
		if len(s) > 20 {
			return errors.New("must have at most 20 bytes")
		}
		return nil
	}})
	color     = settings.NewKey("ui.color", settings.Spec[*string]{})
	maxRows   = settings.NewKey("imports.max_rows", settings.Spec[int64]{Default: 1000, Mode: settings.RestrictOnly, Tighten: settings.Min[int64]})
	countries = settings.NewKey("sms.countries", settings.Spec[[]string]{
		Default: []string{"AT", "CH", "DE"}, Mode: settings.RestrictOnly, Tighten: settings.Intersection[string],
	})
	retention = settings.NewKey("audit.retention", settings.Spec[time.Duration]{Default: 720 * time.Hour, Mode: settings.Locked})
	banner    = settings.NewKey("ui.banner", settings.Spec[string]{Mode: settings.NeverInherited})
	storage   = settings.NewKey("files.quota", settings.Spec[quota]{Default: quota{10, "GB"}})
	ratio     = settings.NewKey("mail.ratio", settings.Spec[float64]{Default: 0.5})
	beta      = settings.NewKey("ui.beta", settings.Spec[bool]{})
)

func keys(t testing.TB) *settings.Registry {
	t.Helper()
	r, err := settings.NewRegistry(greeting, color, maxRows, countries, retention, banner, storage, ratio, beta)
	require.NoError(t, err)
	return r
}

// process is what one process of a product has.
type process struct {
	resolver *tenancy.Resolver
	store    *settings.Store
}

func start(t testing.TB, e *tenancytest.Env, client redis.UniversalClient, cfg *settings.Config) *process {
	t.Helper()
	return startWith(t, e, client, keys(t), cfg)
}

func startWith(t testing.TB, e *tenancytest.Env, client redis.UniversalClient, registry *settings.Registry, cfg *settings.Config) *process {
	t.Helper()
	p := &process{}
	var err error
	p.resolver, err = tenancy.NewResolver(e.DB, client, nil)
	require.NoError(t, err)
	t.Cleanup(p.resolver.Close)
	tenants, err := tenancy.NewStore(e.DB, e.Audit, &tenancy.StoreConfig{Resolver: p.resolver})
	require.NoError(t, err)
	p.store, err = settings.NewStore(e.DB, tenants, e.Audit, registry, cfg)
	require.NoError(t, err)
	return p
}

// request returns the context of a new request for the tenant of ctx.
func (p *process) request(t testing.TB, ctx context.Context) context.Context {
	t.Helper()
	at, err := tenancy.TenantFrom(ctx)
	require.NoError(t, err)
	switch at.Level() {
	case tenancy.LevelDomain:
		at, err = p.resolver.ResolveDomain(ctx, at.DomainID)
	case tenancy.LevelWorkspace:
		at, err = p.resolver.ResolveWorkspace(ctx, at.WorkspaceID)
	default:
		at, err = p.resolver.ResolveCompany(ctx, at.CompanyID)
	}
	require.NoError(t, err)
	return tenancy.WithTenant(ctx, at)
}

func get[T any](t testing.TB, ctx context.Context, s *settings.Store, k *settings.Key[T]) T {
	t.Helper()
	v, err := k.Get(ctx, s)
	require.NoError(t, err)
	return v
}

// second creates one more workspace with a domain in c, and returns its tenant.
func second(t testing.TB, e *tenancytest.Env, c *tenancytest.Company) tenancy.Tenant {
	t.Helper()
	w, err := e.Store.CreateWorkspace(c.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	d, err := e.Store.CreateDomain(c.CompanyCtx, w.ID, tenancy.NewDomain{DomainName: "second.example"})
	require.NoError(t, err)
	return tenancy.Tenant{CompanyID: c.CompanyID, WorkspaceID: w.ID, DomainID: d.ID, Plan: "enterprise", Access: tenancy.AccessFull}
}

// up returns t as its workspace.
func up(t tenancy.Tenant) tenancy.Tenant {
	t.DomainID = tenancy.DomainID{}
	return t
}

// wrong returns the fields and codes of a *ValidationError.
func wrong(t testing.TB, err error) map[string]string {
	t.Helper()
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	out := map[string]string{}
	for _, f := range v.Fields {
		require.NotContains(t, out, f.Field, "said twice")
		require.NotEmpty(t, f.Message)
		out[f.Field] = f.Code
	}
	return out
}
