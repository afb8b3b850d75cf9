// Package filter compiles filters over the columns of a table, the custom fields of a
// workspace and the tables of extensions: one expression that PostgreSQL and Go answer
// alike.
//
// A filter is an expression of the Common Expression Language (https://cel.dev):
//
//	status == "active" && fields.tier in ["gold", "silver"] && fields.seats > 50
//	"vip" in fields.tags || email.endsWith(".gov") && !has(fields.phone)
//	withinLast(fields.renewal, days(30)) && sms.opted_in
//	events("email.opened").count(days(7)) >= 2
//
// [Compile] checks it against a [Schema] and refuses, with a position, what is unknown, of
// the wrong type, or not supported: nothing is approximated. [Filter.SQL] gives the
// condition and its parameters, [Filter.Appender] the same to bun, [Filter.Match] the same
// answer in process, and [Filter.Explain] why. A [Compiler] remembers what it has compiled.
//
// # The language
//
//	logic        && || ! ?: true false
//	comparison   == != < <= > >= in, between(x, low, high)
//	presence     has(fields.x), fields.x == null
//	text         startsWith endsWith contains matches size lowerAscii upperAscii +
//	             iequals istartsWith iendsWith icontains (letters' case aside)
//	multi_select "a" in fields.tags, hasAny(fields.tags, ["a", "b"]) hasAll hasNone, size
//	             fields.tags.exists(t, t.startsWith("a")) all exists_one
//	numbers      + - * and a leading -
//	dates        timestamp("2026-01-31T10:00:00Z") date("2026-01-31") now today
//	             date + duration, date - duration, date - date
//	             duration("36h") days(7)
//	             getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear
//	             getHours getMinutes getSeconds getMilliseconds, of a time zone if given
//	             withinLast(x, days(7)) withinNext(x, days(7)) anniversary(x)
//	events       events("kind").count(days(7))
//
// Every number is a float64, so 50 and 50.0 are the same. Text is ordered by code point.
// matches takes RE2 (https://github.com/google/re2/wiki/Syntax) without \b and the flag m,
// and without regard to case means simple folding, as its (?i) has it. What is
// computed with numbers must be 0 or lie between 1e-15 and 1e15 either way, or there is no
// match. A time zone is UTC, an offset such as "+02:00", or a name such as "Europe/Oslo".
//
// What ==, != and in compare with an address (a field or [Column] of type Email) may be
// written in any way that means the same one: fields.mail == "Ada@Example.com".
//
// # Now and today
//
// now is [Options.At], the same for all records of a statement. today is its day in the
// time zone of the workspace, as a date without a time of day is stored: midnight UTC. For
// fields that hold days, withinLast and withinNext count from today, else from now.
// Somebody born on 29 February has their anniversary on the 28th where there is no 29th.
//
// # What a filter means where a value is missing
//
// A field that is not set is null, and so is every column of an extension that has no row.
// A comparison of the equality family always has an answer; any other use of a null is an
// error in CEL and NULL in SQL, which is no match, and stays none under a negation:
//
//	                        fields.x = "a"   fields.x = "b"   not set
//	fields.x == "a"         true             false            false
//	fields.x != "a"         false            true             true
//	fields.x in ["a"]       true             false            false
//	!(fields.x in ["a"])    false            true             true
//	fields.x == null        false            false            true
//	has(fields.x)           true             true             false
//	fields.x < "b"          true             false            no match
//	!(fields.x < "b")       false            true             no match
//	fields.x.contains("a")  true             false            no match
//	fields.flag (boolean)                                     no match
//	!fields.flag                                              no match
//	"v" in fields.tags                                        false
//	hasNone(fields.tags, ["v"])                               true
//	size(fields.tags) == 0                                    true
//
// && and || follow Kleene's logic, as they do in CEL and SQL: false && error is false,
// true || error is true.
//
// # Filters that are kept
//
// A product that keeps filters rewrites them when a field or an option gets another name:
// [RenameField], [ReplaceOption] and [Mentions] need no schema and leave the text of the
// author as it is. [ToRule] and [FromRule] change between a filter and the JSON form that a
// visual builder edits. An [Index] says which of many filters a change of a record concerns.
//
// # Limits
//
// A filter has at most [MaxFilterBytes], 500 parts, 30 levels, 1,000 items in a list, and
// two macros within each other; they are checked before its types are, whose check takes
// quadratic time. [Filter.Cost] is held to [Schema.MaxCost].
package filter
