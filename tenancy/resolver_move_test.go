package tenancy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// A domain that went to another company is no row of its old one any more. Where the process
// that moved it could tell nobody, the sweep of every other one finds it out all the same.
func TestSweepFindsADomainThatMoved(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	r := newResolver(t, e, e.Redis, tenancy.ResolverConfig{Lifetime: time.Hour})
	sweep := r.Sweeper()
	require.NoError(t, sweep(t.Context()))
	before, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, e.A.CompanyID, before.CompanyID)

	mute := newResolver(t, e, nil, tenancy.ResolverConfig{})
	m, err := move.NewMover(e.DB, mute, e.Audit, nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	admin := tenancy.WithActor(e.A.Ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin})
	_, err = m.Start(admin, e.B.WorkspaceID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		now, err := m.Get(admin)
		require.NoError(t, err)
		return now.State == move.Done
	}, time.Minute, 5*time.Millisecond)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)

	still, err := r.ResolveDomain(t.Context(), e.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, before, still, "nobody told it")
	require.NoError(t, sweep(t.Context()))
	for _, resolver := range []*tenancy.Resolver{r, throughRedis(t, e)} {
		after, err := resolver.ResolveDomain(t.Context(), e.A.DomainID)
		require.NoError(t, err)
		require.Equal(t, []any{e.B.CompanyID, e.B.WorkspaceID, false}, []any{after.CompanyID, after.WorkspaceID, after.Moving})
		require.Greater(t, after.Version, before.Version)
	}
}

// Between companies a domain leaves Redis as one of the company that it went to. So that is
// told first: a process that then forgets the old company would else take from Redis what it
// has just forgotten.
func TestWhoeverHasADomainThatMovedIsToldOfItLast(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	told := e.Redis.Subscribe(t.Context(), "strata:tenancy:changed")
	t.Cleanup(func() { _ = told.Close() })
	_, err := told.Receive(t.Context())
	require.NoError(t, err)
	m, err := move.NewMover(e.DB, newResolver(t, e, e.Redis, tenancy.ResolverConfig{}), e.Audit, nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	_, err = m.Start(tenancy.WithActor(e.A.Ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin}), e.B.WorkspaceID)
	require.NoError(t, err)
	var order []string
	for len(order) < 3 {
		message, err := told.ReceiveMessage(t.Context())
		require.NoError(t, err)
		if id := message.Payload; id == e.A.CompanyID.String() || id == e.B.CompanyID.String() {
			order = append(order, id)
		}
	}
	require.Equal(t, []string{e.A.CompanyID.String(), e.B.CompanyID.String(), e.A.CompanyID.String()}, order, "it starts, and it goes over")
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
}
