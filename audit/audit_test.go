package audit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func record(t *testing.T, e *tenancytest.Env, c *tenancytest.Company, entries ...audit.Entry) {
	t.Helper()
	require.NoError(t, e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error { return e.Audit.RecordTx(c.Ctx, tx, entries...) }))
}

func actions(p tenancy.Page[audit.Entry]) []string {
	out := make([]string, 0, len(p.Items))
	for _, e := range p.Items {
		out = append(out, e.Action)
	}
	return out
}

func TestRecordTxCommitsOrRollsBackWithItsChange(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	boom := errors.New("boom")
	require.ErrorIs(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		return errors.Join(e.Audit.RecordTx(e.A.Ctx, tx, audit.Entry{Action: "never.happened"}), boom)
	}), boom)
	actor := e.A.Actor
	actor.IP, actor.UserAgent, actor.RequestID = "192.0.2.7", "agent/1", "req-1"
	ctx := tenancy.WithActor(e.A.Ctx, actor)
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		return e.Audit.RecordTx(ctx, tx,
			audit.Entry{Action: "one.done", ResourceType: "one", ResourceID: "1", Metadata: map[string]any{"n": 1.0}},
			audit.Entry{Action: "two.failed", Status: audit.Failure, ErrorMessage: "why"})
	}))
	page, err := e.Audit.List(e.A.Ctx, audit.Query{})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"one.done", "two.failed", "domain.created"}, actions(page))
	one, err := e.Audit.List(e.A.Ctx, audit.Query{Action: "one.done"})
	require.NoError(t, err)
	require.Len(t, one.Items, 1)
	got := one.Items[0]
	require.WithinDuration(t, time.Now(), got.OccurredAt, time.Minute)
	got.OccurredAt, got.ID = time.Time{}, audit.ID{}
	require.Equal(t, audit.Entry{
		Action: "one.done", ResourceType: "one", ResourceID: "1", Status: audit.Success, Metadata: map[string]any{"n": 1.0},
		ActorID: actor.ID, ActorType: tenancy.ActorUser, ActorEmail: actor.Email, IP: "192.0.2.7", UserAgent: "agent/1", RequestID: "req-1",
		CompanyID: e.A.CompanyID, WorkspaceID: e.A.WorkspaceID, DomainID: e.A.DomainID,
	}, got)
}

func TestHostileTextNeverFailsTheMutation(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	actor := e.A.Actor
	actor.UserAgent = strings.Repeat("é", 4000) + "\x00"
	actor.RequestID = "\xff\xfe\x00"
	ctx := tenancy.WithActor(e.A.Ctx, actor)
	require.NoError(t, e.Audit.Record(ctx, audit.Entry{
		Action: "x.y", ErrorMessage: strings.Repeat("\x00", 5000), Metadata: map[string]any{"k": "a\x00b", "bad": "\xff"},
	}))
	page, err := e.Audit.List(ctx, audit.Query{Action: "x.y"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.LessOrEqual(t, len(page.Items[0].UserAgent), 512)
	require.Equal(t, "a\ufffdb", page.Items[0].Metadata["k"])
	require.ErrorIs(t, e.Audit.Record(ctx, audit.Entry{}), audit.ErrNoAction)
}

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

func TestEntriesNeverCrossTenants(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	record(t, e, e.A, audit.Entry{Action: "secret.done"})
	page, err := e.Audit.List(e.B.CompanyCtx, audit.Query{Action: "secret.done"})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.Zero(t, page.Total)
	_, err = e.Audit.List(t.Context(), audit.Query{})
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	// A second workspace of the same company: the company sees both, the workspaces only their own.
	w, err := e.Store.CreateWorkspace(e.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	second := tenancy.WithTenant(e.A.Ctx, tenancy.Tenant{CompanyID: e.A.CompanyID, WorkspaceID: w.ID})
	page, err = e.Audit.List(second, audit.Query{})
	require.NoError(t, err)
	require.Equal(t, []string{"workspace.created"}, actions(page))
	page, err = e.Audit.List(e.A.CompanyCtx, audit.Query{})
	require.NoError(t, err)
	require.Contains(t, actions(page), "secret.done")
	require.Contains(t, actions(page), "company.created")

	for _, c := range []*tenancytest.Company{e.A, e.B} { // the second wall
		require.NoError(t, e.DB.InTx(c.Ctx, func(tx *tenancy.Tx) error {
			rows, err := tx.Query(c.Ctx, `SELECT DISTINCT company_id FROM strata.audit_entries`)
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[tenancy.CompanyID])
			require.NoError(t, err)
			require.Equal(t, []tenancy.CompanyID{c.CompanyID}, ids)
			return nil
		}))
	}
}

func TestEntriesAreAppendOnly(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	record(t, e, e.A, audit.Entry{Action: "kept.done"})
	for _, q := range []string{
		`UPDATE strata.audit_entries SET action = 'forged'`, `DELETE FROM strata.audit_entries`, `TRUNCATE strata.audit_entries`,
	} {
		err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error { _, err := tx.Exec(e.A.Ctx, q); return err })
		require.ErrorContains(t, err, "permission denied", q)
	}
	err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.A.Ctx, `INSERT INTO strata.audit_entries (company_id, id, occurred_at, actor_type, action, status) VALUES ($1, $2, now(), 'user', 'planted', 'success')`,
			e.B.CompanyID, tenancy.NewID[audit.Entry]())
		return err
	})
	require.ErrorContains(t, err, "row-level security")
}
