package imports_test

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
)

// reportRowsVariable makes TestReportStreams report so many rows, such as 1000000, and print
// how much memory that took.
const reportRowsVariable = "STRATA_IMPORTS_REPORT"

// errorsOnly writes a file whose rows are all wrong.
func errorsOnly(w io.Writer, rows int) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "email,name,note")
	for i := range rows {
		fmt.Fprintf(out, "bad %d,=Name %d,\"two\nlines\"\n", i, i)
	}
	return out.Flush()
}

// A report is never whole in memory, however many rows it has: it is written while it is read,
// with every row once, in order, and safe to open in a spreadsheet; and who stops reading
// stops it.
func TestReportStreams(t *testing.T) {
	t.Parallel()
	rows, large := 20_000, false
	if s := os.Getenv(reportRowsVariable); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		rows, large = n, true
	}
	b := setup(t, nil).start(t)
	ctx := b.A.Ctx
	file, w := io.Pipe()
	go func() { w.CloseWithError(errorsOnly(w, rows)) }()
	imp, err := b.importer.CreateFromReader(ctx, "people.csv", file)
	require.NoError(t, err)
	_, err = b.importer.Process(ctx, imp.ID, imports.ProcessOptions{Mapping: map[string]*string{"email": to("email"), "name": to("name"), "note": nil}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		imp, err = b.importer.Get(ctx, imp.ID)
		return err != nil || imp.Status != imports.Pending && imp.Status != imports.Validating
	}, within+time.Duration(rows)*time.Millisecond, 50*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []any{imports.Previewed, int64(rows)}, []any{imp.Status, imp.Invalid})

	report, w := io.Pipe()
	go func() { w.CloseWithError(b.importer.WriteErrorReport(ctx, imp.ID, w)) }()
	in := csv.NewReader(report)
	in.ReuseRecord = true
	header, err := in.Read()
	require.NoError(t, err)
	require.Equal(t, []string{"\ufeffemail", "name", "note", "__row", "__errors", "__suggestion", "__import"}, header)
	var most uint64
	for i := range rows {
		record, err := in.Read()
		require.NoError(t, err)
		if record[0] != fmt.Sprint("bad ", i) || record[1] != fmt.Sprint("'=Name ", i) || record[2] != "two\nlines" || record[3] != strconv.Itoa(i+2) || !strings.HasPrefix(record[4], "email: ") {
			require.Fail(t, "another row", "row %d: %q", i, record)
		}
		if large && i%1_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
	}
	_, err = in.Read()
	require.ErrorIs(t, err, io.EOF)
	if large {
		t.Logf("report of %d rows: at most %d MB of heap in use", rows, most>>20)
	}

	gone := errors.New("gone")
	report, w = io.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, report, 100<<10)
		report.CloseWithError(gone)
	}()
	require.ErrorIs(t, b.importer.WriteErrorReport(ctx, imp.ID, w), gone)
}
