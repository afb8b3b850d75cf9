package imports_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/tenancy"
)

// table writes columns as CSV, each with its name first; they need not be of one length.
func table(columns ...[]string) string {
	rows := 0
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	var s strings.Builder
	for i := range rows {
		for n, c := range columns {
			if n > 0 {
				s.WriteByte(',')
			}
			if i < len(c) {
				s.WriteString(`"` + c[i] + `"`)
			}
		}
		s.WriteByte('\n')
	}
	return s.String()
}

// warned are the codes and columns of warnings.
func warned(warnings []imports.Warning) (out []string) {
	for _, w := range warnings {
		out = append(out, strings.TrimSpace(w.Code+" "+w.Column))
	}
	return out
}

// Failure list, line 35: comma decimals and ambiguous dates (03/04/26). The format is chosen
// once per column and shown in the preview.
func TestFormatsAreChosenOncePerColumnAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	columns := [][]string{{"email", "a@example.com", "b@example.com"}}
	want := map[string]string{}
	values := map[string]any{} // of the second row
	for _, c := range []struct {
		kind          customfields.Type
		key           string
		first, second string
		format        string
		value         any
	}{
		{customfields.Date, "iso", "2026-01-31", "2026-02-01T10:30:00+02:00", "YYYY-MM-DD", "2026-02-01T08:30:00.000000Z"},
		{customfields.Date, "dmy", "25/12/2026", "3/4/2026", "DD/MM/YYYY", "2026-04-03T00:00:00.000000Z"},
		{customfields.Date, "mdy", "12/25/2026", "3/4/2026", "MM/DD/YYYY", "2026-03-04T00:00:00.000000Z"},
		{customfields.Date, "german", "01.02.2026", "31.12.2026 14:30", "DD.MM.YYYY", "2026-12-31T14:30:00.000000Z"},
		{customfields.Date, "japanese", "2026/01/31", "2026/02/01 9:05:07", "YYYY/MM/DD", "2026-02-01T09:05:07.000000Z"},
		{customfields.Date, "american_time", "12/31/26 2:30 PM", "1/2/27 12:00 am", "MM/DD/YY", "2027-01-02T00:00:00.000000Z"},
		{customfields.Date, "dashes", "31-01-2026", "01-02-2026", "DD-MM-YYYY", "2026-02-01T00:00:00.000000Z"},
		{customfields.Date, "century", "31/12/69", "01/01/68", "DD/MM/YY", "2068-01-01T00:00:00.000000Z"},
		{customfields.Number, "plain", "7", "-1.5e3", "1234.56", -1500.0},
		{customfields.Number, "english", "1,234.5", "7", "1,234.56", 7.0},
		{customfields.Number, "comma", "0,5", "1,234", "1.234,56", 1.234},
		{customfields.Number, "points", "1.234.567,8", "-12", "1.234,56", -12.0},
		{customfields.Number, "spaces", "1 234 567", "0,25", "1 234,56", 0.25},
		{customfields.Number, "swiss", "1'234.50", "1", "1'234.56", 1.0},
		{customfields.Number, "euro", "1.000,00 €", "€ 7,5", "1.234,56 €", 7.5},
		{customfields.Number, "dollar", "$1,000.25", "-$5", "1,234.56 $", -5.0},
		{customfields.Number, "percent", "12.5%", "7 %", "1234.56 %", 7.0},
	} {
		b.define(ctx, t, customfields.Field{Key: c.key, Type: c.kind})
		columns = append(columns, []string{c.key, c.first, c.second})
		want[c.key], values[c.key] = c.format, c.value
	}
	imp := b.process(ctx, t, table(columns...), imports.ProcessOptions{})
	require.Equal(t, want, imp.Formats)
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	require.Empty(t, p.SampleErrors)
	require.Equal(t, want, p.Formats)
	require.Empty(t, warned(p.Warnings), "something in each column decides")
	require.Equal(t, values, p.SampleData[1].Data["customFields"])
}

func TestAmbiguousFormatsAreAWarningAndCanBeSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "born", Label: "Born", Type: customfields.Date}, customfields.Field{Key: "sum", Type: customfields.Number}, customfields.Field{Key: "note", Type: customfields.Text})
	file := table([]string{"email", "a@example.com", "b@example.com"}, []string{"Born", "03/04/26", ""}, []string{"sum", "1,234", "5"}, []string{"note", "1,5", "03/04/26"})
	preview := func(o imports.ProcessOptions) imports.Preview {
		t.Helper()
		p, err := b.importer.Preview(ctx, b.process(ctx, t, file, o).ID)
		require.NoError(t, err)
		return p
	}
	p := preview(imports.ProcessOptions{})
	require.Equal(t, map[string]string{"Born": "DD/MM/YY", "sum": "1,234.56"}, p.Formats)
	require.Equal(t, []string{"ambiguous_format Born", "ambiguous_format sum"}, warned(p.Warnings))
	require.Equal(t, `nothing decides how the column is written: "03/04/26" is read as 2026-04-03 (DD/MM/YY), and would be 2026-03-04 as MM/DD/YY; say which with options.formats`, p.Warnings[0].Message)
	require.Equal(t, map[string]any{"born": "2026-04-03T00:00:00.000000Z", "sum": 1234.0, "note": "1,5"}, p.SampleData[0].Data["customFields"])

	p = preview(imports.ProcessOptions{Formats: map[string]string{"Born": "YY/MM/DD", "sum": "1.234,56"}})
	require.Empty(t, warned(p.Warnings))
	require.Equal(t, map[string]any{"born": "2003-04-26T00:00:00.000000Z", "sum": 1.234, "note": "1,5"}, p.SampleData[0].Data["customFields"])

	imp, err := b.importer.CreateFromReader(ctx, "x.csv", strings.NewReader(file))
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Formats: map[string]string{"Born": "MM-YYYY", "note": "YYYY-MM-DD", "sun": "1234.56"}})
	var v *tenancy.ValidationError
	require.ErrorAs(t, err, &v)
	require.Equal(t, []string{"options.formats.Born unknown_format", "options.formats.note not_allowed", "options.formats.sun unknown_column sum"}, said(v))
}

// said is a ValidationError in short.
func said(v *tenancy.ValidationError) (out []string) {
	for _, f := range v.Fields {
		out = append(out, strings.TrimSpace(f.Field+" "+f.Code+" "+f.Suggestion))
	}
	return out
}

// A column never mixes formats: what does not fit is an error of its row, with the value as it
// would have to be written.
func TestWhatDoesNotFitTheFormatIsAnErrorOfItsRow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "born", Type: customfields.Date}, customfields.Field{Key: "sum", Type: customfields.Number})
	file := table([]string{"email", "a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"},
		[]string{"born", "31/12/2026", "12/31/2026", "2026-01-31", "30/02/2026", "25/1/2026"},
		[]string{"sum", "1.234,5", "1,234.5", "7,5", "seven", "8"})
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	require.Equal(t, []int64{2, 3}, []int64{imp.New, imp.Invalid})
	p, err := b.importer.Preview(ctx, imp.ID)
	require.NoError(t, err)
	var got []string
	for _, row := range p.SampleErrors {
		for _, e := range row.Errors {
			got = append(got, strings.TrimSpace(strings.Join([]string{e.Column, e.Value, e.Code, e.Suggestion}, " | ")))
		}
	}
	require.Equal(t, []string{
		"born | 12/31/2026 | invalid_date | 31/12/2026", "sum | 1,234.5 | invalid_number | 1234,5",
		"born | 2026-01-31 | invalid_date | 31/01/2026",
		"born | 30/02/2026 | invalid_date |", "sum | seven | invalid_number |",
	}, got)
	require.Equal(t, "must be a date written as DD/MM/YYYY, as the column is", p.SampleErrors[0].Errors[0].Message)

	// What is corrected in the report is read as the file was.
	var report bytes.Buffer
	require.NoError(t, b.importer.WriteErrorReport(ctx, imp.ID, &report))
	require.Contains(t, report.String(), `b@example.com,12/31/2026,"1,234.5",3,`)
}
