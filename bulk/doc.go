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
// River wakes a worker as soon as a run was submitted; nothing depends on River beyond
// that. Every started [Runner] looks every few seconds for runs that are due, or whose lease
// has run out because their process died, stands still or is cut off, and works on those in
// the same way. A run is worked on for a slice of time, then stands in line again.
//
// # Whose turn it is
//
// Companies take turns, and within a company its domains: whoever queues a thousand runs, or one
// of a million rows, does not hold up others. At most Config.MaxPerDomain runs of one domain are worked on at once, in
// all processes together. Runner.Throttle limits how fast a run goes.
//
// # When it goes wrong
//
// An attempt that fails is tried again after a wait, up to Config.MaxFailures times in a row;
// then the run fails. One that a process cannot do, because it lacks what others have (Elsewhere),
// is passed on to those. Runs that failed are the dead letters: Runner.List finds them,
// Runner.Attempts tells what was tried, by which process and what came of it, Runner.Retry
// and Runner.RetryAll let them go on. All of that is there too when the process was killed,
// and when no process knows the kind of a run.
package bulk
