// Package recipients keeps the one list of recipients that all products share: an
// address, a name, a status and the workspace's custom fields, unique per domain by the
// normalised address.
//
// [Store] creates, reads, changes, deletes and restores them, alone or up to [MaxBatch] at
// once, and lists them by a filter (package customfields), a search, a sort, and page numbers
// or cursors. Package imports brings them in from files.
//
// [Store.Stats] says how many there are at each level, exactly, without counting them: every
// write leaves what it changed, whoever reads sums that up, and chores that strata.Start runs
// fold it ([Store.FoldCounts]) and compare it with the tables ([Store.ReconcileCounts]).
//
// # Statuses
//
// A recipient is active, inactive, bounced, unsubscribed or complained, with a reason and the
// time since when. What a person or a mailbox has said is not undone by accident: only an
// update that says why goes back ([Status]). This goes by the recipient: an address that is
// deleted and added again is a new one.
//
// # Versions
//
// Each change gives a recipient a new version. [Change.Version] and [IfVersion] make a call
// conditional on the one that was read. A change that changes nothing is none: no version, no
// audit entry.
//
// # Deleted, restored, purged
//
// Delete hides a recipient and frees its address, its unique values and its place in the plan.
// [Query.Deleted] lists what can be restored. Restore refuses, and says why, when somebody has
// the address ([EmailTakenError], with the id of the other) or a unique value by then, or the
// plan has no room. [Store.PurgeDeleted], which a started strata.Strata runs, takes away for
// good what was deleted [Config.PurgeAfter] ago, with all recipients of domains, workspaces and
// companies that were; [Store.Purge] does so at once.
//
// # What products add
//
// A product keeps what it knows of a recipient in a table of its own: an extension, with at most
// one row for each, which means that the recipient is enrolled in the product. [Register] takes
// it as a bun model that embeds [Enrollment]; [Registry.Migrate], which strata.Migrate calls,
// makes the table, or looks at the one that the product makes and says everything that it lacks
// with the SQL for it. A table that needs more, such as triggers or a second one that hangs on it,
// comes with migrations of its own (Extension.Migrations): recipients/email and recipients/push
// are models for that. [Enrollments] enrolls, reads, changes and withdraws. Filters have its
// columns (training.points > 5, training.enrolled), and [Query.With] reads its rows with a list
// in the same statement.
//
// What is registered is stored, so a process of any product moves, purges, filters, joins and
// exports ([Store.Export]) what all of them have; only the product itself changes it. Tables
// only grow: of two adjacent versions of a product that run beside each other the older leaves
// alone what it does not know. To drop a column, let no version have it first. A deleted
// recipient keeps its rows, and a purge takes them.
package recipients
