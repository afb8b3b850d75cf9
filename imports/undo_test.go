package imports_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
	"github.com/stratakit/strata/tenancy/move"
)

// dump is all that an undo has to bring back: the recipients without their versions, which
// never go back, the unique values that are taken, how many recipients are counted, and what
// the plan has counted.
func (b *bundle) dump(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	domain, err := tenancy.DomainFrom(ctx)
	require.NoError(t, err)
	out := map[string]string{}
	for what, q := range map[string]string{
		"recipients": `SELECT coalesce(jsonb_agg(to_jsonb(r) - '{version,updated_at}'::text[] ORDER BY id), '[]')::text FROM strata.recipients r WHERE domain_id = $1`,
		"uniques":    `SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY slot, hash), '[]')::text FROM strata.custom_field_uniques u WHERE domain_id = $1`,
		"counts": `SELECT coalesce(jsonb_object_agg(kind || ' ' || key, n), '{}')::text
			FROM (SELECT kind, key, sum(n) AS n FROM strata.recipient_counts WHERE domain_id = $1 GROUP BY 1, 2 HAVING sum(n) <> 0) c`,
		"usage": `SELECT jsonb_agg(to_jsonb(u) ORDER BY resource)::text FROM strata.usage u WHERE company_id = (SELECT company_id FROM strata.domains WHERE id = $1)`,
	} {
		out[what] = one[string](ctx, t, b, q, domain.DomainID)
	}
	if b.extensions != nil {
		for _, table := range []string{"recipient_sms", "recipient_seats"} {
			out[table] = one[string](ctx, t, b, `SELECT coalesce(jsonb_agg(to_jsonb(x) - '{version,updated_at}'::text[] ORDER BY recipient_id), '[]')::text FROM strata.`+table+` x WHERE domain_id = $1`, domain.DomainID)
		}
	}
	return out
}

func (b *bundle) undo(ctx context.Context, t *testing.T, id imports.ID) imports.Import {
	t.Helper()
	imp, err := b.importer.Undo(ctx, id)
	require.NoError(t, err)
	require.Equal(t, imports.Undoing, imp.Status)
	imp = b.until(ctx, t, id, imports.Undone)
	require.Equal(t, imp.Inserted+imp.Updated, imp.Reverted+imp.Kept)
	return imp
}

// leftAlone returns the undo report: address to change and code.
func (b *bundle) leftAlone(ctx context.Context, t *testing.T, id imports.ID) map[string]string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, b.importer.WriteUndoReport(ctx, id, &out))
	records, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"recipientId", "email", "change", "code", "message"}, records[0])
	left := map[string]string{}
	for _, r := range records[1:] {
		require.NotEmpty(t, r[4])
		_, err := tenancy.ParseID[recipients.Recipient](r[0])
		require.NoError(t, err)
		name := strings.TrimSuffix(r[1], "@example.com")
		if name == "" {
			name = r[0]
		}
		left[name] = r[2] + " " + r[3]
	}
	return left
}

func TestUndoRestoresTheExactRows(t *testing.T) {
	t.Parallel()
	for _, policy := range []imports.Conflict{imports.Update, imports.Skip, imports.FillEmpty} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, &imports.Config{BatchRows: 3}).start(t)
			ctx := b.A.Ctx
			b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true}, customfields.Field{Key: "note", Type: customfields.Text},
				customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"free", "pro"}, Default: "free"})
			for i, s := range recipients.Statuses() {
				in := recipients.New{Email: s + "@example.com", Status: recipients.Status(s), StatusReason: "first " + s, CustomFields: map[string]any{"code": fmt.Sprint("old", i), "tier": "pro"}}
				if i%2 == 0 {
					in.Name = "Name " + s
				}
				_, err := b.store.Create(ctx, in)
				require.NoError(t, err)
			}
			_, err := b.store.Create(ctx, recipients.New{Email: "bystander@example.com"})
			require.NoError(t, err)
			before := b.dump(ctx, t)
			var file strings.Builder
			file.WriteString("email,name,status,code,note\n")
			for i, s := range recipients.Statuses() {
				fmt.Fprintf(&file, "%s@example.com,New %d,%s,code%d,\"a\nnote\"\nn%d@example.com,,%s,new%d,\n", s, i, recipients.Statuses()[(i+1)%5], i, i, s, i)
			}
			file.WriteString("bystander@example.com,,,,\n") // changes nothing
			imp := b.run(ctx, t, file.String(), imports.ProcessOptions{Conflict: policy})
			require.EqualValues(t, 5, imp.Inserted)
			require.EqualValues(t, map[imports.Conflict]int64{imports.Update: 5, imports.Skip: 0, imports.FillEmpty: 5}[policy], imp.Updated)
			require.NotEqual(t, before["recipients"], b.dump(ctx, t)["recipients"])
			require.WithinRange(t, *imp.UndoUntil, time.Now().Add(29*24*time.Hour), time.Now().Add(31*24*time.Hour))

			undone := b.undo(ctx, t, imp.ID)
			require.Equal(t, []int64{imp.Inserted + imp.Updated, 0}, []int64{undone.Reverted, undone.Kept})
			require.Nil(t, undone.UndoUntil)
			require.Equal(t, before, b.dump(ctx, t))
			require.Empty(t, b.leftAlone(ctx, t, imp.ID))
			require.Zero(t, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.import_changes`))
			want := map[imports.Conflict]int64{imports.Update: 3, imports.Skip: 1, imports.FillEmpty: 3}[policy]
			require.Equal(t, want, one[int64](ctx, t, b, `SELECT version FROM strata.recipients WHERE email_norm = 'active@example.com'`), "a version never goes back")
			require.EqualValues(t, imp.Inserted, one[int64](ctx, t, b, `SELECT sum((metadata->>'removed')::bigint)::bigint FROM strata.audit_entries WHERE action = 'recipients.import_undone' AND resource_id = $1`, imp.ID.String()))

			// It can be imported once more, and an import is undone once.
			_, err = b.importer.Undo(ctx, imp.ID)
			var state *imports.StateError
			require.ErrorAs(t, err, &state)
			require.Equal(t, imports.Undone, state.Status)
			again := b.run(ctx, t, file.String(), imports.ProcessOptions{Conflict: policy})
			require.Equal(t, []int64{imp.Inserted, imp.Updated}, []int64{again.Inserted, again.Updated})
			b.undo(ctx, t, again.ID)
			require.Equal(t, before, b.dump(ctx, t))
		})
	}
}

// change makes a mutation that no call of the library makes, with its audit entry.
func (b *bundle) change(ctx context.Context, t *testing.T, q string, args ...any) {
	t.Helper()
	require.NoError(t, b.DB.InTx(ctx, func(tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, q, args...)
		require.NoError(t, err)
		require.EqualValues(t, 1, tag.RowsAffected())
		return b.Audit.RecordTx(ctx, tx, audit.Entry{Action: "test", ResourceType: "test", ResourceID: "1"})
	}))
}

// What was edited since is left alone and listed; all else is taken back.
func TestUndoLeavesAloneWhatWasEdited(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 4}).start(t)
	ctx := b.A.Ctx
	// A product's table, that no registry of this process knows.
	_, err := b.Pool.Exec(t.Context(), `CREATE SCHEMA academy; GRANT USAGE ON SCHEMA academy TO strata_app;
		CREATE TABLE academy.pupils (domain uuid, pupil uuid, PRIMARY KEY (domain, pupil), FOREIGN KEY (domain, pupil) REFERENCES strata.recipients (domain_id, id) ON DELETE CASCADE);
		GRANT SELECT, INSERT ON academy.pupils TO strata_app`)
	require.NoError(t, err)
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	old := []string{"oldname", "olddeleted", "oldlinked", "oldtaken", "oldfine"}
	for _, name := range old {
		_, err := b.store.Create(ctx, recipients.New{Email: name + "@example.com", Name: "Before", CustomFields: map[string]any{"code": name}})
		require.NoError(t, err)
	}
	var file strings.Builder
	file.WriteString("email,name,code\n")
	for _, name := range append([]string{"newname", "newdeleted", "newpurged", "newlinked", "newenrolled", "newfine"}, old...) {
		fmt.Fprintf(&file, "%s@example.com,After,%s\n", name, strings.ToUpper(name))
	}
	imp := b.run(ctx, t, file.String(), imports.ProcessOptions{})
	require.Equal(t, []int64{6, 5}, []int64{imp.Inserted, imp.Updated})
	id := func(name string) (id recipients.ID) {
		return one[recipients.ID](ctx, t, b, `SELECT id FROM strata.recipients WHERE domain_id = $1 AND email_norm = $2`, b.A.DomainID, name+"@example.com")
	}
	ids := map[string]recipients.ID{}
	for _, name := range []string{"newdeleted", "newpurged", "olddeleted"} {
		ids[name] = id(name)
	}
	name := "By hand"
	for _, email := range []string{"newname", "oldname"} {
		_, err = b.store.Update(ctx, id(email), recipients.Change{Name: &name})
		require.NoError(t, err)
	}
	require.NoError(t, b.store.DeleteMany(ctx, []recipients.ID{ids["newdeleted"], ids["olddeleted"]}))
	require.NoError(t, b.store.Purge(ctx, []recipients.ID{ids["newpurged"]}))
	for _, email := range []string{"newlinked", "oldlinked"} { // an old one's person is not the import's
		b.change(ctx, t, `UPDATE strata.recipients SET person_id = $2 WHERE id = $1`, id(email), tenancy.NewID[recipients.Person]())
	}
	_, err = b.Pool.Exec(t.Context(), `INSERT INTO academy.pupils VALUES ($1, $2)`, b.A.DomainID, id("newenrolled"))
	require.NoError(t, err)
	_, err = b.store.Create(ctx, recipients.New{Email: "thief@example.com", CustomFields: map[string]any{"code": "oldtaken"}})
	require.NoError(t, err)

	undone := b.undo(ctx, t, imp.ID)
	want := map[string]string{
		"newname": "inserted edited", ids["newdeleted"].String(): "inserted deleted", ids["newpurged"].String(): "inserted deleted", "newlinked": "inserted linked", "newenrolled": "inserted enrolled",
		"oldname": "updated edited", ids["olddeleted"].String(): "updated deleted", "oldtaken": "updated value_taken",
	}
	require.Equal(t, want, b.leftAlone(ctx, t, imp.ID))
	require.Equal(t, []int64{3, 8}, []int64{undone.Reverted, undone.Kept})
	page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	got := map[string]string{}
	for _, r := range page.Items {
		got[strings.TrimSuffix(r.Email, "@example.com")] = fmt.Sprint(r.Name, " ", r.CustomFields["code"])
	}
	require.Equal(t, map[string]string{
		"newname": "By hand NEWNAME", "newlinked": "After NEWLINKED", "newenrolled": "After NEWENROLLED",
		"oldname": "By hand OLDNAME", "oldlinked": "Before oldlinked", "oldtaken": "After OLDTAKEN", "oldfine": "Before oldfine", "thief": " oldtaken",
	}, got)
	b.counted(ctx, t)
}

// Values that definitions have left behind are not brought back; all else is.
func TestUndoAfterTheFieldsChanged(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "size", Type: customfields.Text})
	for _, name := range []string{"fields", "name"} {
		_, err := b.store.Create(ctx, recipients.New{Email: name + "@example.com", Name: "Before", CustomFields: map[string]any{"size": "1"}})
		require.NoError(t, err)
	}
	imp := b.run(ctx, t, "email,name,size\nfields@example.com,After,2\nname@example.com,After,\nnew@example.com,After,3\n", imports.ProcessOptions{})
	require.Equal(t, []int64{1, 2}, []int64{imp.Inserted, imp.Updated})
	b.define(ctx, t, customfields.Field{Key: "other", Type: customfields.Text}) // is none of its business
	b.convert(ctx, t, "size")
	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, []int64{2, 1}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, map[string]string{"fields": "updated fields_changed"}, b.leftAlone(ctx, t, imp.ID))
	require.Equal(t, "Before", one[string](ctx, t, b, `SELECT name FROM strata.recipients WHERE email_norm = 'name@example.com'`))
	b.counted(ctx, t)
}

// A value that went from one to the other during the import goes back the same way.
func TestUndoOfValuesThatWentOn(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 1}).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	var ids []recipients.ID
	for _, name := range []string{"a", "b", "c"} {
		r, err := b.store.Create(ctx, recipients.New{Email: name + "@example.com", CustomFields: map[string]any{"code": name}})
		require.NoError(t, err)
		ids = append(ids, r.ID)
	}
	imp := b.process(ctx, t, "email,code\na@example.com,free1\nb@example.com,free2\nc@example.com,free3\n", imports.ProcessOptions{})
	set := func(code map[int]string) {
		for i, v := range code {
			_, err := b.store.Update(ctx, ids[i], recipients.Change{CustomFields: map[string]any{"code": v}})
			require.NoError(t, err)
		}
	}
	set(map[int]string{0: "free2"}) // b is to have it, after a has given it up
	before := b.dump(ctx, t)
	imp = b.commit(ctx, t, imp.ID)
	require.EqualValues(t, 3, imp.Updated)
	require.EqualValues(t, 3, b.undo(ctx, t, imp.ID).Reverted)
	require.Equal(t, before, b.dump(ctx, t))
}

// A recipient that somebody made between preview and commit, and the import updated, is
// what it was before the import.
func TestUndoOfARecipientMadeMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "tier", Type: customfields.Text, Default: "free"})
	imp := b.process(ctx, t, "email,name\nfirst@example.com,File\nmade@example.com,File\n", imports.ProcessOptions{})
	_, err := b.store.Create(ctx, recipients.New{Email: "made@example.com", Name: "Hand"})
	require.NoError(t, err)
	before := b.dump(ctx, t)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 1}, []int64{imp.Inserted, imp.Updated})
	require.EqualValues(t, 2, b.undo(ctx, t, imp.ID).Reverted)
	require.Equal(t, before, b.dump(ctx, t))
}

func TestUndoOfPartOfAnImport(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	before := b.dump(ctx, t)
	id, _ := b.failed(ctx, t)
	undone := b.undo(ctx, t, id)
	require.Equal(t, []int64{10, 10, 0}, []int64{undone.ProcessedRows, undone.Reverted, undone.Kept})
	require.Equal(t, before, b.dump(ctx, t))
	_, err := b.runner.Retry(ctx, bulk.RunID(id))
	require.ErrorIs(t, err, bulk.ErrState, "the commit is over")
}

// An undo that was cancelled or failed in the middle goes on when it is asked for again, or
// its run is tried again.
func TestUndoThatStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want imports.Status
		on   func(ctx context.Context, b *bundle, id imports.ID) error
	}{
		"cancelled": {`UPDATE strata.runs SET cancel_requested = true WHERE domain_id = old.domain_id; RETURN new`, imports.Cancelled, func(ctx context.Context, b *bundle, id imports.ID) error {
			_, err := b.importer.Undo(ctx, id)
			return err
		}},
		"failed": {`RAISE 'broken'`, imports.Failed, func(ctx context.Context, b *bundle, id imports.ID) error {
			_, err := b.importer.Undo(ctx, id)
			return err
		}},
		"retried": {`RAISE 'broken'`, imports.Failed, func(ctx context.Context, b *bundle, id imports.ID) error {
			_, err := b.runner.Retry(ctx, bulk.RunID(id))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
			ctx := b.A.Ctx
			before := b.dump(ctx, t)
			imp := b.run(ctx, t, addresses(35), imports.ProcessOptions{})
			repair := b.before(t, "UPDATE", "strata.recipients", fifteenth, c.body)
			_, err := b.importer.Undo(ctx, imp.ID)
			require.NoError(t, err)
			b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
			got, err := b.importer.Get(ctx, imp.ID)
			require.NoError(t, err)
			reverted := map[imports.Status]int64{imports.Cancelled: 20, imports.Failed: 10}[c.want]
			require.Equal(t, []any{c.want, int64(35), int64(35), reverted, int64(0)}, []any{got.Status, got.ProcessedRows, got.Inserted, got.Reverted, got.Kept})
			require.NotNil(t, got.UndoUntil)
			repair()
			require.NoError(t, c.on(ctx, b, imp.ID))
			b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
			got = b.until(ctx, t, imp.ID, imports.Undone)
			require.Equal(t, []int64{35, 0}, []int64{got.Reverted, got.Kept})
			require.Equal(t, before, b.dump(ctx, t))
		})
	}
}

func TestTwoClicksOnUndo(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.run(ctx, t, addresses(5), imports.ProcessOptions{})
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			_, err := b.importer.Undo(ctx, imp.ID)
			errs <- err
		}()
	}
	accepted := 0
	for range cap(errs) {
		var state *imports.StateError
		if err := <-errs; err == nil {
			accepted++
		} else {
			require.ErrorAs(t, err, &state)
		}
	}
	require.Equal(t, 1, accepted)
	b.until(ctx, t, imp.ID, imports.Undone)
	require.Zero(t, b.counted(ctx, t))
}

// While another import commits to the same recipients, each of them is taken back or listed.
func TestUndoBesideACommit(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	first := b.run(ctx, t, addresses(200), imports.ProcessOptions{})
	second := b.process(ctx, t, strings.ReplaceAll(strings.ReplaceAll(addresses(300), "email", "email,name"), ".com", ".com,Second"), imports.ProcessOptions{})
	_, err := b.importer.Commit(ctx, second.ID)
	require.NoError(t, err)
	_, err = b.importer.Undo(ctx, first.ID)
	require.NoError(t, err)
	second = b.until(ctx, t, second.ID, imports.Done)
	first = b.until(ctx, t, first.ID, imports.Undone)
	require.EqualValues(t, 200, first.Reverted+first.Kept)
	require.EqualValues(t, first.Kept, len(b.leftAlone(ctx, t, first.ID)))
	require.EqualValues(t, 300, second.Inserted+second.Updated+second.Skipped)
	require.EqualValues(t, 300-second.Skipped, b.counted(ctx, t), "all that are there are of the second by now")
	require.EqualValues(t, first.Kept, second.Updated)
}

func TestUndoExpires(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := setup(t, &imports.Config{UndoFor: time.Hour, Now: func() time.Time { return now }}).start(t)
	ctx := b.A.Ctx
	imp := b.run(ctx, t, addresses(5), imports.ProcessOptions{})
	other := b.run(b.B.Ctx, t, addresses(5), imports.ProcessOptions{})
	n, err := b.importer.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	late := *b
	late.wire(t, runs(), &imports.Config{UndoFor: time.Hour, Now: func() time.Time { return now.Add(2 * time.Hour) }})
	got, err := late.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	require.Nil(t, got.UndoUntil)
	_, err = late.importer.Undo(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrUndoExpired)
	for _, want := range []int{2, 0} {
		n, err = late.importer.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	for _, c := range []context.Context{ctx, b.B.Ctx} {
		require.Zero(t, one[int](c, t, b, `SELECT count(*)::int FROM strata.import_changes`))
	}
	_, err = b.importer.Undo(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrUndoExpired, "whatever the clock says")
	_, err = b.importer.Get(b.B.Ctx, other.ID)
	require.NoError(t, err)
}

// What was committed in one place is undone in the other, but for custom fields: they are
// of the other workspace.
func TestUndoAfterTheDomainMoved(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "size", Type: customfields.Text})
	for _, name := range []string{"fields", "name"} {
		_, err := b.store.Create(ctx, recipients.New{Email: name + "@example.com", Name: "Before", CustomFields: map[string]any{"size": "1"}})
		require.NoError(t, err)
	}
	imp := b.run(ctx, t, "email,name,size\nfields@example.com,After,2\nname@example.com,After,\nnew@example.com,After,3\n", imports.ProcessOptions{})
	moved := b.move(t)
	require.EqualValues(t, 3, b.counted(moved, t))
	_, err := b.importer.Undo(ctx, imp.ID)
	require.ErrorIs(t, err, tenancy.ErrNotFound, "it is not there any more")
	undone := b.undo(moved, t, imp.ID)
	require.Equal(t, []int64{2, 1}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, map[string]string{"fields": "updated fields_changed"}, b.leftAlone(moved, t, imp.ID))
	require.EqualValues(t, 2, b.counted(moved, t))
}

// move moves the domain of company A to another workspace of it, and returns the context of
// who works there.
func (b *bundle) move(t *testing.T) context.Context {
	t.Helper()
	second, err := b.Store.CreateWorkspace(b.A.CompanyCtx, tenancy.NewWorkspace{Name: "Second"})
	require.NoError(t, err)
	mover, err := move.NewMover(b.DB, b.resolver, b.Audit, &move.Config{
		Poll: 20 * time.Millisecond, WriterWait: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Participants: []move.Participant{b.fields, b.Limits, b.store, b.runner, b.importer},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = mover.Run(ctx)
	}()
	root := tenancy.WithActor(b.A.Ctx, tenancy.Actor{ID: "root", Type: tenancy.ActorAdmin})
	_, err = mover.Start(root, second.ID)
	require.NoError(t, err)
	there := tenancy.WithTenant(root, tenancy.Tenant{CompanyID: b.A.CompanyID, WorkspaceID: second.ID, DomainID: b.A.DomainID})
	require.Eventually(t, func() bool {
		m, err := mover.Get(there)
		return err == nil && m.State == move.Done
	}, within, 20*time.Millisecond)
	cancel()
	<-ended
	return there
}

func TestUndoKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t, &small) // only submits
	ctx := b.A.Ctx
	file := b.crashFile(ctx, t)
	before := b.dump(ctx, t)
	kill := b.spawn(t)
	imp := b.run(ctx, t, file, imports.ProcessOptions{})
	b.exact(ctx, t, imp.ID)
	b.slowly(t)
	_, err := b.importer.Undo(ctx, imp.ID)
	require.NoError(t, err)
	for range 2 {
		b.amid(ctx, t, imp.ID)
		kill()
		kill = b.spawn(t)
	}
	imp = b.until(ctx, t, imp.ID, imports.Undone)
	kill()
	require.Equal(t, []int64{crashNew + crashUpdates, 0}, []int64{imp.Reverted, imp.Kept})
	require.Equal(t, before, b.dump(ctx, t))
	require.EqualValues(t, crashNew+crashUpdates, one[int64](ctx, t, b, `SELECT sum((metadata->>'removed')::int + (metadata->>'restored')::int) FROM strata.audit_entries
		WHERE domain_id = $1 AND resource_id = $2 AND action = 'recipients.import_undone'`, b.A.DomainID, imp.ID.String()), "each of them once")
	var left int
	require.NoError(t, b.DB.Read(ctx, `SELECT count(*) FROM strata.import_changes`, nil, func(rows pgx.Rows) error {
		rows.Next()
		return rows.Scan(&left)
	}))
	require.Zero(t, left)
}
