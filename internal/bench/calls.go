package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/access"
)

// measureCalls times what is done at every request: finding the tenant, asking whether the
// actor may, and one small read in its scope.
func measureCalls(ctx context.Context, w *world, _ options) ([]row, error) {
	ctx, t, err := w.company(ctx)
	if err != nil {
		return nil, err
	}
	hit, err := perCall(func() error {
		_, err := w.strata.Resolver.ResolveDomain(ctx, t.DomainID)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := w.strata.Access.AddMember(ctx, access.NewMember{ActorID: "member", Role: access.WorkspaceAdmin}); err != nil {
		return nil, err
	}
	if t, err = w.strata.Resolver.ResolveDomain(ctx, t.DomainID); err != nil {
		return nil, err
	}
	member := tenancy.WithActor(tenancy.WithTenant(ctx, t), tenancy.Actor{ID: "member", Type: tenancy.ActorUser, CompanyID: t.CompanyID})
	check, err := perCall(func() error { return w.strata.Guard.Require(member, access.RecipientsManage) })
	if err != nil {
		return nil, err
	}
	const q = `SELECT count(*) FROM strata.recipients WHERE domain_id = $1 AND id = $2`
	args := []any{t.DomainID, tenancy.NewID[world]()}
	scan := func(rows pgx.Rows) error {
		_, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	}
	const times = 2000
	many := func(one func(context.Context) error) func(context.Context) (time.Duration, error) {
		return timed(func(ctx context.Context) error {
			for range times {
				if err := one(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	s, f, err := compare(ctx, 5,
		many(func(ctx context.Context) error { return w.strata.DB.Read(ctx, q, args, scan) }),
		many(func(ctx context.Context) error {
			rows, err := w.pool.Query(ctx, q, args...)
			if err != nil {
				return err
			}
			return scan(rows)
		}))
	if err != nil {
		return nil, err
	}
	return []row{
		{
			work: "tenant resolved from memory", strata: time.Duration(hit.NsPerOp()), budget: "200 ns, 0 allocations",
			note: fmt.Sprintf("%d allocations", hit.AllocsPerOp()),
		},
		{
			work: "permission of a member checked", strata: time.Duration(check.NsPerOp()), budget: "100 ns, 0 allocations",
			note: fmt.Sprintf("%d allocations", check.AllocsPerOp()),
		},
		{work: "one row read in the tenant's scope, against the bare statement", strata: s / times, floor: f / times, budget: "no extra round trip"},
	}, nil
}

// perCall is a Go benchmark of fn.
func perCall(fn func() error) (testing.BenchmarkResult, error) {
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := fn(); err != nil {
				failed = errors.Join(failed, err)
				b.Fail()
			}
		}
	})
	return r, failed
}
