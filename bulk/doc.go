// Package bulk runs work that takes longer than a request: imports, changes of a million
// rows, moves. A run survives the death of the process that works on it, is worked on by
// one process at a time, and does each of its batches exactly once.
//
//	runner, err := bulk.NewRunner(db, redis, recorder, resolver, nil)
//	err = runner.Register("recipients.import", handler)
//	err = runner.Start(ctx)
//	...
//	err = db.InTx(ctx, func(tx *tenancy.Tx) error {
//		run, err := runner.SubmitTx(ctx, tx, bulk.Submission{Kind: "recipients.import", Args: args})
//		...
//	})
//
// # Exactly once
//
// A [Handler] opens a run, and its [Work] does one batch after the other, each in a
// transaction that also advances the run's cursor and counters and writes a row of the
// ledger strata.run_batches. Whatever happens, the batch and the cursor stand or fall
// together. The transaction begins by locking the run's row, on condition that the lease
// on it is still ours: a process that was believed dead and comes back finds another
// lease and rolls back.
//
// # Starting and recovering
//
// River starts a run as soon as it was submitted; nothing depends on River beyond that.
// Every started [Runner] looks every few seconds for runs that are due, or whose lease
// has run out because their process died, stands still or is cut off, and works on those in
// the same way. A run is worked on for a slice of time, then stands in line again behind
// those of other tenants.
package bulk
