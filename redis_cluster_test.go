package strata_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

// refusals collects what Redis refused. The library goes on without Redis, so that a key in
// the wrong slot would cost time only, and no other test would see it.
type refusals struct {
	mu  sync.Mutex
	all []error
}

func (r *refusals) note(cmd redis.Cmder) {
	var refused redis.Error
	if err := cmd.Err(); errors.As(err, &refused) && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, fmt.Errorf("%v: %w", cmd.Args(), err))
	}
}

func (r *refusals) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r *refusals) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		r.note(cmd)
		return err
	}
}

func (r *refusals) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			r.note(cmd)
		}
		return err
	}
}

func TestEverythingWorksOnARedisCluster(t *testing.T) {
	t.Parallel()
	client := dbtest.RedisCluster(t)
	var refused refusals
	client.AddHook(&refused)
	e := tenancytest.Open(t)
	dir := t.TempDir()
	s, other := started(t, e.Pool, client, dir), started(t, e.Pool, client, dir)

	// Tenants: through Redis, and forgotten by the other process.
	for range 2 {
		for _, c := range []*tenancytest.Company{e.A, e.B} {
			_, err := s.Resolver.ResolveDomain(t.Context(), c.DomainID)
			require.NoError(t, err)
			_, err = other.Resolver.ResolveDomain(t.Context(), c.DomainID)
			require.NoError(t, err)
		}
	}
	_, err := s.Tenancy.SetCompanySuspended(e.B.CompanyCtx, true)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		tenant, err := other.Resolver.ResolveDomain(t.Context(), e.B.DomainID)
		return err == nil && tenant.Suspended
	}, time.Minute, time.Millisecond)

	// Definitions, a filter over them, and an import whose progress is watched elsewhere.
	_, err = s.Fields.Create(e.A.WorkspaceCtx, customfields.Field{Key: "tier", Type: customfields.Text, Filterable: true})
	require.NoError(t, err)
	_, err = other.Recipients.Create(e.A.Ctx, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "gold"}})
	require.NoError(t, err)
	n, err := s.Recipients.Count(e.A.Ctx, `fields.tier == "gold"`)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	id := upload(e.A.Ctx, t, s)
	reach(e.A.Ctx, t, s, id, imports.Previewed, 0)
	_, err = s.Imports.Commit(e.A.Ctx, id)
	require.NoError(t, err)
	reach(e.A.Ctx, t, other, id, imports.Done, 0)

	keys := map[string]bool{}
	require.NoError(t, client.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		found, err := node.Keys(ctx, "*").Result()
		refused.mu.Lock()
		defer refused.mu.Unlock()
		for _, key := range found {
			keys[key] = true
		}
		return err
	}))
	require.Contains(t, keys, "domain:{"+e.A.DomainID.String()+"}:context")
	require.Contains(t, keys, "workspace:{"+e.A.WorkspaceID.String()+"}:custom_field_defs")
	require.Contains(t, keys, "job:{"+id.String()+"}:progress")
	require.Empty(t, refused.all)
}
