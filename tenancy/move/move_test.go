package move_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/fault"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

var tables = map[string]int{"strata.recipients": 120, "academy.progress": 130}

func TestMoveInsideACompany(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.fill(t, 120)
	w.academy(t, 130)
	from, to := move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}, move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.second}

	p, err := w.Mover.Preview(w.A.Ctx, w.second)
	require.NoError(t, err)
	require.False(t, p.Blocked, p.Findings)
	rows := map[string]int64{}
	for _, table := range p.Tables {
		rows[table.Schema+"."+table.Table] = table.Rows
	}
	require.Equal(t, map[string]int64{
		"academy.progress": 130, "strata.custom_field_uniques": 0, "strata.person_completions": 0, "strata.person_credits": 0, "strata.person_keys": 0, "strata.recipient_counts": 1, "strata.recipient_exports": 0, "strata.recipients": 120, "strata.runs": 0, "strata.run_batches": 0, "strata.run_attempts": 0, "strata.run_failures": 0, "strata.run_targets": 0, "strata.imports": 0, "strata.import_rows": 0, "strata.import_changes": 0,
	}, rows)

	started, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	require.Equal(t, []any{from, to, move.Preparing}, []any{started.From, started.To, started.State})
	tenant, err := w.Resolver.ResolveDomain(t.Context(), w.A.DomainID)
	require.NoError(t, err)
	require.True(t, tenant.Moving, "the resolver knows at once")
	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "late@example.com"})
	require.ErrorIs(t, err, tenancy.ErrMoving)
	_, err = w.Recipients.List(w.A.Ctx, recipients.Query{})
	require.NoError(t, err, "reading goes on")
	_, err = w.Mover.Start(w.A.Ctx, w.second)
	var already *move.AlreadyMovingError
	require.ErrorAs(t, err, &already)
	require.Equal(t, started.ID, already.ID)

	w.run()
	m := w.until(t, move.Done)
	rewritten, total := m.Rows()
	require.Equal(t, []int64{251, 251}, []int64{rewritten, total})
	for table, n := range tables {
		require.Equal(t, []int{0, n}, []int{w.at(t, table, from), w.at(t, table, to)}, table)
	}
	require.Equal(t, 5, w.count(t, w.B.Ctx, `SELECT count(*) FROM academy.progress WHERE company_id = $1`, w.B.CompanyID), "another domain is left alone")
	old, err := w.Recipients.Stats(w.A.WorkspaceCtx)
	require.NoError(t, err)
	now, err := w.Recipients.Stats(tenancy.WithTenant(t.Context(), tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: w.second}))
	require.NoError(t, err)
	require.Equal(t, []int64{0, 120}, []int64{old.Total, now.Total}, "the counts go along")
	require.Equal(t, []string{"domain.move_started", "domain.moved"}, append(w.trail(t, w.A, "domain.move_started"), w.trail(t, w.A, "domain.moved%")...))

	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "late@example.com"})
	require.ErrorIs(t, err, tenancy.ErrNotFound, "a tenant that is older than the move")
	tenant = w.resolved(t, w.second)
	ctx := tenancy.WithTenant(w.A.Ctx, tenant)
	_, err = w.Recipients.Create(ctx, recipients.New{Email: "late@example.com"})
	require.NoError(t, err)

	// Undoing it is another move.
	_, err = w.Mover.Start(ctx, w.A.WorkspaceID)
	require.NoError(t, err)
	w.until(t, move.Done)
	require.Equal(t, 121, w.at(t, "strata.recipients", from))
	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "later@example.com"})
	require.NoError(t, err)
}

func TestMoveToAnotherCompany(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.fill(t, 120)
	w.academy(t, 130)
	for _, f := range []customfields.Field{
		{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}}, {Key: "city", Type: customfields.Text}, {Key: "old", Type: customfields.Number},
	} {
		_, err := w.Fields.Create(w.A.WorkspaceCtx, f)
		require.NoError(t, err)
	}
	require.NoError(t, w.Fields.Archive(w.A.WorkspaceCtx, "old"))
	_, err := w.Fields.Create(w.B.WorkspaceCtx, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"silver", "bronze"}})
	require.NoError(t, err)
	before, err := w.Recipients.Create(w.A.Ctx, recipients.New{Email: "x@example.com", CustomFields: map[string]any{"tier": "gold", "city": "Oslo"}})
	require.NoError(t, err)
	from, to := move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}, move.Place{CompanyID: w.B.CompanyID, WorkspaceID: w.B.WorkspaceID}

	_, err = w.Mover.Start(w.A.Ctx, w.B.WorkspaceID)
	require.Equal(t, tenancy.ErrNotFound, err, "to a company's owner another company is not there")
	_, err = w.Mover.Preview(w.A.Ctx, w.B.WorkspaceID)
	require.Equal(t, tenancy.ErrNotFound, err)

	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error { // a name that is proven
		_, err := tx.Exec(t.Context(), `INSERT INTO strata.domain_checks (company_id, domain_id, due_at, missing, claim, claimed_until) VALUES ($1, $2, '2030-01-01Z', 2, $2, now())`,
			w.A.CompanyID, w.A.DomainID)
		return err
	}))

	w.run()
	_, err = w.Mover.Start(platform(w.A.Ctx), w.B.WorkspaceID)
	require.NoError(t, err)
	w.until(t, move.Done)
	var checks string
	require.NoError(t, w.DB.Read(w.B.CompanyCtx, `SELECT string_agg(concat_ws(' ', domain_id, due_at::date, missing, claim), ',') FROM strata.domain_checks`, nil, func(rows pgx.Rows) (err error) {
		checks, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
		return err
	}))
	require.Equal(t, w.A.DomainID.String()+" 2030-01-01 2", checks, "what is known of the name goes along, who was looking does not")
	for table, n := range map[string]int{"strata.recipients": 121, "academy.progress": 130} {
		require.Equal(t, []int{0, n}, []int{w.at(t, table, from), w.at(t, table, to)}, table)
	}
	require.Equal(t, []int64{0, 0, 2}, []int64{w.used(t, w.A, "recipients"), w.used(t, w.A, "domains"), w.used(t, w.A, "custom_fields")})
	require.Equal(t, []int64{121, 2, 2}, []int64{w.used(t, w.B, "recipients"), w.used(t, w.B, "domains"), w.used(t, w.B, "custom_fields")})
	require.Equal(t, []string{"domain.moved_out"}, w.trail(t, w.A, "domain.moved%"))
	require.Equal(t, []string{"domain.moved_in"}, w.trail(t, w.B, "domain.%"))

	// It is B's, and no more A's.
	_, err = w.Store.Domain(w.A.CompanyCtx, w.A.DomainID)
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	d, err := w.Store.Domain(w.B.CompanyCtx, w.A.DomainID)
	require.NoError(t, err)
	require.Equal(t, "company-1.example", d.DomainName)
	_, err = w.Recipients.Update(w.A.Ctx, before.ID, recipients.Change{})
	require.ErrorIs(t, err, tenancy.ErrNotFound)
	_, err = w.Recipients.Get(w.A.Ctx, before.ID)
	require.ErrorIs(t, err, tenancy.ErrNotFound, "to read either")
	tenant := w.resolved(t, w.B.WorkspaceID)
	require.Equal(t, w.B.CompanyID, tenant.CompanyID)
	ctx := tenancy.WithActor(tenancy.WithTenant(t.Context(), tenant), w.B.Actor)
	after, err := w.Recipients.Get(ctx, before.ID)
	require.NoError(t, err)
	require.Equal(t, before.CustomFields, after.CustomFields)
	_, err = w.Recipients.Update(ctx, before.ID, recipients.Change{CustomFields: map[string]any{"tier": "gold", "city": "Rome", "old": nil}})
	require.NoError(t, err, "what its values were is allowed there")
	_, err = w.Mover.Get(ctx)
	require.ErrorIs(t, err, move.ErrNotFound, "where it came from is not B's to know")
	_, err = w.Mover.Cancel(platform(ctx))
	require.ErrorIs(t, err, move.ErrState)
}

// What is in the way of a flip leaves everything as it was, and the domain fenced, until
// somebody decides.
func TestNoRoomWhenItGoesOver(t *testing.T) {
	t.Parallel()
	full := true
	h := &hook{}
	w := open(t, h)
	w.fill(t, 120)
	w.academy(t, 130)
	h.moved = func(ctx context.Context, tx *tenancy.Tx, m move.Move) error {
		if !full {
			return nil
		}
		return tx.As(ctx, m.Target(), func(ctx context.Context, tx *tenancy.Tx) error { // somebody was faster
			_, err := tx.Exec(ctx, `UPDATE strata.usage SET limit_value = used WHERE company_id = $1 AND resource = 'recipients'`, w.B.CompanyID)
			return err
		})
	}
	ctx := platform(w.A.Ctx)
	_, err := w.Mover.Start(ctx, w.B.WorkspaceID)
	require.NoError(t, err)
	w.run()
	m := w.until(t, move.Failed)
	require.Equal(t, "limit_exceeded", m.ErrorCode)
	require.Contains(t, m.PublicError(), "120")
	require.Equal(t, []int64{120, 1, 0, 1}, []int64{w.used(t, w.A, "recipients"), w.used(t, w.A, "domains"), w.used(t, w.B, "recipients"), w.used(t, w.B, "domains")})
	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "late@example.com"})
	require.ErrorIs(t, err, tenancy.ErrMoving)
	_, err = w.Mover.Retry(ctx)
	require.NoError(t, err)
	w.until(t, move.Failed)

	_, err = w.Mover.Cancel(ctx)
	require.NoError(t, err)
	w.until(t, move.Cancelled)
	for table, n := range tables {
		require.Equal(t, n, w.at(t, table, move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}), table)
	}
	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "late@example.com"})
	require.NoError(t, err, "as if nothing had been")
	_, err = w.Mover.Cancel(ctx)
	require.NoError(t, err, "cancelling twice is nothing")
	_, err = w.Mover.Retry(ctx)
	require.ErrorIs(t, err, move.ErrState)

	_, err = w.Mover.Start(ctx, w.B.WorkspaceID)
	require.NoError(t, err)
	w.until(t, move.Failed)
	full = false
	_, err = w.Mover.Retry(ctx)
	require.NoError(t, err)
	m = w.until(t, move.Done)
	require.EqualValues(t, 121, w.used(t, w.B, "recipients"))
	rewritten, total := m.Rows()
	require.Equal(t, []int64{253, 253}, []int64{rewritten, total}, "those of the first attempt too, and the rows of their counts")
}

// Whoever goes round the fence, with SQL outside of tenancy, is found before the domain goes
// over.
func TestRowsThatCameUp(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.academy(t, 130)
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	require.NoError(t, w.DB.InTx(w.A.CompanyCtx, func(tx *tenancy.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE strata.moves SET state = 'flipping', tables = (SELECT jsonb_agg(t || '{"done":true}') FROM jsonb_array_elements(tables) t)`)
		return err
	}))
	w.run()
	w.until(t, move.Done)
	require.Equal(t, 130, w.at(t, "academy.progress", move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.second}))
}

// A domain that is deleted while it moves ends the move, with its rows where they were.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.fill(t, 120)
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	require.NoError(t, w.Tenancy.DeleteWorkspace(w.A.CompanyCtx, w.A.WorkspaceID))
	w.run()
	m := w.until(t, move.Cancelled)
	require.Equal(t, "domain_gone", m.ErrorCode)
	require.Equal(t, 120, w.at(t, "strata.recipients", move.Place{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID}))
}

// So does the deletion of a domain that was to go to another company, although nothing of it
// is counted any more; and that of its company, which no domain survives by leaving.
func TestDeletedBeforeItGoesToAnotherCompany(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*world) error{
		"domain":  func(w *world) error { return w.Tenancy.DeleteDomain(w.A.CompanyCtx, w.A.DomainID) },
		"company": func(w *world) error { return w.Tenancy.DeleteCompany(w.A.CompanyCtx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			w.fill(t, 120)
			_, err := w.Mover.Start(platform(w.A.Ctx), w.B.WorkspaceID)
			require.NoError(t, err)
			require.NoError(t, remove(w))
			w.run()
			m := w.until(t, move.Cancelled)
			require.Equal(t, "domain_gone", m.ErrorCode)
			require.Equal(t, 120, w.at(t, "strata.recipients", m.From))
			require.EqualValues(t, 1, w.used(t, w.B, "domains"))
		})
	}
}

// A move that failed waits for a person. When the domain is deleted there is nobody who could
// get to it any more.
func TestDeletedAfterItFailed(t *testing.T) {
	t.Parallel()
	w := open(t, &hook{moved: func(context.Context, *tenancy.Tx, move.Move) error {
		return fault.New(fault.Conflict, "no_room", "no room")
	}})
	w.fill(t, 120)
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	m := w.until(t, move.Failed)
	require.Equal(t, 120, w.at(t, "strata.recipients", m.To))
	require.NoError(t, w.Tenancy.DeleteDomain(w.A.CompanyCtx, w.A.DomainID))
	require.Eventually(t, func() bool {
		m, err = w.Mover.Get(w.A.Ctx)
		require.NoError(t, err)
		return m.State == move.Cancelled
	}, within, 5*time.Millisecond)
	require.Equal(t, "domain_gone", m.ErrorCode)
	require.Equal(t, 120, w.at(t, "strata.recipients", m.From))
}

// What a participant does wrong is an error of the move, and no end of the process.
func TestAParticipantThatPanics(t *testing.T) {
	t.Parallel()
	tries := 0
	w := open(t, &hook{moved: func(context.Context, *tenancy.Tx, move.Move) error {
		if tries++; tries == 1 {
			panic("no map")
		}
		return nil
	}})
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	w.until(t, move.Done)
}

// A domain does not go to a company that was deleted meanwhile: it would be lost there.
func TestTheTargetIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t)
	_, err := w.Mover.Start(platform(w.A.Ctx), w.B.WorkspaceID)
	require.NoError(t, err)
	require.NoError(t, w.Tenancy.DeleteCompany(w.B.CompanyCtx))
	w.run()
	m := w.until(t, move.Failed)
	require.Equal(t, "not_found", m.ErrorCode)
}

// An error that says nothing of the move is tried again.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	tries := 0
	w := open(t, &hook{moved: func(_ context.Context, _ *tenancy.Tx, m move.Move) error {
		if m.Source().Plan != "enterprise" || m.Target().Plan != "enterprise" {
			return fault.New(fault.Conflict, "plan", "a participant knows the plans")
		}
		if tries++; tries == 1 {
			return errors.New("the network was away")
		}
		return nil
	}})
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	w.until(t, move.Done)
	require.Equal(t, 2, tries)
}

// What comes to be in the way while the last writers finish cancels the move by itself.
func TestBlockedByTheLastWriter(t *testing.T) {
	t.Parallel()
	asked := 0
	w := open(t, &hook{preview: func(context.Context, move.Move) ([]move.Finding, error) {
		if asked++; asked == 1 {
			return nil, nil
		}
		return []move.Finding{{Kind: "x", Severity: move.Block, Message: "something has come up"}}, nil
	}})
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	w.run()
	m := w.until(t, move.Cancelled)
	require.Contains(t, m.PublicError(), "something has come up")
	require.Equal(t, string(fault.CodeOf(move.ErrBlocked)), m.ErrorCode)
	_, err = w.Recipients.Create(w.A.Ctx, recipients.New{Email: "x@example.com"})
	require.NoError(t, err)
}

// A process that stops hands its move over at once, and does not let the lease run out.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	working := make(chan struct{})
	w := open(t, &hook{moved: func(ctx context.Context, _ *tenancy.Tx, _ move.Move) error {
		close(working)
		<-ctx.Done()
		return ctx.Err()
	}})
	_, err := w.Mover.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Mover.Run(ctx) }()
	<-working
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 1, w.count(t, w.A.CompanyCtx, `SELECT count(*) FROM strata.moves WHERE state = 'flipping' AND lease IS NULL AND failures = 0`))

	other, err := move.NewMover(w.DB, w.Resolver, w.Strata.Audit, nil)
	require.NoError(t, err)
	w.Mover = other
	w.run()
	w.until(t, move.Done)
}

// Between companies only the platform decides, and a company is not told of the other.
func TestAnotherCompanyIsNobodysBusiness(t *testing.T) {
	t.Parallel()
	w := open(t, &hook{moved: func(context.Context, *tenancy.Tx, move.Move) error {
		return fault.New(fault.Conflict, "secret", "company B has 7 workspaces")
	}})
	_, err := w.Mover.Start(platform(w.A.Ctx), w.B.WorkspaceID)
	require.NoError(t, err)
	w.run()
	m := w.until(t, move.Failed)
	require.Equal(t, "company B has 7 workspaces", m.PublicError())
	m, err = w.Mover.Get(w.A.Ctx)
	require.NoError(t, err)
	require.Equal(t, []any{move.Failed, move.Place{}, "internal error"}, []any{m.State, m.To, m.PublicError()})
	for _, change := range []func(context.Context) (move.Move, error){w.Mover.Cancel, w.Mover.Retry} {
		_, err = change(w.A.Ctx)
		require.ErrorIs(t, err, move.ErrPlatform)
	}
	require.Zero(t, w.count(t, w.A.CompanyCtx, `SELECT count(*) FROM strata.audit_entries WHERE company_id = $1 AND metadata::text LIKE ANY ('{%workspaces%,%secret%}')`, w.A.CompanyID))
}

// A process works on the moves of its own queue: another product's has other participants.
func TestAMoveIsDoneWhereItsParticipantsAre(t *testing.T) {
	t.Parallel()
	told := 0
	w := open(t)
	theirs := move.Config{Queue: "other", Poll: 20 * time.Millisecond, Participants: []move.Participant{&hook{moved: func(context.Context, *tenancy.Tx, move.Move) error {
		told++
		return nil
	}}}}
	other, err := move.NewMover(w.DB, w.Resolver, w.Strata.Audit, &theirs)
	require.NoError(t, err)
	_, err = other.Start(w.A.Ctx, w.second)
	require.NoError(t, err)
	d, err := w.Store.CreateDomain(w.A.CompanyCtx, w.A.WorkspaceID, tenancy.NewDomain{DomainName: "own.example"})
	require.NoError(t, err)
	own := tenancy.WithTenant(w.A.Ctx, tenancy.Tenant{CompanyID: w.A.CompanyID, WorkspaceID: w.A.WorkspaceID, DomainID: d.ID})
	_, err = w.Mover.Start(own, w.second)
	require.NoError(t, err)
	w.run()
	require.Eventually(t, func() bool {
		m, err := w.Mover.Get(own)
		require.NoError(t, err)
		return m.State == move.Done
	}, within, 5*time.Millisecond)
	m, err := w.Mover.Get(w.A.Ctx)
	require.NoError(t, err)
	require.Equal(t, move.Preparing, m.State, "older, and left alone")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- other.Run(ctx) }()
	w.until(t, move.Done)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 1, told)
}
