// Package recipients keeps the one list of recipients that all products share: an
// address, a name, a status and the workspace's custom fields, unique per domain by the
// normalised address.
//
// [Store] creates, reads, changes, deletes and restores them, one at a time, and lists
// them by a filter (package customfields), a search, a sort, and page numbers or
// cursors. Package imports brings them in from files.
//
// [Store.Stats] says how many there are at each level, exactly, without counting them: every
// write leaves what it changed, whoever reads sums that up, and chores that strata.Start runs
// fold it ([Store.FoldCounts]) and compare it with the tables ([Store.ReconcileCounts]).
package recipients
