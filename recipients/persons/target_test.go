package persons_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

func (b *bundle) targeter(t *testing.T) *persons.Targeter {
	t.Helper()
	g, err := persons.NewTargeter(b.DB, b.recipients)
	require.NoError(t, err)
	return g
}

// targets are all pages of a query.
func targets(ctx context.Context, t *testing.T, g *persons.Targeter, q persons.TargetQuery) []persons.Ref {
	t.Helper()
	out := []persons.Ref{}
	for {
		page, err := g.Targets(ctx, q)
		require.NoError(t, err)
		for _, target := range page.Items {
			out = append(out, target.Ref)
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return out
		}
	}
}

// requireTargets holds the targets and the headcount of a query to each other.
func requireTargets(ctx context.Context, t *testing.T, g *persons.Targeter, q persons.TargetQuery, matching int64, want ...persons.Ref) {
	t.Helper()
	require.ElementsMatch(t, want, targets(ctx, t, g, q))
	h, err := g.Headcount(ctx, q)
	require.NoError(t, err)
	require.Equal(t, matching, h.Recipients)
	if tenant, _ := tenancy.TenantFrom(ctx); tenant.Level() < tenancy.LevelDomain {
		require.Equal(t, int64(len(want)), h.Persons)
	}
}

// One address of a human in a workspace or a company, every address in a domain; which one
// goes by what is asked for.
func TestTargetsAreOneAPerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.targeter(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	first := b.add(b.A.Ctx, t, "ada@example.com", "Ada")
	second := b.add(b.A.Ctx, t, "ada.second@example.com", "Ada")
	alone := b.add(b.A.Ctx, t, "bo@example.com", "Bo")
	third := b.add(elsewhereDomain, t, "ada@example.org", "Ada")
	foreign := b.add(b.B.Ctx, t, "ada@example.com", "Ada")
	_, err := b.persons.Link(b.A.CompanyCtx, []persons.Ref{first, second, third})
	require.NoError(t, err)

	all := persons.TargetQuery{}
	requireTargets(b.A.Ctx, t, g, all, 3, first, second, alone)
	requireTargets(b.A.WorkspaceCtx, t, g, all, 3, first, alone)
	requireTargets(elsewhere, t, g, all, 1, third)
	requireTargets(b.A.CompanyCtx, t, g, all, 4, first, alone)
	requireTargets(b.B.CompanyCtx, t, g, all, 1, foreign)

	// What does not match does not stand before what does.
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{Filter: `email.contains("second")`}, 1, second)
	requireTargets(b.A.CompanyCtx, t, g, persons.TargetQuery{Filter: `email != "ada@example.com" && name == "Ada"`}, 2, second)
	requireTargets(b.A.CompanyCtx, t, g, persons.TargetQuery{Recipients: []recipients.ID{second.RecipientID, third.RecipientID, foreign.RecipientID}}, 2, second)

	// An active one comes before others, and one that is deleted does not count.
	inactive := recipients.Inactive
	_, err = b.recipients.Update(b.A.Ctx, first.RecipientID, recipients.Change{Status: &inactive})
	require.NoError(t, err)
	requireTargets(b.A.WorkspaceCtx, t, g, all, 3, second, alone)
	require.NoError(t, b.recipients.Delete(b.A.Ctx, second.RecipientID))
	requireTargets(b.A.WorkspaceCtx, t, g, all, 2, first, alone)
	requireTargets(b.A.CompanyCtx, t, g, all, 3, third, alone)

	// Whoever is unlinked is a human of its own.
	require.NoError(t, b.persons.Unlink(b.A.CompanyCtx, third))
	requireTargets(b.A.CompanyCtx, t, g, all, 3, first, third, alone)
}

// A deleted domain or workspace has nobody to send to.
func TestTargetsLeaveOutWhatIsDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.targeter(t)
	workspace, domain := b.workspace(t, b.A, "closing")
	here, there := b.add(b.A.Ctx, t, "ada@example.com", ""), b.add(domain, t, "ada@example.org", "")
	_, err := b.persons.Link(b.A.CompanyCtx, []persons.Ref{there, here})
	require.NoError(t, err)
	requireTargets(b.A.CompanyCtx, t, g, persons.TargetQuery{}, 2, here)
	in, err := tenancy.WorkspaceFrom(workspace)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteWorkspace(b.A.CompanyCtx, in.WorkspaceID))
	requireTargets(b.A.CompanyCtx, t, g, persons.TargetQuery{}, 1, here)
}

// Of one person's recipients the one that is enrolled in the product comes first.
func TestTargetsPreferTheEnrolled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	type News struct {
		bun.BaseModel `bun:"table:shop.news"`
		recipients.Enrollment
	}
	registry := recipients.NewRegistry()
	news, err := recipients.Register(registry, recipients.Extension[News]{Name: "news"})
	require.NoError(t, err)
	require.NoError(t, registry.Migrate(t.Context(), b.Direct(t)))
	b.recipients, err = recipients.NewStore(b.DB, b.fields, b.Limits, b.Audit, &recipients.Config{Extensions: registry})
	require.NoError(t, err)
	g := b.targeter(t)
	refs := b.addMany(b.A.Ctx, t, 3)
	_, err = b.persons.Link(b.A.WorkspaceCtx, refs)
	require.NoError(t, err)
	require.NoError(t, news.Enroll(b.A.Ctx, refs[1].RecipientID, &News{}))
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{}, 3, refs[0])
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{Product: "news"}, 3, refs[1])
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{Filter: "news.enrolled"}, 1, refs[1])
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{Filter: "news.enrolled", Product: "news"}, 1, refs[1])
	requireTargets(b.A.CompanyCtx, t, g, persons.TargetQuery{Filter: "!news.enrolled"}, 2, refs[0])

	_, err = g.Targets(b.A.WorkspaceCtx, persons.TargetQuery{Product: "new"})
	var invalid *tenancy.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "news", invalid.Fields[0].Suggestion)
}

// However small the pages, each person comes once, and everybody.
func TestTargetsInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.targeter(t)
	_, elsewhere := b.workspace(t, b.A, "elsewhere")
	refs := append(b.addMany(b.A.Ctx, t, 23), b.addMany(elsewhere, t, 17)...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] }) //nolint:gosec // a test's choices
	for i := 0; i < 30; i += 3 {
		_, err := b.persons.Link(b.A.CompanyCtx, refs[i:i+3])
		require.NoError(t, err)
	}
	want := targets(b.A.CompanyCtx, t, g, persons.TargetQuery{})
	require.Len(t, want, 20)
	for _, size := range []int{1, 2, 7, 23, 40} {
		require.Equal(t, want, targets(b.A.CompanyCtx, t, g, persons.TargetQuery{PageSize: size}), "%d", size)
	}
	seen := map[persons.ID]bool{}
	for _, r := range want {
		if p := b.pointer(t, r); !p.IsZero() {
			require.False(t, seen[p])
			seen[p] = true
		}
	}
}

func TestTargetQueriesAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.targeter(t)
	b.addMany(b.A.Ctx, t, 2)
	_, err := b.fields.Create(b.A.WorkspaceCtx, customfields.Field{Key: "tier", Label: "Tier", Type: customfields.Text, Filterable: true})
	require.NoError(t, err)
	_, err = b.fields.Current(b.A.WorkspaceCtx)
	require.NoError(t, err)
	requireTargets(b.A.WorkspaceCtx, t, g, persons.TargetQuery{Filter: `fields.tier == "gold"`}, 0)

	var wrong *filter.Error
	_, err = g.Targets(b.A.CompanyCtx, persons.TargetQuery{Filter: `fields.tier == "gold"`})
	require.ErrorAs(t, err, &wrong, "each workspace has fields of its own")
	var invalid *tenancy.ValidationError
	_, err = g.Targets(b.A.WorkspaceCtx, persons.TargetQuery{PageSize: -1, Recipients: make([]recipients.ID, persons.MaxTargets+1)})
	require.ErrorAs(t, err, &invalid)
	require.Len(t, invalid.Fields, 2)
	_, err = g.Headcount(t.Context(), persons.TargetQuery{})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	page, err := g.Targets(b.A.WorkspaceCtx, persons.TargetQuery{PageSize: 1})
	require.NoError(t, err)
	for name, q := range map[string]persons.TargetQuery{"of another query": {Cursor: page.NextCursor, Filter: "true"}, "of nobody": {Cursor: "x"}} {
		_, err := g.Targets(b.A.WorkspaceCtx, q)
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor, name)
	}
	// A cursor of another tenant leads nowhere but to one's own.
	stolen, err := g.Targets(b.B.WorkspaceCtx, persons.TargetQuery{PageSize: 1, Cursor: page.NextCursor})
	require.NoError(t, err)
	require.Empty(t, stolen.Items, fmt.Sprint(stolen))
}
