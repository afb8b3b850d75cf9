package imports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
	"github.com/stratakit/strata/recipients/sms"
)

// What an import did in products is taken back with what it did to the recipient, unless one of
// the two was changed since.
func TestUndoTakesBackEnrollments(t *testing.T) {
	t.Parallel()
	b, p := extended(t, &imports.Config{BatchRows: 4}, "")
	b.start(t)
	ctx := b.A.Ctx
	// What another product hangs on the rows of an extension.
	_, err := b.Pool.Exec(t.Context(), `CREATE SCHEMA club; GRANT USAGE ON SCHEMA club TO strata_app;
		CREATE TABLE club.visits (domain uuid, guest uuid, PRIMARY KEY (domain, guest), FOREIGN KEY (domain, guest) REFERENCES strata.recipient_seats (domain_id, recipient_id) ON DELETE CASCADE);
		GRANT SELECT, INSERT ON club.visits TO strata_app`)
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC)
	ids := map[string]recipients.ID{}
	for _, name := range []string{"changed", "changededited", "changedtaken", "changedunfit", "fresh", "freshedited", "freshgone", "renamed", "visited"} {
		ids[name] = b.add(ctx, t, name)
	}
	for _, name := range []string{"changed", "changededited", "changedtaken", "changedunfit"} {
		require.NoError(t, p.seats.Enroll(ctx, ids[name], &Seat{Code: name, Seats: 3, Score: 0.1, Since: &at, Member: true, Meta: map[string]any{"a": 1e-7, "b": []any{"ü"}}, Secret: "kept"}))
		require.NoError(t, p.sms.Enroll(ctx, ids[name], &sms.SMS{Contact: phone.Contact{Phone: "+493012345678", OptedIn: true, OptedInAt: &at, OptedInSource: "form"}}))
	}
	file := "email,name,sms.phone,seat.code,seat.seats\n"
	for _, name := range []string{"changed", "changededited", "changedtaken", "changedunfit", "fresh", "freshedited", "freshgone", "renamed", "visited", "new", "newedited", "newelsewhere"} {
		phone, after := ",+49 30 87654321", ",After"
		switch name {
		case "fresh", "changededited":
			after = "," // nothing of the recipient itself changes
		case "newelsewhere":
			phone = ","
		}
		file += name + "@example.com" + after + phone + ",new" + name + ",4\n"
	}
	imp := b.run(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{3, 9}, []int64{imp.Inserted, imp.Updated})
	require.Len(t, b.has(ctx, t, "sms", "x.phone"), 11)

	of := func(name string) recipients.ID {
		page, err := b.store.List(ctx, recipients.Query{Search: name + "@"})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		return page.Items[0].ID
	}
	for _, name := range []string{"changededited", "freshedited", "newedited"} {
		_, err := p.sms.OptOut(ctx, of(name), "STOP", time.Time{})
		require.NoError(t, err)
	}
	require.NoError(t, p.seats.Withdraw(ctx, ids["freshgone"]))
	require.NoError(t, p.sms.Enroll(ctx, of("newelsewhere"), &sms.SMS{Contact: number("+493012345678")}))
	name := "Renamed"
	_, err = b.store.Update(ctx, ids["renamed"], recipients.Change{Name: &name})
	require.NoError(t, err)
	b.change(ctx, t, `INSERT INTO club.visits VALUES ($1, $2)`, b.A.DomainID, ids["visited"])
	thief := b.add(ctx, t, "thief")
	require.NoError(t, p.seats.Enroll(ctx, thief, &Seat{Code: "changedtaken"}))
	// A condition that rows of before need not meet.
	_, err = b.Pool.Exec(t.Context(), `ALTER TABLE strata.recipient_seats ADD CONSTRAINT fit CHECK (code <> 'CHANGEDUNFIT')`)
	require.NoError(t, err)

	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, []int64{3, 9}, []int64{undone.Reverted, undone.Kept})
	want := map[string]string{
		"changededited": "updated enrollment_changed", "freshedited": "updated enrollment_changed", "newedited": "inserted enrollment_changed", "freshgone": "updated enrollment_changed",
		"visited": "updated enrollment_changed", "newelsewhere": "inserted enrolled", "renamed": "updated edited", "changedtaken": "updated value_taken", "changedunfit": "updated enrollment_changed",
	}
	require.Equal(t, want, b.leftAlone(ctx, t, imp.ID))
	seats := b.has(ctx, t, "seats", "x.code, x.seats, x.score, x.member, x.since = '2026-01-02T03:04:05.123456Z', x.meta, x.secret, x.version")
	require.Equal(t, `CHANGED 3 0.1 t t {"a": 0.0000001, "b": ["ü"]} kept 3`, seats["changed"])
	require.NotContains(t, seats, "fresh")
	require.NotContains(t, seats, "new")
	require.Equal(t, "NEWCHANGEDTAKEN 4 0.1 t t {\"a\": 0.0000001, \"b\": [\"ü\"]} kept 2", seats["changedtaken"], "it is left as a whole")
	texts := b.has(ctx, t, "sms", "x.phone, x.opted_in, x.version")
	require.Equal(t, []string{"+493012345678 t 3", "+493087654321 t 2", "+493087654321 t 2"}, []string{texts["changed"], texts["changedtaken"], texts["changedunfit"]})
}

func TestUndoOfEnrollmentsAfterTheDomainMoved(t *testing.T) {
	t.Parallel()
	b, p := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	require.NoError(t, p.sms.Enroll(ctx, b.add(ctx, t, "old"), &sms.SMS{Contact: number("+493012345678")}))
	before := b.dump(ctx, t)
	file := "email,sms.phone,seat.code\nold@example.com,+49 30 87654321,a\nnew@example.com,+49 30 87654321,b\n"
	imp := b.run(ctx, t, file, imports.ProcessOptions{})
	staged := b.process(ctx, t, "email,sms.phone\nlater@example.com,+49 30 87654321\n", imports.ProcessOptions{})
	_, err := b.importer.Cancel(ctx, staged.ID) // else the move is refused
	require.NoError(t, err)
	moved := b.move(t)
	require.Equal(t, map[string]string{"old": "+493087654321 t", "new": "+493087654321 t"}, b.has(moved, t, "sms", "x.phone, x.workspace_id = r.workspace_id"))
	require.Equal(t, 0, one[int](moved, t, b, `SELECT count(*)::int FROM strata.import_rows i WHERE workspace_id <> (SELECT workspace_id FROM strata.domains WHERE id = i.domain_id)`))
	undone := b.undo(moved, t, imp.ID)
	require.Equal(t, []int64{2, 0}, []int64{undone.Reverted, undone.Kept})
	after := b.dump(moved, t)
	require.Equal(t, map[string]string{"old": "+493012345678 3"}, b.has(moved, t, "sms", "x.phone, x.version"))
	require.Equal(t, before["recipient_seats"], after["recipient_seats"])
}

// Recipients that are purged leave nothing behind for an undo, whatever they were enrolled in.
func TestUndoAfterAPurgeOfWhoWasEnrolled(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	imp := b.run(ctx, t, "email,sms.phone\ngone@example.com,+49 30 87654321\nnew@example.com,+49 30 87654321\n", imports.ProcessOptions{})
	page, err := b.store.List(ctx, recipients.Query{Search: "gone"})
	require.NoError(t, err)
	require.NoError(t, b.store.Purge(ctx, []recipients.ID{page.Items[0].ID}))
	require.Len(t, b.has(ctx, t, "sms", "x.phone"), 1)
	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 1}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, map[string]string{page.Items[0].ID.String(): "inserted deleted"}, b.leftAlone(ctx, t, imp.ID))
	require.Empty(t, b.has(ctx, t, "sms", "x.phone"))
	require.Zero(t, b.counted(ctx, t))
}

// A row that somebody else made is left alone, though it has the version of what the import did.
func TestUndoLeavesEnrollmentsOfOthersAlone(t *testing.T) {
	t.Parallel()
	b, p := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	ids := map[string]recipients.ID{}
	for _, name := range []string{"fresh", "changed", "round", "plain", "earlier"} {
		ids[name] = b.add(ctx, t, name)
	}
	enroll := func(name string) {
		t.Helper()
		require.NoError(t, p.sms.Enroll(ctx, ids[name], &sms.SMS{Contact: number("+493012345678")}))
	}
	enroll("changed")
	enroll("earlier")
	imp := b.run(ctx, t, `email,sms.phone
fresh@example.com,+49 30 87654321
changed@example.com,+49 30 87654321
round@example.com,+49 30 87654321
round@example.com,12
plain@example.com,+49 30 87654321
earlier@example.com,+49 30 87654321
new@example.com,+49 30 87654321
late@example.com,
late@example.com,13
`, imports.ProcessOptions{})
	require.Equal(t, []int64{2, 5, 2}, []int64{imp.Inserted, imp.Updated, imp.Invalid})
	for _, name := range []string{"new", "late"} {
		page, err := b.store.List(ctx, recipients.Query{Search: name + "@"})
		require.NoError(t, err)
		ids[name] = page.Items[0].ID
	}
	for _, name := range []string{"fresh", "changed", "round", "new"} {
		require.NoError(t, p.sms.Withdraw(ctx, ids[name]))
		enroll(name)
	}
	_, err := p.sms.Update(ctx, ids["changed"], 1, func(row *sms.SMS) error { row.Phone = "+493011111111"; return nil })
	require.NoError(t, err)
	enroll("late")
	var report strings.Builder
	require.NoError(t, b.importer.WriteErrorReport(ctx, imp.ID, &report))
	mended := strings.NewReplacer(",12,", ",+49 30 87654322,", ",13,", ",+49 30 87654322,").Replace(report.String())
	_, corrected := b.correct(ctx, t, imp.ID, []byte(mended))
	require.Equal(t, imports.Previewed, corrected.Status)
	done := b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{2, 7}, []int64{done.Inserted, done.Updated})
	// As versions before wrote it down.
	b.change(ctx, t, `UPDATE strata.import_changes SET enrollments = enrollments #- '{sms,createdAt}' WHERE recipient_id = $1`, ids["earlier"])
	before := b.has(ctx, t, "sms", "x.phone, x.version")

	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, map[string]string{
		"fresh": "updated enrollment_changed", "changed": "updated enrollment_changed", "round": "updated enrollment_changed", "new": "inserted enrollment_changed", "late": "inserted enrolled",
	}, b.leftAlone(ctx, t, imp.ID))
	require.EqualValues(t, 2, undone.Reverted)
	delete(before, "plain")
	before["earlier"] = "+493012345678 3"
	require.Equal(t, before, b.has(ctx, t, "sms", "x.phone, x.version"))
}

// What was done in a product that is gone cannot be taken back; that another process has a product
// is no reason to leave anything alone.
func TestUndoWithoutTheProduct(t *testing.T) {
	t.Parallel()
	b, _ := extended(t, nil, "")
	b.start(t)
	ctx := b.A.Ctx
	imp := b.run(ctx, t, "email,seat.code\nseated@example.com,a\nplain@example.com,\n", imports.ProcessOptions{})
	b.add(ctx, t, "own")
	without := func() {
		require.NoError(t, b.runner.Stop(context.Background()))
		b.extensions = recipients.NewRegistry()
		_, err := sms.Register(b.extensions, nil)
		require.NoError(t, err)
		b.wire(t, runs(), nil)
		b.start(t)
	}
	without()
	_, err := b.importer.Undo(ctx, imp.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		run, err := b.runner.Get(ctx, bulk.RunID(imp.ID))
		require.NoError(t, err)
		require.Zero(t, run.Failures)
		return run.State == bulk.StateQueued && strings.Contains(run.PublicError(), "another product keeps this")
	}, within, 5*time.Millisecond)
	_, err = b.Pool.Exec(t.Context(), `DROP TABLE strata.recipient_seats`)
	require.NoError(t, err)
	without()
	undone := b.until(ctx, t, imp.ID, imports.Undone)
	require.Equal(t, []int64{1, 1}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, map[string]string{"seated": "inserted enrollment_changed"}, b.leftAlone(ctx, t, imp.ID))
}
