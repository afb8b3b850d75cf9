package filter_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	expr "cel.dev/expr"
	"cel.dev/expr/conformance/test"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	_ "cel.dev/expr/conformance/proto2" // messages that the files have
	_ "cel.dev/expr/conformance/proto3"

	"github.com/stratakit/strata/customfields/filter"
	"github.com/stratakit/strata/internal/dbtest"
)

// go test ./customfields/filter -run TestConformance -filter.skips
var writeSkips = flag.Bool("filter.skips", false, "write testdata/conformance_skips.txt anew")

const skipFile = "testdata/conformance_skips.txt"

// question is one test of cel-spec in one form.
type question struct {
	name string // file/section/test, and #form when literals are lifted
	expr string
	want string
	row  lifted
}

// outcome is what became of a question: nothing, "refused: why" or "differs: how".
func (q question) outcome(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	f, err := filter.Compile(q.row.schema(t), q.expr)
	if err != nil {
		var e *filter.Error
		require.ErrorAs(t, err, &e, q.expr)
		return "refused: " + e.Problems[0].Message
	}
	known, value := f.Evaluate(filter.Record{Columns: q.row.columns, Fields: q.row.fields}, instant)
	if got := verdict(known, value); got != q.want {
		return fmt.Sprintf("differs: CEL has %s for %s", q.want, got)
	}
	answer := make([]bool, 2)
	for i, want := range []bool{true, false} {
		from, args := q.row.from()
		where, more := f.Where(filter.Options{First: len(args) + 1, At: instant}, want)
		rows, err := pool.Query(t.Context(), "SELECT coalesce("+where+", false) FROM "+from, append(append([]any{pgx.QueryExecModeDescribeExec}, args...), more...)...)
		require.NoError(t, err, "%s: %s\n%s", q.name, q.expr, where)
		answer[i], err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		require.NoError(t, err, "%s: %s\n%s", q.name, q.expr, where)
	}
	require.False(t, answer[0] && answer[1], "%s is both true and false: %s", q.name, q.expr)
	require.Equal(t, q.want, verdict(answer[0] || answer[1], answer[0]), "PostgreSQL's answer to %s: %s, which is right in process", q.name, q.expr)
	return ""
}

func verdict(known, value bool) string {
	switch {
	case !known:
		return unknown
	case value:
		return yes
	}
	return no
}

// The files of cel-spec are what makes an implementation of CEL one. Every test is asked as
// it is written, and with its literals lifted into fields and columns, which turns a test of
// constants into one of what is stored. What the language refuses, and what it answers
// otherwise because its numbers are all doubles, is listed in testdata, and nothing else.
func TestConformanceWithTheCELSpecification(t *testing.T) {
	t.Parallel()
	pool := dbtest.Database(t, dbtest.Template{})
	outcomes := map[string]string{}
	asked, right := map[string]int{}, map[string]int{}
	for _, path := range specFiles(t) {
		for _, q := range readSpec(t, path) {
			require.NotContains(t, outcomes, q.name, "two tests of one name")
			_, form, _ := strings.Cut(q.name, "#")
			asked[form]++
			if outcomes[q.name] = q.outcome(t, pool); outcomes[q.name] == "" {
				right[form]++
			}
		}
	}
	for _, form := range []string{"", "fields", "columns", "lists"} {
		t.Logf("%-8s %4d right, %4d refused or different", cmp.Or(form, "literals"), right[form], asked[form]-right[form])
	}
	if *writeSkips {
		require.NoError(t, os.WriteFile(skipFile, formatSkips(outcomes), 0o600))
	}
	skips := readSkips(t)
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		listed := skips[name]
		if _, alone := skips[name+"#"]; alone && !strings.Contains(name, "#") {
			listed = skips[name+"#"]
		} else if listed == "" {
			listed = skips[strings.Split(name, "#")[0]]
		}
		how, _, _ := strings.Cut(outcomes[name], ":")
		listedHow, _, _ := strings.Cut(listed, ":")
		require.Equal(t, listedHow, how, "%s is %q, and %q in %s", name, outcomes[name], listed, skipFile)
	}
	for name, why := range skips {
		require.True(t, strings.HasPrefix(why, "refused: ") || strings.HasPrefix(name, "integer_math/"), "%s: %s", name, why)
		require.Contains(t, outcomes, strings.TrimSuffix(name, "#"), "%s lists a test that is not there", skipFile)
	}
}

func specFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/cel-spec/*.textproto")
	require.NoError(t, err)
	require.Len(t, paths, 13)
	return paths
}

// readSpec makes questions of the tests of a file whose answer a condition can give.
func readSpec(t *testing.T, path string) []question {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var file test.SimpleTestFile
	require.NoError(t, prototext.Unmarshal(raw, &file))
	var out []question
	seen := map[string]int{}
	for _, section := range file.GetSection() {
		for _, tc := range section.GetTest() {
			condition, want, ok := asCondition(tc)
			if !ok {
				continue
			}
			name := file.GetName() + "/" + section.GetName() + "/" + tc.GetName()
			if seen[name]++; seen[name] > 1 {
				name += "~" + strconv.Itoa(seen[name])
			}
			out = append(out, question{name: name, expr: condition, want: want})
			for _, form := range []string{"fields", "columns", "lists"} {
				if row, source, ok := lift(t, condition, form); ok {
					out = append(out, question{name: name + "#" + form, expr: source, want: want, row: row})
				}
			}
		}
	}
	return out
}

// asCondition turns a test into a condition. Tests of messages, bytes, maps, lists and types,
// and with variables of their own, are about values that no filter has: they are left out.
func asCondition(tc *test.SimpleTest) (condition, want string, ok bool) {
	if tc.GetContainer() != "" || len(tc.GetTypeEnv()) > 0 || len(tc.GetBindings()) > 0 || tc.GetDisableMacros() || tc.GetCheckOnly() {
		return "", "", false
	}
	switch result := tc.GetResultMatcher().(type) {
	case *test.SimpleTest_EvalError:
		return comparable(tc.GetExpr()), unknown, true
	case *test.SimpleTest_Value:
		if b, isBool := result.Value.GetKind().(*expr.Value_BoolValue); isBool {
			return tc.GetExpr(), map[bool]string{true: yes, false: no}[b.BoolValue], true
		}
		literal, ok := literalOf(result.Value)
		return "(" + tc.GetExpr() + ") == " + literal, yes, ok
	}
	return "", "", false
}

// comparable makes a condition of an expression that has an error whatever it is compared
// with.
func comparable(source string) string {
	env := must(cel.NewEnv())
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return source
	}
	literals := map[types.Kind]string{types.IntKind: "1", types.UintKind: "1", types.DoubleKind: "1", types.StringKind: `"a"`, types.TimestampKind: "now", types.DurationKind: `duration("1s")`}
	if literal, ok := literals[checked.OutputType().Kind()]; ok {
		return "(" + source + ") == " + literal
	}
	return source
}

// literalOf is a value of the specification as a literal of ours.
func literalOf(v *expr.Value) (string, bool) {
	switch v := v.GetKind().(type) {
	case *expr.Value_StringValue:
		return quoteCEL(v.StringValue), true
	case *expr.Value_Int64Value:
		return strconv.FormatInt(v.Int64Value, 10), true
	case *expr.Value_Uint64Value:
		return strconv.FormatUint(v.Uint64Value, 10), true
	case *expr.Value_DoubleValue:
		s := strconv.FormatFloat(v.DoubleValue, 'e', -1, 64)
		return s, !math.IsNaN(v.DoubleValue) && !math.IsInf(v.DoubleValue, 0)
	case *expr.Value_ObjectValue:
		m, err := v.ObjectValue.UnmarshalNew()
		if err != nil {
			return "", false
		}
		switch m := m.(type) {
		case *timestamppb.Timestamp:
			return "timestamp(" + quoteCEL(m.AsTime().Format(time.RFC3339Nano)) + ")", true
		case *durationpb.Duration:
			return "duration(" + quoteCEL(m.AsDuration().String()) + ")", true
		}
	}
	return "", false
}

// readSkips reads lines of "name: refused: why" and "name: differs: why".
func readSkips(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(skipFile)
	require.NoError(t, err)
	skips := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		name, why, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		require.NotContains(t, skips, name)
		skips[name] = why
	}
	return skips
}

// formatSkips writes one line for a test all of whose forms have one outcome.
func formatSkips(outcomes map[string]string) []byte {
	out := []byte("# Tests of cel-spec that filters do not pass, with the reason. A name stands for all forms of a test, name#\n# for the one as it is written, and name#form for one with its literals lifted.\n" +
		"# refused: Compile says so. differs: every number of a filter is a double, and the outcome is about integers.\n")
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		base, form, _ := strings.Cut(name, "#")
		whole := outcomes[base] != ""
		for _, f := range []string{"fields", "columns", "lists"} {
			o, there := outcomes[base+"#"+f]
			whole = whole && (!there || strings.HasPrefix(o, outcomes[base][:8]))
		}
		if outcomes[name] != "" && (form == "" || !whole) {
			line := name
			if form == "" && !whole {
				line += "#" // the form as it is written, alone
			}
			out = fmt.Appendf(out, "%s: %s\n", line, strings.ReplaceAll(outcomes[name], "\n", " "))
		}
	}
	return out
}
