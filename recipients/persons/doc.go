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
// # Matching
//
// [Matcher.Match] goes through the recipients of a workspace or a company as a run (package
// bulk): it links by the same user principal name and suggests by name with address or
// department. [Store.Suggestions] lists what is for a user to decide, with [Store.Accept] or,
// for good, [Store.Reject].
//
// # Whom to send to
//
// [Targeter.Targets] names one recipient of each person, of those that match a filter: in a
// workspace one of its own, in a company one of all workspaces, in a domain every recipient.
// [Targeter.Headcount] says how many recipients and how many humans that are.
//
// # Credit
//
// [Store.Complete] records that a recipient has completed something of a product's, and credits
// the other recipients of its person with it: in the workspace, or across those of the company
// when that is the scope. Credits follow from links and completions: whatever changes one of
// them gives and revokes credits in its own transaction, so that one who is linked later is
// credited with what was completed before, and no more when the link is undone.
// [Store.Withdraw] takes a completion back, [Completer.CompleteAll] does it for many as a run. A
// product learns what became of the credits in a domain by reading on ([Store.CreditsSince]).
// A workspace never learns which recipient a credit comes from.
//
// # Deleting, purging, moving
//
// The link of a deleted recipient stays and is passed over; it counts again when the
// recipient is restored. A purge takes the link away, and [Store.Sweep] the person that is
// left with one recipient. Credits that a purged recipient gave stay. A domain that moves to another company leaves all its persons; one
// that moves to another workspace leaves those inside the workspace, unless all their
// recipients are in the domain, and keeps those across workspaces. Completions and credits go
// along; those between what is parted are revoked.
package persons
