// Package persons says which recipients are one human: inside a workspace, or across the
// workspaces of a company, and never across companies.
//
// A person is a pointer and not a record of its own. It has links to recipients, each with
// the method that found it, a confidence and evidence; address, name and everything else are
// read from the recipients, for whoever may see those. recipients.person_id is an alias that
// this package alone writes, in the transaction that changes a link. A recipient without one
// counts as its own person.
//
// # Undoing
//
// Links are edges that are closed and never rewritten, and a person that is merged into
// another one stays below it with its links. So [Store.Unlink] and [Store.UndoMerge] bring back
// what was: a person that would be left with one recipient ends, one that only holds another
// gives way to it. What was taken apart by hand is not linked or suggested again, unless by
// hand ([Store.Link], [Store.Merge]).
//
// # Deleting, purging, moving
//
// The link of a deleted recipient stays and is passed over; it counts again when the
// recipient is restored. A purge takes the link away.
package persons
