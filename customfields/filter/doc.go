// Package filter compiles filters over the columns of a table and the custom fields of
// a workspace.
//
// A filter is an expression of the Common Expression Language (https://cel.dev) over the
// table's columns and the workspace's fields:
//
//	status == "active" && fields.tier in ["gold", "silver"] && fields.seats > 50
//	"vip" in fields.tags || email.endsWith(".gov") && !has(fields.phone)
//	fields.renewal < timestamp("2026-01-31T00:00:00Z")
//
// [Compile] checks it against the definitions and refuses, with a position, what is
// unknown, of the wrong type, or not supported: ==, !=, <, <=, >, >=, &&, ||, !, in,
// has(), startsWith, endsWith, contains and timestamp() are. [Filter.SQL] gives the
// condition and its parameters, [Filter.Match] the same answer in process.
//
// What ==, != and in compare with an address (a field or [Column] of type [Email]) may be
// written in any way that means the same one: fields.mail == "Ada@Example.com".
//
// # What a filter means where a value is missing
//
// A field that is not set is null. A comparison of the equality family always has an
// answer; any other use of a null is an error in CEL and NULL in SQL, which is no match,
// and stays none under a negation:
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
//
// && and || follow Kleene's logic, as they do in CEL and SQL: false && error is false,
// true || error is true.
package filter
