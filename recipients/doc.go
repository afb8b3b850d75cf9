// Package recipients keeps the one list of recipients that all products share: an
// address, a name, a status and the workspace's custom fields, unique per domain by the
// normalised address.
//
// [Store] creates, reads, changes, deletes and restores them, one at a time, and lists
// them by a filter (package customfields), a search, a sort, and page numbers or
// cursors. Package imports brings them in from files.
package recipients
