// Package move takes a domain to another workspace, of the same company or of another one,
// with all its rows in the tables of every product.
//
//	p, err := mover.Preview(ctx, target) // rows, what is in the way, what would change
//	m, err := mover.Start(ctx, target)   // from here on the domain takes no writes
//	m, err = mover.Get(ctx)              // how far it is; Cancel and Retry
//
// Reading goes on all the time. Rows keep their domain's id, by which every hot query goes;
// what is rewritten are the ids of company and workspace beside it. Until a move is done a
// report that goes by workspace finds some rows here and some there.
//
// # The protocol
//
//  1. Start sets moving_since on the domain's row, and commits. A transaction in the scope of
//     the domain begins by sharing an advisory lock of the domain, which it holds to its end,
//     and then looks at that row in a new snapshot (strata.enter_domain): those that begin
//     from now on see the mark and are refused with [tenancy.ErrMoving].
//  2. preparing: the mover takes the same lock for itself once, and gives it back. Getting it
//     means that every transaction which began before the mark has ended, so that no write
//     comes any more and none is lost. It waits as long as that takes. Then it looks once more
//     whether the domain can be moved: what it looked at before may have changed by writes
//     that were still let in. If not, the move is cancelled by itself.
//  3. copying: table after table, batch after batch along its key, the rows get their new
//     ids. A batch is one transaction with the cursor and the lease of the move.
//  4. flipping: one transaction finds that no row is left, lets each [Participant] do its part,
//     gives the domain's row its new place without the mark, and writes the audit trail of
//     both companies. Whoever comes with a tenant from before gets tenancy.ErrNotFound, for
//     the same look at the row tells that it is not there any more, however old a cache is.
//
// All locks end with their transaction: PgBouncer in transaction mode is no obstacle.
//
// # When something dies
//
// The row of the move says everything. It is leased for [Config.Lease] at a time, by the
// clock of PostgreSQL; every step locks it on condition that the lease is still its own. A
// process that dies is replaced by any other that runs [Mover.Run] for the same queue, at the last batch that
// was committed. A batch that is done twice does nothing the second time. A process that was
// only frozen finds its lease gone, and its transaction too.
//
// # When something is in the way
//
// [Mover.Start] refuses with everything that is. What turns up at the flip, such as a plan
// that has no room any more, leaves the move failed and the domain without writes until
// somebody decides: [Mover.Retry] goes on, [Mover.Cancel] rewrites the rows back. Where the
// domain is deleted by then, the move is cancelled by itself. After the flip a move is undone by another one.
//
// # Which tables
//
// Those of the library, and those that products have registered with
// [tenancy.DB.RegisterTable]: the list is in the database, so that a process of one product
// moves the rows of all. A table with rows of domains that nobody has registered blocks every
// move, because its rows would stay behind. Not moved is what belongs to the company: the
// audit trail stays where things happened, and so do moves, reservations and idempotency keys.
//
// # What other packages keep
//
// A package that keeps something of a domain elsewhere, or counts it, is a [Participant].
// In the library customfields copies definitions that the target lacks, billing and
// recipients count for the other company, bulk and imports want their work to have ended.
package move
