package imports_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
)

// report returns the records of an import's error report.
func (b *bundle) report(ctx context.Context, t *testing.T, id imports.ID) (text string, records [][]string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, b.importer.WriteErrorReport(ctx, id, &out))
	records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(out.Bytes(), []byte("\uFEFF")))).ReadAll()
	require.NoError(t, err)
	return out.String(), records
}

// A corrected report is read as the file was, whatever its columns are called.
func TestReportOfEscapedHeader(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	o := imports.ProcessOptions{Mapping: map[string]*string{"@email": to("email"), "=name": to("name"), "'-note": nil}}
	imp := b.process(ctx, t, "@email,=name,'-note\nbad,=Name,'=x\n", o)
	text, records := b.report(ctx, t, imp.ID)
	require.Equal(t, []string{"'@email", "'=name", "''-note", "__row", "__errors", "__suggestion", "__import"}, records[0])
	again := b.process(ctx, t, strings.Replace(text, "bad", "good@example.com", 1), o)
	require.Equal(t, []string{"@email", "=name", "'-note", "__row", "__errors", "__suggestion", "__import"}, again.Columns)
	require.EqualValues(t, 1, again.New)
	p, err := b.importer.Preview(ctx, again.ID)
	require.NoError(t, err)
	require.Equal(t, "=Name", p.SampleData[0].Data["name"])
}

// No cell of a row with too many is lost.
func TestReportOfCellsLeftOver(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	file := "email,name\na@example.com,Doe,John,PRECIOUS\nb@example.com,Doe," + strings.Repeat("é", 10_000) + ",lost\nc@example.com\n"
	imp := b.process(b.A.Ctx, t, file, imports.ProcessOptions{})
	_, records := b.report(b.A.Ctx, t, imp.ID)
	require.Len(t, records, 4)
	require.Equal(t, []string{"a@example.com", "Doe", "2"}, records[1][:3])
	require.True(t, strings.HasSuffix(records[1][3], `; the cells left over are "John", "PRECIOUS"`), records[1][3])
	require.Regexp(t, `; the cells left over are "é{1000,}…" and 1 more$`, records[2][3])
	require.Less(t, len(records[2][3]), 10_000)
	require.NotContains(t, records[3][3], "left over")
}

// Rows come once each and in order, however long they are.
func TestReportOfLongAndShortRows(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	const columns = 30
	long := strings.Repeat(","+strings.Repeat("x", 32<<10), columns)
	var file strings.Builder
	fmt.Fprint(&file, "email")
	for i := range columns {
		fmt.Fprintf(&file, ",c%d", i)
	}
	want := []string{"__row"}
	for i := range 900 {
		cells := strings.Repeat(",", columns)
		if i < 3 || i >= 500 && i < 503 || i == 899 {
			cells = long
		}
		fmt.Fprint(&file, "\nbad", cells)
		want = append(want, strconv.Itoa(i+2))
	}
	imp := b.process(b.A.Ctx, t, file.String(), imports.ProcessOptions{})
	_, records := b.report(b.A.Ctx, t, imp.ID)
	got := make([]string, len(records))
	for i, r := range records {
		got[i] = r[len(r)-4]
	}
	require.Equal(t, want, got)
}
