package recipients_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

func TestRestoreSaysWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	first := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.store.Delete(ctx, first.ID))
	second := b.create(ctx, t, recipients.New{Email: "ADA@example.com"})
	taken := func(err error, by recipients.ID) {
		t.Helper()
		require.ErrorIs(t, err, recipients.ErrEmailTaken)
		var e *recipients.EmailTakenError
		require.ErrorAs(t, err, &e)
		require.Equal(t, by, e.ID)
	}
	_, err := b.store.Restore(ctx, first.ID)
	taken(err, second.ID)
	_, err = b.store.Create(ctx, recipients.New{Email: "ada@example.com"})
	taken(err, second.ID)
	third := b.create(ctx, t, recipients.New{Email: "third@example.com"})
	_, err = b.store.Update(ctx, third.ID, recipients.Change{Email: ptr("ada@example.com")})
	taken(err, second.ID)

	// In another domain the same address is in nobody's way.
	elsewhere := b.Domain(t, b.A, "second.example")
	theirs := b.create(elsewhere, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.store.Delete(ctx, second.ID))
	back, err := b.store.Restore(ctx, first.ID)
	require.NoError(t, err)
	require.Nil(t, back.DeletedAt)
	_, err = b.store.Get(elsewhere, theirs.ID)
	require.NoError(t, err)
	_, err = b.store.RestoreMany(ctx, []recipients.ID{second.ID})
	require.Equal(t, map[string]string{"[0].email": "email_taken"}, problems(t, err))
	require.ErrorContains(t, err, first.ID.String())

	// Two that had the same address.
	require.NoError(t, b.store.Delete(ctx, first.ID))
	_, err = b.store.RestoreMany(ctx, []recipients.ID{first.ID, second.ID})
	require.Equal(t, map[string]string{"[1].email": "duplicate"}, problems(t, err))

	// The caller's transaction goes on.
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		_, err := b.store.RestoreTx(ctx, tx, third.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound)
		_, err = b.store.RestoreTx(ctx, tx, second.ID)
		require.NoError(t, err)
		_, err = b.store.RestoreTx(ctx, tx, first.ID)
		taken(err, second.ID)
		return nil
	}))
	require.EqualValues(t, 3, b.used(ctx, t), "second and third, and the other domain's")
}

func TestRestoreMeetsThePlan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.Company(t, "free")
	r := b.create(c.Ctx, t, recipients.New{Email: "ada@example.com"})
	require.NoError(t, b.store.Delete(c.Ctx, r.ID))
	require.NoError(t, b.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
		return errors.Join(b.Limits.Consume(c.Ctx, tx, billing.ResourceRecipients, 1_000), b.Audit.RecordTx(c.Ctx, tx, audit.Entry{Action: "test"}))
	}))
	_, err := b.store.Restore(c.Ctx, r.ID)
	require.ErrorIs(t, err, billing.ErrLimit)
	still, err := b.store.GetDeleted(c.Ctx, r.ID)
	require.NoError(t, err)
	require.NotNil(t, still.DeletedAt)
}

// What a definition would not take any more comes back all the same, as it stays in a
// recipient that was there all the time; the next write of the field is held to it.
func TestRestoreWhenDefinitionsHaveChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: "ada@example.com", CustomFields: map[string]any{"tier": "gold", "seats": 30}})
	require.NoError(t, b.store.Delete(ctx, r.ID))
	_, err := b.fields.Update(b.A.WorkspaceCtx, "seats", customfields.Change{Constraints: &customfields.Constraints{Max: 10}})
	require.NoError(t, err)
	_, err = b.fields.Update(b.A.WorkspaceCtx, "tier", customfields.Change{Options: &[]string{"silver"}, ArchivedOptions: &[]string{"gold"}})
	require.NoError(t, err)
	_, err = b.fields.Create(b.A.WorkspaceCtx, customfields.Field{Key: "note", Type: customfields.Text, Required: true})
	require.NoError(t, err)
	back, err := b.store.Restore(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, r.CustomFields, back.CustomFields)
	_, err = b.store.Update(ctx, r.ID, recipients.Change{CustomFields: map[string]any{"seats": 31}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	_, err = b.store.Update(ctx, r.ID, recipients.Change{Name: ptr("Ada")})
	require.NoError(t, err, "a write of something else goes through")
}

func TestConditionalCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.A.Ctx
	r := b.create(ctx, t, recipients.New{Email: "ada@example.com"})
	require.ErrorIs(t, b.store.Delete(ctx, r.ID, 2), recipients.ErrVersion)
	require.NoError(t, b.store.Delete(ctx, r.ID, 7, 1))
	_, err := b.store.Restore(ctx, r.ID, 1)
	require.ErrorIs(t, err, recipients.ErrVersion)
	require.ErrorContains(t, err, "it is 2")
	back, err := b.store.Restore(ctx, r.ID, 2)
	require.NoError(t, err)
	require.EqualValues(t, 3, back.Version)
	require.ErrorIs(t, b.store.Purge(ctx, []recipients.ID{r.ID}, 2), recipients.ErrVersion)
	require.NoError(t, b.store.Purge(ctx, []recipients.ID{r.ID}, 3))
}

// The trash of a domain, and what may be done with what is in it, is nobody else's.
func TestWhatIsDeletedNeverCrossesTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.create(b.A.Ctx, t, recipients.New{Email: "ada@example.com"})
	kept := b.create(b.A.Ctx, t, recipients.New{Email: "kept@example.com"})
	require.NoError(t, b.store.Delete(b.A.Ctx, r.ID))
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": b.Domain(t, b.A, "sibling.example")} {
		trash, err := b.store.List(ctx, recipients.Query{Deleted: true})
		require.NoError(t, err)
		require.Empty(t, trash.Items, name)
		_, err = b.store.GetDeleted(ctx, r.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		_, err = b.store.Restore(ctx, r.ID)
		require.ErrorIs(t, err, recipients.ErrNotFound, name)
		require.ErrorIs(t, b.store.Purge(ctx, []recipients.ID{r.ID}), recipients.ErrNotFound, name)
		require.ErrorIs(t, b.store.Purge(ctx, []recipients.ID{kept.ID}), recipients.ErrNotFound, name)
		require.Error(t, b.store.DeleteMany(ctx, []recipients.ID{kept.ID}), name)
		_, err = b.store.UpdateMany(ctx, []recipients.ID{kept.ID}, recipients.Change{Name: ptr("stolen")})
		require.Error(t, err, name)
		up, err := b.store.UpsertMany(ctx, []recipients.New{{Email: "kept@example.com", Name: "other"}})
		require.NoError(t, err)
		require.Equal(t, recipients.Created, up[0].Outcome, name)
	}
	got, err := b.store.Get(b.A.Ctx, kept.ID)
	require.NoError(t, err)
	require.Equal(t, kept, got)
	_, err = b.store.Get(b.A.Ctx, r.ID)
	require.ErrorIs(t, err, recipients.ErrNotFound)
	_, err = b.store.GetDeleted(b.A.Ctx, kept.ID)
	require.ErrorIs(t, err, recipients.ErrNotFound)
	page, err := b.store.List(b.A.Ctx, recipients.Query{Deleted: true})
	require.NoError(t, err)
	require.Equal(t, []recipients.ID{r.ID}, ids(page.Items))
}

func TestACursorIsOfOneOfTheTwoLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, err := b.store.CreateMany(b.A.Ctx, someNew(6))
	require.NoError(t, err)
	require.NoError(t, b.store.DeleteMany(b.A.Ctx, ids(made[3:])))
	q := recipients.Query{Deleted: true, PageRequest: tenancy.PageRequest{PageSize: 2}}
	first, err := b.store.List(b.A.Ctx, q)
	require.NoError(t, err)
	q.Cursor = first.NextCursor
	second, err := b.store.List(b.A.Ctx, q)
	require.NoError(t, err)
	require.ElementsMatch(t, ids(made[3:]), append(ids(first.Items), ids(second.Items)...))
	q.Deleted = false
	_, err = b.store.List(b.A.Ctx, q)
	require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
}
