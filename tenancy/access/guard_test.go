package access_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// Two companies and two workspaces: what a membership grants, it grants where it is.
func TestMembershipsCountWhereTheyAre(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, second, secondDomain := p.workspace(t, "second")
	p.add(t, p.A.WorkspaceCtx, "ann", access.WorkspaceMember)
	p.add(t, second, "ann", access.WorkspaceAdmin)
	p.add(t, p.B.WorkspaceCtx, "ann", access.WorkspaceMember)
	p.add(t, p.A.WorkspaceCtx, "bob", access.WorkspaceAdmin)
	p.add(t, p.A.CompanyCtx, "cy", access.CompanyAdmin)
	p.add(t, p.A.CompanyCtx, "dee", access.WorkspaceMember) // in every workspace

	catalog := p.guard.Catalog()
	builtIn := func(role string) []access.Permission { return catalog.Names(catalog.Role(role)) }
	only := []access.Permission{access.CompanyRead}
	nothing := []access.Permission{}
	for _, c := range []struct {
		who                                     string
		company, first, second, secondDomain, b []access.Permission
	}{
		{"ann", only, builtIn(access.WorkspaceMember), builtIn(access.WorkspaceAdmin), builtIn(access.WorkspaceAdmin), builtIn(access.WorkspaceMember)},
		{"bob", only, builtIn(access.WorkspaceAdmin), nothing, nothing, nothing},
		{"cy", builtIn(access.CompanyAdmin), builtIn(access.CompanyAdmin), builtIn(access.CompanyAdmin), builtIn(access.CompanyAdmin), nothing},
		{"dee", builtIn(access.WorkspaceMember), builtIn(access.WorkspaceMember), builtIn(access.WorkspaceMember), builtIn(access.WorkspaceMember), nothing},
		{"nobody", nothing, nothing, nothing, nothing, nothing},
		{"", nothing, nothing, nothing, nothing, nothing},
	} {
		for range 2 { // read, then remembered
			require.Equal(t, c.company, p.names(t, as(p.A.CompanyCtx, c.who)), c.who)
			require.Equal(t, c.first, p.names(t, as(p.A.WorkspaceCtx, c.who)), c.who)
			require.Equal(t, c.first, p.names(t, as(p.A.Ctx, c.who)), c.who)
			require.Equal(t, c.second, p.names(t, as(second, c.who)), c.who)
			require.Equal(t, c.secondDomain, p.names(t, as(secondDomain, c.who)), c.who)
			require.Equal(t, c.b, p.names(t, as(p.B.WorkspaceCtx, c.who)), c.who)
		}
	}

	// Whose company the product does not name may be a member of several; whose it names, of
	// that one only.
	everywhere := tenancy.WithActor(p.A.WorkspaceCtx, tenancy.Actor{ID: "ann", Type: tenancy.ActorUser, Role: access.CompanyOwner})
	require.Equal(t, builtIn(access.WorkspaceMember), p.names(t, everywhere), "a role of no company counts nowhere")
	ofB := tenancy.WithActor(p.A.WorkspaceCtx, user("ann", p.B.CompanyID))
	require.Empty(t, p.names(t, ofB))
	require.ErrorIs(t, p.guard.Require(ofB, access.RecipientsRead), tenancy.ErrNotFound)

	require.NoError(t, p.guard.Require(as(second, "ann"), access.RecipientsManage))
	require.NoError(t, p.guard.Require(as(second, "ann"), ""))
	require.ErrorIs(t, p.guard.Require(as(p.A.WorkspaceCtx, "ann"), access.RecipientsManage), access.ErrForbidden)
	require.ErrorIs(t, p.guard.Require(as(second, "bob"), access.RecipientsRead), tenancy.ErrNotFound)
	require.ErrorIs(t, p.guard.Require(as(second, "bob"), ""), tenancy.ErrNotFound)
	require.ErrorIs(t, p.guard.Require(tenancy.WithActor(t.Context(), user("ann", p.A.CompanyID)), ""), tenancy.ErrNoTenant)
}

func TestWhatTheProductSaysCountsBesideMemberships(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, second, _ := p.workspace(t, "second")
	_, err := p.store.CreateRole(p.A.CompanyCtx, access.Role{Key: "mailer", Level: access.LevelWorkspace, Permissions: []access.Permission{access.JobsManage}})
	require.NoError(t, err)
	p.add(t, second, "ann", access.WorkspaceAdmin)
	says := func(ctx context.Context, role string) context.Context {
		a := user("ann", p.A.CompanyID)
		a.Role = role
		return tenancy.WithActor(ctx, a)
	}
	require.True(t, p.allows(t, says(p.A.WorkspaceCtx, access.WorkspaceMember), access.RecipientsRead))
	require.False(t, p.allows(t, says(p.A.WorkspaceCtx, access.WorkspaceMember), access.RecipientsManage))
	require.True(t, p.allows(t, says(second, access.WorkspaceMember), access.RecipientsManage), "the membership's")
	require.Equal(t, []access.Permission{access.JobsManage}, p.names(t, says(p.A.WorkspaceCtx, "mailer")), "a role of the company's own")
	require.Empty(t, p.names(t, says(p.A.WorkspaceCtx, "mailr")))
	inB := user("ann", p.B.CompanyID)
	inB.Role = "mailer"
	require.Empty(t, p.names(t, tenancy.WithActor(p.B.WorkspaceCtx, inB)), "B has made no such role")
	require.True(t, p.allows(t, asRoot(p.A.WorkspaceCtx), "whatever.there_is"))
	for _, kind := range []tenancy.ActorType{tenancy.ActorAdmin, tenancy.ActorSystem} {
		its := tenancy.Actor{ID: "it", Type: kind, CompanyID: p.A.CompanyID}
		require.Empty(t, p.names(t, tenancy.WithActor(p.A.WorkspaceCtx, its)), "%s of one company", kind)
		require.ErrorIs(t, p.guard.Require(tenancy.WithActor(p.B.WorkspaceCtx, its), ""), tenancy.ErrNotFound)
		its.Role = access.WorkspaceMember
		require.Equal(t, p.guard.Catalog().Names(p.guard.Catalog().Role(its.Role)), p.names(t, tenancy.WithActor(p.A.WorkspaceCtx, its)))
	}

	only := access.RolesOnly(nil)
	require.NoError(t, only.Require(says(second, access.WorkspaceMember), access.RecipientsRead))
	require.ErrorIs(t, only.Require(says(second, access.WorkspaceMember), access.RecipientsManage), access.ErrForbidden)
	require.ErrorIs(t, only.Require(says(second, "mailer"), access.JobsManage), tenancy.ErrNotFound)
}

// What is allowed by what the product says needs no backend.
func TestDatabaseThatIsDownAllowsNothingMore(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/none?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.NewDB(pool, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	g, err := access.NewGuard(db, nil, nil)
	require.NoError(t, err)
	require.NoError(t, g.Require(e.A.CompanyCtx, access.WorkspaceCreate))
	require.NoError(t, g.Require(e.A.CompanyCtx, ""))
	for _, p := range []access.Permission{access.RecipientsRead, ""} {
		err := g.Require(as(e.A.WorkspaceCtx, "ann"), p)
		require.Error(t, err)
		require.NotErrorIs(t, err, access.ErrForbidden)
		require.NotErrorIs(t, err, tenancy.ErrNotFound)
	}
}

func TestDeletedWorkspaceGrantsNothing(t *testing.T) {
	t.Parallel()
	p := open(t)
	id, second, _ := p.workspace(t, "second")
	p.add(t, second, "ann", access.WorkspaceAdmin)
	company := func(p *process) context.Context {
		at, err := p.resolver.ResolveCompany(t.Context(), p.A.CompanyID)
		require.NoError(t, err)
		return tenancy.WithActor(tenancy.WithTenant(t.Context(), at), user("ann", p.A.CompanyID))
	}
	elsewhere := newProcess(t, p.Env, processConfig{lifetime: time.Nanosecond, guard: access.GuardConfig{Lifetime: time.Hour}})
	for _, process := range []*process{p, elsewhere} {
		require.True(t, process.allows(t, company(process), access.CompanyRead))
	}
	require.NoError(t, p.hierarchy.DeleteWorkspace(p.A.CompanyCtx, id))
	for _, process := range []*process{p, elsewhere} {
		require.False(t, process.allows(t, company(process), access.CompanyRead), "nor at the company, for a tenant that is newer")
	}
	require.Empty(t, p.names(t, as(p.A.CompanyCtx, "ann")))
	require.Empty(t, p.names(t, as(second, "ann")))
	_, err := p.store.AddMember(second, access.NewMember{ActorID: "bob", Role: access.WorkspaceMember})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	page, err := p.store.Members(p.A.CompanyCtx, access.MemberQuery{Everywhere: true})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.NoError(t, p.hierarchy.DeleteCompany(p.A.CompanyCtx))
	_, err = p.store.AddMember(asRoot(p.A.CompanyCtx), access.NewMember{ActorID: "bob", Role: access.CompanyOwner})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
}

// resolved is ann at company A's workspace, as the resolver of p has it.
func (p *process) resolved(t testing.TB) context.Context {
	t.Helper()
	w, err := p.resolver.ResolveWorkspace(t.Context(), p.A.WorkspaceID)
	require.NoError(t, err)
	return tenancy.WithActor(tenancy.WithTenant(t.Context(), w), user("ann", p.A.CompanyID))
}

// Each kind of change reaches the other process, without waiting for a lifetime to end.
func TestChangesReachEveryProcess(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here := newProcess(t, e, processConfig{redis: e.Redis, lifetime: time.Hour, guard: access.GuardConfig{Lifetime: time.Hour}})
	there := newProcess(t, e, processConfig{redis: e.Redis, lifetime: time.Hour, guard: access.GuardConfig{Lifetime: time.Hour}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = there.resolver.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	require.Eventually(t, func() bool { // there it is listened
		n, err := e.Redis.PubSubNumSub(t.Context(), "strata:tenancy:changed").Result()
		return err == nil && n["strata:tenancy:changed"] > 0
	}, eventually, tick)

	settles := func(permission access.Permission, want bool) {
		t.Helper()
		require.Equal(t, want, here.allows(t, here.resolved(t), permission))
		require.Eventually(t, func() bool { return there.allows(t, there.resolved(t), permission) == want }, eventually, tick)
	}
	settles(access.RecipientsRead, false)
	here.add(t, e.A.WorkspaceCtx, "ann", access.WorkspaceMember)
	settles(access.RecipientsRead, true)
	settles(access.RecipientsManage, false)
	_, err := here.store.SetRole(e.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)
	require.NoError(t, err)
	settles(access.RecipientsManage, true)
	_, err = here.store.CreateRole(e.A.CompanyCtx, access.Role{Key: "reader", Level: access.LevelWorkspace, Permissions: []access.Permission{access.JobsRead}})
	require.NoError(t, err)
	_, err = here.store.SetRole(e.A.WorkspaceCtx, "ann", "reader")
	require.NoError(t, err)
	settles(access.RecipientsManage, false)
	_, err = here.store.UpdateRole(e.A.CompanyCtx, "reader", access.RoleChange{Permissions: &[]access.Permission{access.RecipientsManage}})
	require.NoError(t, err)
	settles(access.RecipientsManage, true)
	require.NoError(t, here.store.RemoveMember(e.A.WorkspaceCtx, "ann"))
	settles(access.RecipientsManage, false)
}

// Without Redis and without Run, and for a tenant that was resolved before, it is the
// lifetime that ends what was allowed.
func TestLifetimeEndsWhatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	here := newProcess(t, e, processConfig{})
	there := newProcess(t, e, processConfig{guard: access.GuardConfig{Lifetime: 10 * time.Millisecond}})
	forever := newProcess(t, e, processConfig{guard: access.GuardConfig{Lifetime: time.Hour}})
	here.add(t, e.A.WorkspaceCtx, "ann", access.WorkspaceMember)
	old := there.resolved(t)
	require.True(t, there.allows(t, old, access.RecipientsRead))
	require.True(t, forever.allows(t, old, access.RecipientsRead))
	require.NoError(t, here.store.RemoveMember(e.A.WorkspaceCtx, "ann"))
	require.Eventually(t, func() bool { return !there.allows(t, old, access.RecipientsRead) }, eventually, tick)
	require.True(t, forever.allows(t, old, access.RecipientsRead), "it is remembered")
	require.False(t, forever.allows(t, here.resolved(t), access.RecipientsRead), "but not for a tenant that is newer")
}

// heldLoads is a tracer that halts the first look-up of members after it has read.
type heldLoads struct {
	once          sync.Once
	reached, goOn chan struct{}
}

type membersKey struct{}

func (h *heldLoads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (h *heldLoads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (h *heldLoads) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		if strings.Contains(q.SQL, "strata.members") {
			return context.WithValue(ctx, membersKey{}, true)
		}
	}
	return ctx
}
func (h *heldLoads) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (h *heldLoads) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) {
	if ctx.Value(membersKey{}) != nil {
		h.once.Do(func() {
			close(h.reached)
			<-h.goOn
		})
	}
}

// A load that has read what was true before a change must not outlive it, whether the
// change was made here or in another process.
func TestLoadThatRacedAChange(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			e := tenancytest.Open(t)
			held := &heldLoads{reached: make(chan struct{}), goOn: make(chan struct{})}
			cfg := e.Pool.Config().Copy()
			cfg.ConnConfig.Tracer = held
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			db, err := tenancy.NewDB(pool, nil)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			elsewhere := newProcess(t, e, processConfig{})
			here := newProcess(t, e, processConfig{db: db, guard: access.GuardConfig{Lifetime: time.Hour}})
			elsewhere.add(t, e.A.WorkspaceCtx, "ann", access.WorkspaceMember)

			before := here.resolved(t)
			done := make(chan bool)
			go func() {
				ok, err := here.guard.Allows(before, access.RecipientsRead)
				done <- ok && err == nil
			}()
			<-held.reached
			change := elsewhere.store
			if where == "here" {
				change = here.store
			}
			require.NoError(t, change.RemoveMember(e.A.WorkspaceCtx, "ann"))
			close(held.goOn)
			require.True(t, <-done, "it began before the change")
			if where == "here" {
				require.False(t, here.allows(t, before, access.RecipientsRead), "not even for the old tenant")
			}
			require.False(t, here.allows(t, elsewhere.resolved(t), access.RecipientsRead))
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	p := newProcess(t, e, processConfig{guard: access.GuardConfig{MaxActors: 32, Lifetime: time.Hour}})
	for i := range 20 {
		who := "user-" + strings.Repeat("x", i)
		p.add(t, e.A.WorkspaceCtx, who, access.WorkspaceMember)
		require.True(t, p.allows(t, as(e.A.WorkspaceCtx, who), access.RecipientsRead))
		require.LessOrEqual(t, access.Remembered(p.guard), 32)
	}
	for i := range 20 {
		require.True(t, p.allows(t, as(e.A.WorkspaceCtx, "user-"+strings.Repeat("x", i)), access.RecipientsRead))
	}
	require.NotZero(t, access.Remembered(p.guard))
	require.LessOrEqual(t, access.Remembered(p.guard), 2, "of one company there is room for two")
}

func TestCheckAllocatesNothing(t *testing.T) { // not in parallel: others' allocations would count
	p := open(t)
	p.add(t, p.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)
	ctx := p.resolved(t)
	for _, permission := range []access.Permission{access.RecipientsManage, access.WorkspaceCreate, ""} {
		require.NoError(t, p.guard.Require(ctx, ""))
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = p.guard.Require(ctx, permission) }), "%s", permission)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = p.guard.Permissions(ctx) }))
}

func BenchmarkGuard(b *testing.B) {
	p := open(b)
	p.add(b, p.A.WorkspaceCtx, "ann", access.WorkspaceAdmin)
	ctx := p.resolved(b)
	b.Run("member", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if ok, err := p.guard.Allows(ctx, access.RecipientsManage); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("role", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if ok, err := p.guard.Allows(p.A.WorkspaceCtx, access.RecipientsManage); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}
