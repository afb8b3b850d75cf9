package persons_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// What counts in a workspace counts where its domain goes, and no more where it was. What the
// company recorded counts in both.
func TestCreditsOfADomainThatChangesItsWorkspace(t *testing.T) {
	t.Parallel()
	b, s := movers(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	target, err := tenancy.WorkspaceFrom(elsewhere)
	require.NoError(t, err)
	leaving := b.Domain(t, b.A, "leaving.example")
	here, gone, there := b.addMany(b.A.Ctx, t, 3), b.addMany(leaving, t, 3), b.addMany(elsewhereDomain, t, 2)
	b.link(b.A.WorkspaceCtx, t, here[0], gone[0]) // inside the workspace: cut by the move
	b.complete(b.A.WorkspaceCtx, t, gone[0])
	b.link(b.A.CompanyCtx, t, here[1], gone[1], there[0]) // across: goes along
	b.complete(b.A.WorkspaceCtx, t, gone[1])
	b.link(b.A.CompanyCtx, t, here[2], gone[2], there[1])
	b.complete(b.A.CompanyCtx, t, gone[2])
	require.Equal(t, [][]string{{""}, {""}, {}, {""}, {""}},
		[][]string{b.reasons(t, here[0]), b.reasons(t, here[1]), b.reasons(t, there[0]), b.reasons(t, here[2]), b.reasons(t, there[1])})
	b.requireSound(t)

	moved(leaving, t, s, target.WorkspaceID)
	require.Equal(t, [][]string{{"moved"}, {"moved"}, {""}, {""}, {""}},
		[][]string{b.reasons(t, here[0]), b.reasons(t, here[1]), b.reasons(t, there[0]), b.reasons(t, here[2]), b.reasons(t, there[1])})
	b.requireSound(t)
}

// A domain that goes to another company takes its rows along, and no credit counts between the
// two any more: not those it gave, and not those it got.
func TestCreditsOfADomainThatChangesItsCompany(t *testing.T) {
	t.Parallel()
	b, s := movers(t)
	leaving := b.Domain(t, b.A, "leaving.example")
	here, gone := b.addMany(b.A.Ctx, t, 2), b.addMany(leaving, t, 2)
	b.link(b.A.WorkspaceCtx, t, here[0], gone[0])
	b.link(b.A.CompanyCtx, t, here[1], gone[1])
	b.complete(b.A.CompanyCtx, t, gone[0])
	b.complete(b.A.CompanyCtx, t, here[1])

	moved(leaving, t, s, b.B.WorkspaceID)
	require.Equal(t, [][]string{{"moved"}, {"moved"}}, [][]string{b.reasons(t, here[0]), b.reasons(t, gone[1])})
	b.requireSound(t)
	got := b.creditsOf(b.B.CompanyCtx, t, gone[1])
	require.Len(t, got, 1)
	require.Nil(t, got[0].Source, "it is in another company")
	got = b.creditsOf(b.A.CompanyCtx, t, here[0])
	require.Len(t, got, 1)
	require.Nil(t, got[0].Source)

	// What it has completed it has completed there too.
	b.link(b.B.WorkspaceCtx, t, gone...)
	require.Equal(t, []string{"moved", ""}, b.reasons(t, gone[1]))
	require.Empty(t, b.reasons(t, gone[0]))
	page, err := b.persons.Credits(b.B.WorkspaceCtx, persons.CreditQuery{Recipient: gone[1]})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	b.requireSound(t)
}
