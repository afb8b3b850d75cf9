package exports_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/xuri/excelize/v2"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/exports"
)

// visits is what a product adds.
type visits struct {
	bun.BaseModel `bun:"table:app.visits"`
	recipients.Enrollment

	Phone  string     `bun:"phone"`
	Count  int64      `bun:"count"   strata:"filterable"`
	Last   *time.Time `bun:"last"`
	Tags   []string   `bun:"tags,array"`
	Secret string     `bun:"secret" json:"-"`
}

func everyField() []customfields.Field {
	return []customfields.Field{
		{Key: "day", Type: customfields.Date, DateOnly: true},
		{Key: "due", Type: customfields.Date},
		{Key: "name", Label: "Status", Type: customfields.Text}, // called as other columns are
		{Key: "on", Type: customfields.Boolean},
		{Key: "size", Type: customfields.Number},
		{Key: "tags", Type: customfields.MultiSelect, Options: []string{"vip", "new"}},
	}
}

// product registers an extension in which the first of two recipients is enrolled.
func product(t *testing.T) (*bundle, *recipients.Enrollments[visits]) {
	t.Helper()
	registry := recipients.NewRegistry()
	enrollments, err := recipients.Register(registry, recipients.Extension[visits]{Name: "app"})
	require.NoError(t, err)
	b := setup(t, nil, registry)
	ctx := b.A.Ctx
	b.define(ctx, t, everyField()...)
	first, err := b.store.Create(ctx, recipients.New{Email: "Ada@example.com", Name: `=1+"1"`, CustomFields: map[string]any{
		"day": "2026-01-31", "due": "2026-01-31T10:00:00.25Z", "name": "@two\r\nlines, \"quoted\"", "on": true, "size": -1.5e-7, "tags": []any{"vip", "new"},
	}})
	require.NoError(t, err)
	_, err = b.store.Create(ctx, recipients.New{Email: "bo@example.com", CustomFields: map[string]any{"name": "+49 30", "size": 1e15, "day": "1815-12-10"}})
	require.NoError(t, err)
	last := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	err = enrollments.Enroll(ctx, first.ID, &visits{Phone: "+493012345678", Count: 9_007_199_254_740_993, Last: &last, Tags: []string{"a", "b"}, Secret: "s"})
	require.NoError(t, err)
	return b, enrollments
}

var chosen = []string{"email", "name", "status", "fields.day", "fields.due", "fields.name", "fields.on", "fields.size", "fields.tags", "app.enrolled", "app.phone", "app.count", "app.last", "app.tags"}

func TestCSV(t *testing.T) {
	t.Parallel()
	b, _ := product(t)
	f := b.small(b.A.Ctx, t, exports.Request{Format: exports.CSV, With: []string{"app"}, Columns: chosen, BOM: true})
	require.Equal(t, "text/csv; charset=utf-8", f.ContentType)
	require.Equal(t, "\uFEFF"+strings.Join(chosen, ",")+"\r\n"+
		`Ada@example.com,"'=1+""1""",active,2026-01-31,2026-01-31T10:00:00.25Z,"'@two`+"\r\n"+`lines, ""quoted""",true,-0.00000015,new;vip,true,+493012345678,9007199254740993,2026-02-01T12:00:00Z,a;b`+"\r\n"+
		`bo@example.com,,active,1815-12-10,,'+49 30,,1000000000000000,,false,,,,`+"\r\n", string(f.Body))

	// All columns, in a fixed order; a blank line is no row.
	all := b.small(b.A.Ctx, t, exports.Request{Format: exports.CSV, With: []string{"app"}})
	header, _, _ := strings.Cut(string(all.Body), "\r\n")
	require.Equal(t, "id,email,name,status,statusReason,statusChangedAt,personId,version,createdAt,updatedAt,"+
		"fields.day,fields.due,fields.name,fields.on,fields.size,fields.tags,app.enrolled,app.phone,app.count,app.last,app.tags", header)
	require.Equal(t, "statusReason\r\n\"\"\r\n\"\"\r\n", string(b.small(b.A.Ctx, t, exports.Request{Format: exports.CSV, Columns: []string{"statusReason"}}).Body))
	require.Equal(t, "email,deletedAt\r\n", string(b.small(b.A.Ctx, t, exports.Request{Format: exports.CSV, Deleted: true, Columns: []string{"email", "deletedAt"}}).Body))
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	b, _ := product(t)
	ctx := b.A.Ctx
	f := b.small(ctx, t, exports.Request{Format: exports.JSONL, With: []string{"app"}, Filter: `app.count > 1`})
	page, err := b.store.List(ctx, recipients.Query{With: []string{"app"}})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	want, err := json.Marshal(page.Items[0])
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(f.Body, []byte("\n")))
	require.JSONEq(t, string(want), string(f.Body), "as the API shows it")
	require.NotContains(t, string(f.Body), "secret")
}

func TestXLSX(t *testing.T) {
	t.Parallel()
	b, _ := product(t)
	f := b.small(b.A.Ctx, t, exports.Request{Format: exports.XLSX, With: []string{"app"}, Columns: chosen})
	book, err := excelize.OpenReader(bytes.NewReader(f.Body))
	require.NoError(t, err)
	defer func() { require.NoError(t, book.Close()) }()
	require.Equal(t, []string{"Recipients"}, book.GetSheetList())
	cell := func(at string) []any {
		value, err := book.GetCellValue("Recipients", at, excelize.Options{RawCellValue: true})
		require.NoError(t, err)
		kind, err := book.GetCellType("Recipients", at)
		require.NoError(t, err)
		formula, err := book.GetCellFormula("Recipients", at)
		require.NoError(t, err)
		require.Empty(t, formula)
		return []any{value, kind}
	}
	for at, want := range map[string][]any{
		"A1": {"email", excelize.CellTypeInlineString}, "N1": {"app.tags", excelize.CellTypeInlineString},
		"A2": {"Ada@example.com", excelize.CellTypeInlineString}, "B2": {`=1+"1"`, excelize.CellTypeInlineString},
		"D2": {"46053", excelize.CellTypeUnset}, "G2": {"1", excelize.CellTypeBool}, "H2": {"-0.00000015", excelize.CellTypeUnset}, "I2": {"new;vip", excelize.CellTypeInlineString},
		"J3": {"0", excelize.CellTypeBool}, "D3": {"1815-12-10", excelize.CellTypeInlineString}, "F3": {"+49 30", excelize.CellTypeInlineString}, "H3": {"1000000000000000", excelize.CellTypeUnset},
		"K2": {"+493012345678", excelize.CellTypeInlineString}, "L2": {"9007199254740993", excelize.CellTypeInlineString},
	} {
		require.Equal(t, want, cell(at), at)
	}
	shown, err := book.GetCellValue("Recipients", "E2")
	require.NoError(t, err)
	require.Equal(t, "2026-01-31 10:00:00", shown)
	shown, err = book.GetCellValue("Recipients", "D2")
	require.NoError(t, err)
	require.Equal(t, "2026-01-31", shown)
}

func TestXLSXRefusesWhatACellCannotHold(t *testing.T) {
	t.Parallel()
	b, enrollments := product(t)
	ctx := b.A.Ctx
	page, err := b.store.List(ctx, recipients.Query{})
	require.NoError(t, err)
	err = enrollments.Enroll(ctx, page.Items[1].ID, &visits{Phone: strings.Repeat("😀", 16_384)}) // of two units each
	require.NoError(t, err)
	_, err = b.exporter.Export(ctx, exports.Request{Format: exports.XLSX, With: []string{"app"}})
	require.ErrorIs(t, err, exports.ErrLongCell)
	require.ErrorContains(t, err, "app.phone")
	b.small(ctx, t, exports.Request{Format: exports.CSV, With: []string{"app"}})
}

// What is exported as CSV and imported again changes nothing.
func TestExportIsImportedUnchanged(t *testing.T) {
	t.Parallel()
	b, _ := product(t)
	ctx := b.A.Ctx
	for i, text := range []string{"'=x", "''=x", "'", "'t", "=x", "-5", "-", "+493012345678", "＝x", "a\nb", "a\rb", `"`, `""`, ";", "a,b", "true", "0012", "x\u00a0", "é😀", `\.`, "\\N", "NULL", "\x01"} {
		_, err := b.store.Create(ctx, recipients.New{Email: "r" + string(rune('a'+i)) + "@example.com", Name: strings.Trim(text, "\n\r\x01"), Status: recipients.Status(recipients.Statuses()[i%5]), CustomFields: map[string]any{"name": text, "size": float64(i) / 7, "on": i%2 == 0, "due": time.Unix(int64(i), int64(i)*1000).UTC().Format(time.RFC3339Nano)}})
		if err != nil { // what a name cannot be, such as two lines
			_, err = b.store.Create(ctx, recipients.New{Email: "r" + string(rune('a'+i)) + "@example.com", CustomFields: map[string]any{"name": text}})
		}
		require.NoError(t, err)
	}
	importer, err := imports.NewImporter(b.DB, b.runner, b.store, b.fields, b.Limits, b.Audit, b.local.Bucket, nil)
	require.NoError(t, err)
	b.start(t)
	// "\r\n" in a cell is read as "\n", as encoding/csv does.
	b.write(ctx, t, `UPDATE strata.recipients SET custom_fields = custom_fields || '{"name": "@two\nlines"}' WHERE email_norm = 'ada@example.com'`)
	for _, bom := range []bool{false, true} {
		f := b.small(ctx, t, exports.Request{Format: exports.CSV, With: []string{"app"}, BOM: bom})
		imp, err := importer.CreateFromReader(ctx, f.Name, bytes.NewReader(f.Body))
		require.NoError(t, err)
		_, err = importer.Process(ctx, imp.ID, imports.ProcessOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			imp, err = importer.Get(ctx, imp.ID)
			require.NoError(t, err)
			return imp.Status == imports.Previewed || imp.Status == imports.Failed
		}, within, 5*time.Millisecond)
		p, err := importer.Preview(ctx, imp.ID)
		require.NoError(t, err)
		require.Equal(t, []int64{f.Rows, 0, 0, 0, 0, f.Rows}, []int64{imp.TotalRows, imp.New, imp.Changed, imp.Duplicate, imp.Invalid, imp.Unchanged}, "%+v", p.SampleData)
		for _, name := range []string{"email", "name", "status", "fields.name", "fields.tags", "app.phone"} {
			require.Equal(t, name, *imp.Mapping[name])
		}
		require.Nil(t, imp.Mapping["id"])
		require.Nil(t, imp.Mapping["app.enrolled"])
	}
}
