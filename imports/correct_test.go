package imports_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/internal/dbtest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// upload begins an import with a file.
func (b *bundle) upload(ctx context.Context, t *testing.T, file []byte) imports.ID {
	t.Helper()
	imp, err := b.importer.CreateFromReader(ctx, "errors.csv", bytes.NewReader(file))
	require.NoError(t, err)
	return imp.ID
}

// correct merges a report, and returns what became of it and of the import that it corrects.
func (b *bundle) correct(ctx context.Context, t *testing.T, of imports.ID, report []byte) (merged, corrected imports.Import) {
	t.Helper()
	merged, err := b.importer.Correct(ctx, b.upload(ctx, t, report), of, imports.CorrectOptions{})
	require.NoError(t, err)
	require.Equal(t, of, merged.Corrects)
	merged = b.until(ctx, t, merged.ID, imports.Merged)
	require.Equal(t, merged.TotalRows, merged.New+merged.Changed+merged.Unchanged+merged.Duplicate+merged.Invalid)
	corrected, err = b.importer.Get(ctx, of)
	require.NoError(t, err)
	addsUp(t, corrected)
	return merged, corrected
}

// wrong is the error of a report that is not merged.
func (b *bundle) wrong(ctx context.Context, t *testing.T, of imports.ID, report string) string {
	t.Helper()
	id := b.upload(ctx, t, []byte(report))
	_, err := b.importer.Correct(ctx, id, of, imports.CorrectOptions{})
	require.NoError(t, err)
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
	imp, err := b.importer.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, imports.Failed, imp.Status)
	return imp.Error
}

// addsUp holds an import to its sum.
func addsUp(t *testing.T, i imports.Import) {
	t.Helper()
	sum := i.Inserted + i.Updated + i.Skipped + i.Unchanged + i.Duplicate + i.Invalid
	if i.Status == imports.Previewed || i.Status == imports.Processing {
		sum += i.New + i.Changed
	}
	require.Equal(t, i.TotalRows, sum, "%+v", i)
}

// csvOf writes records as a program does, and excelOf as Excel does where a comma is no delimiter.
func csvOf(t *testing.T, records [][]string) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, csv.NewWriter(&out).WriteAll(records))
	return out.Bytes()
}

func excelOf(t *testing.T, records [][]string) []byte {
	t.Helper()
	out := bytes.NewBufferString("\xef\xbb\xbf")
	w := csv.NewWriter(out)
	w.Comma, w.UseCRLF = ';', true
	require.NoError(t, w.WriteAll(records))
	return out.Bytes()
}

func sheetOf(t *testing.T, records [][]string) []byte {
	t.Helper()
	rows := make([][]any, len(records))
	for i, record := range records {
		for _, cell := range record {
			var value any = cell
			if n := 0; i > 0 {
				if _, err := fmt.Sscanf(cell+"\n", "%d\n", &n); err == nil {
					value = n
				}
				if day, err := time.Parse("02.01.2006", cell); err == nil { // a spreadsheet makes days of it
					value = day
				}
			}
			rows[i] = append(rows[i], value)
		}
	}
	f := workbook(t, map[string][][]any{"errors": rows})
	require.NoError(t, f.DeleteSheet("Sheet1"))
	return bytesOf(t, f)
}

// shuffled has the rows of a report in another order, and its own columns before the others.
func shuffled(records [][]string) [][]string {
	out := make([][]string, len(records))
	for i, r := range records {
		n := len(r) - 3
		out[i] = slices.Concat(r[n:], r[:n])
	}
	slices.Reverse(out[1:])
	return out
}

const crooked = `E-Mail;Vorname;Nachname;Seit;Tarif;Kürzel
ada@example.com;Ada;Berg;31.12.2025;gold;A
bo@example;Bo;Lund;01.02.2026;gold;B
cy@example.com;Cy;=Roth;32.01.2026;glod;C
old@example.com;Old;New;;silver;
ada@example.com;Ada;Last;13.01.2026;gold;A
dee@example.com
ada@example,com;Eve;"semi;colon";02.01.2026;gold;A
`

// A report that is corrected is the file that was corrected, however it was saved.
func TestCorrectBeforeTheCommit(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(*testing.T, [][]string) []byte{
		"as it was downloaded": csvOf,
		"Excel":                excelOf,
		"sorted":               func(t *testing.T, r [][]string) []byte { return excelOf(t, shuffled(r)) },
		"workbook":             func(t *testing.T, r [][]string) []byte { return sheetOf(t, shuffled(r)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &imports.Config{BatchRows: 2}).start(t)
			ctx := b.A.Ctx
			b.define(ctx, t, customfields.Field{Key: "since", Type: customfields.Date, DateOnly: true}, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}},
				customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
			_, err := b.store.Create(ctx, recipients.New{Email: "old@example.com", Name: "Old"})
			require.NoError(t, err)
			before := b.dump(ctx, t)
			imp := b.process(ctx, t, crooked, imports.ProcessOptions{
				Mapping: map[string]*string{"E-Mail": to("email"), "Seit": to("fields.since"), "Tarif": to("fields.tier"), "Kürzel": to("fields.code")},
				Join:    map[string][]string{"name": {"Vorname", "Nachname"}}, Constants: map[string]string{"status": "inactive"},
			})
			require.Equal(t, []int64{7, 1, 1, 0, 1, 4}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Unchanged, imp.Duplicate, imp.Invalid})
			_, records := b.report(ctx, t, imp.ID)
			require.Len(t, records, 5)
			records[1][0], records[2][3], records[2][4] = "bo@example.com", "30.01.2026", "gold"
			copy(records[4], []string{"ada@example.com", "Eve", "semi;colon", "02.01.2026", "gold", "A"})

			merged, imp := b.correct(ctx, t, imp.ID, save(t, records))
			require.Equal(t, []int64{4, 3, 0, 0, 0, 1}, []int64{merged.TotalRows, merged.New, merged.Changed, merged.Unchanged, merged.Duplicate, merged.Invalid})
			require.Equal(t, []any{imports.Previewed, 0}, []any{imp.Status, imp.Round})
			require.Equal(t, []int64{7, 3, 1, 0, 2, 1}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Unchanged, imp.Duplicate, imp.Invalid})
			require.Equal(t, 8, one[int](ctx, t, b, `SELECT duplicate_of FROM strata.import_rows WHERE import_id = $1 AND row_no = 6`, imp.ID), "the last row of the file wins")
			_, records = b.report(ctx, t, imp.ID)
			require.Len(t, records, 2, "what is still wrong")
			require.Equal(t, []string{"dee@example.com", "7"}, []string{records[1][0], records[1][6]})

			done := b.commit(ctx, t, imp.ID)
			require.Equal(t, []int64{3, 1, 2, 1}, []int64{done.Inserted, done.Updated, done.Duplicate, done.Invalid})
			page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
			require.NoError(t, err)
			got := map[string]string{}
			for _, r := range page.Items {
				got[r.Email] = fmt.Sprint(r.Name, " ", r.Status, " ", r.CustomFields)
			}
			require.Equal(t, map[string]string{
				"ada@example.com": "Eve semi;colon inactive map[code:A since:2026-01-02T00:00:00.000000Z tier:gold]",
				"bo@example.com":  "Bo Lund inactive map[code:B since:2026-02-01T00:00:00.000000Z tier:gold]",
				"cy@example.com":  "Cy =Roth inactive map[code:C since:2026-01-30T00:00:00.000000Z tier:gold]",
				"old@example.com": "Old New inactive map[tier:silver]",
			}, got)
			b.counted(ctx, t)
			require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'import.corrected' AND resource_id = $1
				AND metadata->>'report' = $2 AND metadata->>'new' = '3' AND metadata->>'invalid' = '1'`, imp.ID.String(), merged.ID.String()))
			b.undo(ctx, t, imp.ID)
			require.Equal(t, before, b.dump(ctx, t))
		})
	}
}

// A merged report is over: it can be neither committed nor anything else, and is swept.
func TestMergedReportIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\na@example.com\nbad\n", imports.ProcessOptions{})
	merged, _ := b.correct(ctx, t, imp.ID, []byte("email,__row\ngood@example.com,3\n"))
	require.EqualValues(t, 1, merged.ProcessedRows)
	for what, call := range map[string]func() error{
		"committed": func() error { _, err := b.importer.Commit(ctx, merged.ID); return err },
		"undone":    func() error { _, err := b.importer.Undo(ctx, merged.ID); return err },
		"cancelled": func() error { _, err := b.importer.Cancel(ctx, merged.ID); return err },
		"processed": func() error { _, err := b.importer.Process(ctx, merged.ID, imports.ProcessOptions{}); return err },
		"previewed": func() error { _, err := b.importer.Preview(ctx, merged.ID); return err },
		"reported":  func() error { return b.importer.WriteErrorReport(ctx, merged.ID, nil) },
		"again": func() error {
			_, err := b.importer.Correct(ctx, merged.ID, imp.ID, imports.CorrectOptions{})
			return err
		},
		"corrected": func() error {
			_, err := b.importer.Correct(ctx, b.upload(ctx, t, []byte("email,__row\na@b.cc,3\n")), merged.ID, imports.CorrectOptions{})
			return err
		},
	} {
		var state *imports.StateError
		require.ErrorAs(t, call(), &state, what)
		require.Equal(t, imports.Merged, state.Status, what)
	}
	b.old(ctx, t, merged.ID)
	n, err := b.importer.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	keys, rows := b.kept(ctx, t, merged.ID)
	require.Equal(t, []int{0, 0}, []int{keys, rows})
	got, err := b.importer.Get(ctx, merged.ID)
	require.NoError(t, err)
	require.Equal(t, imports.Merged, got.Status)
	require.EqualValues(t, 2, b.commit(ctx, t, imp.ID).Inserted)
}

// What is no report of the import is refused before anything is read.
func TestCorrectRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "seats", Type: customfields.Number})
	imp := b.process(ctx, t, "email;name;seats\nbad;A;1.234,56\n", imports.ProcessOptions{Formats: map[string]string{"seats": "1.234,56"}})
	for file, want := range map[string]string{
		"email,name,seats,__errors\na@b.cc,A,1,x\n":      "no_row_column: the report needs its column __row",
		"email,seats,__row\na@b.cc,1,2\n":                `other_columns: column 2 is "seats", where the file has "name"`,
		"__row,email,nme,seats\n2,a@b.cc,A,1\n":          `other_columns: column 3 is "nme", where the file has "name"`,
		"email,name,__row\na@b.cc,A,2\n":                 `other_columns: the column "seats" is missing`,
		"email,name,seats,__row,note\na@b.cc,A,1,2,x\n":  `other_columns: the file has no column "note"`,
		"email,name,seats,__row,__row\na@b.cc,A,1,2,2\n": "duplicate_column: ",
		"email,name,seats,__row\n":                       "no_rows: ",
		string(sheetOf(t, [][]string{{"email", "name", "seats", "__row"}, {"a@b.cc", "A", "1", "2"}})): `workbook_numbers: the numbers of the column "seats" are written as 1.234,56`,
	} {
		_, err := b.importer.Correct(ctx, b.upload(ctx, t, []byte(file)), imp.ID, imports.CorrectOptions{})
		var f *imports.FileError
		require.ErrorAs(t, err, &f, want)
		require.Contains(t, f.Reason+": "+f.Message, want)
	}
	_, err := b.importer.Correct(ctx, imp.ID, imp.ID, imports.CorrectOptions{})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	up, err := b.importer.CreateUpload(ctx, imports.NewUpload{FileName: "x.csv", Size: 5})
	require.NoError(t, err)
	_, err = b.importer.Correct(ctx, up.ID, imp.ID, imports.CorrectOptions{})
	require.ErrorIs(t, err, imports.ErrNotUploaded)
	var state *imports.StateError
	_, err = b.importer.Correct(ctx, b.upload(ctx, t, []byte("email,name,seats,__row\na@b.cc,A,1,2\n")), up.ID, imports.CorrectOptions{})
	require.ErrorAs(t, err, &state)
	require.Equal(t, imports.StateError{ID: up.ID, Status: imports.Pending, Action: "corrected"}, *state)
	got, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 0, 1}, []int64{got.TotalRows, got.New, got.Invalid})
	// How it is written can be said.
	id := b.upload(ctx, t, []byte("All errors\nemail|name|seats|__row\na@b.cc|\xe9|1|2\n"))
	_, err = b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{Delimiter: "|", Encoding: "windows-1252", HeaderRow: 2})
	require.NoError(t, err)
	require.EqualValues(t, 1, b.until(ctx, t, id, imports.Merged).New)
}

// A row of a report that corrects none ends the run: the error says which rows, and what they should be.
func TestReportsWithWrongRows(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 3}).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\ngood@example.com\nbad1\nbad2\nbad3\n", imports.ProcessOptions{})
	rows := one[string](ctx, t, b, `SELECT jsonb_agg(to_jsonb(r) ORDER BY row_no)::text FROM strata.import_rows r WHERE import_id = $1`, imp.ID)
	var many strings.Builder
	for i := range 30 {
		fmt.Fprintf(&many, "x%d@example.com,%d\n", i, 100+i)
	}
	const (
		unnumbered = "rows %s of the report do not say in __row which row of the file they are, or have not as many cells as its header: leave __row as it was"
		repeated   = "rows %s of the file are in the report more than once: leave one of each"
		unknown    = "the file has no rows %s: leave __row as it was"
		fine       = "rows %s of the file are not to be corrected: they were not wrong, are written by now, or wait for the commit; take them out of the report"
	)
	says := func(parts ...string) string { return strings.Join(parts, "; ") + ". Nothing was merged" }
	for report, want := range map[string]string{
		"a@example.com,3\nb@example.com,\n\nc@example.com,x\nd@example.com,-3\ne@example.com,4.0\nf@example.com,99999999999\n": says(fmt.Sprintf(unnumbered, "3, 5, 6, 7, 8")),
		"a@example.com,3\nb@example.com\n\"c\"x,4\nd@example.com,5,6\n":                                                        says(fmt.Sprintf(unnumbered, "3, 4, 5")),
		"a@example.com,3\nb@example.com,4\nc@example.com,5\nd@example.com,3\n":                                                 says(fmt.Sprintf(repeated, "3")),
		"a@example.com,3\nb@example.com,1\nc@example.com,6\n":                                                                  says(fmt.Sprintf(unknown, "1, 6")),
		"a@example.com,3\ngood@example.com,2\n":                                                                                says(fmt.Sprintf(fine, "2")),
		many.String():                                                                                                          says(fmt.Sprintf(unknown, "100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119 and 10 more")),
		"a@example.com,3\na@example.com,3\nb@example.com,\nc@example.com,2\nd@example.com,7\n":                                 says(fmt.Sprintf(unnumbered, "4"), fmt.Sprintf(repeated, "3"), fmt.Sprintf(unknown, "7"), fmt.Sprintf(fine, "2")),
	} {
		require.Equal(t, want, b.wrong(ctx, t, imp.ID, "email,__row\n"+report))
	}
	got, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	require.Equal(t, imp, got, "nothing was merged")
	require.Equal(t, rows, one[string](ctx, t, b, `SELECT jsonb_agg(to_jsonb(r) ORDER BY row_no)::text FROM strata.import_rows r WHERE import_id = $1`, imp.ID))
	require.Zero(t, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'import.corrected'`))
}

// A report that corrects nothing is merged too: it says so.
func TestReportInWhichAllIsStillWrong(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email,name\nbad,A\ngood@example.com,B\nworse,C\n", imports.ProcessOptions{})
	for range 2 {
		_, records := b.report(ctx, t, imp.ID)
		records[2][0] = "even " + records[2][0]
		merged, got := b.correct(ctx, t, imp.ID, csvOf(t, records))
		require.EqualValues(t, 2, merged.Invalid)
		require.Equal(t, []any{imp.Status, 0, int64(1), int64(2)}, []any{got.Status, got.Round, got.New, got.Invalid})
		_, again := b.report(ctx, t, imp.ID)
		require.Equal(t, []string{records[2][0], "C", "4"}, again[2][:3], "with its new cells")
		if got.Status == imports.Previewed {
			imp = b.commit(ctx, t, imp.ID) // and once more when it is done
		}
	}
	require.Equal(t, imports.Done, imp.Status)
}

// Nothing of another tenant can be corrected, or be a correction.
func TestCorrectionsNeverCrossTenants(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	sibling := b.Domain(t, b.A, "sibling.example")
	const file, report = "email\na@example.com\nbad\n", "email,__row\nb@example.com,3\n"
	mine := b.process(b.A.Ctx, t, file, imports.ProcessOptions{})
	for name, ctx := range map[string]context.Context{"another company": b.B.Ctx, "another domain": sibling} {
		theirs := b.process(ctx, t, file, imports.ProcessOptions{})
		_, err := b.importer.Correct(ctx, b.upload(ctx, t, []byte(report)), mine.ID, imports.CorrectOptions{})
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, err = b.importer.Correct(ctx, b.upload(b.A.Ctx, t, []byte(report)), theirs.ID, imports.CorrectOptions{})
		require.ErrorIs(t, err, imports.ErrNotFound, name)
		_, theirs = b.correct(ctx, t, theirs.ID, []byte(report))
		require.EqualValues(t, 2, theirs.New, name)
	}
	got, err := b.importer.Get(b.A.Ctx, mine.ID)
	require.NoError(t, err)
	require.Equal(t, mine, got)
	require.Equal(t, 2, one[int](b.A.Ctx, t, b, `SELECT count(*)::int FROM strata.import_rows WHERE domain_id = $1`, b.A.DomainID))
}

// Of two reports at once the second finds the rows of the first corrected; where they have none in common both are merged.
func TestTwoReportsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: inTens}).start(t)
	ctx := b.A.Ctx
	var file, odd, even strings.Builder
	file.WriteString("email\n")
	odd.WriteString("email,__row\n")
	even.WriteString("email,__row\n")
	for i := range 100 {
		fmt.Fprintln(&file, "bad", i)
		fmt.Fprintf([]*strings.Builder{&even, &odd}[i%2], "r%d@example.com,%d\n", i, i+2)
	}
	imp := b.process(ctx, t, file.String(), imports.ProcessOptions{})
	var ids []imports.ID
	for _, report := range []string{odd.String(), even.String(), odd.String()} {
		ids = append(ids, b.upload(ctx, t, []byte(report)))
	}
	for _, id := range ids {
		_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
		require.NoError(t, err)
	}
	statuses := map[imports.Status]int{}
	for _, id := range ids {
		b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
		got, err := b.importer.Get(ctx, id)
		require.NoError(t, err)
		if statuses[got.Status]++; got.Status == imports.Failed {
			require.Contains(t, got.Error, "rows 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41 and 30 more of the file are not to be corrected")
		}
	}
	require.Equal(t, map[imports.Status]int{imports.Merged: 2, imports.Failed: 1}, statuses)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{100, 100, 0}, []int64{imp.TotalRows, imp.Inserted, imp.Invalid})
}

// gate holds up what happens to rows of a table until it is opened. Its lock is of a session, which a pooler would share.
func (b *bundle) gate(t *testing.T, key int, event, table, when string) (open func()) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, dbtest.DirectURL(t, b.Pool))
	require.NoError(t, err)
	open = func() {
		t.Helper()
		require.NoError(t, conn.Close(ctx))
	}
	t.Cleanup(open)
	_, err = conn.Exec(ctx, fmt.Sprintf(`SELECT pg_advisory_lock(%[1]d);
		CREATE FUNCTION gate%[1]d() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(%[1]d); RETURN new; END $$;
		CREATE TRIGGER gate%[1]d BEFORE %[2]s ON %[3]s FOR EACH ROW WHEN (%[4]s) EXECUTE FUNCTION gate%[1]d()`, key, event, table, when))
	require.NoError(t, err)
	return open
}

// stands waits until something stands before a gate.
func (b *bundle) stands(t *testing.T, key int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := b.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, key).Scan(&n)
		return err == nil && n > 0
	}, within, 5*time.Millisecond)
}

// While the import is committed a report fails, and can be merged afterwards.
func TestReportWhileTheImportIsCommitted(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 1}).start(t)
	ctx := b.A.Ctx
	before := b.dump(ctx, t)
	imp := b.process(ctx, t, "email\na@example.com\nb@example.com\nbad\n", imports.ProcessOptions{})
	id := b.upload(ctx, t, []byte("email,__row\nfixed@example.com,4\n"))
	openReport := b.gate(t, 7, "INSERT", "strata.import_rows", `new.import_id = '`+id.String()+`'`)
	openCommit := b.gate(t, 8, "INSERT", "strata.recipients", `new.email_norm = 'b@example.com'`)
	_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.NoError(t, err)
	b.stands(t, 7)
	_, err = b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.stands(t, 8)
	openReport()
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State.Final() })
	report, err := b.importer.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []any{imports.Failed, "an import that is processing cannot be corrected"}, []any{report.Status, report.Error})
	_, err = b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	var state *imports.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, imports.Processing, state.Status)
	openCommit()
	imp = b.until(ctx, t, imp.ID, imports.Done)
	require.Equal(t, []int64{2, 1}, []int64{imp.Inserted, imp.Invalid})

	_, err = b.runner.Retry(ctx, bulk.RunID(id)) // it goes on where it was
	require.NoError(t, err)
	b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.State == bulk.StateCompleted })
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{3, 0, 1}, []int64{imp.Inserted, imp.Invalid, int64(imp.Round)})
	require.EqualValues(t, 3, b.counted(ctx, t))
	b.undo(ctx, t, imp.ID)
	require.Equal(t, before, b.dump(ctx, t))
}
