package customfields_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func registry(t *testing.T, e *tenancytest.Env, client redis.UniversalClient, cfg *customfields.Config) *customfields.Registry {
	t.Helper()
	r, err := customfields.NewRegistry(e.DB, client, e.Limits, e.Audit, cfg)
	require.NoError(t, err)
	return r
}

func TestRegistryLifeOfAField(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	ctx := e.A.WorkspaceCtx
	empty, err := r.Set(ctx)
	require.NoError(t, err)
	require.Empty(t, empty.Fields)
	require.Zero(t, empty.Version)

	f, err := r.Create(ctx, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true})
	require.NoError(t, err)
	require.Equal(t, "tier", f.Label)
	_, err = r.Create(ctx, customfields.Field{Key: "tier", Type: customfields.Text})
	require.ErrorIs(t, err, customfields.ErrKeyTaken)
	label, options := "Customer tier", []string{"bronze", "gold", "silver"}
	f, err = r.Update(ctx, "tier", customfields.Change{Label: &label, Options: &options})
	require.NoError(t, err)
	require.Equal(t, label, f.Label)
	fewer := []string{"gold"}
	_, err = r.Update(ctx, "tier", customfields.Change{Options: &fewer})
	require.ErrorIs(t, err, customfields.ErrOptionInUse)
	var none []string
	_, err = r.Create(ctx, customfields.Field{Key: "note", Type: customfields.Text})
	require.NoError(t, err)
	_, err = r.Update(ctx, "note", customfields.Change{Options: &none})
	require.NoError(t, err, "a nil slice is no options, as an empty one is")
	_, err = r.Update(ctx, "nope", customfields.Change{Label: &label})
	require.ErrorIs(t, err, customfields.ErrNotFound)

	set, err := r.Set(ctx)
	require.NoError(t, err)
	require.Equal(t, options, set.Field("tier").Options)
	require.Greater(t, set.Version, empty.Version)

	require.NoError(t, r.Archive(ctx, "tier"))
	require.ErrorIs(t, r.Archive(ctx, "tier"), customfields.ErrNotFound)
	set, err = r.Set(ctx)
	require.NoError(t, err)
	require.Nil(t, set.Field("tier"))
	require.Equal(t, []string{"tier"}, set.Archived)
	shared, err := registry(t, e, e.Redis, nil).Set(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"tier"}, shared.Archived, "from Redis too")
	all, err := r.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NotNil(t, all[1].ArchivedAt)
	_, err = r.Create(ctx, customfields.Field{Key: "tier", Type: customfields.Text})
	require.ErrorIs(t, err, customfields.ErrKeyTaken, "the old values are still there")
}

func TestRegistryHoldsThePlan(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	c := e.Company(t, "free") // ten fields
	r := registry(t, e, nil, nil)
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		_, err := r.Create(c.WorkspaceCtx, customfields.Field{Key: key, Type: customfields.Text})
		require.NoError(t, err)
	}
	_, err := r.Create(c.WorkspaceCtx, customfields.Field{Key: "k", Type: customfields.Text})
	require.ErrorIs(t, err, billing.ErrLimit)
	require.NoError(t, r.Archive(c.WorkspaceCtx, "a"))
	_, err = r.Create(c.WorkspaceCtx, customfields.Field{Key: "k", Type: customfields.Text})
	require.NoError(t, err)
}

func TestRegistryChangeReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for name, client := range map[string]redis.UniversalClient{"with Redis": e.Redis, "without Redis": nil} {
		t.Run(name, func(t *testing.T) {
			c := e.Company(t, "pro")
			now := time.Now()
			here := registry(t, e, client, nil)
			there := registry(t, e, client, &customfields.Config{Now: func() time.Time { return now }})
			set, err := there.Set(c.Ctx)
			require.NoError(t, err)
			require.Empty(t, set.Fields)
			_, err = here.Create(c.Ctx, customfields.Field{Key: "tier", Type: customfields.Text})
			require.NoError(t, err)
			mine, err := here.Set(c.Ctx)
			require.NoError(t, err)
			require.NotNil(t, mine.Field("tier"), "the process that made the change sees it at once")
			now = now.Add(2 * time.Second)
			set, err = there.Set(c.Ctx)
			require.NoError(t, err)
			require.NotNil(t, set.Field("tier"))
			require.Equal(t, mine.Version, set.Version)
		})
	}
}

// A process that died between its commit and clearing Redis leaves an old set there.
func TestRegistryNeverTrustsAnOldSetInRedis(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	_, err := r.Create(e.A.Ctx, customfields.Field{Key: "one", Type: customfields.Text})
	require.NoError(t, err)
	_, err = r.Set(e.A.Ctx)
	require.NoError(t, err)
	key := "workspace:{" + e.A.WorkspaceID.String() + "}:custom_field_defs"
	old, err := e.Redis.Get(t.Context(), key).Result()
	require.NoError(t, err)
	_, err = r.Create(e.A.Ctx, customfields.Field{Key: "two", Type: customfields.Text})
	require.NoError(t, err)
	require.NoError(t, e.Redis.Set(t.Context(), key, old, time.Hour).Err())
	set, err := registry(t, e, e.Redis, nil).Set(e.A.Ctx)
	require.NoError(t, err)
	require.NotNil(t, set.Field("two"))
}

func TestDefinitionsNeverCrossWorkspaces(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := registry(t, e, e.Redis, nil)
	_, err := r.Create(e.A.Ctx, customfields.Field{Key: "secret", Type: customfields.Text})
	require.NoError(t, err)
	for _, ctx := range []context.Context{e.B.Ctx, e.B.WorkspaceCtx} {
		set, err := r.Set(ctx)
		require.NoError(t, err)
		require.Empty(t, set.Fields)
		list, err := r.List(ctx)
		require.NoError(t, err)
		require.Empty(t, list)
		_, err = r.Update(ctx, "secret", customfields.Change{})
		require.ErrorIs(t, err, customfields.ErrNotFound)
		require.ErrorIs(t, r.Archive(ctx, "secret"), customfields.ErrNotFound)
	}
	_, err = r.Set(e.A.CompanyCtx)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	// A second workspace of the same company sees nothing of the first either, even by
	// SQL that forgot to say which.
	w, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	second := tenancy.WithTenant(e.A.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: w.ID})
	require.NoError(t, e.DB.InTx(second, func(tx *tenancy.Tx) error {
		var n int
		require.NoError(t, tx.QueryRow(second, `SELECT (SELECT count(*) FROM strata.custom_fields) + (SELECT count(*) FROM strata.custom_field_sets)`).Scan(&n))
		require.Zero(t, n)
		return nil
	}))
}
