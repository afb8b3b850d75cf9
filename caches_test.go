package strata_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
	"github.com/stratakit/strata/tenancy/settings"
)

// Whatever a tenant's context says, and what is remembered beside it, is forgotten when it
// changes: in Redis, and in the memory of another process.
func TestEveryEventClearsTheContext(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	key := settings.NewKey("test.key", settings.Spec[string]{})
	open := func() *strata.Strata {
		s, err := strata.New(t.Context(), e.Pool, e.Redis, &strata.Config{Log: slog.New(slog.DiscardHandler), SettingKeys: []settings.AnyKey{key}})
		require.NoError(t, err)
		require.NoError(t, s.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
		return s
	}
	here, there := open(), open()
	second, err := here.Tenancy.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	redisKey := "domain:{" + e.A.DomainID.String() + "}:context"
	to := func(s string) *string { return &s }

	for _, event := range []struct {
		name string
		do   func() error
		want func(tenancy.Tenant) bool // what it says from then on; nil: a newer version
	}{
		{"subscription", func() error {
			return here.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
				return here.Tenancy.SetSubscriptionTx(e.A.CompanyCtx, tx, "pro", tenancy.AccessReadOnly)
			})
		}, func(t tenancy.Tenant) bool { return t.Plan == "pro" && t.Access == tenancy.AccessReadOnly }},
		{"subscription back", func() error {
			return here.DB.InTx(e.A.CompanyCtx, func(tx *tenancy.Tx) error {
				return here.Tenancy.SetSubscriptionTx(e.A.CompanyCtx, tx, "enterprise", tenancy.AccessFull)
			})
		}, func(t tenancy.Tenant) bool { return t.Access == tenancy.AccessFull }},
		{"company renamed", func() error {
			_, err := here.Tenancy.UpdateCompany(e.A.CompanyCtx, tenancy.Update{Name: to("Another")})
			return err
		}, nil},
		{"workspace renamed", func() error {
			_, err := here.Tenancy.UpdateWorkspace(e.A.CompanyCtx, e.A.WorkspaceID, tenancy.Update{Slug: to("another")})
			return err
		}, nil},
		{"company suspended", func() error {
			_, err := here.Tenancy.SetCompanySuspended(e.A.CompanyCtx, true)
			return err
		}, func(t tenancy.Tenant) bool { return t.SuspendedLevel == tenancy.LevelCompany }},
		{"company resumed", func() error {
			_, err := here.Tenancy.SetCompanySuspended(e.A.CompanyCtx, false)
			return err
		}, func(t tenancy.Tenant) bool { return !t.Suspended }},
		{"workspace suspended", func() error {
			_, err := here.Tenancy.SetWorkspaceSuspended(e.A.CompanyCtx, e.A.WorkspaceID, true)
			return err
		}, func(t tenancy.Tenant) bool { return t.SuspendedLevel == tenancy.LevelWorkspace }},
		{"workspace resumed", func() error {
			_, err := here.Tenancy.SetWorkspaceSuspended(e.A.CompanyCtx, e.A.WorkspaceID, false)
			return err
		}, func(t tenancy.Tenant) bool { return !t.Suspended }},
		{"domain suspended", func() error {
			_, err := here.Tenancy.SetDomainSuspended(e.A.CompanyCtx, e.A.DomainID, true)
			return err
		}, func(t tenancy.Tenant) bool { return t.SuspendedLevel == tenancy.LevelDomain }},
		{"domain resumed", func() error {
			_, err := here.Tenancy.SetDomainSuspended(e.A.CompanyCtx, e.A.DomainID, false)
			return err
		}, func(t tenancy.Tenant) bool { return !t.Suspended }},
		{"setting of the company", func() error { return key.Set(e.A.CompanyCtx, here.Settings, "a") }, nil},
		{"setting of the workspace", func() error { return key.Set(e.A.WorkspaceCtx, here.Settings, "b") }, nil},
		{"member", func() error {
			_, err := here.Access.AddMember(e.A.WorkspaceCtx, access.NewMember{ActorID: "ann", Role: access.WorkspaceMember})
			return err
		}, nil},
		{"move", func() error {
			_, err := here.Mover.Start(e.A.Ctx, second.ID)
			return err
		}, func(t tenancy.Tenant) bool { return t.WorkspaceID == second.ID && !t.Moving }},
	} {
		before, err := there.Resolver.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err, event.name)
		require.NoError(t, event.do(), event.name)
		require.Eventually(t, func() bool {
			now, err := there.Resolver.ResolveDomain(t.Context(), e.A.DomainID)
			return err == nil && now.Version > before.Version && (event.want == nil || event.want(now))
		}, time.Minute, time.Millisecond, event.name)
		shared, err := e.Redis.HGet(t.Context(), redisKey, "version").Int64()
		require.NoError(t, err, event.name)
		require.Greater(t, shared, before.Version, event.name)
	}
	require.NoError(t, here.Tenancy.DeleteDomain(e.A.CompanyCtx, e.A.DomainID))
	require.Eventually(t, func() bool {
		_, err := there.Resolver.ResolveDomain(t.Context(), e.A.DomainID)
		return err != nil
	}, time.Minute, time.Millisecond)
}
