package filter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/dbtest"
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

// record is one row of the differential test, as SQL and as Match see it.
type record struct {
	columns map[string]any
	fields  map[string]any
	stored  string // what is in the table: for hostile rows not what the library would have written
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
		rec.stored = string(customfields.AppendJSON(nil, rec.fields))
		if i%10 == 9 { // written by hand: every type where another belongs
			rec.stored = []string{
				`{"size": "n/a", "vip": "true", "note": 5, "due": "soon", "tags": "vip", "tier": ["gold"]}`,
				`{"size": 1e400, "note": {"a": 1}, "due": 20240101, "tags": {"vip": 1}, "vip": 1}`,
				`{"size": 1e-400}`,
				`{"size": -2e308}`,
				`{}`,
			}[r.IntN(5)]
		}
		out[i] = rec
	}
	return out
}

// randomExpr writes a random condition.
func randomExpr(r *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	if depth > 0 && r.IntN(3) > 0 {
		switch r.IntN(3) {
		case 0:
			return "(" + randomExpr(r, depth-1) + " && " + randomExpr(r, depth-1) + ")"
		case 1:
			return "(" + randomExpr(r, depth-1) + " || " + randomExpr(r, depth-1) + ")"
		default:
			return "!(" + randomExpr(r, depth-1) + ")"
		}
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	text, texts := pick("email", "nickname", "fields.note"), func() string { return quote(texts[r.IntN(len(texts))]) }
	number, numbers := pick("score", "fields.size"), func() string {
		return pick("0", "1", "-1", "0.1", "0.3", "0.30000000000000004", "1000000000000000", "5", "50")
	}
	date, dates := pick("createdAt", "fields.due"), func() string {
		return `timestamp("2024-0` + pick("1", "2") + "-0" + pick("1", "2", "3") + `T00:00:00` + pick("", ".000001") + `Z")`
	}
	flag := pick("opted", "fields.vip")
	equality, order := pick("==", "!="), pick("<", "<=", ">", ">=")
	switch r.IntN(18) {
	case 0:
		return text + " " + equality + " " + texts()
	case 1:
		return texts() + " " + order + " " + text
	case 2:
		return text + pick(".startsWith(", ".endsWith(", ".contains(") + texts() + ")"
	case 3:
		return text + " in [" + texts() + ", " + texts() + "]"
	case 4:
		return number + " " + equality + " " + numbers()
	case 5:
		return number + " " + order + " " + numbers()
	case 6:
		return number + " in [" + numbers() + ", " + numbers() + "]"
	case 7:
		return date + " " + order + " " + dates()
	case 8:
		return date + " " + equality + " " + dates()
	case 9:
		return flag
	case 10:
		return flag + " " + equality + " " + pick("true", "false")
	case 11:
		return `fields.tier ` + equality + ` ` + pick(`"gold"`, `"silver"`)
	case 12:
		return pick(`"vip"`, `"beta"`) + " in fields.tags"
	case 13:
		return "has(fields." + pick("note", "size", "tier", "tags", "vip", "due") + ")"
	case 14:
		return pick("nickname", "score", "opted", "fields.note", "fields.size", "fields.due", "fields.vip") + " " + equality + " null"
	case 15:
		return "fields.note " + equality + " " + pick("email", "nickname", "fields.tier")
	case 16:
		return pick("score", "fields.size") + " " + pick(equality, order) + " fields.size"
	default:
		return text + " in []"
	}
}

// The oracle of the SQL is cel-go on the same record. Hostile rows have no oracle: SQL
// must only not raise on them.
func TestSQLAgreesWithCEL(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	_, err := pool.Exec(t.Context(), `CREATE TABLE rows (id int PRIMARY KEY, email text NOT NULL, nickname text, status text NOT NULL,
		created_at timestamptz NOT NULL, score float8, opted boolean, custom_fields jsonb NOT NULL)`)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(11, 13))
	records := randomRecords(r, 200)
	for i, rec := range records {
		c := rec.columns
		_, err := pool.Exec(t.Context(), `INSERT INTO rows VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			i, c["email"], c["nickname"], c["status"], c["createdAt"], c["score"], c["opted"], rec.stored)
		require.NoError(t, err)
	}
	s := filter.Schema{Fields: allTypes(t), Columns: columns}
	telling := 0
	const expressions = 1500
	for range expressions {
		expr := randomExpr(r, 4)
		f, err := filter.Compile(s, expr)
		require.NoError(t, err, expr)
		sql, args := f.SQL(filter.Options{First: 1})
		rows, err := pool.Query(t.Context(), `SELECT id FROM rows r WHERE `+sql, args...)
		require.NoError(t, err, "%s\n%s", expr, sql)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(t, err, "%s\n%s", expr, sql)
		matched := 0
		for i, rec := range records {
			if i%10 == 9 {
				continue
			}
			want := f.Match(filter.Record{Columns: rec.columns, Fields: rec.fields}, time.Now())
			if want {
				matched++
			}
			require.Equal(t, want, slices.Contains(ids, i), "%s\n%s\n%v\ncolumns %v\nfields %v", expr, sql, args, rec.columns, rec.fields)
		}
		if matched > 0 && matched < len(records)*9/10 {
			telling++
		}
	}
	require.Greater(t, telling, expressions/3, "an expression that matches everything or nothing proves little")
}
