package settings_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/settings"
)

// Two processes: the other one has the new value for the next request, by the message
// that makes it resolve the tenant anew; without Redis, once it has looked what changed.
func TestAChangeReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for name, client := range map[string]redis.UniversalClient{"with Redis": e.Redis, "without Redis": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.Company(t, "pro")
			here, there := start(t, e, client, nil), start(t, e, client, nil)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = there.resolver.Run(ctx) })
			defer running.Wait()
			defer cancel()
			for _, ctx := range []context.Context{c.Ctx, c.WorkspaceCtx, c.CompanyCtx} {
				require.Equal(t, "Hello", get(t, there.request(t, ctx), there.store, greeting))
			}
			sees := func(ctx context.Context, want string) {
				t.Helper()
				require.Eventually(t, func() bool { return get(t, there.request(t, ctx), there.store, greeting) == want }, time.Minute, time.Millisecond)
			}
			require.NoError(t, greeting.Set(c.CompanyCtx, here.store, "Hi"))
			require.Equal(t, "Hi", get(t, c.Ctx, here.store, greeting), "this process at once, with the tenant that it had")
			sees(c.Ctx, "Hi")
			sees(c.CompanyCtx, "Hi")
			require.NoError(t, greeting.Set(c.WorkspaceCtx, here.store, "Yo"))
			sees(c.Ctx, "Yo")
			sees(c.WorkspaceCtx, "Yo")
			require.Equal(t, "Hi", get(t, there.request(t, c.CompanyCtx), there.store, greeting))
		})
	}
}

// Whoever keeps one Tenant all the while has no version to tell by: the lifetime does.
func TestLifetime(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	now := time.Now()
	here := start(t, e, nil, nil)
	there := start(t, e, nil, &settings.Config{Now: func() time.Time { return now }})
	ctx := there.request(t, e.A.Ctx)
	require.Equal(t, "Hello", get(t, ctx, there.store, greeting))
	require.NoError(t, greeting.Set(e.A.CompanyCtx, here.store, "Hi"))
	require.Equal(t, "Hello", get(t, ctx, there.store, greeting), "it is served from memory")
	now = now.Add(30 * time.Second)
	require.Equal(t, "Hi", get(t, ctx, there.store, greeting))
}

// A reader that was overtaken by a change keeps what it has read too late.
func TestALoadThatRacesAChange(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here, there := start(t, e, nil, nil), start(t, e, nil, nil)
	require.NoError(t, here.store.LoadDuring(e.A.Ctx, func() { require.NoError(t, greeting.Set(e.A.CompanyCtx, here.store, "Hi")) }))
	require.Equal(t, "Hi", get(t, e.A.Ctx, here.store, greeting), "in the process that made the change")

	require.NoError(t, here.store.LoadDuring(e.A.Ctx, func() { require.NoError(t, greeting.Set(e.A.CompanyCtx, there.store, "Yo")) }))
	require.Equal(t, "Yo", get(t, start(t, e, nil, nil).request(t, e.A.Ctx), here.store, greeting), "in another, for the tenant as it is now")
}

// An old entry does not replace a newer one.
func TestASlowReaderReplacesNothingNewer(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here, there := start(t, e, nil, nil), start(t, e, nil, nil)
	require.NoError(t, here.store.LoadDuring(e.A.Ctx, func() {
		require.NoError(t, greeting.Set(e.A.CompanyCtx, there.store, "Hi"))
		require.Equal(t, "Hi", get(t, there.request(t, e.A.Ctx), here.store, greeting))
	}))
	require.Equal(t, "Hi", get(t, e.A.Ctx, here.store, greeting))
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, &settings.Config{MaxTenants: 2}).store
	for range 2 {
		for _, ctx := range []context.Context{e.A.Ctx, e.A.WorkspaceCtx, e.A.CompanyCtx, e.B.Ctx} {
			require.Equal(t, "Hello", get(t, ctx, s, greeting))
		}
	}
	require.Equal(t, 2, s.Tenants())
}

func TestTheCallersListIsItsOwn(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	list := get(t, e.A.Ctx, s, countries)
	list[0] = "XX"
	require.Equal(t, []string{"AT", "CH", "DE"}, get(t, e.A.Ctx, s, countries))
}

// Neither another company nor another workspace of the same one sees or touches anything,
// in memory or in PostgreSQL.
func TestNothingCrosses(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, e.Redis, nil).store
	two := second(t, e, e.A)
	beside := tenancy.WithTenant(e.A.Ctx, two)
	besideWorkspace := tenancy.WithTenant(e.A.Ctx, up(two))
	require.NoError(t, greeting.Set(e.A.WorkspaceCtx, s, "Yo"))
	require.NoError(t, banner.Set(e.A.WorkspaceCtx, s, "secret"))
	require.Equal(t, "Yo", get(t, e.A.Ctx, s, greeting))
	for _, ctx := range []context.Context{beside, besideWorkspace, e.A.CompanyCtx, e.B.Ctx, e.B.WorkspaceCtx, e.B.CompanyCtx} {
		require.Equal(t, "Hello", get(t, ctx, s, greeting))
		all, err := s.List(ctx)
		require.NoError(t, err)
		for _, x := range all {
			require.Equal(t, settings.SourceSystem, x.Source)
			require.Empty(t, x.Shadowed)
		}
		require.ErrorIs(t, greeting.Clear(ctx, s), settings.ErrNotSet)
	}
	for _, mixed := range []tenancy.Tenant{ // ids that do not belong together
		{CompanyID: e.B.CompanyID, WorkspaceID: e.A.WorkspaceID},
		{CompanyID: e.A.CompanyID, WorkspaceID: two.WorkspaceID, DomainID: e.A.DomainID},
	} {
		ctx := tenancy.WithTenant(e.B.Ctx, mixed)
		_, err := greeting.Get(ctx, s)
		require.ErrorIs(t, err, tenancy.ErrNotFound)
		require.Error(t, greeting.Set(ctx, s, "x"))
		require.ErrorIs(t, greeting.Clear(ctx, s), tenancy.ErrNotFound)
	}
	require.NoError(t, e.DB.InTx(e.B.CompanyCtx, func(tx *tenancy.Tx) error { // SQL that forgot to say whose
		var n int
		require.NoError(t, tx.QueryRow(e.B.CompanyCtx, `SELECT count(*) FROM strata.settings`).Scan(&n))
		require.Zero(t, n)
		return nil
	}))
	require.Equal(t, "Yo", get(t, e.A.Ctx, s, greeting))
	require.NoError(t, greeting.Set(e.B.CompanyCtx, s, "B"))
	require.NoError(t, greeting.Set(besideWorkspace, s, "2"))
	require.Equal(t, []string{"Yo", "2", "B", "Hello"}, []string{
		get(t, e.A.Ctx, s, greeting), get(t, beside, s, greeting), get(t, e.B.Ctx, s, greeting), get(t, e.A.CompanyCtx, s, greeting),
	})
}

var errGiveUp = errors.New("give up")

// A savepoint that is undone leaves a transaction that still reads for itself.
func TestUndoneSavepoint(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	s := start(t, e, nil, nil).store
	ctx := e.A.WorkspaceCtx
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		require.ErrorIs(t, tx.Savepoint(ctx, func(tx *tenancy.Tx) error {
			require.NoError(t, greeting.SetTx(ctx, tx, s, "Hi"))
			return errGiveUp
		}), errGiveUp)
		v, err := greeting.GetTx(ctx, tx, s)
		require.NoError(t, err)
		require.Equal(t, "Hello", v)
		return nil
	}))
	require.Equal(t, "Hello", get(t, ctx, s, greeting))
}
