package imports_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/billing"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

// people is what the domain has: address to name and fields.
func (b *bundle) people(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	page, err := b.store.List(ctx, recipients.Query{})
	require.NoError(t, err)
	got := map[string]string{}
	for _, r := range page.Items {
		got[strings.TrimSuffix(r.Email, "@example.com")] = fmt.Sprint(r.Name, " ", r.CustomFields)
	}
	return got
}

// Two rounds after the commit: rows that were invalid, that lost their recipient, and whose value
// was taken. The option that they lacked is there by now. Undo takes back all of it.
func TestCorrectAfterTheCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 2}).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold"}}, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	gone, err := b.store.Create(ctx, recipients.New{Email: "gone@example.com", Name: "Gone"})
	require.NoError(t, err)
	_, err = b.store.Create(ctx, recipients.New{Email: "old@example.com", Name: "Old"})
	require.NoError(t, err)
	imp := b.process(ctx, t, `email,name,tier,code
dup@example.com,First,gold,d1
gone@example.com,Back,gold,g
old@example.com,New,gold,o
taken@example.com,Taken,gold,t
tin@example.com,Tin,tin,
bad,Bad,gold,b
dup@example.com,Second,gold,d2
later@example.com,Later,tin,
`, imports.ProcessOptions{})
	require.Equal(t, []int64{2, 2, 1, 3}, []int64{imp.New, imp.Changed, imp.Duplicate, imp.Invalid})
	require.NoError(t, b.store.Delete(ctx, gone.ID))
	_, err = b.store.Create(ctx, recipients.New{Email: "thief@example.com", CustomFields: map[string]any{"code": "t"}})
	require.NoError(t, err)
	before := b.dump(ctx, t)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 1, 2, 1, 3}, []int64{imp.Inserted, imp.Updated, imp.Skipped, imp.Duplicate, imp.Invalid})

	// The first round: the recipient that is gone comes back, a value is another, and the option is there.
	options := []string{"gold", "tin"}
	_, err = b.fields.Update(ctx, "tier", customfields.Change{Options: &options})
	require.NoError(t, err)
	_, records := b.report(ctx, t, imp.ID)
	require.Len(t, records, 6)
	var report [][]string
	for _, r := range records {
		switch r[0] {
		case "taken@example.com":
			r[3] = "free"
		case "bad": // has the address of a row that is written by now, and comes before it
			r[0] = "dup@example.com"
		case "later@example.com":
			continue
		}
		report = append(report, r)
	}
	merged, imp := b.correct(ctx, t, imp.ID, csvOf(t, report))
	require.Equal(t, []int64{4, 3, 0, 1, 0}, []int64{merged.TotalRows, merged.New, merged.Changed, merged.Duplicate, merged.Invalid})
	require.Equal(t, []any{imports.Previewed, 1}, []any{imp.Status, imp.Round})
	require.Equal(t, []int64{3, 0, 2, 1, 1, 1, 0}, []int64{imp.New, imp.Changed, imp.Duplicate, imp.Invalid, imp.Inserted, imp.Updated, imp.Skipped})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, billing.LimitError{Incoming: 3}, billing.LimitError{Incoming: p.Limit.Incoming})
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	var state *imports.StateError
	require.ErrorAs(t, err, &state, "what is written would be forgotten")
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{4, 1, 0, 2, 1, 8}, []int64{imp.Inserted, imp.Updated, imp.Skipped, imp.Duplicate, imp.Invalid, imp.ProcessedRows + imp.Skipped})
	require.Equal(t, map[string]string{
		"dup": "Second map[code:d2 tier:gold]", "gone": "Back map[code:g tier:gold]", "old": "New map[code:o tier:gold]", "taken": "Taken map[code:free tier:gold]",
		"thief": " map[code:t]", "tin": "Tin map[tier:tin]",
	}, b.people(ctx, t))

	// The second: the last row takes the address of one that was written in the first.
	_, records = b.report(ctx, t, imp.ID)
	require.Len(t, records, 2)
	records[1][0] = "tin@example.com"
	_, imp = b.correct(ctx, t, imp.ID, csvOf(t, records))
	require.Equal(t, []int64{0, 1, 0}, []int64{imp.New, imp.Changed, imp.Invalid})
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{4, 2, 0, 2, 0}, []int64{imp.Inserted, imp.Updated, imp.Skipped, imp.Duplicate, imp.Invalid})
	require.Equal(t, "Later map[tier:tin]", b.people(ctx, t)["tin"])
	b.counted(ctx, t)
	require.EqualValues(t, 1, one[int](ctx, t, b, `SELECT used::int FROM strata.import_mappings`), "it is one file")

	undone := b.undo(ctx, t, imp.ID)
	require.Equal(t, []int64{6, 0}, []int64{undone.Reverted, undone.Kept})
	require.Equal(t, before, b.dump(ctx, t))
	_, err = b.importer.Correct(ctx, b.upload(ctx, t, csvOf(t, records)), imp.ID, imports.CorrectOptions{})
	require.ErrorAs(t, err, &state)
}

// afterOne returns an import that is done but for two rows, and a report that corrects them.
func (b *bundle) afterOne(ctx context.Context, t *testing.T) (imports.Import, []byte) {
	t.Helper()
	imp := b.run(ctx, t, addresses(25)+"bad1\nbad2\n", imports.ProcessOptions{})
	return imp, []byte("email,__row\nfix1@example.com,27\nfix2@example.com,28\n")
}

// A round that is cancelled before its commit, or swept, leaves the import done, and its rows can be corrected again.
func TestCancelOfARound(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp, report := b.afterOne(ctx, t)
	for round := range 2 {
		_, imp = b.correct(ctx, t, imp.ID, report)
		require.Equal(t, []int64{25, 0, 2}, []int64{imp.Inserted, imp.Skipped, imp.New})
		got, err := b.importer.Cancel(ctx, imp.ID)
		require.NoError(t, err)
		addsUp(t, got)
		require.Equal(t, []any{imports.Done, round + 1, int64(25), int64(2), int64(0)}, []any{got.Status, got.Round, got.Inserted, got.Skipped, got.Invalid})
		_, records := b.report(ctx, t, imp.ID)
		require.Equal(t, []string{"fix1@example.com", "27", "row: the row was corrected, and that was cancelled before its commit"}, records[1][:3])
	}
	// A field that was added keeps the round from its commit; cancelled and corrected again it is checked by it.
	_, imp = b.correct(ctx, t, imp.ID, report)
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	_, err := b.importer.Commit(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFieldsChanged)
	require.ErrorContains(t, err, "cancel the correction, and upload it again")
	_, err = b.importer.Cancel(ctx, imp.ID)
	require.NoError(t, err)
	_, imp = b.correct(ctx, t, imp.ID, report)
	b.old(ctx, t, imp.ID)
	_, err = b.importer.Sweep(t.Context())
	require.NoError(t, err)
	got, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	addsUp(t, got)
	require.Equal(t, []any{imports.Done, int64(2)}, []any{got.Status, got.Skipped})
	_, err = b.importer.Correct(ctx, b.upload(ctx, t, report), imp.ID, imports.CorrectOptions{})
	require.ErrorIs(t, err, imports.ErrNotCorrectable)
	b.undo(ctx, t, imp.ID)
	require.Zero(t, b.counted(ctx, t))
}

// A round whose commit fails, or is cancelled, accounts for all rounds; one that is tried again counts on.
func TestCommitOfARoundThatStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want imports.Status
	}{
		"failed":    {`RAISE 'broken'`, imports.Failed},
		"cancelled": {`UPDATE strata.runs SET cancel_requested = true WHERE domain_id = new.domain_id AND kind = 'import.commit'; RETURN new`, imports.Done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &imports.Config{BatchRows: 1}).start(t)
			ctx := b.A.Ctx
			before := b.dump(ctx, t)
			imp, report := b.afterOne(ctx, t)
			_, imp = b.correct(ctx, t, imp.ID, report)
			when := map[imports.Status]string{imports.Failed: `new.email_norm = 'fix2@example.com'`, imports.Done: `new.email_norm = 'fix1@example.com'`}[c.want]
			repair := b.before(t, "INSERT", "strata.recipients", when, c.body)
			_, err := b.importer.Commit(ctx, imp.ID)
			require.NoError(t, err)
			b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
			got, err := b.importer.Get(ctx, imp.ID)
			require.NoError(t, err)
			skipped := map[imports.Status]int64{imports.Done: 1}[c.want]
			require.Equal(t, []any{c.want, int64(26), skipped}, []any{got.Status, got.Inserted, got.Skipped})
			require.EqualValues(t, 26, b.counted(ctx, t))
			repair()
			if c.want == imports.Failed {
				_, err = b.runner.Retry(ctx, bulk.RunID(imp.ID))
				require.NoError(t, err)
				b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
				got = b.until(ctx, t, imp.ID, imports.Done)
				addsUp(t, got)
				require.Equal(t, []int64{27, 27, 0}, []int64{got.ProcessedRows, got.Inserted, got.Skipped})
				require.EqualValues(t, 27, b.counted(ctx, t))
			}
			if c.want == imports.Done { // what it has not written can be corrected again
				addsUp(t, got)
				_, records := b.report(ctx, t, imp.ID)
				require.Equal(t, []string{"fix2@example.com", "28", "row: the row was corrected, and that was cancelled before its commit"}, records[1][:3])
				_, imp = b.correct(ctx, t, imp.ID, csvOf(t, records))
				require.EqualValues(t, 27, b.commit(ctx, t, imp.ID).Inserted)
			}
			b.undo(ctx, t, imp.ID)
			require.Equal(t, before, b.dump(ctx, t))
		})
	}
}

// A field that is new when the commit of a correction goes on ends that correction, and nothing else.
func TestFieldsChangedInARoundThatFailed(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 1}).start(t)
	ctx := b.A.Ctx
	imp, report := b.afterOne(ctx, t)
	_, imp = b.correct(ctx, t, imp.ID, report)
	repair := b.before(t, "INSERT", "strata.recipients", `new.email_norm = 'fix2@example.com'`, `RAISE 'broken'`)
	_, err := b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
	repair()
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	for range 2 { // and once more, too late
		_, err = b.runner.Retry(ctx, bulk.RunID(imp.ID))
		require.NoError(t, err)
		b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
		imp, err = b.importer.Get(ctx, imp.ID)
		require.NoError(t, err)
		addsUp(t, imp)
		require.Equal(t, []any{imports.Done, int64(26), int64(1)}, []any{imp.Status, imp.Inserted, imp.Skipped})
		require.Contains(t, imp.Error, "late: the field is new")
	}
	_, records := b.report(ctx, t, imp.ID)
	_, imp = b.correct(ctx, t, imp.ID, csvOf(t, records))
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []any{int64(27), ""}, []any{imp.Inserted, imp.Error})
}

// The room in the plan is that of the round.
func TestRoundOverThePlan(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	c := b.Company(t, "free") // 1,000 recipients
	imp := b.run(c.Ctx, t, addresses(999)+"bad1\nbad2\n", imports.ProcessOptions{})
	_, imp = b.correct(c.Ctx, t, imp.ID, []byte("email,__row\nfix1@example.com,1001\nfix2@example.com,1002\n"))
	_, err := b.importer.Commit(c.Ctx, imp.ID)
	var limit *billing.LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, billing.LimitError{Resource: "recipients", Existing: 999, Incoming: 2, Limit: 1000, Plan: "free"}, *limit)
	require.EqualValues(t, 999, b.counted(c.Ctx, t))
}

// What cannot be corrected any more is refused, and says why.
func TestImportsThatCannotBeCorrectedAnyMore(t *testing.T) {
	t.Parallel()
	refused := func(ctx context.Context, t *testing.T, b *bundle, id imports.ID, report []byte) string {
		t.Helper()
		_, err := b.importer.Correct(ctx, b.upload(ctx, t, report), id, imports.CorrectOptions{})
		require.ErrorIs(t, err, imports.ErrNotCorrectable)
		return strings.TrimPrefix(err.Error(), imports.ErrNotCorrectable.Error()+": ")
	}
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil).start(t)
		ctx := b.A.Ctx
		b.define(ctx, t, customfields.Field{Key: "size", Type: customfields.Text})
		imp, report := b.afterOne(ctx, t)
		b.convert(ctx, t, "size")
		require.Contains(t, refused(ctx, t, b, imp.ID, report), "stored otherwise")
	})
	t.Run("required", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil).start(t)
		ctx := b.A.Ctx
		imp, report := b.afterOne(ctx, t)
		b.define(ctx, t, customfields.Field{Key: "must", Type: customfields.Text, Required: true})
		require.Contains(t, refused(ctx, t, b, imp.ID, report), `no column for the field "must"`)
	})
	t.Run("moved", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil).start(t)
		imp, report := b.afterOne(b.A.Ctx, t)
		merged, imp := b.correct(b.A.Ctx, t, imp.ID, report)
		b.commit(b.A.Ctx, t, imp.ID)
		moved := b.move(t)
		got, err := b.importer.Get(moved, merged.ID)
		require.NoError(t, err)
		require.Equal(t, imp.ID, got.Corrects)
		require.Contains(t, refused(moved, t, b, imp.ID, report), "stored otherwise")
		require.EqualValues(t, 27, b.undo(moved, t, imp.ID).Reverted)
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		now := time.Now()
		b := setup(t, &imports.Config{UndoFor: time.Hour, Now: func() time.Time { return now }}).start(t)
		ctx := b.A.Ctx
		imp, report := b.afterOne(ctx, t)
		other, _ := b.afterOne(b.B.Ctx, t)
		_, other = b.correct(b.B.Ctx, t, other.ID, report)
		late := *b
		late.wire(t, runs(), &imports.Config{UndoFor: time.Hour, Now: func() time.Time { return now.Add(2 * time.Hour) }})
		require.Contains(t, refused(ctx, t, &late, imp.ID, report), "too long ago")
		_, err := late.importer.Sweep(t.Context())
		require.NoError(t, err)
		require.Contains(t, refused(ctx, t, b, imp.ID, report), "too long ago", "whatever the clock says")
		require.EqualValues(t, 27, b.commit(b.B.Ctx, t, other.ID).Inserted)
		require.EqualValues(t, 27, b.undo(b.B.Ctx, t, other.ID).Reverted, "nothing was forgotten while it waited")
	})
}

// Fields that change before the commit keep a report from being merged, as they keep the commit.
func TestFieldsChangedBeforeTheReport(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\nbad\n", imports.ProcessOptions{})
	id := b.upload(ctx, t, []byte("email,__row\na@example.com,2\n"))
	open := b.gate(t, 7, "INSERT", "strata.import_rows", `new.import_id = '`+id.String()+`'`)
	_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.NoError(t, err)
	b.stands(t, 7)
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	open()
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
	got, err := b.importer.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, imports.Failed, got.Status)
	require.Contains(t, got.Error, "late: the field is new")
	_, err = b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.ErrorIs(t, err, imports.ErrFieldsChanged)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	b.until(ctx, t, imp.ID, imports.Previewed)
	_, err = b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.NoError(t, err)
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State == bulk.StateCompleted })
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Inserted)
}

// A row that had lost to one that is corrected to another address is in again, before the commit
// and after it.
func TestRowsThatHadLostToACorrectedOne(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	imp := b.process(ctx, t, "email,code\nada@example.com,1\nbo@example.com,2\nbo@example.com,1\ncy@example.com,3\ncy@example.com,4\n", imports.ProcessOptions{})
	require.Equal(t, []int64{2, 2, 1}, []int64{imp.New, imp.Duplicate, imp.Invalid})
	merged, imp := b.correct(ctx, t, imp.ID, []byte("email,code,__row\ndee@example.com,5,4\n"))
	require.EqualValues(t, 1, merged.TotalRows)
	require.Equal(t, []int64{4, 1, 0}, []int64{imp.New, imp.Duplicate, imp.Invalid})
	_, err := b.store.Create(ctx, recipients.New{Email: "thief@example.com", CustomFields: map[string]any{"code": "4"}})
	require.NoError(t, err)
	before := b.dump(ctx, t)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{3, 1, 1}, []int64{imp.Inserted, imp.Skipped, imp.Duplicate})
	_, imp = b.correct(ctx, t, imp.ID, []byte("email,code,__row\neve@example.com,6,6\n"))
	require.Equal(t, []int64{2, 3, 0, 0}, []int64{imp.New, imp.Inserted, imp.Skipped, imp.Duplicate})
	b.commit(ctx, t, imp.ID)
	require.Equal(t, map[string]string{
		"ada": " map[code:1]", "bo": " map[code:2]", "cy": " map[code:3]", "dee": " map[code:5]", "eve": " map[code:6]", "thief": " map[code:4]",
	}, b.people(ctx, t))
	b.undo(ctx, t, imp.ID)
	require.Equal(t, before, b.dump(ctx, t))
}

// Rows that are written, or wait for the commit of a round, are not to be corrected.
func TestReportWithRowsThatAreWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\na@example.com\nmade@example.com\nbad1\nbad2\n", imports.ProcessOptions{})
	_, err := b.store.Create(ctx, recipients.New{Email: "made@example.com", Status: recipients.Bounced})
	require.NoError(t, err)
	b.commit(ctx, t, imp.ID)
	require.Contains(t, b.wrong(ctx, t, imp.ID, "email,__row\nx@example.com,2\ny@example.com,4\n"), "rows 2 of the file are not to be corrected")
	_, imp = b.correct(ctx, t, imp.ID, []byte("email,__row\nx@example.com,4\n"))
	require.Contains(t, b.wrong(ctx, t, imp.ID, "email,__row\nx@example.com,2\ny@example.com,4\nz@example.com,5\n"), "rows 2, 4 of the file are not to be corrected")
	_, imp = b.correct(ctx, t, imp.ID, []byte("email,__row\nz@example.com,5\n"))
	require.Equal(t, []any{1, int64(2)}, []any{imp.Round, imp.New}, "both in the same round")
	imp = b.commit(ctx, t, imp.ID)
	require.EqualValues(t, 3, imp.Inserted)
}

// A report of a file that is read otherwise by now is not merged: its rows are not those any more.
func TestReportOfAFileThatIsReadOtherwiseByNow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email,first,last\nbad,Ada,Berg\n", imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "first": to("name")}})
	id := b.upload(ctx, t, []byte("email,first,last,__row\na@example.com,Ada,Berg,2\n"))
	open := b.gate(t, 7, "INSERT", "strata.import_rows", `new.import_id = '`+id.String()+`'`)
	_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.NoError(t, err)
	b.stands(t, 7)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "last": to("name")}})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	open()
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
	got, err := b.importer.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, imports.Failed, got.Status)
	require.Contains(t, got.Error, "its file was processed otherwise meanwhile")
	same, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, imp, same)
}
