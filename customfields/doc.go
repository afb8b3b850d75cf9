// Package customfields lets each workspace define fields of its own and keeps their values
// in one form. Package filter compiles filters over them.
//
// # Definitions
//
// A [Registry] holds the definitions of every workspace; [Registry.Set] returns those of
// the context's. [Set.Normalize] turns the values of an API call, and [Set.NormalizeText]
// the cells of a file, into the one form they are stored in, with everything that is
// wrong reported at once.
//
// A definition can change without a look at what is stored, but for Unique: [Constraints],
// Required and the options are asked when a value is written. A record keeps a value that
// would not be taken any more until that value is written again.
//
// # Values
//
// White space around a value does not count, on any path, and what is empty then is "not
// set". A record has no nulls: what is not set is not there. What is stored is the same
// whether it came by an API call, an upsert or an import.
//
//	type          stored as                              read from JSON          read from a cell of a file, beside that
//	text          string                                 string
//	number        shortest float64, within ±1e15         number                  text: 12, -1.5, 1e3; no NaN, no 0x, no 1_000, no 1,5
//	date          "2006-01-02T15:04:05.000000Z"          a date, or a time in    the same
//	                                                     ISO 8601, UTC without
//	                                                     an offset
//	select        one of the options                     string
//	multi_select  options, sorted, each once             array of strings        separated by ; or |
//	boolean       true, false                            true, false             yes no, on off, 1 0, t f, y n in any case
//	url           http or https, host in lower case      string
//	email         as addresses of recipients compare     string
//
// # Defaults
//
// A Default is for a new record that says nothing of the field: its key is not among the
// values, or its cell is empty. A null says that there is no value, and keeps the default
// away. A record that is there already never gets one, by no path.
//
// # Options
//
// An option cannot be left out, because records have it. It is archived: moved from Options
// to ArchivedOptions, and back. Filters still take it. A new record, an upsert and a row of a
// file may not have an archived option; an update may where the record has it already, so that
// a record can be sent back as it was read.
//
// # Unique
//
// A Unique field has a value in one live record of a domain only, whoever writes it and how:
// triggers on the table of records enter each value in a table of their own and look up the
// definitions as they are then. A clash is a [TakenError]; in an import it is an error of its
// row. Records without a value do not clash, a deleted record frees its value, and restoring
// it may clash. Text is compared as it is stored, so that case counts; addresses and URLs are
// in their normal form.
//
// A new field is unique at once. A field that has values is looked through first, beside all
// other work (see [Registry.Update]), and is not made unique when there are duplicates, which
// a [DuplicatesError] counts and names.
//
// # Limits
//
//	fields of a company               by plan (package billing): 10 and more
//	key                               63 characters: a-z, then a-z, 0-9 and _; not true, false, null, in
//	label, description                200 and 2,000 characters
//	options, with the archived ones   500, each of 200 characters; none of a multi_select has ; or |
//	pattern                           500 bytes, RE2, matches the value as a whole
//	text                              10,000 characters
//	url                               2,048 bytes
//	email                             254 bytes
//	number                            ±1e15: integers stay exact, and filters cannot overflow
//	date                              years 1 to 9999, microseconds
package customfields
