package filter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

func TestRenameField(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`fields.a == "x"`, `fields.renamed == "x"`},
		{`has(fields.a) && !has(fields.ab)`, `has(fields.renamed) && !has(fields.ab)`},
		{`fields . a == "x"`, `fields . renamed == "x"`},
		{"fields // of the workspace\n  . // a\n  a /*`fields.a`*/ == 1", ""},
		{"fields // of the workspace\n  . // fields.a\n  a== 1", "fields // of the workspace\n  . // fields.a\n  renamed== 1"},
		{`email == "fields.a" && fields.a == 'fields.a'`, `email == "fields.a" && fields.renamed == 'fields.a'`},
		{`fields.note == "日本語 😀é" && fields.a == "😀" && fields.a == 1`, `fields.note == "日本語 😀é" && fields.renamed == "😀" && fields.renamed == 1`},
		{`fields.note == "😀" /* no comment */`, ""},
		{"fields.note == '😀' // 😀 fields.a\n&& fields.a < 2 // fields.a", "fields.note == '😀' // 😀 fields.a\n&& fields.renamed < 2 // fields.a"},
		{`fields.a.b == 1 && email.a == 1 && a == 1`, `fields.renamed.b == 1 && email.a == 1 && a == 1`},
		{`fields.b.a == 1`, `fields.b.a == 1`},
		{`(fields).a == 1 || .fields.a == 2`, `(fields).renamed == 1 || .fields.renamed == 2`},
		{`fields.a.startsWith("a") && size(fields.a) > 1`, `fields.renamed.startsWith("a") && size(fields.renamed) > 1`},
		{`a(fields.a).a(fields.a)`, `a(fields.renamed).a(fields.renamed)`},
		{`"x" in fields.a ? fields.a : [fields.a, {"a": fields.a}]`, `"x" in fields.renamed ? fields.renamed : [fields.renamed, {"a": fields.renamed}]`},
		{`fields.a.exists(a, a == fields.a)`, `fields.renamed.exists(a, a == fields.renamed)`},
		{`fields.b.exists(fields, fields.a == 1 && .fields.a == 2)`, `fields.b.exists(fields, fields.a == 1 && .fields.renamed == 2)`},
		{"fields.note == r\"\\\" && fields.a == 1", "fields.note == r\"\\\" && fields.renamed == 1"},
		{"\"\"\"fields.a \"\" \\\"\"\"\" == fields.a", "\"\"\"fields.a \"\" \\\"\"\"\" == fields.renamed"},
		{"fields.note == '''\nfields.a\r\n''' &&\r\n\tfields.a == 0x1F", "fields.note == '''\nfields.a\r\n''' &&\r\n\tfields.renamed == 0x1F"},
		{`  fields.other == 1  `, `  fields.other == 1  `},
	} {
		got, err := filter.RenameField(c[0], "a", "renamed")
		if c[1] == "" {
			requireProblem(t, err, "Syntax error")
			continue
		}
		require.NoError(t, err, c[0])
		require.Equal(t, c[1], got)
	}
}

func requireProblem(t *testing.T, err error, part string) {
	t.Helper()
	var problems *filter.Error
	require.ErrorAs(t, err, &problems)
	require.NotEmpty(t, problems.Problems)
	require.Contains(t, problems.Error(), part)
}

func TestRenameRefusesWhatNoFilterCanName(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"", "a b", "true", "in", "null", "1a", `a"`, "fields.a", "é"} {
		_, err := filter.RenameField(`fields.a == 1`, "a", to)
		require.ErrorContains(t, err, "cannot name", to)
	}
	_, err := filter.RenameField(`fields.a ==`, "a", "b")
	requireProblem(t, err, "1:12: Syntax error")
	_, err = filter.RenameField("fields.a == \"\xff\"", "a", "b")
	requireProblem(t, err, "UTF-8")
	long := `fields.a == "` + strings.Repeat("x", filter.MaxFilterBytes-14) + `"`
	require.Len(t, long, filter.MaxFilterBytes)
	_, err = filter.RenameField(long, "a", "b")
	require.NoError(t, err)
	_, err = filter.RenameField(long, "a", "bb")
	requireProblem(t, err, fmt.Sprintf("at most %d bytes, this one would have %d", filter.MaxFilterBytes, filter.MaxFilterBytes+1))
	_, err = filter.RenameField(long+" ", "a", "b")
	requireProblem(t, err, fmt.Sprintf("at most %d bytes, this one has %d", filter.MaxFilterBytes, filter.MaxFilterBytes+1))
}

func TestReplaceOption(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`fields.k == "old"`, `fields.k == "new"`},
		{`'old' != fields.k`, `"new" != fields.k`},
		{`fields.k in ["other", 'old', r"old"] // old`, `fields.k in ["other", "new", "new"] // old`},
		{`"old" in fields.k && !("old" in fields.other)`, `"new" in fields.k && !("old" in fields.other)`},
		{`hasAny(fields.k, ["old", "b"]) && hasAll(fields.k, ["old"]) || hasNone(fields.k, ['''old'''])`, `hasAny(fields.k, ["new", "b"]) && hasAll(fields.k, ["new"]) || hasNone(fields.k, ["new"])`},
		{`hasAny(fields.other, ["old"])`, `hasAny(fields.other, ["old"])`},
		{`fields.k.exists(t, t == "old" && email == "old")`, `fields.k.exists(t, t == "new" && email == "old")`},
		{`fields.k.all(t, t in ["old"] || fields.k.exists_one(u, u != "old" || t == "old"))`, `fields.k.all(t, t in ["new"] || fields.k.exists_one(u, u != "new" || t == "new"))`},
		{`fields.k.exists(t, fields.other.exists(t, t == "old"))`, `fields.k.exists(t, fields.other.exists(t, t == "old"))`},
		{`fields.other.exists(t, t == "old")`, `fields.other.exists(t, t == "old")`},
		{`fields.k.exists(fields, fields == "old")`, `fields.k.exists(fields, fields == "new")`},
		{`t == "old"`, `t == "old"`},
		{`fields.k == "\x6fld" && fields.k == "Old"`, `fields.k == "new" && fields.k == "Old"`},
		{`fields.k.iequals("OLD") && fields.k.startsWith("old") && fields.k.contains("old") && size("old") == 3`, `fields.k.iequals("new") && fields.k.startsWith("old") && fields.k.contains("old") && size("old") == 3`},
		{`fields.k == (fields.b ? "old" : "x") && (fields.k == "old") == true`, `fields.k == (fields.b ? "new" : "x") && (fields.k == "new") == true`},
		{`fields.note == "日本😀" && fields.k=="old"&&true`, `fields.note == "日本😀" && fields.k=="new"&&true`},
		{`fields.k == null || has(fields.k) || k == "old"`, `fields.k == null || has(fields.k) || k == "old"`},
	} {
		got, err := filter.ReplaceOption(c[0], "k", "old", "new")
		require.NoError(t, err, c[0])
		require.Equal(t, c[1], got)
	}
	got, err := filter.ReplaceOption(`fields.k == "日本"`, "k", "日本", "a\"\\\n\u00a0é😀")
	require.NoError(t, err)
	require.Equal(t, `fields.k == "a\"\\\n\u00a0é😀"`, got)
	_, err = filter.ReplaceOption(`fields.k == "old"`, "k", "old", "")
	require.ErrorContains(t, err, "by none")
	_, err = filter.ReplaceOption(`fields.k == "old"`, "k", "old", "\xff")
	require.ErrorContains(t, err, "UTF-8")
	_, err = filter.ReplaceOption(`fields.k = "old"`, "k", "old", "new")
	requireProblem(t, err, "1:10")
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`email == "a" && fields.tier == "x" || has(fields.tier)`:                        "email fields.tier",
		`sms.phone == null && fields.a.b == 1 && .status == "x"`:                        "fields.a sms.phone status",
		`fields.tags.exists(t, t == email && t.size() > 1)`:                             "email fields.tags",
		`events("email.opened").count(days(7)) >= 2 && fields.at < now && today > .now`: "events.email.opened fields.at",
		`true`: "",
		`withinLast(fields.seen, days(7)) && fields.seen < date("2024-01-01")`: "fields.seen",
		`fields`:        "fields",
		`"fields.none"`: "",
	} {
		got, err := filter.Mentions(expr)
		require.NoError(t, err, expr)
		require.Equal(t, want, strings.Join(got, " "), expr)
	}
	_, err := filter.Mentions(`email ==`)
	requireProblem(t, err, "Syntax error")
}

// Whatever compiles mentions what it references.
func TestMentionsAreReferences(t *testing.T) {
	t.Parallel()
	s := whole(t)
	for _, expr := range rewritable {
		f, err := filter.Compile(s, expr)
		require.NoError(t, err, expr)
		mentions, err := filter.Mentions(expr)
		require.NoError(t, err, expr)
		require.ElementsMatch(t, f.References(), mentions, expr)
	}
}

// whole is a schema with everything that filters can mention.
func whole(t *testing.T) filter.Schema {
	t.Helper()
	return filter.Schema{
		Fields: allTypes(t), Columns: columns,
		Extensions: []filter.Extension{{
			Name: "sms", Join: "LEFT JOIN sms x_sms ON x_sms.id = r.id", Columns: []filter.Column{{Name: "phone", Type: customfields.Text, SQL: "x_sms.phone"}},
		}},
		Events: &filter.Events{CountSQL: func(kind, since string) string {
			return "(SELECT 0::float8 WHERE " + kind + " > '' AND " + since + " < now())"
		}},
	}
}

// rewritable are filters over whole.
var rewritable = []string{
	`fields.tier == "gold" && email.endsWith("@example.com")`,
	`"vip" in fields.tags || fields.tier in ["gold", "silver"] && !has(fields.size)`,
	"fields.note == \"日本\" && // the size\n fields . size > 5 || createdAt < timestamp('2024-01-01T00:00:00Z')",
	`!(fields.vip || nickname == null) && fields.size == score`,
	`sms.phone.startsWith("+47") && has(sms.phone) || events("email.opened").count(days(7)) >= 2`,
	`fields.tags.exists(t, t == "vip" || t == fields.note) && hasAny(fields.tags, ["vip"]) && today > fields.due`,
	`withinLast(fields.due, days(7)) || anniversary(createdAt) || now - createdAt < duration("1h") || between(score, 1, fields.size * 2)`,
	`.fields.vip ? (fields).size > 1 : .email.iequals("A")`,
}

// A renamed filter has the tree of the old one with the new name, and renaming it back
// gives the same text.
func TestRenameIsUndoneByRename(t *testing.T) {
	t.Parallel()
	for _, expr := range rewritable {
		for _, key := range []string{"tier", "tags", "size", "note", "vip"} {
			there, err := filter.RenameField(expr, key, "something_new")
			require.NoError(t, err)
			back, err := filter.RenameField(there, "something_new", key)
			require.NoError(t, err)
			require.Equal(t, expr, back)
			before, err := filter.Mentions(expr)
			require.NoError(t, err)
			after, err := filter.Mentions(there)
			require.NoError(t, err)
			want := make([]string, len(before))
			for i, name := range before {
				want[i] = name
				if name == "fields."+key {
					want[i] = "fields.something_new"
				}
			}
			slices.Sort(want)
			require.Equal(t, want, after)
		}
	}
}
