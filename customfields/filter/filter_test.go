package filter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// No byte of a literal may reach the SQL text, whatever it looks like.
func TestLiteralsNeverReachTheSQL(t *testing.T) {
	t.Parallel()
	s := filter.Schema{Fields: allTypes(t), Columns: columns}
	for _, hostile := range []string{`canary`, `canary' OR 1=1 --`, `canary$1`, `canary?`, "canary\n--", `canary\'`, `%canary_`, `canary*/`} {
		quoted, err := json.Marshal(hostile)
		require.NoError(t, err)
		for _, form := range []string{
			`email == %s`, `email != %s`, `email < %s`, `email in [%s]`, `email.contains(%s)`, `email.startsWith(%s)`, `email.endsWith(%s)`, `nickname == %s`,
			`fields.note == %s`, `fields.note >= %s`, `fields.note in [%s, "x"]`, `!fields.note.contains(%s)`, `%s == fields.note && fields.vip`,
		} {
			f, err := filter.Compile(s, fmt.Sprintf(form, quoted))
			require.NoError(t, err, form)
			sql, args := f.SQL(filter.Options{First: 7})
			require.NotContains(t, sql, "canary")
			require.Contains(t, fmt.Sprint(args...), "canary")
			require.Contains(t, sql, "$7::")
		}
	}
}

func TestEqualitiesMergeIntoOneContainment(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(filter.Schema{Fields: allTypes(t), Columns: columns}, `fields.tier == "gold" && ("vip" in fields.tags && fields.vip) && fields.size == 5 && "new" in fields.tags`)
	require.NoError(t, err)
	sql, args := f.SQL(filter.Options{First: 1})
	require.Equal(t, 1, strings.Count(sql, "@>"), sql)
	require.JSONEq(t, `{"size":5,"tags":["vip","new"],"tier":"gold","vip":true}`, args[0].(string))
}

// record is one row of the tests of rules and of the index, in process.
type record struct {
	columns map[string]any
	fields  map[string]any
}

var texts = []string{"", "a", "b", "B", "ab", "a%", "a_", `a\`, "a'b", "É", "é", "ß", "İ", "e\u0301", "line\nbreak", "z😀", "gold", "123"}

func randomRecords(r *rand.Rand, n int) []record {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	maybe := func(v any) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return v
	}
	numbers := []float64{0, 1, -1, 0.1, 0.30000000000000004, 0.3, 1e15, -1e15, 5, 50, 1e300, -math.MaxFloat64, math.SmallestNonzeroFloat64}
	out := make([]record, n)
	for i := range out {
		rec := record{columns: map[string]any{
			"email": pick(texts), "nickname": maybe(pick(texts)), "status": pick([]string{"active", "inactive"}),
			"createdAt": time.Date(2024, time.Month(1+r.IntN(3)), 1+r.IntN(3), 0, 0, 0, r.IntN(2)*1000, time.UTC),
			"score":     maybe(numbers[r.IntN(len(numbers))]), "opted": maybe(r.IntN(2) == 0),
		}, fields: map[string]any{}}
		set := func(key string, v any) {
			if r.IntN(4) != 0 {
				rec.fields[key] = v
			}
		}
		set("note", pick(texts[1:]))
		set("size", numbers[r.IntN(len(numbers))])
		set("due", time.Date(2024, 1, 1+r.IntN(3), 0, 0, 0, r.IntN(2)*1000, time.UTC).Format(customfields.DateLayout))
		set("tier", pick([]string{"gold", "silver", "bronze"}))
		set("tags", [][]string{{"vip"}, {"beta"}, {"vip", "beta", "new"}}[r.IntN(3)])
		set("vip", r.IntN(2) == 0)
		set("site", "https://example.com/")
		out[i] = rec
	}
	return out
}
