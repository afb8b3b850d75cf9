package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
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
	require.Equal(t, "\ufffd", page.Items[0].RequestID[:3])

	metadata := map[string]any{
		"letters": `C:\u0000`, "raw": json.RawMessage(`"\ud800 \u0000 \\ud800"`), "number": json.RawMessage(`12345678901234567`),
		"nested": []any{map[string]any{"k\x00": "\x00"}},
		"huge":   []any{json.Number("1e400"), json.RawMessage(`-1e200000`)}, "tiny": json.RawMessage(`1e-20000`),
		"long": json.RawMessage("0.1" + strings.Repeat("0", 20_000) + "1"), "deep": json.RawMessage(strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999)),
	}
	require.NoError(t, e.Audit.Record(ctx, audit.Entry{Action: "x.z", Metadata: metadata}))
	page, err = e.Audit.List(ctx, audit.Query{Action: "x.z"})
	require.NoError(t, err)
	got := page.Items[0].Metadata
	require.Equal(t, `C:\u0000`, got["letters"], "a backslash and letters, and no NUL")
	require.Equal(t, "\ufffd \ufffd \\ud800", got["raw"])
	require.Equal(t, []any{map[string]any{"k\ufffd": "\ufffd"}}, got["nested"])
	require.Equal(t, []any{"1e400", "-1e200000"}, got["huge"])
	require.Equal(t, []any{0.0, 0.1}, []any{got["tiny"], got["long"]})
	require.Contains(t, fmt.Sprint(got["deep"]), "[too deep]")
	require.NoError(t, e.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		var digits string
		err := tx.QueryRow(ctx, `SELECT metadata->>'number' FROM strata.audit_entries WHERE action = 'x.z'`).Scan(&digits)
		require.Equal(t, "12345678901234567", digits, "what is in order is stored as it is")
		return err
	}))
	deepest := json.RawMessage(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))
	require.NoError(t, e.Audit.Record(ctx, audit.Entry{Action: "x.deepest", Metadata: map[string]any{"deep": deepest}}))
	page, err = e.Audit.List(ctx, audit.Query{})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"unreadable": true}, page.Items[0].Metadata)
	require.Contains(t, actions(page), "x.z", "and the trail goes on")

	require.NoError(t, e.Audit.Record(ctx, audit.Entry{Action: "x.large", Metadata: map[string]any{"all": strings.Repeat("x", 1<<20)}}))
	page, err = e.Audit.List(ctx, audit.Query{Action: "x.large"})
	require.NoError(t, err)
	require.Equal(t, true, page.Items[0].Metadata["truncated"])
	require.Greater(t, page.Items[0].Metadata["bytes"], float64(1<<20))
}

func TestMistakesOfTheProgramAreErrors(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	require.ErrorIs(t, e.Audit.Record(e.A.Ctx, audit.Entry{}), audit.ErrNoAction)
	require.ErrorIs(t, e.Audit.Record(e.A.Ctx, audit.Entry{Action: "x.y", Status: "done"}), audit.ErrStatus)
	require.ErrorContains(t, e.Audit.Record(e.A.Ctx, audit.Entry{Action: "x.y", Metadata: map[string]any{"f": func() {}}}), "metadata")
	require.ErrorIs(t, e.Audit.Record(t.Context(), audit.Entry{Action: "x.y"}), tenancy.ErrNoTenant)
	err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error { return e.Audit.RecordTx(e.B.Ctx, tx, audit.Entry{Action: "x.y"}) })
	require.ErrorIs(t, err, audit.ErrOtherTenant)
	_, err = audit.NewRecorder(nil, nil)
	require.Error(t, err)
	for _, c := range []*tenancytest.Company{e.A, e.B} {
		page, err := e.Audit.List(c.CompanyCtx, audit.Query{Action: "x.y"})
		require.NoError(t, err)
		require.Empty(t, page.Items)
	}
}

func TestTheClockIsTheRecorders(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	at := time.Date(2026, 5, 4, 3, 2, 1, 123_456_789, time.FixedZone("", 3*3600))
	r, err := audit.NewRecorder(e.DB, &audit.Config{Now: func() time.Time { return at }})
	require.NoError(t, err)
	require.NoError(t, r.Record(e.A.Ctx, audit.Entry{Action: "x.y"}))
	page, err := r.List(e.A.Ctx, audit.Query{Action: "x.y"})
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 5, 4, 0, 2, 1, 123_456_000, time.UTC), page.Items[0].OccurredAt)
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

	// An entry carries the id of the transaction that wrote it, and nobody else's.
	err = e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(e.A.Ctx, `INSERT INTO strata.audit_entries (company_id, id, occurred_at, actor_type, action, status, xid) VALUES ($1, $2, now(), 'user', 'forged', 'success', 3)`,
			e.A.CompanyID, tenancy.NewID[audit.Entry]())
		return err
	})
	require.ErrorContains(t, err, "permission denied")
	require.NoError(t, e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		if err := e.Audit.RecordTx(e.A.Ctx, tx, audit.Entry{Action: "a.done"}, audit.Entry{Action: "b.done"}); err != nil {
			return err
		}
		var n int
		err := tx.QueryRow(e.A.Ctx, `SELECT count(*) FROM strata.audit_entries WHERE xid = pg_current_xact_id()::text::bigint`).Scan(&n)
		require.Equal(t, 2, n)
		return err
	}))
}
