package audit_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestListFiltersAndPages(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, name := range []string{"a.done", "b.done", "c.done", "d.done", "e.done"} {
		record(t, e, e.A, audit.Entry{Action: name, ResourceType: "thing", ResourceID: name})
	}
	things := audit.Query{ResourceType: "thing"}
	things.PageSize = 2
	first, err := e.Audit.List(e.A.Ctx, things)
	require.NoError(t, err)
	require.EqualValues(t, 5, first.Total)
	require.Equal(t, []string{"e.done", "d.done"}, actions(first))
	require.True(t, first.HasMore)

	record(t, e, e.A, audit.Entry{Action: "f.done", ResourceType: "thing"}) // must not shift the next page
	things.Cursor = first.NextCursor
	second, err := e.Audit.List(e.A.Ctx, things)
	require.NoError(t, err)
	require.Equal(t, []string{"c.done", "b.done"}, actions(second))
	things.Cursor = second.NextCursor
	third, err := e.Audit.List(e.A.Ctx, things)
	require.NoError(t, err)
	require.Equal(t, []string{"a.done"}, actions(third))
	require.False(t, third.HasMore)

	byPage := audit.Query{ResourceType: "thing", PageRequest: tenancy.PageRequest{Page: 3, PageSize: 2}}
	page, err := e.Audit.List(e.A.Ctx, byPage)
	require.NoError(t, err)
	require.Equal(t, []string{"b.done", "a.done"}, actions(page))

	for _, bad := range []string{"x", "AAAA", "%%%"} {
		_, err := e.Audit.List(e.A.Ctx, audit.Query{PageRequest: tenancy.PageRequest{Cursor: bad}})
		require.ErrorIs(t, err, tenancy.ErrInvalidCursor)
	}
	cut := second.Items[0].OccurredAt
	before, err := e.Audit.List(e.A.Ctx, audit.Query{ResourceType: "thing", To: cut})
	require.NoError(t, err)
	require.Equal(t, []string{"b.done", "a.done"}, actions(before))
	from, err := e.Audit.List(e.A.Ctx, audit.Query{ResourceType: "thing", From: cut})
	require.NoError(t, err)
	require.Equal(t, []string{"f.done", "e.done", "d.done", "c.done"}, actions(from))
}

func TestEachFilter(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	other := e.A.Actor
	other.ID = "other\x00user"
	ctx := tenancy.WithActor(e.A.Ctx, other)
	record(t, e, e.A,
		audit.Entry{Action: "one.done", ResourceType: "one", ResourceID: "1"},
		audit.Entry{Action: "one.done", ResourceType: "one", ResourceID: "2", Status: audit.Failure, ErrorMessage: "why"},
		audit.Entry{Action: "two.done", ResourceType: "two", ResourceID: "1"})
	require.NoError(t, e.Audit.Record(ctx, audit.Entry{Action: "one.done", ResourceType: "one", ResourceID: "3"}))
	for _, c := range []struct {
		query audit.Query
		want  []string
	}{
		{audit.Query{Action: "one.done"}, []string{"one/3", "one/2", "one/1"}},
		{audit.Query{ResourceType: "two"}, []string{"two/1"}},
		{audit.Query{ResourceID: "1", ActorID: e.A.Actor.ID}, []string{"two/1", "one/1"}},
		{audit.Query{ActorID: other.ID}, []string{"one/3"}},
		{audit.Query{Status: audit.Failure}, []string{"one/2"}},
		{audit.Query{Status: audit.Success, Action: "one.done"}, []string{"one/3", "one/1"}},
		{audit.Query{Action: "one"}, nil},
		{audit.Query{Action: "' OR true --"}, nil},
		{audit.Query{Action: "\xff\x00"}, nil},
	} {
		page, err := e.Audit.List(e.A.Ctx, c.query)
		require.NoError(t, err)
		var got []string
		for _, entry := range page.Items {
			got = append(got, entry.ResourceType+"/"+entry.ResourceID)
		}
		require.Equal(t, c.want, got, "%+v", c.query)
		require.EqualValues(t, len(c.want), page.Total)
	}
	var v *tenancy.ValidationError
	_, err := e.Audit.List(e.A.Ctx, audit.Query{Status: "done"})
	require.ErrorAs(t, err, &v)
	_, err = e.Audit.List(e.A.Ctx, audit.Query{PageRequest: tenancy.PageRequest{PageSize: 501}})
	require.ErrorAs(t, err, &v)
}

func TestADomainSeesOnlyItsEntries(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	second := e.Domain(t, e.A, "second.example")
	record(t, e, e.A, audit.Entry{Action: "first.done"})
	require.NoError(t, e.Audit.Record(second, audit.Entry{Action: "second.done"}))
	for _, c := range []struct {
		name string
		page func() (tenancy.Page[audit.Entry], error)
		want []string
	}{
		{"domain", func() (tenancy.Page[audit.Entry], error) { return e.Audit.List(e.A.Ctx, audit.Query{}) }, []string{"first.done"}},
		{"other domain", func() (tenancy.Page[audit.Entry], error) { return e.Audit.List(second, audit.Query{}) }, []string{"second.done"}},
		{"workspace", func() (tenancy.Page[audit.Entry], error) { return e.Audit.List(e.A.WorkspaceCtx, audit.Query{}) }, []string{"second.done", "first.done"}},
		{"company", func() (tenancy.Page[audit.Entry], error) { return e.Audit.List(e.A.CompanyCtx, audit.Query{}) }, []string{"second.done", "first.done"}},
	} {
		page, err := c.page()
		require.NoError(t, err)
		got := slices.DeleteFunc(actions(page), func(a string) bool { return a != "first.done" && a != "second.done" })
		require.Equal(t, c.want, got, c.name)
	}
}

// Entries of one call share their time: the cursor tells them apart by id. And counting
// stops where it gets dear.
func TestManyEntriesOfOneMoment(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	entries := make([]audit.Entry, 10_050)
	for i := range entries {
		entries[i] = audit.Entry{Action: "many.done", ResourceID: fmt.Sprint(i)}
	}
	record(t, e, e.A, entries...)
	q := audit.Query{Action: "many.done"}
	q.PageSize = 500
	first, err := e.Audit.List(e.A.Ctx, q)
	require.NoError(t, err)
	require.EqualValues(t, 10_001, first.Total)
	require.True(t, first.TotalIsEstimate)
	seen := map[string]bool{}
	for page := first; ; {
		for _, entry := range page.Items {
			require.False(t, seen[entry.ResourceID])
			seen[entry.ResourceID] = true
		}
		if !page.HasMore {
			break
		}
		q.Cursor = page.NextCursor
		page, err = e.Audit.List(e.A.Ctx, q)
		require.NoError(t, err)
		require.EqualValues(t, -1, page.Total)
	}
	require.Len(t, seen, len(entries))
	require.Equal(t, "10049", first.Items[0].ResourceID, "in the order they were given")
}

// One entry that cannot be read does not hide the others, whoever wrote it.
func TestMetadataThatCannotBeRead(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	for _, metadata := range []string{`[1]`, `{"n": 1e400}`, `{"n": 1}`} {
		require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
			_, err := tx.Exec(e.A.Ctx, `INSERT INTO strata.audit_entries (company_id, id, occurred_at, actor_type, action, status, metadata) VALUES ($1, $2, now(), 'user', 'own.sql', 'success', $3)`,
				e.A.CompanyID, tenancy.NewID[audit.Entry](), metadata)
			return err
		}))
	}
	page, err := e.Audit.List(e.A.CompanyCtx, audit.Query{Action: "own.sql"})
	require.NoError(t, err)
	require.Len(t, page.Items, 3)
	require.Equal(t, map[string]any{"n": 1.0}, page.Items[0].Metadata)
	for _, entry := range page.Items[1:] {
		require.Equal(t, map[string]any{"unreadable": true}, entry.Metadata)
	}
}
