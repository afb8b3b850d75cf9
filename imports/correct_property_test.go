package imports_test

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/imports"
)

// Whatever the file, the definitions and the corrections: an import that a report was merged into
// before its commit is what the corrected file would have been. After a commit, a round writes the
// corrected rows and no others, and undo takes all rounds back.
func TestACorrectedReportIsTheCorrectedFile(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b, products := extended(t, &imports.Config{BatchRows: 1 + int(seed)*2}, "")
			p := &property{bundle: b.start(t), ctx: b.A.Ctx, rnd: rand.New(rand.NewPCG(seed, 8)), products: products}
			p.definitions(t)
			for n := range 2 {
				p.tryCorrecting(t, n)
			}
		})
	}
}

func (p *property) tryCorrecting(t *testing.T, n int) {
	policy := pick(p, imports.Update, imports.Skip, imports.FillEmpty)
	o := imports.ProcessOptions{Conflict: policy, Delimiter: ","}
	file := p.file(t)
	imp := p.process(p.ctx, t, file, o)
	what := fmt.Sprintf("case %d, %s:\n%s", n, policy, file)
	records, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	require.NoError(t, err)
	for range p.rnd.IntN(3) {
		report := p.corrections(t, imp.ID, func([]string) bool { return true })
		for _, line := range report[1:] {
			row, err := strconv.Atoi(line[len(line)-4])
			require.NoError(t, err)
			copy(records[row-1], line)
		}
		if len(report) == 1 {
			break
		}
		what += "corrected by\n" + string(csvOf(t, report))
		_, imp = p.correct(p.ctx, t, imp.ID, excelOf(t, shuffled(report)))
		rows := p.staged(t, imp.ID)
		p.add(t, imp, rows, what)
		whole := p.process(p.ctx, t, string(csvOf(t, records)), o)
		require.Equal(t, p.staged(t, whole.ID), rows, what)
		want, _ := p.report(p.ctx, t, whole.ID)
		got, _ := p.report(p.ctx, t, imp.ID)
		require.Equal(t, strings.ReplaceAll(want, whole.ID.String(), imp.ID.String()), got, what)
	}
	if p.rnd.IntN(2) == 0 {
		p.edit(t)
	}
	dump := p.dump(p.ctx, t)
	imp = p.commit(p.ctx, t, imp.ID)
	for range 1 + p.rnd.IntN(2) {
		imp = p.round(t, imp, policy, what)
	}
	undone := p.undo(p.ctx, t, imp.ID)
	require.Zero(t, undone.Kept, what)
	require.Equal(t, dump, p.dump(p.ctx, t), what)
}

// corrections is the report of an import with some cells corrected, and the rows that can be.
func (p *property) corrections(t *testing.T, id imports.ID, can func(line []string) bool) [][]string {
	t.Helper()
	_, report := p.report(p.ctx, t, id)
	report = slices.DeleteFunc(report, func(line []string) bool { return line[len(line)-4] != "__row" && !can(line) })
	for _, line := range report[1:] {
		for i, name := range report[0][:len(line)-4] {
			if p.rnd.IntN(3) == 0 {
				continue
			}
			switch name {
			case "email":
				line[i] = p.address()
			case "name":
				line[i] = pick(p, "", "Ada", "Dee")
			case "status":
				line[i] = pick(p, "", "active", "bounced")
			default:
				line[i] = p.cell(strings.TrimPrefix(name, "fields."))
			}
		}
	}
	return report
}

// round corrects rows of an import that is done, and commits them.
func (p *property) round(t *testing.T, imp imports.Import, policy imports.Conflict, what string) imports.Import {
	t.Helper()
	mendable := one[[]string](p.ctx, t, p.bundle, `SELECT coalesce(array_agg(row_no::text), '{}') FROM strata.import_rows
		WHERE import_id = $1 AND (verdict = 'invalid' OR errors->0->>'code' IN ('value_taken', 'recipient_gone'))`, imp.ID)
	report := p.corrections(t, imp.ID, func(line []string) bool { return slices.Contains(mendable, line[len(line)-4]) && p.rnd.IntN(4) > 0 })
	if len(report) == 1 {
		return imp
	}
	what += fmt.Sprintf("round %d:\n%s", imp.Round+1, csvOf(t, report))
	was := imp
	_, imp = p.correct(p.ctx, t, imp.ID, csvOf(t, report))
	require.Equal(t, []int64{was.Inserted, was.Updated}, []int64{imp.Inserted, imp.Updated}, what)
	if imp.Status == imports.Done {
		require.Equal(t, was.Round, imp.Round, what)
		return imp
	}
	pending := one[[]int](p.ctx, t, p.bundle, `SELECT coalesce(array_agg(row_no), '{}') FROM strata.import_rows WHERE import_id = $1 AND round = $2 AND verdict IN ('new', 'update')`, imp.ID, imp.Round)
	rows := slices.DeleteFunc(p.staged(t, imp.ID), func(r stagedRow) bool { return !slices.Contains(pending, r.No) })
	require.EqualValues(t, len(rows), imp.New+imp.Changed, what)
	set, err := p.defaults(t)
	require.NoError(t, err)
	want := p.people(t)
	for _, row := range rows {
		before, there := want[*row.Email]
		require.Equal(t, row.Verdict == "update", there, "row %d, %s", row.No, what)
		if there {
			want[*row.Email] = expected(policy, before, row)
		} else {
			want[*row.Email] = inserts(policy, set, row)
		}
	}
	done := p.commit(p.ctx, t, imp.ID)
	require.Equal(t, want, p.people(t), what)
	require.Equal(t, []int64{was.Inserted + imp.New, was.Updated + imp.Changed, imp.Skipped}, []int64{done.Inserted, done.Updated, done.Skipped}, what)
	p.counted(p.ctx, t)
	return done
}
