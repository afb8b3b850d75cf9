package persons_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

// A workspace's completions stay in it, those of the company reach all of the person's
// recipients, and a workspace never learns where a credit comes from.
func TestCreditsAcrossWorkspaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	here, there := b.addMany(b.A.Ctx, t, 2), b.addMany(elsewhereDomain, t, 2)
	b.link(b.A.CompanyCtx, t, here[0], here[1], there[0])
	b.complete(b.A.WorkspaceCtx, t, here[0])
	require.Equal(t, [][]string{{""}, {}}, [][]string{b.reasons(t, here[1]), b.reasons(t, there[0])})
	b.requireSound(t)

	b.complete(b.A.CompanyCtx, t, here[0])
	require.Equal(t, [][]string{{""}, {""}}, [][]string{b.reasons(t, here[1]), b.reasons(t, there[0])}, "the company has it count everywhere")
	b.complete(b.A.WorkspaceCtx, t, here[0])
	b.requireSound(t)
	got := b.creditsOf(elsewhere, t, there[0])
	require.Len(t, got, 1)
	require.Nil(t, got[0].Source)
	got = b.creditsOf(b.A.CompanyCtx, t, there[0])
	require.Equal(t, here[0], *got[0].Source)
	page, err := b.persons.CreditsSince(elsewhereDomain, persons.CreditsSinceQuery{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Nil(t, page.Items[0].Source)

	// What the other workspace can read, also with SQL of its own, names nothing of this one.
	trail, err := b.Audit.List(elsewhere, audit.Query{})
	require.NoError(t, err)
	require.False(t, trail.HasMore)
	read, err := json.Marshal(trail.Items)
	require.NoError(t, err)
	require.Contains(t, string(read), "credits.given")
	for _, secret := range []string{here[0].RecipientID.String(), here[0].DomainID.String(), b.A.WorkspaceID.String()} {
		require.NotContains(t, string(read), secret)
		for _, table := range []string{"person_credits", "person_completions"} {
			require.NoError(t, b.DB.InTx(elsewhereDomain, func(tx *tenancy.Tx) error {
				var n int
				require.NoError(t, tx.QueryRow(elsewhereDomain, `SELECT count(*) FROM strata.`+table+` x WHERE x::text LIKE '%' || $1 || '%'`, secret).Scan(&n))
				require.Zero(t, n, "%s in %s", secret, table)
				return nil
			}))
		}
	}

	require.ErrorIs(t, b.persons.Withdraw(b.A.WorkspaceCtx, here[0], fireSafety), persons.ErrOfCompany)
	b.complete(elsewhere, t, there[0])
	require.Equal(t, []string{"completed"}, b.reasons(t, there[0]))
	require.Equal(t, []string{""}, b.reasons(t, here[1]), "it keeps the one that it has")
	require.NoError(t, b.persons.Withdraw(b.A.CompanyCtx, here[0], fireSafety))
	require.Equal(t, [][]string{{"withdrawn"}, {"completed"}}, [][]string{b.reasons(t, here[1]), b.reasons(t, there[0])}, "what is left counts elsewhere only")
	b.requireSound(t)
}

// No call reaches completions or credits of another workspace or company.
func TestNoCreditsOfAnotherTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	refs := b.addMany(b.A.Ctx, t, 3)
	person := b.link(b.A.WorkspaceCtx, t, refs...)
	b.complete(b.A.WorkspaceCtx, t, refs[0])
	for name, outsider := range map[string]context.Context{"another workspace": elsewhere, "another domain's": elsewhereDomain, "another company": b.B.CompanyCtx, "its workspace": b.B.WorkspaceCtx} {
		t.Run(name, func(t *testing.T) {
			_, err := b.persons.Complete(outsider, has(refs[1], fireSafety))
			require.ErrorIs(t, err, recipients.ErrNotFound)
			require.ErrorIs(t, b.persons.Withdraw(outsider, refs[0], fireSafety), recipients.ErrNotFound)
			_, err = b.persons.Credits(outsider, persons.CreditQuery{Recipient: refs[1]})
			require.ErrorIs(t, err, recipients.ErrNotFound)
			_, err = b.persons.Credits(outsider, persons.CreditQuery{Person: person})
			require.ErrorIs(t, err, persons.ErrNotFound)
		})
	}
	for _, outsider := range []context.Context{elsewhereDomain, b.B.Ctx, b.Domain(t, b.A, "beside.example")} {
		page, err := b.persons.CreditsSince(outsider, persons.CreditsSinceQuery{})
		require.NoError(t, err)
		require.Empty(t, page.Items)
	}
	require.Len(t, b.creditsOf(b.A.WorkspaceCtx, t, refs[1]), 1)
	b.requireSound(t)
}
