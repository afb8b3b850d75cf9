// Package billing says what a company's plan allows and holds every write to it.
//
// A [Plan] is a strategy; [NewCatalog] without arguments holds four of them. [Limits]
// keeps one row per company and resource with what is used, reserved and allowed, and
// [Limits.Consume] changes it in the transaction of the write it counts:
//
//	err := db.InTx(ctx, func(tx *tenancy.Tx) error {
//		// ... insert three things ...
//		return limits.Consume(ctx, tx, "things", 3) // *LimitError: nothing is kept
//	})
//
// Long work that does not know its result yet reserves with [Limits.Reserve], settles
// what it wrote with each chunk, and gives the rest back with [Limits.CloseReservation].
package billing
