package imports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/recipients"
)

// Where the first rows leave open how a column is written, a later cell that could be read in two
// ways is an error, and what the column was the last time decides.
func TestColumnsThatTheFirstRowsDoNotDecide(t *testing.T) {
	t.Parallel()
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	b.define(ctx, t, customfields.Field{Key: "sum", Type: customfields.Number}, customfields.Field{Key: "born", Type: customfields.Date})
	file := func(k int, sum string) string {
		var s strings.Builder
		s.WriteString("email;sum;born\n")
		for i := range 1_000 {
			fmt.Fprintf(&s, "a%d@example.com;%d;05/05/2026\n", i, k+i)
		}
		fmt.Fprintf(&s, "y@example.com;%s;05/05/2026\nz@example.com;;03/04/2026\n", sum)
		return s.String()
	}
	p := b.previewed(t, file(0, "1.234"), imports.ProcessOptions{})
	require.EqualValues(t, 2, p.Invalid)
	require.Equal(t, []string{
		"1002 sum ambiguous_format: is 1.234 if the column is written as 1234.56, and 1234 as 1.234,56, and the first rows do not decide: say which with options.formats",
		"1003 born ambiguous_format: is 2026-04-03 if the column is written as DD/MM/YYYY, and 2026-03-04 as MM/DD/YYYY, and the first rows do not decide: say which with options.formats",
	}, func() (said []string) {
		for _, s := range p.SampleErrors {
			said = append(said, fmt.Sprintf("%d %s %s: %s", s.Row, s.Errors[0].Column, s.Errors[0].Code, s.Errors[0].Message))
		}
		return said
	}())
	require.Zero(t, b.previewed(t, file(0, "12.5"), imports.ProcessOptions{Formats: map[string]string{"born": "MM/DD/YYYY"}}).Invalid, "one way only")

	said := imports.ProcessOptions{Formats: map[string]string{"sum": "1.234,56", "born": "MM/DD/YYYY"}}
	imp := b.run(ctx, t, file(0, "1.234"), said)
	require.Zero(t, imp.Invalid)
	for search, want := range map[string]map[string]any{
		"y@example.com": {"sum": 1234.0, "born": "2026-05-05T00:00:00.000000Z"}, "z@example.com": {"born": "2026-03-04T00:00:00.000000Z"},
	} {
		page, err := b.store.List(ctx, recipients.Query{Search: search})
		require.NoError(t, err)
		require.Equal(t, want, page.Items[0].CustomFields)
	}
	p = b.previewed(t, file(0, "2.345"), imports.ProcessOptions{})
	require.Zero(t, p.Invalid, "as the last time")
	require.Equal(t, map[string]string{"sum": "1.234,56", "born": "MM/DD/YYYY"}, p.Formats)
}

// A file with more rows than may be is refused while it is read.
func TestTooManyRows(t *testing.T) {
	t.Parallel()
	b := setup(t, &imports.Config{MaxRows: 3, BatchRows: 2}).start(t)
	ctx := b.A.Ctx
	b.process(ctx, t, "email\na@example.com\nb@example.com\nc@example.com\n", imports.ProcessOptions{})
	imp := b.begin(ctx, t, "email\na@example.com\nb@example.com\nc@example.com\nd@example.com\n", imports.ProcessOptions{})
	require.Equal(t, "the file has more than 3 rows: divide it", b.until(ctx, t, imp.ID, imports.Failed).Error)
}
