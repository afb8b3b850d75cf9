// Package billing says what a company's plan allows and holds every write to it.
//
// # Plans
//
// A [Plan] is a strategy; [NewCatalog] without arguments holds four of them:
//
//	                free   pro     business  enterprise
//	recipients      1,000  50,000  500,000   unlimited
//	custom_fields   10     50      200       500         per company
//	workspaces      1      1       10        unlimited
//	domains         1      5       50        unlimited
//
// A product adds resources of its own by any other name. What a plan does not know it
// denies: only [Unlimited] is unlimited, and that is still counted. The rows of one
// imported file are no resource: comparing two numbers needs no counter.
//
// # Counting
//
// [Limits] keeps one row per company and resource with what is used, reserved and
// allowed, and [Limits.Consume] changes it in the transaction of the write it counts:
//
//	err := db.InTx(ctx, func(tx *tenancy.Tx) error {
//		// ... insert three things, write the audit entry ...
//		return limits.Consume(ctx, tx, "things", 3) // *LimitError: nothing is kept
//	})
//
// Long work that does not know its result yet reserves with [Limits.Reserve], settles
// what it wrote with each chunk, and gives the rest back with [Limits.CloseReservation].
//
// Counting, reserving and settling ride in the caller's transaction and are covered by
// its audit entry; what this package does on its own ([Limits.ChangePlan],
// [Limits.SetStatus], [Limits.RefreshAccess], [Limits.ExpireReservations]) writes one.
//
// # Lock order
//
// A counter is one hot row, held until the end of the transaction. Count last, once per
// chunk and not once per row, and several resources in the order of their names; then
// transactions wait for each other for a moment and never in a circle. The first use of a
// resource that the plan does not name needs the subscription too, out of that order, and
// so does not wait for it: [ErrSubscriptionChanging].
//
// # Subscriptions
//
// [AccessFor] is the rule from a subscription's state and the clock to what a company
// may do. [Limits.SetStatus] applies what a payment provider says; run
// [Limits.RefreshAccess] and [Limits.ExpireReservations] every few minutes, in any number
// of processes, for what only the clock says.
package billing
