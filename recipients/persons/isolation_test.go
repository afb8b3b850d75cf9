package persons_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
)

// What is of one workspace is not there for another one or for another company, in any call.
func TestNothingOfAnotherTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	refs := b.addMany(b.A.Ctx, t, 3)
	there := b.addMany(elsewhereDomain, t, 3)
	foreign := b.addMany(b.B.Ctx, t, 3)
	_, err := b.persons.Link(b.A.WorkspaceCtx, refs[:2])
	require.NoError(t, err)
	theirs, err := b.persons.Link(elsewhere, there[:2])
	require.NoError(t, err)
	bs, err := b.persons.Link(b.B.WorkspaceCtx, foreign[:2])
	require.NoError(t, err)
	require.NoError(t, b.persons.Unlink(b.A.WorkspaceCtx, refs[0]))
	rejected, err := b.persons.Suggestions(b.A.CompanyCtx, persons.SuggestionQuery{State: persons.Rejected})
	require.NoError(t, err)
	require.Len(t, rejected.Items, 1)
	suggestion := rejected.Items[0].ID
	mine, err := b.persons.Link(b.A.WorkspaceCtx, refs[:2])
	require.NoError(t, err)

	for name, outsider := range map[string]context.Context{"another workspace": elsewhere, "another domain's": elsewhereDomain, "another company": b.B.CompanyCtx, "its workspace": b.B.WorkspaceCtx} {
		t.Run(name, func(t *testing.T) {
			own, ownPerson := there, theirs
			if name == "another company" || name == "its workspace" {
				own, ownPerson = foreign, bs
			}
			_, err := b.persons.Get(outsider, mine)
			require.ErrorIs(t, err, persons.ErrNotFound)
			_, err = b.persons.PersonOf(outsider, refs[0])
			require.ErrorIs(t, err, persons.ErrNotFound)
			_, err = b.persons.Link(outsider, []persons.Ref{refs[0], refs[2]})
			require.ErrorIs(t, err, recipients.ErrNotFound)
			_, err = b.persons.Link(outsider, []persons.Ref{own[0], refs[2]})
			require.ErrorIs(t, err, recipients.ErrNotFound)
			_, err = b.persons.Link(outsider, []persons.Ref{own[0], {DomainID: own[0].DomainID, RecipientID: refs[2].RecipientID}})
			require.ErrorIs(t, err, recipients.ErrNotFound)
			require.ErrorIs(t, b.persons.Unlink(outsider, refs[0]), recipients.ErrNotFound)
			_, err = b.persons.Merge(outsider, mine, ownPerson)
			require.ErrorIs(t, err, persons.ErrNotFound)
			_, err = b.persons.Merge(outsider, ownPerson, mine)
			require.ErrorIs(t, err, persons.ErrNotFound)
			require.ErrorIs(t, b.persons.UndoMerge(outsider, mine), persons.ErrNotFound)
			_, err = b.persons.Suggestion(outsider, suggestion)
			require.ErrorIs(t, err, persons.ErrNotFound)
			_, err = b.persons.Accept(outsider, suggestion)
			require.ErrorIs(t, err, persons.ErrNotFound)
			require.ErrorIs(t, b.persons.Reject(outsider, suggestion), persons.ErrNotFound)
			for _, state := range []persons.State{persons.Open, persons.Accepted, persons.Rejected} {
				page, err := b.persons.Suggestions(outsider, persons.SuggestionQuery{State: state})
				require.NoError(t, err)
				require.Empty(t, page.Items)
			}
		})
	}
	p, err := b.persons.Get(b.A.WorkspaceCtx, mine)
	require.NoError(t, err)
	require.Len(t, p.Links, 2)
	b.requireSound(t)
}

// A company links across its workspaces. Each of those sees its own recipients, and cannot
// change what reaches beyond it; when the company takes it apart, what a workspace had is back.
func TestAcrossWorkspaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, elsewhereDomain := b.workspace(t, b.A, "elsewhere")
	here, there := b.addMany(b.A.Ctx, t, 3), b.addMany(elsewhereDomain, t, 2)
	inside, err := b.persons.Link(b.A.WorkspaceCtx, here[:2])
	require.NoError(t, err)
	across, err := b.persons.Link(b.A.CompanyCtx, []persons.Ref{here[0], there[0]})
	require.NoError(t, err)
	b.requireSound(t)

	p, err := b.persons.Get(b.A.CompanyCtx, inside)
	require.NoError(t, err)
	require.Equal(t, across, p.ID)
	require.Nil(t, p.WorkspaceID)
	require.ElementsMatch(t, []persons.Ref{here[0], here[1], there[0]}, of(p))
	p, err = b.persons.PersonOf(b.A.WorkspaceCtx, here[0])
	require.NoError(t, err)
	require.ElementsMatch(t, here[:2], of(p), "a workspace sees its own")
	p, err = b.persons.Get(elsewhere, across)
	require.NoError(t, err)
	require.Equal(t, there[:1], of(p))
	_, err = b.persons.Get(elsewhere, inside)
	require.ErrorIs(t, err, persons.ErrNotFound)

	require.ErrorIs(t, b.persons.Unlink(elsewhere, there[0]), persons.ErrAcross)
	_, err = b.persons.Link(elsewhere, there)
	require.ErrorIs(t, err, persons.ErrAcross)
	require.ErrorIs(t, b.persons.UndoMerge(b.A.WorkspaceCtx, inside), persons.ErrAcross)
	trail, err := b.Audit.List(elsewhere, audit.Query{ResourceType: "person"})
	require.NoError(t, err)
	require.Len(t, trail.Items, 1)
	require.Equal(t, []any{there[0].RecipientID.String()}, trail.Items[0].Metadata["recipients"], "nothing of the other workspace")

	require.NoError(t, b.persons.UndoMerge(b.A.CompanyCtx, inside))
	b.requireSound(t)
	require.Equal(t, inside, b.pointer(t, here[0]))
	require.Zero(t, b.pointer(t, there[0]))

	across, err = b.persons.Link(b.A.CompanyCtx, []persons.Ref{here[0], there[0], there[1]})
	require.NoError(t, err)
	require.NoError(t, b.persons.Unlink(b.A.WorkspaceCtx, here[1]), "its own link")
	require.Equal(t, across, b.pointer(t, here[0]))
	require.NoError(t, b.persons.Unlink(b.A.CompanyCtx, here[0]))
	require.Equal(t, across, b.pointer(t, there[0]))
	b.requireSound(t)
}
