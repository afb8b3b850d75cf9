package filter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/customfields/filter"
)

// said is what functions of ours, which CEL has no specification of, are said to mean. The
// differential test cannot know: what it compares comes from the same definitions.
var said = []struct{ expr, want string }{
	// Simple folding: one letter for one letter, in no language.
	{`name.iequals("STRASSE 5K")`, no},
	{`name.iequals("stra\u1e9ee 5\u212a")`, yes},
	{`name.icontains("SS")`, no},
	{`name.istartsWith("\u017fTRA")`, yes},
	{`name.iendsWith("K")`, yes},
	{`nickname.iequals("i")`, no},
	{`nickname.iequals("\u0130")`, yes},
	{`nickname.icontains("I")`, no},
	{`fields.note.iequals("ΣΑΣ")`, yes},
	{`fields.note.iendsWith("Σ")`, yes},
	{`fields.order.iequals("a")`, unknown},
	{`!fields.order.iequals("a")`, unknown},
	{`name.icontains("")`, yes},
	{`name.iequals("straße 5k\n")`, no},
	{`name.lowerAscii() == "straße 5k"`, yes},
	{`nickname.lowerAscii() == "i"`, no},
	{`fields.note.upperAscii() == fields.note`, yes},
	{`size(fields.note) == 3`, yes},
	{`size(name) == 9`, yes},

	{`hasAny(fields.tags, ["vip", "new"])`, yes},
	{`hasAny(fields.tags, ["new"])`, no},
	{`hasAny(fields.tags, [])`, no},
	{`hasAll(fields.tags, ["vip", "beta", "vip"])`, yes},
	{`hasAll(fields.tags, ["vip", "new"])`, no},
	{`hasAll(fields.tags, [])`, yes},
	{`hasNone(fields.tags, ["new"])`, yes},
	{`hasNone(fields.tags, ["vip", "new"])`, no},
	{`hasAny(fields.groups, ["vip"])`, no},
	{`hasAll(fields.groups, ["vip"])`, no},
	{`hasNone(fields.groups, ["vip"])`, yes},
	{`size(fields.groups) == 0`, yes},
	{`has(fields.groups)`, no},

	{`between(fields.size, 5, 7)`, yes},
	{`between(fields.size, 5.5, 7)`, no},
	{`between(fields.size, 1, 5)`, yes},
	{`between(fields.size, 7, 1)`, no},
	{`between(fields.user, 1, 5)`, unknown},
	{`between("b", "a", "b")`, yes},
	{`between(fields.due, date("2024-02-29"), date("2024-03-01"))`, yes},

	// now is 2024-02-29T22:30:15.123456Z, and today the same day: the zone is Berlin, where it is half past eleven.
	{`today == date("2024-02-29")`, yes},
	{`date("2024-02-29") == timestamp("2024-02-29T01:00:00+01:00")`, yes},
	{`now == timestamp("2024-02-29T22:30:15.123456Z")`, yes},
	{`withinLast(createdAt, duration("1h"))`, no},
	{`withinLast(createdAt, duration("1h0.000001s"))`, yes},
	{`withinNext(createdAt, days(1))`, no},
	{`withinLast(seenAt, days(1))`, unknown},
	{`withinLast(now, days(1)) && withinNext(now, days(1))`, yes},
	{`withinNext(fields.due, duration("89m44.876543s"))`, no},
	{`withinNext(fields.due, duration("89m44.876544s"))`, yes},
	{`withinNext(fields.due, duration("90m"))`, yes},
	{`withinLast(fields.due, days(30))`, no},
	{`anniversary(createdAt)`, yes},
	{`anniversary(fields.born)`, no},
	{`anniversary(seenAt)`, unknown},
	{`anniversary(fields.when)`, no},
	{`anniversary(timestamp("1992-02-28T23:30:00Z"))`, yes},
	{`anniversary(timestamp("1992-02-29T23:30:00Z"))`, no},
	{`days(1) == duration("24h")`, yes},
	{`days(-1) + now < now`, yes},
	{`fields.due - createdAt == duration("2h29m44.876544s")`, yes},
	{`createdAt + days(366) > now + days(365)`, yes},

	{`fields.due.getDayOfWeek() == 5`, yes},
	{`fields.due.getDayOfWeek("-01:00") == 4`, yes},
	{`date("2024-03-03").getDayOfWeek() == 0`, yes},
	{`fields.due.getMonth() == 2`, yes},
	{`fields.due.getDate() == 1 && fields.due.getDayOfMonth() == 0 && fields.due.getDayOfYear() == 60`, yes},
	{`createdAt.getHours("+02:00") == 23`, yes},
	{`createdAt.getHours("Asia/Kathmandu") == 3 && createdAt.getMinutes("Asia/Kathmandu") == 15`, yes},
	{`createdAt.getSeconds() == 15 && createdAt.getMilliseconds() == 123`, yes},

	// From the beginning of the window on, at 22:30:15.123456 the day before and so on.
	{`events("opened").count(days(1)) == 2`, yes},
	{`events("opened").count(duration("23h59m59.999999s")) == 1`, yes},
	{`events("opened").count(days(2)) == 3`, yes},
	{`events("clicked").count(days(7)) == 0`, yes},
	{`events("opened").count(days(1)) > fields.user`, unknown},

	// A missing row of an extension, and the law of what is missing.
	{`phone.phone == null`, yes},
	{`phone.phone != "a"`, yes},
	{`!has(.phone.phone) && .phone.phone == null && has(.fields.tags)`, yes},
	{`withinLast(.fields.born, duration("280489h")) && withinLast(fields.born, duration("280489h"))`, yes},
	{`name != "` + strings.Repeat("(", 99) + `" // ` + strings.Repeat("(", 99), yes},
	{`has(phone.phone)`, no},
	{`phone.calls > 1`, unknown},
	{`!(phone.calls > 1)`, unknown},
	{`phone.verified`, unknown},
	{`phone.verified != true`, yes},
	{`fields.order == null`, yes},
	{`fields.order != "a"`, yes},
	{`!(fields.order in ["a"])`, yes},
	{`fields.order < "a" || true`, yes},
	{`fields.order < "a" && false`, no},
	{`fields.order < "a" && true`, unknown},
	{`fields.order == nickname`, no},
	{`fields.order == fields.mail`, yes},
	{`(fields.order + "a") == "a"`, unknown},
	{`(fields.order + "a") != "a"`, unknown},
	{`fields.order < "a" ? true : true`, unknown},
	{`fields.tags.exists(t, t < fields.order)`, unknown},
	{`fields.groups.all(t, t < fields.order)`, yes},
	{`fields.tags.exists_one(t, t == "vip")`, yes},
	{`fields.tags.exists(t, fields.groups.exists(u, t == "vip"))`, no},
	{`fields.tags.exists(t, fields.tags.exists(u, t == "vip" && u == "beta"))`, yes},
	{`["vip"].exists(t, fields.tags.exists(u, t in ["beta"]))`, no},
	{`fields.tags.all(t, fields.tags.exists(u, t in ["vip"]))`, no},

	// Numbers are doubles, and computed with in bounds.
	{`fields.size == 5`, yes},
	{`fields.size == 5.0`, yes},
	{`0.1 + 0.2 == 0.30000000000000004`, yes},
	{`0.1 + 0.2 == 0.3`, no},
	{`level > 1e299`, yes},
	{`level * 2 > 1`, unknown},
	{`-level < 0`, unknown},

	// Options that look like an address, and addresses however they are written.
	{`email == " ADA@Example.com "`, yes},
	{`email in ["x", "Ada@Example.com"]`, yes},
	{`email == "b@example.com"`, no},
	{`email.contains("Ada")`, no},
}

func TestFunctionsMeanWhatIsSaidOfThem(t *testing.T) {
	t.Parallel()
	row := proofRow{
		columns: map[string]any{
			"email": "ada@example.com", "name": "Straße 5k", "nickname": "İ", "status": "active", "level": 1e300, "score": nil,
			"createdAt": instant.Add(-time.Hour), "seenAt": nil, "active": true, "opted": nil,
		},
		fields: map[string]any{"note": "σας", "size": 5.0, "due": "2024-03-01T00:00:00.000000Z", "when": "2024-03-01T12:00:00.000000Z", "born": "1992-03-01T00:00:00.000000Z", "tags~3": []any{"beta", "vip"}},
		stored: `{"note": "σας", "size": 5, "due": "2024-03-01T00:00:00.000000Z", "when": "2024-03-01T12:00:00.000000Z", "born": "1992-03-01T00:00:00.000000Z", "tags~3": ["beta", "vip"]}`,
		events: []proofEvent{{"opened", instant}, {"opened", instant.AddDate(0, 0, -1)}, {"opened", instant.AddDate(0, 0, -2)}, {"a'b", instant}},
	}
	d := &differ{schema: proofSchema(t), rows: []proofRow{row}, at: instant}
	d.schema.Location = must(time.LoadLocation("Europe/Berlin"))
	d.pool = loadRows(t, d.rows)
	for _, s := range said {
		f, err := filter.Compile(d.schema, s.expr)
		require.NoError(t, err, s.expr)
		require.Equal(t, s.want, d.match(f, row), "in process: %s", s.expr)
		answers, err := d.ask(t.Context(), []*filter.Filter{f})
		require.NoError(t, err, s.expr)
		require.Equal(t, s.want, answers[0][0], "PostgreSQL: %s", s.expr)
	}
}
