package recipients_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Each level counts what is below it, persons once, and nobody counts another's.
func TestStatsOfEachLevel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.extensionTable(t, "email")
	second := b.Domain(t, b.A, "a-second.example")
	w, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Other", Slug: "other"})
	require.NoError(t, err)
	tenant, err := tenancy.TenantFrom(b.A.WorkspaceCtx)
	require.NoError(t, err)
	tenant.WorkspaceID = w.ID
	otherWorkspace := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), b.A.Actor)
	d, err := b.Store.CreateDomain(otherWorkspace, w.ID, tenancy.NewDomain{DomainName: "z-third.example"})
	require.NoError(t, err)
	tenant.DomainID = d.ID
	third := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), b.A.Actor)

	var linked []recipients.Recipient
	person := tenancy.NewID[recipients.Person]()
	for i, ctx := range []context.Context{b.A.Ctx, second, third, b.B.Ctx} {
		for n := range 3 {
			r := b.create(ctx, t, recipients.New{Email: fmt.Sprintf("r%d@example.com", n), Status: []recipients.Status{recipients.Active, recipients.Active, recipients.Bounced}[n]})
			if n == 0 && i < 3 {
				linked = append(linked, r)
				b.link(ctx, t, r.ID, &person)
			}
		}
	}
	require.NoError(t, b.in(second, fmt.Sprintf(enrolSQL, "email"), b.domain(second, t), []string{linked[1].ID.String()}))

	stats := func(ctx context.Context) recipients.Stats {
		s, err := b.store.Stats(ctx)
		require.NoError(t, err)
		return s
	}
	by := func(active, bounced int64) map[recipients.Status]int64 {
		return map[recipients.Status]int64{recipients.Active: active, recipients.Inactive: 0, recipients.Bounced: bounced, recipients.Complained: 0, recipients.Unsubscribed: 0}
	}
	of := func(ctx context.Context, name string, n int64) recipients.DomainCount {
		return recipients.DomainCount{DomainID: b.domain(ctx, t), DomainName: name, Count: n}
	}
	first := of(b.A.Ctx, "company-1.example", 3)
	require.Equal(t, recipients.Stats{
		Total: 9, Persons: 7, ByStatus: by(6, 3), ByProduct: map[string]int64{"email": 1},
		ByDomain: []recipients.DomainCount{of(second, "a-second.example", 3), first, of(third, "z-third.example", 3)},
	}, stats(b.A.CompanyCtx))
	require.Equal(t, recipients.Stats{
		Total: 6, Persons: 5, ByStatus: by(4, 2), ByProduct: map[string]int64{"email": 1},
		ByDomain: []recipients.DomainCount{of(second, "a-second.example", 3), first},
	}, stats(b.A.WorkspaceCtx))
	require.Equal(t, recipients.Stats{Total: 3, Persons: 3, ByStatus: by(2, 1), ByProduct: map[string]int64{}, ByDomain: []recipients.DomainCount{first}}, stats(b.A.Ctx))
	require.Equal(t, recipients.Stats{Total: 3, Persons: 3, ByStatus: by(2, 1), ByProduct: map[string]int64{}, ByDomain: []recipients.DomainCount{of(b.B.Ctx, "company-2.example", 3)}}, stats(b.B.CompanyCtx))

	// Ids of two tenants together are nobody's.
	mixed, err := tenancy.TenantFrom(b.A.Ctx)
	require.NoError(t, err)
	mixed.CompanyID = b.B.CompanyID
	_, err = b.store.Stats(tenancy.WithTenant(t.Context(), mixed))
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	mixed.DomainID = tenancy.DomainID{}
	nothing := recipients.Stats{ByStatus: by(0, 0), ByProduct: map[string]int64{}, ByDomain: []recipients.DomainCount{}}
	require.Equal(t, nothing, stats(tenancy.WithTenant(t.Context(), mixed)))
	_, err = b.store.Stats(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	// What is deleted does not count, at any level.
	require.NoError(t, b.store.Delete(b.A.Ctx, linked[0].ID))
	require.Equal(t, []int64{5, 5}, []int64{stats(b.A.WorkspaceCtx).Total, stats(b.A.WorkspaceCtx).Persons})
	require.NoError(t, b.Store.DeleteDomain(b.A.WorkspaceCtx, b.domain(second, t)))
	require.Equal(t, []int64{2, 2}, []int64{stats(b.A.WorkspaceCtx).Total, stats(b.A.WorkspaceCtx).Persons})
	require.Empty(t, stats(b.A.WorkspaceCtx).ByProduct)
	require.NoError(t, b.Store.DeleteWorkspace(b.A.CompanyCtx, w.ID))
	require.Equal(t, []int64{2, 2, 1}, []int64{stats(b.A.CompanyCtx).Total, stats(b.A.CompanyCtx).Persons, int64(len(stats(b.A.CompanyCtx).ByDomain))})
}

func (b *bundle) domain(ctx context.Context, t *testing.T) tenancy.DomainID {
	t.Helper()
	tenant, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	return tenant.DomainID
}

// link says who a recipient is, as package persons does.
func (b *bundle) link(ctx context.Context, t *testing.T, id recipients.ID, person *tenancy.ID[recipients.Person]) {
	t.Helper()
	require.NoError(t, b.in(ctx, `UPDATE strata.recipients SET person_id = $3 WHERE domain_id = $1 AND id = $2`, b.domain(ctx, t), id, person))
}
