package filter_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// What bun finds is what pgx finds, in one transaction of a tenant.
func TestBunFindsWhatPgxFinds(t *testing.T) {
	t.Parallel()
	e := tenancytest.Open(t)
	d := &differ{schema: proofSchema(t), at: instant}
	random := rand.New(rand.NewPCG(5, 7))
	g := &generator{Rand: random}
	err := e.DB.InTx(e.A.Ctx, func(tx *tenancy.Tx) error {
		loadInto(t, tx, strings.ReplaceAll(proofTables, "CREATE TABLE", "CREATE TEMP TABLE"), proofRows(t, random, 60))
		for _, session := range []string{`SET LOCAL standard_conforming_strings = on`, hostileSession, `SET LOCAL standard_conforming_strings = off`} {
			_, err := tx.Exec(t.Context(), session)
			require.NoError(t, err)
			for n := 0; n < 150; {
				expr := g.condition(g.IntN(6)).String()
				f, err := filter.Compile(d.schema, expr)
				if err != nil {
					continue
				}
				n++
				for _, ready := range []bool{false, true} {
					o := filter.Options{First: 2, At: d.at}
					if ready {
						o.Ready = func(string, customfields.Type) bool { return true }
					}
					require.Equal(t, pgxFinds(t, tx, f, o), bunFinds(t, tx, f, o), expr)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
}

func pgxFinds(t *testing.T, tx *tenancy.Tx, f *filter.Filter, o filter.Options) []int {
	t.Helper()
	where, args := f.SQL(o)
	sql := "SELECT r.id FROM rows r"
	for _, join := range f.Joins() {
		sql += " " + join
	}
	rows, err := tx.Query(t.Context(), sql+" WHERE r.id >= $1 AND "+where+" ORDER BY r.id", append([]any{pgx.QueryExecModeDescribeExec, 0}, args...)...)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	return ids
}

func bunFinds(t *testing.T, tx *tenancy.Tx, f *filter.Filter, o filter.Options) []int {
	t.Helper()
	ids := []int{}
	q := tx.Bun().NewSelect().ColumnExpr("r.id").TableExpr("rows AS r").Where("r.id >= ?", 0).Where("?", f.Appender(o)).OrderExpr("r.id")
	for _, join := range f.Joins() {
		q = q.Join(join)
	}
	require.NoError(t, q.Scan(t.Context(), &ids), f)
	return ids
}

// No literal leaves its quotes, and none has what bun would take for a placeholder.
func TestAppenderQuotesWhatAFilterSays(t *testing.T) {
	t.Parallel()
	gen := schema.NewQueryGen(pgdialect.New())
	for literal, want := range map[string]string{
		`o'k`:          `'o''k'`,
		`a?b`:          `E'a\077b'`,
		`\' OR 1=1 --`: `E'\\'' OR 1=1 --'`,
		`$1 ?0 ?a`:     `E'$1 \0770 \077a'`,
	} {
		for _, form := range []string{`name == %s`, `name in [%s, "z"]`, `name.contains(%s)`} {
			f, err := filter.Compile(proofSchema(t), fmt.Sprintf(form, quoteCEL(literal)))
			require.NoError(t, err)
			sql, err := f.Appender(filter.Options{}).AppendQuery(gen, []byte("WHERE "))
			require.NoError(t, err)
			require.Contains(t, string(sql), want)
			require.NotContains(t, string(sql), "?")
		}
	}
}
