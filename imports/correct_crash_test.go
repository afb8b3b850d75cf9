package imports_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/imports"
)

// staging is all that is known of the rows of an import.
func (b *bundle) staging(ctx context.Context, t *testing.T, id imports.ID) string {
	t.Helper()
	return one[string](ctx, t, b, `SELECT md5(string_agg(to_jsonb(r)::text, ',' ORDER BY row_no)) FROM strata.import_rows r WHERE import_id = $1`, id)
}

// A process that dies while it reads a report, in the transaction that merges it, or right after
// that, has merged nothing or all: a report is merged once.
func TestKilledWithAReport(t *testing.T) {
	t.Parallel()
	for name, round := range map[string]int{"before the commit": 0, "after it": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedWithAReport(t, round)
		})
	}
}

func killedWithAReport(t *testing.T, round int) {
	const good, bad = 50, 1500
	b := setup(t, &small) // only submits
	ctx := b.A.Ctx
	before := b.dump(ctx, t)
	file, report := addresses(good), "email,__row\n"
	for i := range bad {
		file += fmt.Sprintf("bad%d\n", i)
		report += fmt.Sprintf("fix%d@example.com,%d\n", i, good+2+i)
	}
	kill := b.spawn(t)
	imp := b.process(ctx, t, file, imports.ProcessOptions{})
	if round > 0 {
		imp = b.commit(ctx, t, imp.ID)
	}
	rows := b.staging(ctx, t, imp.ID)
	untouched := func() {
		t.Helper()
		got, err := b.importer.Get(ctx, imp.ID)
		require.NoError(t, err)
		require.Equal(t, imp, got)
		require.Equal(t, rows, b.staging(ctx, t, imp.ID))
	}
	b.slowly(t)
	open := b.gate(t, 7, "UPDATE", "strata.imports", `new.status = 'merged'`)
	id := b.upload(ctx, t, []byte(report))
	_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
	require.NoError(t, err)
	run := b.untilRun(ctx, t, id, func(run bulk.Run) bool { return run.Processed > bad/3 })
	require.False(t, run.State.Final())
	kill()
	untouched()
	kill = b.spawn(t)
	b.stands(t, 7) // all of the import has been changed, and nothing is committed
	kill()
	untouched()
	open()
	kill = b.spawn(t)
	require.EqualValues(t, bad, b.until(ctx, t, id, imports.Merged).New)
	kill()
	kill = b.spawn(t)
	got, err := b.importer.Get(ctx, imp.ID)
	require.NoError(t, err)
	addsUp(t, got)
	written := map[int]int64{0: 0, 1: good}[round]
	require.Equal(t, []any{imports.Previewed, round, good + bad - written, written, int64(0)}, []any{got.Status, got.Round, got.New, got.Inserted, got.Invalid})
	require.Equal(t, 1, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.audit_entries WHERE action = 'import.corrected'`))

	_, err = b.importer.Commit(ctx, imp.ID)
	require.NoError(t, err)
	b.untilRun(ctx, t, imp.ID, func(run bulk.Run) bool { return run.Kind == imports.KindCommit && run.Processed > bad/3 })
	kill()
	kill = b.spawn(t)
	got = b.until(ctx, t, imp.ID, imports.Done)
	require.Equal(t, []int64{good + bad, 0, 0}, []int64{got.Inserted, got.Updated, got.Skipped})
	require.EqualValues(t, good+bad, b.counted(ctx, t))
	require.Equal(t, good+bad, one[int](ctx, t, b, `SELECT count(*)::int FROM strata.recipients WHERE version = 1`))
	b.undo(ctx, t, imp.ID)
	kill()
	require.Equal(t, before, b.dump(ctx, t))
}

// Processes that work on reports of one import at once merge each of them whole.
func TestTwoProcessesOnTwoReports(t *testing.T) {
	t.Parallel()
	b := setup(t, &small)
	ctx := b.A.Ctx
	for range 2 {
		t.Cleanup(b.spawn(t))
	}
	const bad = 400
	imp := b.run(ctx, t, "email\n"+strings.Repeat("bad\n", bad), imports.ProcessOptions{})
	var ids []imports.ID
	for half := range 2 {
		report := "email,__row\n"
		for i := half; i < bad; i += 2 {
			report += fmt.Sprintf("fix%d@example.com,%d\n", i, i+2)
		}
		ids = append(ids, b.upload(ctx, t, []byte(report)))
	}
	for _, id := range ids {
		_, err := b.importer.Correct(ctx, id, imp.ID, imports.CorrectOptions{})
		require.NoError(t, err)
	}
	for _, id := range ids {
		require.EqualValues(t, bad/2, b.until(ctx, t, id, imports.Merged).New)
	}
	imp = b.commit(ctx, t, imp.ID)
	require.Equal(t, []int64{bad, 0, 1}, []int64{imp.Inserted, imp.Invalid, int64(imp.Round)})
	require.EqualValues(t, bad, b.counted(ctx, t))
}
