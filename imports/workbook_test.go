package imports_test

import (
	"archive/zip"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// workbook is a workbook with rows in sheets, the cells of each from the first column on.
func workbook(t *testing.T, sheets map[string][][]any) *excelize.File {
	t.Helper()
	f := excelize.NewFile()
	for name, rows := range sheets {
		_, err := f.NewSheet(name)
		require.NoError(t, err)
		for i, row := range rows {
			at, err := excelize.CoordinatesToCellName(1, i+1)
			require.NoError(t, err)
			require.NoError(t, f.SetSheetRow(name, at, &row))
		}
	}
	return f
}

func bytesOf(t *testing.T, f *excelize.File) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, f.Write(&out))
	return out.Bytes()
}

// rewritten packs a zip file anew with one file changed.
func rewritten(t *testing.T, file []byte, name string, change func(string) string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	found := false
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		if f.Name == name {
			content, found = []byte(change(string(content))), true
		}
		to, err := w.Create(f.Name)
		require.NoError(t, err)
		_, err = to.Write(content)
		require.NoError(t, err)
	}
	require.True(t, found, name)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestWorkbook(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{BatchRows: 2}).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "phone", Type: customfields.Text}, customfields.Field{Key: "since", Type: customfields.Date, DateOnly: true},
		customfields.Field{Key: "seats", Type: customfields.Number}, customfields.Field{Key: "on", Type: customfields.Boolean}, customfields.Field{Key: "note", Type: customfields.Text})
	day := time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC)
	f := workbook(t, map[string][][]any{
		"People": {
			{"All people"},
			{},
			{"email", "name", "phone", "since", "seats", "on", "note", "ignored"},
			{"a@example.com", "Ann", 491511234567, day, 1.5, true, "two\nlines, \"quoted\"", nil},
			{"b@example.com", "  Bee ", "0049", nil, 0.1, false},
			{},
			{"c@example.com", "Cee", nil, nil, nil, nil, "=cmd()"},
			{"d@example.com", "Dee", nil, nil, nil, nil, nil, nil, "one cell more"},
			{"e@example.com", "placeholder"},
			{"f@example.com", "Eff", nil, nil, nil, nil, nil, "placeholder"},
			{"g@example.com", "placeholder"},
			{"h@example.com", "merged"},
			{nil, "not merged"},
		},
		"Other":  {{"mail"}, {"other@example.com"}},
		"Hidden": {{"email"}, {"hidden@example.com"}},
	})
	require.NoError(t, f.SetSheetVisible("Hidden", false))
	require.NoError(t, f.DeleteSheet("Sheet1"))
	require.NoError(t, f.MergeCell("People", "A12", "A13"))
	style, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	require.NoError(t, err)
	require.NoError(t, f.SetCellStyle("People", "D4", "D4", style))
	require.NoError(t, f.SetCellStyle("People", "A14", "H200", style), "formatted rows at the end")
	file := bytesOf(t, f)
	file = rewritten(t, file, partWith(t, file, `r="B13"`), func(xml string) string { // as programs other than excelize write it
		for ref, cell := range map[string]string{"B9": `t="e"><f>1/0</f><v>#DIV/0!</v>`, "H10": `t="e"><v>#N/A</v>`, "B11": `><f>A1&amp;A2</f>`} {
			from := strings.Index(xml, `<c r="`+ref+`"`)
			end := from + strings.Index(xml[from:], "</c>")
			xml = xml[:from] + `<c r="` + ref + `" ` + cell + xml[end:]
		}
		return xml
	})
	imp := b.processed(ctx, t, file, imports.ProcessOptions{Sheet: "people"})
	require.ElementsMatch(t, []string{"People", "Other", "Hidden"}, imp.Format.Sheets)
	require.Equal(t, []any{"xlsx", "People", 3}, []any{imp.Format.Kind, imp.Format.Sheet, imp.Format.HeaderRow})
	require.Equal(t, []int64{9, 5, 4}, []int64{imp.TotalRows, imp.New, imp.Invalid})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	got := map[int]string{}
	for _, s := range p.SampleErrors {
		got[s.Row] = s.Errors[0].Field + " " + s.Errors[0].Code + " " + s.Errors[0].Value
	}
	require.Equal(t, map[int]string{8: "row extra_columns ", 9: "name cell_error #DIV/0!", 11: "name formula_without_result ", 13: "email invalid_email "}, got)
	var report bytes.Buffer
	require.NoError(t, b.importer.WriteErrorReport(ctx, imp.ID, &report))
	require.Contains(t, report.String(), "e@example.com,#DIV/0!,,,,,,,9,name: the cell has the error #DIV/0!")

	b.commit(ctx, t, imp.ID)
	page, err := b.store.List(ctx, recipients.Query{Sort: "email"})
	require.NoError(t, err)
	require.Len(t, page.Items, 5)
	require.Equal(t, map[string]any{"phone": "491511234567", "since": "2026-04-03T00:00:00.000000Z", "seats": 1.5, "on": true, "note": "two\nlines, \"quoted\""}, page.Items[0].CustomFields)
	require.Equal(t, []any{"Bee", map[string]any{"phone": "0049", "seats": 0.1, "on": false}}, []any{page.Items[1].Name, page.Items[1].CustomFields})
	require.Equal(t, "=cmd()", page.Items[2].CustomFields["note"])
	require.Equal(t, []string{"f@example.com", "h@example.com"}, []string{page.Items[3].Email, page.Items[4].Email}, "an error in a column that is ignored does not matter")

	// The other sheets, by name only.
	other := b.processed(ctx, t, file, imports.ProcessOptions{Sheet: "Hidden"})
	require.EqualValues(t, 1, other.New)
	again, err := b.importer.CreateFromReader(ctx, "x.xlsx", bytes.NewReader(file))
	require.NoError(t, err)
	for field, o := range map[string]imports.ProcessOptions{"options.sheet": {Sheet: "Othr"}, "options.encoding": {Encoding: "utf-8"}, "options.delimiter": {Delimiter: ";"}, "options.headerRow": {Sheet: "People", HeaderRow: 2}} {
		_, err = b.importer.Process(ctx, again.ID, o)
		var v *tenancy.ValidationError
		require.ErrorAs(t, err, &v, field)
		require.Equal(t, field, v.Fields[0].Field)
		if field == "options.sheet" {
			require.Equal(t, "Other", v.Fields[0].Suggestion)
		}
	}
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(b.files(t), func(f string) bool { return strings.HasSuffix(f, ".csv") })
	}, within, time.Millisecond, "the copies are not needed any more")
}

// partWith returns the name of the sheet whose XML has something in it.
func partWith(t *testing.T, file []byte, what string) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		if strings.HasPrefix(f.Name, "xl/worksheets/") && bytes.Contains(content, []byte(what)) {
			return f.Name
		}
	}
	t.Fatalf("no sheet has %s", what)
	return ""
}

func TestWorkbooksAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{MaxFileSize: 8 << 20}).start(t)
	ctx := b.A.Ctx
	rows := [][]any{{"email"}}
	for range 5 {
		rows = append(rows, []any{"a@example.com"})
	}
	f := workbook(t, map[string][][]any{"People": rows})
	require.NoError(t, f.DeleteSheet("Sheet1"))
	file := bytesOf(t, f)
	part := partWith(t, file, `r="A2"`)
	for name, c := range map[string]struct {
		file       []byte
		code, says string
	}{
		"XML that is cut off": {rewritten(t, file, part, func(xml string) string { return xml[:strings.Index(xml, `<row r="3"`)+20] }), "damaged_file", `sheet "People" after row 2`},
		"XML that is damaged": {rewritten(t, file, part, func(xml string) string { return strings.Replace(xml, `<row r="4"`, `<row <r="4"`, 1) }), "damaged_file", `sheet "People" after row 3`},
		"a document type":     {rewritten(t, file, part, func(xml string) string { return `<!DOCTYPE lolz [<!ENTITY lol "lol">]>` + xml }), "damaged_file", "document type"},
		"no sheets": {rewritten(t, file, "xl/workbook.xml", func(xml string) string {
			return strings.NewReplacer("<sheet ", "<other ", "</sheet>", "</other>").Replace(xml)
		}), "empty_file", "no sheet"},
		"a file that is cut off": {file[:len(file)/2], "damaged_file", ""},
		"a zip in it":            {zipped(t, "x.xlsx", file), "nested_archive", "workbooks are packed by themselves"},
		"empty":                  {bytesOf(t, excelize.NewFile()), "empty_file", "no sheet of the workbook"},
		"a document":             {rewritten(t, file, "_rels/.rels", func(xml string) string { return strings.Replace(xml, "xl/workbook.xml", "word/document.xml", 1) }), "not_csv", "no workbook"},
		"a part twice":           {append(file[:0:0], doubled(t, file)...), "damaged_file", "twice"},
		"header only":            {bytesOf(t, workbook(t, map[string][][]any{"Sheet1": {{"email", "name"}}})), "no_rows", ""},
		"an error in the header": {rewritten(t, file, part, func(xml string) string {
			return strings.Replace(xml, xml[strings.Index(xml, `<c r="A1"`):strings.Index(xml, `</c>`)+4], `<c r="A1" t="e"><v>#REF!</v></c>`, 1)
		}), "bad_header", "#REF!"},
		"a bomb": {rewritten(t, file, part, func(xml string) string {
			return strings.Replace(xml, `<row r="1"`, strings.Repeat(" ", 80<<20)+`<row r="1"`, 1)
		}), "file_too_large", "is larger than"},
	} {
		imp, err := b.importer.CreateFromReader(ctx, "x.xlsx", bytes.NewReader(c.file))
		require.NoError(t, err)
		_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		var f *imports.FileError
		require.ErrorAs(t, err, &f, name)
		require.Equal(t, c.code, f.Reason, "%s: %s", name, f.Message)
		require.Contains(t, f.Message, c.says, name)
	}

	files := len(b.files(t))
	// Cells that share a long text make of a small part a large file: it is as little as any other.
	shared := rewritten(t, file, "xl/sharedStrings.xml", func(xml string) string {
		return strings.Replace(xml, ">a@example.com<", ">"+strings.Repeat("a", 200_000)+"<", 1)
	})
	many := rewritten(t, shared, part, func(xml string) string {
		at := strings.Index(xml, "</sheetData>")
		return xml[:at] + strings.Repeat(`<row><c t="s"><v>1</v></c></row>`, 200) + xml[at:]
	})
	imp, err := b.importer.CreateFromReader(ctx, "x.xlsx", bytes.NewReader(many))
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Failed)
	require.Contains(t, imp.Error, "is larger than 33554432 bytes")
	require.Len(t, b.files(t), 1+files, "and its copy is not kept")

	// Far behind what is looked at first.
	for range 40_000 {
		rows = append(rows, []any{strings.Repeat("x", 40)})
	}
	f = workbook(t, map[string][][]any{"People": rows})
	require.NoError(t, f.DeleteSheet("Sheet1"))
	long := bytesOf(t, f)
	part = partWith(t, long, `r="A2"`)
	imp, err = b.importer.CreateFromReader(ctx, "x.xlsx", bytes.NewReader(rewritten(t, long, part, func(xml string) string { return xml[:strings.Index(xml, `<row r="40001"`)] })))
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{})
	require.NoError(t, err)
	imp = b.until(ctx, t, imp.ID, imports.Failed)
	require.Contains(t, imp.Error, `sheet "People" after row 40000: it is cut off`)
	require.Zero(t, imp.TotalRows)
}

// doubled is a zip file with one of its files twice.
func doubled(t *testing.T, file []byte) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range append(z.File, z.File[0]) {
		require.NoError(t, w.Copy(f))
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// In a column of texts such as 1.234,56 a number of the workbook is that number, and in one of
// texts such as 31/12/2026 a day is that day.
func TestNumbersAndDaysBesideTexts(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "sum", Type: customfields.Number}, customfields.Field{Key: "born", Type: customfields.Date}, customfields.Field{Key: "release", Type: customfields.Text})
	f := bytesOf(t, workbook(t, map[string][][]any{"Sheet1": {
		{"email", "sum", "born", "release"},
		{"a@example.com", "1.234,56", "31/12/2026", 1.5},
		{"b@example.com", "2.500,00", "30/11/2026", "1.6"},
		{"c@example.com", 12.125, time.Date(2026, 10, 29, 0, 0, 0, 0, time.UTC), 1.75},
		{"d@example.com", "3.100", "28/09/2026", 2},
		{"e@example.com", 12, "1/2/2026", 0.25},
	}}))
	imp := b.processed(ctx, t, f, imports.ProcessOptions{})
	require.Equal(t, map[string]string{"sum": "1.234,56", "born": "DD/MM/YYYY"}, imp.Formats)
	require.Zero(t, imp.Invalid)
	b.commit(ctx, t, imp.ID)
	want := map[string]map[string]any{}
	for who, values := range map[string][3]any{"a": {1234.56, "2026-12-31", "1.5"}, "b": {2500.0, "2026-11-30", "1.6"}, "c": {12.125, "2026-10-29", "1.75"}, "d": {3100.0, "2026-09-28", "2"}, "e": {12.0, "2026-02-01", "0.25"}} {
		want[who+"@example.com"] = map[string]any{"sum": values[0], "born": values[1].(string) + "T00:00:00.000000Z", "release": values[2]}
	}
	page, err := b.store.List(ctx, recipients.Query{})
	require.NoError(t, err)
	got := map[string]map[string]any{}
	for _, r := range page.Items {
		got[r.Email] = r.CustomFields
	}
	require.Equal(t, want, got)
}
