package library_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/library"
)

func TestNamesAreUniquePerOwner(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, ctx := range w.owners() { // each owner for itself
		w.create(t, ctx, "Straße 1")
	}
	first := w.create(t, w.a1Ctx, "Other")
	for _, name := range []string{"Straße 1", "  STRASSE   1 ", "stras\u017Fe １"} {
		_, err := w.templates.Create(w.a1Ctx, library.New[template]{Name: name, Body: template{Subject: "x"}})
		require.ErrorIs(t, err, library.ErrNameTaken, name)
		_, err = w.templates.Update(w.a1Ctx, first.ID, library.Change[template]{Version: 1, Name: &name})
		require.ErrorIs(t, err, library.ErrNameTaken, name)
	}
	upper := "OTHER"
	_, err := w.templates.Update(w.a1Ctx, first.ID, library.Change[template]{Version: 1, Name: &upper}) // its own name is not in its way
	require.NoError(t, err)
	pages, err := library.NewType(w.store, "page", library.Spec[template]{})
	require.NoError(t, err)
	_, err = pages.Create(w.a1Ctx, library.New[template]{Name: "Other"}) // each type for itself
	require.NoError(t, err)
	_, err = pages.Get(w.a1Ctx, first.ID)
	require.Equal(t, library.ErrNotFound, err)

	require.NoError(t, w.templates.Delete(w.a1Ctx, first.ID))
	require.Equal(t, library.ErrNotFound, w.templates.Delete(w.a1Ctx, first.ID))
	w.create(t, w.a1Ctx, "other")
}

// atOnce runs fn twice at once and returns the errors.
func atOnce(fn func(i int) error) []error {
	errs := make([]error, 2)
	var g sync.WaitGroup
	for i := range errs {
		g.Go(func() { errs[i] = fn(i) })
	}
	g.Wait()
	return errs
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	oneFails := func(with error, errs []error) {
		t.Helper()
		if errs[0] != nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], with)
	}
	for round := range 5 {
		name := fmt.Sprintf("round %d", round)
		oneFails(library.ErrNameTaken, atOnce(func(int) error {
			_, err := w.templates.Create(w.a1Ctx, library.New[template]{Name: name, Body: template{Subject: "x"}})
			return err
		}))
		item := w.create(t, w.a1Ctx, name+" updated")
		oneFails(library.ErrVersionConflict, atOnce(func(i int) error {
			_, err := w.templates.Update(w.a1Ctx, item.ID, library.Change[template]{Version: 1, Body: &template{Subject: "x", Lines: i + 1}})
			return err
		}))
		oneFails(library.ErrNotFound, atOnce(func(int) error { return w.templates.Delete(w.a1Ctx, item.ID) }))
	}
	// One after the other: the second knew an older version.
	item := w.create(t, w.a1Ctx, "item")
	for _, want := range []error{nil, library.ErrVersionConflict} {
		_, err := w.templates.Update(w.a1Ctx, item.ID, library.Change[template]{Version: 1, Body: &template{Subject: "x"}})
		require.Equal(t, want, err)
	}
}

func TestEverythingWrongAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	fields := func(err error) []string {
		t.Helper()
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v)
		var out []string
		for _, f := range v.Fields {
			out = append(out, f.Field+" "+f.Code)
		}
		return out
	}
	item := w.create(t, w.a1Ctx, "item")
	_, err := w.templates.Create(w.a1Ctx, library.New[template]{Name: " "})
	require.Equal(t, []string{"name required", "body invalid"}, fields(err))
	long := strings.Repeat("é", 201)
	_, err = w.templates.Update(w.a1Ctx, item.ID, library.Change[template]{Name: &long, Body: &template{}})
	require.Equal(t, []string{"version required", "name too_long", "body invalid"}, fields(err))
	for _, name := range []string{"a\x00b", "a\nb", "a\xff"} {
		_, err = w.templates.Create(w.a1Ctx, library.New[template]{Name: name, Body: template{Subject: "x"}})
		require.Equal(t, []string{"name invalid_text"}, fields(err))
	}
	_, err = w.templates.Create(w.a1Ctx, library.New[template]{Name: "big", Body: template{Subject: strings.Repeat("x", 1<<20)}})
	require.Equal(t, []string{"body too_large"}, fields(err))
	_, err = w.templates.List(w.a1Ctx, library.Query{Level: "compny"})
	require.Equal(t, []string{"level unknown_level"}, fields(err))

	// What PostgreSQL refuses, and a name that is taken, leave a transaction as it was.
	require.NoError(t, w.DB.InTx(w.a1Ctx, func(tx *tenancy.Tx) error {
		_, err := w.templates.CreateTx(w.a1Ctx, tx, library.New[template]{Name: "nul", Body: template{Subject: "a\x00b"}})
		require.Equal(t, []string{"body not_storable"}, fields(err))
		_, err = w.templates.CreateTx(w.a1Ctx, tx, library.New[template]{Name: "item", Body: template{Subject: "x"}})
		require.ErrorIs(t, err, library.ErrNameTaken)
		_, err = w.templates.CreateTx(w.a1Ctx, tx, library.New[template]{Name: "third", Body: template{Subject: "x"}})
		return err
	}))
	for _, name := range []string{"", "Template", "1st", "e-mail", "template"} { // the last is there already
		_, err := library.NewType(w.store, name, library.Spec[template]{})
		require.ErrorContains(t, err, fmt.Sprintf("%q", name))
	}
}

func TestInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	w := setup(t)
	undo := errors.New("undo")
	var id library.ID
	require.ErrorIs(t, w.DB.InTx(w.a1Ctx, func(tx *tenancy.Tx) error {
		item, err := w.templates.CreateTx(w.a1Ctx, tx, library.New[template]{Name: "x", Body: template{Subject: "x"}})
		require.NoError(t, err)
		clone, err := w.templates.CloneTx(w.a1Ctx, tx, item.ID, library.CloneTo{Name: "y"})
		require.NoError(t, err)
		id = clone.ID
		state, err := w.templates.SourceTx(w.a1Ctx, tx, clone.ID)
		require.NoError(t, err)
		require.Equal(t, item.ID, state.Latest.ID)
		_, err = w.templates.GetTx(w.a1Ctx, tx, clone.ID)
		require.NoError(t, err)
		// Another tenant's context is a mistake, and not an empty library.
		_, err = w.templates.CreateTx(w.a2Ctx, tx, library.New[template]{Name: "x", Body: template{Subject: "x"}})
		require.ErrorContains(t, err, "another tenant")
		return undo
	}), undo)
	_, err := w.templates.Get(w.a1Ctx, id)
	require.Equal(t, library.ErrNotFound, err)
}

func TestListPagesAndSearches(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i, ctx := range []context.Context{w.a1Ctx, w.platform, w.A.CompanyCtx, w.a1Ctx, w.A.CompanyCtx} {
		w.create(t, ctx, fmt.Sprintf("Mail %d%%", i))
	}
	w.create(t, w.a1Ctx, "another")
	list := func(q library.Query) (names []string, page tenancy.Page[library.Item[template]]) {
		t.Helper()
		page, err := w.templates.List(w.a1Ctx, q)
		require.NoError(t, err)
		for _, item := range page.Items {
			names = append(names, item.Name)
		}
		return names, page
	}
	names, page := list(library.Query{PageRequest: tenancy.PageRequest{PageSize: 2}})
	require.Equal(t, []any{[]string{"another", "Mail 0%"}, int64(6)}, []any{names, page.Total})
	second := library.Query{PageRequest: tenancy.PageRequest{PageSize: 2, Cursor: page.NextCursor}}
	w.create(t, w.a1Ctx, "aaa") // an item before it moves no page of a cursor
	names, page = list(second)
	require.Equal(t, []string{"Mail 1%", "Mail 2%"}, names)
	names, page = list(library.Query{PageRequest: tenancy.PageRequest{PageSize: 2, Cursor: page.NextCursor}})
	require.Equal(t, []any{[]string{"Mail 3%", "Mail 4%"}, false, ""}, []any{names, page.HasMore, page.NextCursor})

	names, _ = list(library.Query{Search: "MAIL  2%"})
	require.Equal(t, []string{"Mail 2%"}, names)
	names, _ = list(library.Query{Search: "ail"})
	require.Empty(t, names, "the beginning of a name")
	for level, want := range map[library.Level][]string{
		library.Global: {"Mail 1%"}, library.Company: {"Mail 2%", "Mail 4%"}, library.Workspace: {"Mail 0%", "Mail 3%"},
	} {
		names, page := list(library.Query{Level: level, Search: "mail"})
		require.Equal(t, want, names)
		require.EqualValues(t, len(want), page.Total)
	}
	for _, cursor := range []string{"x", "e30", "eyJuIjoiXHUwMDAwIiwiaWQiOiIwMTkwMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAifQ"} {
		_, err := w.templates.List(w.a1Ctx, library.Query{PageRequest: tenancy.PageRequest{Cursor: cursor}})
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	}
}

// Every change has its entry where the owner of the item looks for it.
func TestChangesAreAuditedWithTheOwner(t *testing.T) {
	t.Parallel()
	w := setup(t)
	item := w.create(t, w.a1Ctx, "x")
	_, err := w.templates.Update(w.A.CompanyCtx, item.ID, library.Change[template]{Version: 1, Body: &template{Subject: "y"}})
	require.NoError(t, err)
	clone, err := w.templates.Clone(w.A.CompanyCtx, item.ID, library.CloneTo{})
	require.NoError(t, err)
	_, err = w.templates.Pull(w.A.CompanyCtx, clone.ID, 1)
	require.NoError(t, err)
	require.NoError(t, w.templates.Delete(w.A.CompanyCtx, item.ID))
	w.create(t, w.platform, "global")

	const entries = `SELECT action || ' ' || coalesce(workspace_id::text, '') || ' ' || (metadata->>'version') FROM strata.audit_entries
		WHERE company_id = $1 AND resource_type = 'library_item' ORDER BY id`
	of := " " + w.A.WorkspaceID.String() + " "
	require.Equal(t, []string{
		"library_item.created" + of + "1", "library_item.updated" + of + "2", "library_item.cloned  1", "library_item.pulled  2", "library_item.deleted" + of + "2",
	}, column[string](t, w.A.CompanyCtx, w, entries, w.A.CompanyID))
	require.Equal(t, []string{"library_item.created  1"}, column[string](t, w.platform, w, entries, "ffffffff-ffff-ffff-ffff-ffffffffffff"))
}
