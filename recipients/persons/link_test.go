package persons_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
	"github.com/stratakit/strata/tenancy"
)

func TestLinkAndUnlink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.WorkspaceCtx
	other := b.Domain(t, b.A, "second.example")
	ada, work, old := b.add(b.A.Ctx, t, "ada@example.com", "Ada"), b.add(other, t, "ada@work.example", "Ada L"), b.add(other, t, "old@work.example", "Ada")

	id, err := b.persons.Link(ctx, []persons.Ref{ada, work})
	require.NoError(t, err)
	p, err := b.persons.Get(ctx, id)
	require.NoError(t, err)
	require.ElementsMatch(t, []persons.Ref{ada, work}, of(p))
	require.Equal(t, b.A.WorkspaceID, *p.WorkspaceID)
	for _, l := range p.Links {
		require.Equal(t, persons.Manual, l.Method)
		require.InDelta(t, 1, l.Confidence, 0)
		require.Equal(t, b.A.Actor.ID, l.LinkedBy)
		require.NotEmpty(t, l.Email, "addresses are those of the recipients")
	}
	r, err := b.recipients.Get(b.A.Ctx, ada.RecipientID)
	require.NoError(t, err)
	require.Equal(t, id, *r.PersonID)
	require.EqualValues(t, 1, r.Version, "the version guards what a user edits")

	again, err := b.persons.Link(ctx, []persons.Ref{work, old, work})
	require.NoError(t, err)
	require.Equal(t, id, again, "the third joins")
	p, err = b.persons.PersonOf(ctx, old)
	require.NoError(t, err)
	require.Len(t, p.Links, 3)
	b.requireSound(t)

	require.NoError(t, b.persons.Unlink(ctx, old))
	require.ErrorIs(t, b.persons.Unlink(ctx, old), persons.ErrNotLinked)
	require.Zero(t, b.pointer(t, old))
	require.Equal(t, id, b.pointer(t, work))
	require.NoError(t, b.persons.Unlink(ctx, work))
	require.Zero(t, b.pointer(t, ada), "one recipient alone is no person")
	_, err = b.persons.Get(ctx, id)
	require.ErrorIs(t, err, persons.ErrNotFound)
	_, err = b.persons.PersonOf(ctx, ada)
	require.ErrorIs(t, err, persons.ErrNotFound)
	b.requireSound(t)

	rejected, err := b.persons.Suggestions(ctx, persons.SuggestionQuery{State: persons.Rejected})
	require.NoError(t, err)
	require.Len(t, rejected.Items, 3, "what was taken apart stays apart")
	_, err = b.persons.Link(ctx, []persons.Ref{ada, work})
	require.NoError(t, err)
	rejected, err = b.persons.Suggestions(ctx, persons.SuggestionQuery{State: persons.Rejected})
	require.NoError(t, err)
	require.Len(t, rejected.Items, 2, "but by hand")

	trail, err := b.Audit.List(ctx, audit.Query{ResourceType: "person"})
	require.NoError(t, err)
	actions := []string{}
	for _, e := range trail.Items {
		actions = append(actions, e.Action)
	}
	require.Equal(t, []string{"person.linked", "person.unlinked", "person.unlinked", "person.linked", "person.linked"}, actions)
}

func TestLinkRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.WorkspaceCtx
	refs := b.addMany(b.A.Ctx, t, persons.MaxRecipients+1)
	var v *tenancy.ValidationError
	_, err := b.persons.Link(ctx, []persons.Ref{refs[0], refs[0]})
	require.ErrorAs(t, err, &v)
	_, err = b.persons.Link(ctx, refs)
	require.ErrorAs(t, err, &v)
	_, err = b.persons.Link(ctx, []persons.Ref{refs[0], {DomainID: refs[0].DomainID}})
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = b.persons.Link(ctx, refs[1:])
	require.NoError(t, err)
	_, err = b.persons.Link(ctx, refs[:2])
	require.ErrorIs(t, err, persons.ErrTooMany)
	require.NoError(t, b.recipients.Delete(b.A.Ctx, refs[0].RecipientID))
	_, err = b.persons.Link(ctx, refs[:2])
	require.ErrorIs(t, err, recipients.ErrNotFound, "deleted")
	_, err = b.persons.Link(t.Context(), refs[:2])
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	b.requireSound(t)
}

// A merge is undone to what was, whatever came in between.
func TestMergeAndUndo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.WorkspaceCtx
	refs := b.addMany(b.A.Ctx, t, 7)
	link := func(refs ...persons.Ref) persons.ID {
		id, err := b.persons.Link(ctx, refs)
		require.NoError(t, err)
		return id
	}
	first, second, third := link(refs[0], refs[1]), link(refs[2], refs[3]), link(refs[4], refs[5])
	id, err := b.persons.Merge(ctx, first, second)
	require.NoError(t, err)
	require.Equal(t, first, id)
	id, err = b.persons.Merge(ctx, third, first)
	require.NoError(t, err)
	require.Equal(t, third, id)
	id, err = b.persons.Merge(ctx, second, first)
	require.NoError(t, err)
	require.Equal(t, third, id, "they are one")
	for _, merged := range []persons.ID{first, second, third} {
		p, err := b.persons.Get(ctx, merged)
		require.NoError(t, err)
		require.Equal(t, third, p.ID)
		require.Len(t, p.Links, 6)
	}
	require.Equal(t, third, link(refs[0], refs[6]))
	b.requireSound(t)

	require.ErrorIs(t, b.persons.UndoMerge(ctx, third), persons.ErrNotLinked)
	require.NoError(t, b.persons.UndoMerge(ctx, first))
	b.requireSound(t)
	require.Equal(t, []persons.ID{first, first, first, first, third, third, third}, []persons.ID{
		b.pointer(t, refs[0]), b.pointer(t, refs[1]), b.pointer(t, refs[2]), b.pointer(t, refs[3]), b.pointer(t, refs[4]), b.pointer(t, refs[5]), b.pointer(t, refs[6]),
	}, "what was linked to the whole stays with it")
	require.NoError(t, b.persons.Unlink(ctx, refs[1]))
	require.NoError(t, b.persons.UndoMerge(ctx, second))
	require.Equal(t, second, b.pointer(t, refs[2]))
	require.Zero(t, b.pointer(t, refs[0]), "the first has one recipient left")
	b.requireSound(t)
}

func TestLinkInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refs := b.addMany(b.A.Ctx, t, 2)
	require.NoError(t, b.DB.InTx(b.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := b.persons.LinkTx(b.A.Ctx, tx, []persons.Ref{refs[0], {DomainID: refs[0].DomainID}})
		require.ErrorIs(t, err, recipients.ErrNotFound)
		r, err := b.recipients.CreateTx(b.A.Ctx, tx, recipients.New{Email: "third@example.com"})
		require.NoError(t, err, "in its scope, after an error")
		id, err := b.persons.LinkTx(b.A.Ctx, tx, append(refs, persons.Ref{DomainID: refs[0].DomainID, RecipientID: r.ID}))
		require.NoError(t, err)
		require.NotZero(t, id)
		return b.recipients.DeleteTx(b.A.Ctx, tx, r.ID)
	}))
	p, err := b.persons.PersonOf(b.A.WorkspaceCtx, refs[0])
	require.NoError(t, err)
	require.Len(t, p.Links, 2, "the third is deleted")
	b.requireSound(t)
}

// A deleted recipient is passed over and its link comes back with it.
func TestDeleteAndRestore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.WorkspaceCtx
	refs := b.addMany(b.A.Ctx, t, 2)
	id, err := b.persons.Link(ctx, refs)
	require.NoError(t, err)
	require.NoError(t, b.recipients.Delete(b.A.Ctx, refs[0].RecipientID))
	p, err := b.persons.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, refs[1:], of(p))
	_, err = b.persons.PersonOf(ctx, refs[0])
	require.ErrorIs(t, err, persons.ErrNotFound)
	_, err = b.recipients.Restore(b.A.Ctx, refs[0].RecipientID)
	require.NoError(t, err)
	p, err = b.persons.PersonOf(ctx, refs[0])
	require.NoError(t, err)
	require.Len(t, p.Links, 2)
}
