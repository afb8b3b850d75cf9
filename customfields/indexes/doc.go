// Package indexes looks after indexes over single custom fields: it notes what filters and
// orders of lists do and how long they take, builds an index where that pays, and drops one
// that nobody uses any more.
//
// Equality and membership need none of it: one index over all fields answers them
// (customfields/filter). Ranges, prefixes and orders need an index over the expression of one
// field. An index is for a slot (the JSON key under which values are stored) and a form
// (number or text), and shared by all tenants that have such a field. It has only the rows
// with a value, so that tenants without one do not pay for it.
//
// # In a product
//
// strata.New makes an [Advisor], gives it to recipients, and a started Strata calls
// [Advisor.Step] every five minutes. An index is built when its field was used in ranges,
// prefixes or orders 100 times in a day, one use in twenty took 50 ms or longer, the table has
// 50,000 rows, and has fewer than eight such indexes; it is dropped after 30 days without use.
// All of that is set in [Config]. With Config.Manual only [Advisor.Create] and [Advisor.Drop]
// build and drop. [Advisor.Plan] says what Step would do, and why.
//
// A product's own table with domain_id and custom_fields is listed in Config.Tables; its lists
// give filter.Options.Ready what [TableIndexes.Ready] returns, and tell [TableIndexes.Ran] how
// long they took.
//
// # Who builds
//
// PostgreSQL lets only the owner of a table index it, and a build needs a session of its own:
// Config.Owner is a pool of the login that runs strata.Migrate, not through a pooler. Without
// it the pool of the DB is used. Where that may not, Step returns [ErrNotOwner] or [ErrPooler]
// as long as there is something to build, with the statement and what to grant; filters work
// all the same, slower.
//
// Builds and removals are CONCURRENTLY: reading and writing go on. One process builds at a
// time, whoever else tries. A process may be killed at any point: PostgreSQL notices within a
// second, and the next Step takes away what is left and builds anew. A build that fails is
// tried again after 15 minutes, then after twice as long each time, up to a day.
//
// # Isolation
//
// What is known of indexes and uses has the names of fields of all tenants. No route serves
// it, and neither table can be read in the scope of a tenant: [Advisor.List] and
// [Advisor.Plan] are for those who run the installation.
package indexes
