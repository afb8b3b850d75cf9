package library_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/library"
)

func TestCloneFollowsItsSource(t *testing.T) {
	t.Parallel()
	w := setup(t)
	change := func(item library.Item[template], c library.Change[template]) library.Item[template] {
		t.Helper()
		c.Version = item.Version
		out, err := w.templates.Update(w.platform, item.ID, c)
		require.NoError(t, err)
		return out
	}
	source := w.create(t, w.platform, "Welcome")
	clone, err := w.templates.Clone(w.a1Ctx, source.ID, library.CloneTo{})
	require.NoError(t, err)
	require.Equal(t, &library.Source{ID: source.ID, Version: 1}, clone.Source)
	require.Equal(t, library.Owner{Level: library.Workspace, CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}, clone.Owner)
	require.Equal(t, []any{"Welcome", source.Body, w.A.Actor.ID}, []any{clone.Name, clone.Body, clone.CreatedBy})

	// A change of the clone, or another name of the source, is no news.
	own := template{Subject: "Our own"}
	clone, err = w.templates.Update(w.a1Ctx, clone.ID, library.Change[template]{Version: clone.Version, Body: &own})
	require.NoError(t, err)
	name, same := "Greeting", source.Body
	source = change(source, library.Change[template]{Name: &name, Body: &same})
	state, err := w.templates.Source(w.a1Ctx, clone.ID)
	require.NoError(t, err)
	require.False(t, state.Changed)
	require.Equal(t, "Greeting", state.Latest.Name)

	// A change of its body is.
	source = change(source, library.Change[template]{Body: &template{Subject: "Hello", Lines: 2}})
	state, err = w.templates.Source(w.a1Ctx, clone.ID)
	require.NoError(t, err)
	require.Equal(t, library.SourceState[template]{Changed: true, Latest: &source}, state)
	_, err = w.templates.Pull(w.a1Ctx, clone.ID, clone.Version-1)
	require.ErrorIs(t, err, library.ErrVersionConflict)
	clone, err = w.templates.Pull(w.a1Ctx, clone.ID, clone.Version)
	require.NoError(t, err)
	require.Equal(t, []any{"Welcome", source.Body, &library.Source{ID: source.ID, Version: source.Version}}, []any{clone.Name, clone.Body, clone.Source})
	state, err = w.templates.Source(w.a1Ctx, clone.ID)
	require.NoError(t, err)
	require.False(t, state.Changed)

	// A source that is gone leaves the clone as it is.
	require.NoError(t, w.templates.Delete(w.platform, source.ID))
	state, err = w.templates.Source(w.a1Ctx, clone.ID)
	require.NoError(t, err)
	require.Equal(t, library.SourceState[template]{Gone: true}, state)
	_, err = w.templates.Pull(w.a1Ctx, clone.ID, clone.Version)
	require.Equal(t, library.ErrSourceGone, err)
	left, err := w.templates.Get(w.a1Ctx, clone.ID)
	require.NoError(t, err)
	require.Equal(t, clone, left)

	_, err = w.templates.Source(w.a2Ctx, w.create(t, w.a2Ctx, "no clone").ID)
	require.Equal(t, library.ErrNoSource, err)
}

func TestCloneOfAClone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.create(t, w.a1Ctx, "first") // a workspace's, which its company shares with the others
	second, err := w.templates.Clone(w.A.CompanyCtx, first.ID, library.CloneTo{})
	require.NoError(t, err)
	third, err := w.templates.Clone(w.a2Ctx, second.ID, library.CloneTo{Name: "third"})
	require.NoError(t, err)
	require.Equal(t, second.ID, third.Source.ID)

	// The news go from one to the next.
	_, err = w.templates.Update(w.a1Ctx, first.ID, library.Change[template]{Version: 1, Body: &template{Subject: "new"}})
	require.NoError(t, err)
	state, err := w.templates.Source(w.a2Ctx, third.ID)
	require.NoError(t, err)
	require.False(t, state.Changed)
	_, err = w.templates.Pull(w.A.CompanyCtx, second.ID, 1)
	require.NoError(t, err)
	third, err = w.templates.Pull(w.a2Ctx, third.ID, 1)
	require.NoError(t, err)
	require.Equal(t, "new", third.Body.Subject)

	// Through what it sees of its company's, a workspace does not look into another.
	state, err = w.templates.Source(w.a2Ctx, second.ID)
	require.NoError(t, err)
	require.Equal(t, library.SourceState[template]{Gone: true}, state)
	// What it owns of the same name is in the way of a clone.
	_, err = w.templates.Clone(w.a1Ctx, second.ID, library.CloneTo{})
	require.ErrorIs(t, err, library.ErrNameTaken)
}

// A version of the program that asks for more than the one that wrote the items.
func TestBodiesOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	w := setup(t)
	old, err := library.NewStore(w.DB, w.Audit, nil)
	require.NoError(t, err)
	earlier, err := library.NewType(old, "template", library.Spec[map[string]any]{})
	require.NoError(t, err)
	empty, err := earlier.Create(w.A.CompanyCtx, library.New[map[string]any]{Name: "b empty", Body: map[string]any{"kept": true}})
	require.NoError(t, err)
	wrong, err := earlier.Create(w.A.CompanyCtx, library.New[map[string]any]{Name: "c wrong", Body: map[string]any{"subject": 5}})
	require.NoError(t, err)
	w.create(t, w.A.CompanyCtx, "a fine")

	page, err := w.templates.List(w.a1Ctx, library.Query{})
	require.NoError(t, err)
	require.Len(t, page.Items, 3)
	require.NoError(t, page.Items[0].Invalid)
	require.EqualError(t, page.Items[1].Invalid, "needs a subject")
	require.ErrorContains(t, page.Items[2].Invalid, "cannot unmarshal number")
	require.JSONEq(t, `{"subject":5}`, string(page.Items[2].Raw))

	// They do not spread, but they can be renamed, corrected and deleted.
	var v *tenancy.ValidationError
	_, err = w.templates.Clone(w.a1Ctx, empty.ID, library.CloneTo{})
	require.ErrorAs(t, err, &v)
	require.Equal(t, []tenancy.FieldError{{Field: "body", Code: "invalid", Message: "needs a subject"}}, v.Fields)
	name := "renamed"
	renamed, err := w.templates.Update(w.A.CompanyCtx, empty.ID, library.Change[template]{Version: 1, Name: &name})
	require.NoError(t, err)
	require.Error(t, renamed.Invalid)
	require.JSONEq(t, `{"kept":true}`, string(renamed.Raw))
	corrected, err := w.templates.Update(w.A.CompanyCtx, wrong.ID, library.Change[template]{Version: 1, Body: &template{Subject: "right"}})
	require.NoError(t, err)
	require.NoError(t, corrected.Invalid)
	require.NoError(t, w.templates.Delete(w.A.CompanyCtx, empty.ID))
}

// A clone has what its source has, also what this version of the program does not know.
func TestCloneKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other, err := library.NewStore(w.DB, w.Audit, nil)
	require.NoError(t, err)
	newer, err := library.NewType(other, "template", library.Spec[map[string]any]{})
	require.NoError(t, err)
	source, err := newer.Create(w.A.CompanyCtx, library.New[map[string]any]{Name: "x", Body: map[string]any{"subject": "x", "footer": "y"}})
	require.NoError(t, err)
	clone, err := w.templates.Clone(w.a1Ctx, source.ID, library.CloneTo{})
	require.NoError(t, err)
	require.JSONEq(t, `{"subject":"x","footer":"y"}`, string(clone.Raw))
}
