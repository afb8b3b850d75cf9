package filter_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/filter"
)

// hostileTexts are what text goes wrong on: the wildcards and the escape of LIKE, quotes,
// line ends, letters whose cases do not pair up, marks that combine, what lies beyond 16
// bits, and text that looks like another type.
var hostileTexts = []string{
	"", "a", "b", "B", "ab", "Ab", "aB", "abc", "a%", "a_", "_a", "%", `a\`, `\`, `\a`, "a'b", "''", `"`, "É", "é", "É", "e\u0301", "E\u0301x", "ß", "ẞ", "SS", "ss",
	"İ", "i", "I", "ı", "i\u0307", "ſ", "s", "S", "K", "\u212a", "k", "Å", "\u212b", "å", "Σ", "σ", "ς", "ǅ", "Ǆ", "ǆ", "line\nbreak", "\n", "a\n", "\na", "a\r\nb", "\t", " ", " a", "a ",
	"z😀", "😀", "\U0010FFFF", "\uFFFD", "\uE000", "gold", "123", "12.5", "true", "null", "{}", "[]", "2024-02-29", "a.b", "a+b", "$1", "?", "--", "/*",
	"日本", "e\u0301e\u0301", "\u200d", "\u00a0", "\u0130stanbul", "STRASSE", "straße", strings.Repeat("ab", 40),
}

// hostileNumbers are what arithmetic and text forms of numbers go wrong on.
var hostileNumbers = []float64{
	0, math.Copysign(0, -1), 1, -1, 2, 3, 0.1, 0.2, 0.1 + 0.2, 0.3, 0.5, 1.5, -0.5, 5, 7, 50, 100, 1e15, -1e15, 1e15 - 1, 999999999999999.9, 1e-7, 123456789.123, 1.0 / 3,
}

// wildNumbers are what a column may hold, and a field that SQL written by hand has filled.
var wildNumbers = []float64{1e300, -1e300, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308, 9007199254740993, 1e16, 1e-300}

// hostileDates have the ends of time, leap days, ends of months and years, and the hours in
// which clocks change in Berlin, New York, on Lord Howe (by half an hour) and in Apia, which
// left out a day.
var hostileDates = []time.Time{
	at("0001-01-01T00:00:00Z"), at("0001-01-01T12:30:00.5Z"), at("9999-12-31T23:59:59.999999Z"), at("9999-01-01T00:00:00Z"),
	at("1900-02-28T23:59:59Z"), at("1969-12-31T23:59:59.999999Z"), at("1970-01-01T00:00:00Z"), at("2000-02-29T12:00:00Z"),
	at("2023-12-31T23:59:59.999Z"), at("2024-01-01T00:00:00Z"), at("2024-02-29T00:00:00Z"), at("2024-02-29T23:59:59.25Z"), at("2024-03-01T00:00:00Z"),
	at("2024-03-31T00:59:59Z"), at("2024-03-31T01:00:00Z"), at("2024-03-31T01:30:00Z"), at("2024-10-27T00:30:00Z"), at("2024-10-27T01:30:00Z"),
	at("2024-03-10T06:59:59.9Z"), at("2024-03-10T07:00:00Z"), at("2024-11-03T05:30:00Z"), at("2024-11-03T06:30:00Z"),
	at("2024-04-06T15:00:00Z"), at("2024-04-06T14:45:00Z"), at("2011-12-30T10:00:00Z"), at("2011-12-29T23:00:00Z"),
	at("2025-02-28T12:00:00Z"), at("2028-02-29T06:00:00Z"), at("2024-06-15T10:15:15.25Z"), at("2024-06-16T00:00:00Z"), at("2024-06-22T21:45:30.001Z"), at("2024-07-04T04:00:00.000001Z"),
}

// instant is what "now" is in all these tests: late on a leap day.
var instant = at("2024-02-29T22:30:15.123456Z")

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

var (
	tierOptions   = []string{"gold", "silver", "bronze", "a%", "o'k"}
	tagOptions    = []string{"vip", "beta", "new", "É", "a_", "%"}
	statusOptions = []string{"active", "inactive", "a'b"}
	eventKinds    = []string{"opened", "email.clicked", "a'b"}
)

// proofColumns are of every type a column may have, with and without NULL.
var proofColumns = []filter.Column{
	{Name: "email", Type: customfields.Email, SQL: "r.email"},
	{Name: "name", Type: customfields.Text, SQL: "r.name"},
	{Name: "nickname", Type: customfields.Text, SQL: "r.nickname", Nullable: true},
	{Name: "status", Type: customfields.Text, SQL: "r.status", Options: statusOptions},
	{Name: "level", Type: customfields.Number, SQL: "r.level"},
	{Name: "score", Type: customfields.Number, SQL: "r.score", Nullable: true},
	{Name: "createdAt", Type: customfields.Date, SQL: "r.created_at"},
	{Name: "seenAt", Type: customfields.Date, SQL: "r.seen_at", Nullable: true},
	{Name: "active", Type: customfields.Boolean, SQL: "r.active"},
	{Name: "opted", Type: customfields.Boolean, SQL: "r.opted", Nullable: true},
}

// proofTables has columns whose own order of text is not that of code points.
const proofTables = `
	CREATE TABLE rows (id int PRIMARY KEY, email text NOT NULL, name text COLLATE "und-x-icu" NOT NULL, nickname text COLLATE "und-x-icu", status text NOT NULL, level float8 NOT NULL, score float8,
		created_at timestamptz NOT NULL, seen_at timestamptz, active boolean NOT NULL, opted boolean, custom_fields jsonb NOT NULL);
	CREATE TABLE phones (row_id int PRIMARY KEY, phone text COLLATE "und-x-icu", verified boolean, calls float8, called_at timestamptz);
	CREATE TABLE events (row_id int NOT NULL, kind text NOT NULL, at timestamptz NOT NULL);`

// proofFields are fields of every type, two of those that are compared with each other,
// under keys that are words of SQL among them, and in slots that are not their keys.
func proofFields(t testing.TB) *customfields.Set {
	t.Helper()
	s, err := customfields.NewSet(1, []customfields.Field{
		{Key: "note", Type: customfields.Text, Filterable: true},
		{Key: "order", Type: customfields.Text, Filterable: true},
		{Key: "size", Type: customfields.Number, Filterable: true},
		{Key: "user", Slot: "user~2", Type: customfields.Number, Filterable: true},
		{Key: "due", Type: customfields.Date, Filterable: true},
		{Key: "when", Type: customfields.Date, Filterable: true},
		{Key: "born", Type: customfields.Date, DateOnly: true, Filterable: true},
		{Key: "tier", Type: customfields.Select, Options: tierOptions, Filterable: true},
		{Key: "tags", Slot: "tags~3", Type: customfields.MultiSelect, Options: tagOptions[:4], ArchivedOptions: tagOptions[4:], Filterable: true},
		{Key: "groups", Type: customfields.MultiSelect, Options: tagOptions, Filterable: true},
		{Key: "vip", Type: customfields.Boolean, Filterable: true},
		{Key: "paid", Type: customfields.Boolean, Filterable: true},
		{Key: "site", Type: customfields.URL, Filterable: true},
		{Key: "mail", Type: customfields.Email, Filterable: true},
	})
	require.NoError(t, err)
	return s
}

func proofSchema(t testing.TB) filter.Schema {
	t.Helper()
	return filter.Schema{
		Fields: proofFields(t), Columns: proofColumns,
		Extensions: []filter.Extension{{Name: "phone", Join: "LEFT JOIN phones p ON p.row_id = r.id", Columns: []filter.Column{
			{Name: "phone", Type: customfields.Text, SQL: "p.phone"},
			{Name: "verified", Type: customfields.Boolean, SQL: "p.verified"},
			{Name: "calls", Type: customfields.Number, SQL: "p.calls"},
			{Name: "calledAt", Type: customfields.Date, SQL: "p.called_at"},
		}}},
		Events: &filter.Events{CountSQL: func(kind, since string) string {
			return "(SELECT count(*)::float8 FROM events e WHERE e.row_id = r.id AND e.kind = " + kind + " AND e.at >= " + since + ")"
		}},
	}
}

// proofRow is one record, as SQL and as Match see it.
type proofRow struct {
	columns map[string]any
	fields  map[string]any
	phone   map[string]any // nil where the extension table has no row
	events  []proofEvent
	stored  string // custom_fields in the table
	wild    bool   // the law does not say what it means: it must only not raise
}

// record is the row as Match takes it.
func (r proofRow) record() filter.Record {
	out := filter.Record{Columns: r.columns, Fields: r.fields, Events: func(kind string, since time.Time) (n int64, err error) {
		for _, e := range r.events {
			if e.kind == kind && !e.at.Before(since) {
				n++
			}
		}
		return n, nil
	}}
	if r.phone != nil {
		out.Extensions = map[string]map[string]any{"phone": r.phone}
	}
	return out
}

type proofEvent struct {
	kind string
	at   time.Time
}

// strangers are JSON values none of which is of the type of every field. Where one is under
// a field of another type, the field is not set.
var strangers = []string{`null`, `true`, `false`, `0`, `5`, `-1.5`, `""`, `"a"`, `"true"`, `"5"`, `{}`, `{"a": 1}`, `[]`, `["vip"]`, `[["vip"]]`, `[1]`}

// wildStored are documents that only SQL written by hand can leave, and whose values are of
// the right JSON type.
var wildStored = []string{
	`{"size": 1e400, "user~2": -1e400}`, `{"size": 1e-400, "user~2": 5e-325}`, `{"size": -2e308, "user~2": 1.7976931348623159e308}`,
	`{"due": "soon", "when": ""}`, `{"due": "2024-02-30T00:00:00.000000Z", "when": "2024-13-01T00:00:00.000000Z"}`, `{"due": "2024-01-01", "when": "infinity"}`,
	`{"due": "10000-01-01T00:00:00.000000Z", "when": "0000-00-00T00:00:00.000000Z"}`, `{"due": "2024-06-15T25:61:61.000000Z", "when": "now"}`,
	`{"tags~3": ["vip", 5, null, ["beta"], {"a": 1}], "groups": [null]}`, `{"size": 0.30000000000000004000000000000001, "user~2": 123456789012345678901234567890}`,
	`{"tags~3": ["vip", "vip"], "groups": ["none of the options"]}`, `{"tier": "none of the options", "mail": "No Address", "site": "x"}`,
	`{"size": ` + strings.Repeat("9", 400) + `}`, `{"size": 0.` + strings.Repeat("0", 400) + `1}`,
}

// proofRows makes n rows of which a fifth have strangers and every tenth is wild.
func proofRows(t testing.TB, r *rand.Rand, n int) []proofRow {
	t.Helper()
	out := make([]proofRow, n)
	for i := range out {
		row := proofRow{columns: randomColumns(r), phone: randomPhone(r), events: randomEvents(r)}
		values := map[string]any{}
		set := func(key string, v any) {
			if r.IntN(5) != 0 {
				values[key] = v
			}
		}
		set("note", pick(r, hostileTexts[1:]))
		set("order", pick(r, hostileTexts[1:]))
		set("size", pick(r, hostileNumbers))
		set("user~2", pick(r, hostileNumbers))
		set("user", "what another field has left")
		set("due", randomDate(r).Format(customfields.DateLayout))
		set("when", randomDate(r).Format(customfields.DateLayout))
		set("born", randomDate(r).Truncate(24*time.Hour).Format(customfields.DateLayout))
		set("tier", pick(r, tierOptions))
		set("tags~3", someOf(r, tagOptions))
		set("groups", someOf(r, tagOptions))
		set("vip", r.IntN(2) == 0)
		set("paid", r.IntN(2) == 0)
		set("site", pick(r, []string{"https://example.com/", "https://example.com/a%25b"}))
		set("mail", pick(r, []string{"ada@example.com", "bo@example.org"}))
		row.stored = string(customfields.AppendJSON(nil, values))
		switch {
		case i%10 == 9:
			row.wild, row.stored = true, wildStored[i/10%len(wildStored)]
		case i%5 == 2:
			row.stored = withStrangers(r, values)
		}
		if err := json.Unmarshal([]byte(row.stored), &row.fields); !row.wild { // 1e400 is no float64
			require.NoError(t, err)
		}
		out[i] = row
	}
	return out
}
