package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/dbtest"
)

// Columns of a product's own may hold what no custom field can: times that are infinite or
// before our era, and whole numbers at the end of their range. No statement may fail on one.
func TestNoColumnMakesTheSQLRaise(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	_, err := pool.Exec(t.Context(), `
		CREATE TABLE rows (small int, large bigint, real float8, at timestamptz, until timestamptz, custom_fields jsonb NOT NULL DEFAULT '{"due": "2024-02-29T00:00:00.000000Z", "size": 5}');
		INSERT INTO rows SELECT n.small, n.large, n.real, a, u
		FROM (VALUES (-2147483648, -9223372036854775808, '-Infinity'::float8), (2147483647, 9223372036854775807, 'NaN'), (NULL, NULL, NULL), (7, 7, 'Infinity')) n (small, large, real),
			unnest(ARRAY['-infinity', 'infinity', '4713-01-01 BC', '294276-12-31 23:59:59Z', '2024-01-01', NULL]::timestamptz[]) a,
			unnest(ARRAY['-infinity', 'infinity', '4713-01-01 BC', '294276-12-31 23:59:59Z', '2024-01-01', NULL]::timestamptz[]) u`)
	require.NoError(t, err)
	s := filter.Schema{Fields: allTypes(t), Columns: []filter.Column{
		{Name: "small", Type: customfields.Number, SQL: "r.small", Nullable: true},
		{Name: "large", Type: customfields.Number, SQL: "r.large", Nullable: true},
		{Name: "real", Type: customfields.Number, SQL: "r.real", Nullable: true},
		{Name: "at", Type: customfields.Date, SQL: "r.at", Nullable: true},
		{Name: "until", Type: customfields.Date, SQL: "r.until", Nullable: true},
	}}
	for _, expr := range []string{
		`NUMBER + NUMBER > 1`, `NUMBER * NUMBER * NUMBER - 1 <= 0`, `-NUMBER == 2`, `NUMBER in [1, 2.5]`, `NUMBER == real`, `NUMBER != 1.5 && NUMBER < 1e300`, `NUMBER > fields.size`, `between(NUMBER, -1, 1)`,
		`NUMBER + 1 == NUMBER`,
		`at - until > days(1)`, `until - at == duration("0s")`, `at - fields.due < days(1)`, `at + days(1) > until`, `at - days(106000) < now`, `at == until`, `at < fields.due`, `at == fields.due`,
		`at in [now, today, until]`, `withinLast(at, days(7)) || withinNext(at, days(7))`, `anniversary(at)`, `between(at, until, now)`,
		`at.getFullYear("+14:00") > 2000`, `at.getFullYear("-12:00") > 2000`, `at.getMonth("Europe/Oslo") == 1`, `at.getDayOfYear() == 1 || at.getDayOfWeek() == 1 || at.getDate() == 2`,
		`at.getHours() == 1 && at.getMinutes() == 1`, `at.getSeconds() == 1 || at.getMilliseconds() == 1`,
	} {
		for _, column := range []string{"small", "large", "real"} {
			f, err := filter.Compile(s, strings.ReplaceAll(expr, "NUMBER", column))
			require.NoError(t, err, expr)
			for _, want := range []bool{true, false} {
				sql, args := f.Where(filter.Options{}, want)
				_, err = pool.Exec(t.Context(), "SELECT FROM rows r WHERE "+sql, args...)
				require.NoError(t, err, f)
			}
			if !strings.Contains(expr, "NUMBER") {
				break
			}
		}
	}
}
