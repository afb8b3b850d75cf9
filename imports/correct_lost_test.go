package imports_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

// A report cannot show every cell as it is. What it shows instead is no correction: a row in which
// that is left stays invalid, whatever else is corrected in it and whatever program saved it.
func TestCellsThatAReportCannotShow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 8_000)
	formulas := excelize.NewFile()
	for ref, value := range map[string]any{"A1": "email", "B1": "name", "C1": "note", "A2": "a@example.com", "B2": 7, "A3": "b@example.com", "B3": 8, "A4": "bad", "B4": "Cy", "C4": 9} {
		require.NoError(t, formulas.SetCellValue("Sheet1", ref, value))
	}
	sheet := rewritten(t, bytesOf(t, formulas), "xl/worksheets/sheet1.xml", func(xml string) string {
		xml = strings.Replace(xml, "<c r=\"B2\"><v>7</v>", "<c r=\"B2\"><f>3+4</f>", 1)
		xml = strings.Replace(xml, "<c r=\"B3\"><v>8</v>", "<c r=\"B3\" t=\"e\"><v>#N/A</v>", 1)
		return strings.Replace(xml, "<c r=\"C4\"><v>9</v>", "<c r=\"C4\" t=\"e\"><v>#N/A</v>", 1)
	})
	for name, c := range map[string]struct {
		file  string
		shown map[string]string // by row: the second cell of the report
		left  int64             // rows that cannot be imported when nothing but addresses is corrected
		save  func(report string) string
	}{
		"characters that cannot be decoded": {
			file: "email,name\na@example.com,J\xfcrgen\nb@example.com,ok\xc3\xa9\xc3\xa9\xc3\xa9\nbad,Bo\n" + strings.Repeat("good@example.com,é\n", 9), shown: map[string]string{"2": "J\uFFFDrgen", "4": "Bo"}, left: 1,
		},
		"and a program without them": {
			file: "email,name\nbad,J\xfcrgen\n" + strings.Repeat("good@example.com,é\n", 9), shown: map[string]string{"2": "J\uFFFDrgen"}, left: 1,
			save: func(report string) string { return strings.ReplaceAll(report, "\uFFFD", "?") },
		},
		"workbook": {file: string(sheet), shown: map[string]string{"2": "=?", "3": "#N/A", "4": "Cy"}, left: 2},
		"workbook, saved by a spreadsheet": {file: string(sheet), shown: map[string]string{"2": "=?", "3": "#N/A", "4": "Cy"}, left: 2, save: func(report string) string {
			records, err := csv.NewReader(strings.NewReader(report)).ReadAll()
			require.NoError(t, err)
			return string(sheetOf(t, records))
		}},
		"long":              {file: "email,name\nbad,\"" + long + "\"\nbad,Bo\n", shown: map[string]string{"2": long[:31_997] + "…", "3": "Bo"}, left: 1},
		"no CSV":            {file: "email,name\na@example.com,\"A\"x\nbad,Bo\n", shown: map[string]string{"2": "", "3": "Bo"}, left: 1},
		"a report as file":  {file: "email,name,__row,__errors\na@example.com,A,2,x,y\nbad,Bo,3,z\n", shown: map[string]string{"2": "A", "3": "Bo"}, left: 1},
		"missing columns":   {file: "email,name\na@example.com\nbad,Bo\n", shown: map[string]string{"2": "", "3": "Bo"}, left: 1},
		"nothing of it all": {file: "email,name\nbad,A\nbad,Bo\n", shown: map[string]string{"2": "A", "3": "Bo"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil).start(t)
			ctx := b.A.Ctx
			imp := b.processed(ctx, t, []byte(c.file), imports.ProcessOptions{Conflict: imports.Skip})
			for again := range 2 { // what is left is left the next time too
				_, records := b.report(ctx, t, imp.ID)
				shown := map[string]string{}
				for _, line := range records[1:] {
					shown[line[len(line)-4]] = strings.TrimPrefix(line[1], "'")
					if line[0] == "bad" {
						line[0] = "fixed" + line[len(line)-4] + "@example.com"
					}
				}
				if again == 0 {
					require.Equal(t, c.shown, shown)
				}
				file := csvOf(t, records)
				if c.save != nil {
					file = []byte(c.save(string(file)))
				}
				_, imp = b.correct(ctx, t, imp.ID, file)
				require.Equal(t, c.left, imp.Invalid)
				if c.left == 0 {
					return
				}
			}
			_, records := b.report(ctx, t, imp.ID)
			require.Len(t, records, int(c.left)+1)
			for _, line := range records[1:] {
				line[0], line[1] = "fixed"+line[len(line)-4]+"@example.com", "Dee"
			}
			_, imp = b.correct(ctx, t, imp.ID, csvOf(t, records))
			require.Zero(t, imp.Invalid)
			imp = b.commit(ctx, t, imp.ID)
			require.EqualValues(t, c.left, one[int64](ctx, t, b, `SELECT count(*) FROM strata.recipients WHERE name = 'Dee'`))
			require.Zero(t, one[int64](ctx, t, b, `SELECT count(*) FROM strata.recipients WHERE name ~ '[?#…]' OR name ~ chr(65533)`))
		})
	}
}

// A report says what it is the report of.
func TestReportOfAnotherFile(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	const file = "email,name\nbad,A\nb@example.com,B\n"
	mine, other := b.process(ctx, t, file, imports.ProcessOptions{}), b.process(ctx, t, file, imports.ProcessOptions{})
	report, _ := b.report(ctx, t, other.ID)
	report = strings.Replace(report, "bad", "a@example.com", 1)
	require.Equal(t, "rows 2 of the report are, as __import says, not of this import, or of another sheet: upload them to theirs. Nothing was merged", b.wrong(ctx, t, mine.ID, report))
	_, other = b.correct(ctx, t, other.ID, []byte(report))
	require.Zero(t, other.Invalid)

	book := excelize.NewFile()
	_, err := book.NewSheet("Second")
	require.NoError(t, err)
	for _, sheet := range []string{"Sheet1", "Second"} {
		for ref, value := range map[string]any{"A1": "email", "B1": "name", "A2": "bad", "B2": sheet} {
			require.NoError(t, book.SetCellValue(sheet, ref, value))
		}
	}
	imp := b.processed(ctx, t, bytesOf(t, book), imports.ProcessOptions{})
	report, _ = b.report(ctx, t, imp.ID)
	report = strings.Replace(report, "bad", "s@example.com", 1)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Sheet: "Second"})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	require.Contains(t, b.wrong(ctx, t, imp.ID, report), "rows 2 of the report are, as __import says, not of this import")
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Sheet: "Sheet1"})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Previewed)
	_, imp = b.correct(ctx, t, imp.ID, []byte(report))
	require.Zero(t, imp.Invalid)
}

// The report of a committed import also has rows that are written: as they are, they are no
// hindrance, and changed they are refused.
func TestReportAsItWasDownloaded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "since", Type: customfields.Date}, customfields.Field{Key: "seats", Type: customfields.Number})
	imp := b.process(ctx, t, "email,name,seats,since\nmade@example.com,Ada,\"1.234,5\",31/12/2026\nbad,Bo,\"2,5\",31/12/2026\n", imports.ProcessOptions{Formats: map[string]string{"seats": "1.234,56", "since": "DD/MM/YYYY"}})
	_, err := b.store.Create(ctx, recipients.New{Email: "made@example.com"})
	require.NoError(t, err)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{0, 1, 1}, []int64{imp.Inserted, imp.Updated, imp.Invalid})
	report, records := b.report(ctx, t, imp.ID)
	require.Len(t, records, 3)
	report = strings.Replace(report, "bad", "bo@example.com", 1)
	require.Contains(t, b.wrong(ctx, t, imp.ID, strings.Replace(report, "Ada", "Eve", 1)), "rows 2 of the file are not to be corrected")
	_, imp = b.correct(ctx, t, imp.ID, []byte(report))
	require.Equal(t, []int64{1, 0, 1, 0}, []int64{imp.New, imp.Changed, imp.Updated, imp.Invalid})
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 1}, []int64{imp.Inserted, imp.Updated})

	_, err = b.importer.Correct(ctx, b.upload(ctx, t, sheetOf(t, [][]string{{"email", "since", "__row"}, {"a@b.cc", "x", "2"}})),
		b.process(ctx, t, "email,since\nbad,31/12/2026\n", imports.ProcessOptions{}).ID, imports.CorrectOptions{})
	require.ErrorContains(t, err, `the dates of the column "since" are written as DD/MM/YYYY, which a spreadsheet program may have taken for another day: save the report as CSV and upload that`)
}

// What a row had lost to is corrected, and what it was checked by does not hold any more: it is
// reported on.
func TestRowsThatHadLostBeforeAFieldChanged(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "code", Type: customfields.Text, Unique: true})
	imp := b.process(ctx, t, "email,code\nbo@example.com,1\nbo@example.com,2\nbo@example.com,9\n", imports.ProcessOptions{})
	_, err := b.store.Create(ctx, recipients.New{Email: "thief@example.com", CustomFields: map[string]any{"code": "9"}})
	require.NoError(t, err)
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{1, 2}, []int64{imp.Skipped, imp.Duplicate})
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	_, imp = b.correct(ctx, t, imp.ID, []byte("email,code,__row\neve@example.com,5,4\n"))
	require.Equal(t, []int64{1, 1, 1, 0}, []int64{imp.New, imp.Duplicate, imp.Invalid, imp.Skipped})
	imp = b.commit(ctx, t, imp.ID)
	report, records := b.report(ctx, t, imp.ID)
	require.Equal(t, []string{"bo@example.com", "2", "3", "row: lost to row 4, which was corrected, and was checked by the custom fields as they were: correct it too, or leave it as it is"}, records[1][:4])
	_, imp = b.correct(ctx, t, imp.ID, []byte(report))
	require.Equal(t, []int64{1, 1, 0}, []int64{imp.New, imp.Duplicate, imp.Invalid}, "as it is it is right")
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, map[string]string{"bo": " map[code:2]", "eve": " map[code:5]", "thief": " map[code:9]"}, b.people(ctx, t))
}

// Reading the file again forgets what reports have corrected: who is sent there is told so.
func TestFieldsChangedAfterACorrection(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\nbad\n", imports.ProcessOptions{})
	b.correct(ctx, t, imp.ID, []byte("email,__row\na@example.com,2\n"))
	b.define(ctx, t, customfields.Field{Key: "late", Type: customfields.Text})
	_, err := b.importer.Commit(ctx, imp.ID)
	require.ErrorIs(t, err, imports.ErrFieldsChanged)
	require.ErrorContains(t, err, "process it again (late: the field is new), and upload the corrected reports again after that")
}

// The preview does without the run that read the file.
func TestPreviewWithoutItsRun(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	imp := b.process(ctx, t, "email\na@example.com\n", imports.ProcessOptions{})
	b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.State.Final() })
	require.NoError(t, b.runner.Delete(ctx, bulk.RunID(imp.ID)))
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, p.EstimatedSeconds)
	require.EqualValues(t, 1, b.commit(ctx, t, imp.ID).Inserted)
}
