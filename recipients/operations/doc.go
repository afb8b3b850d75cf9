// Package operations changes many recipients of a domain at once: those that match a filter,
// those with the ids given, or all.
//
//	ops, err := operations.New(store, runner, nil)
//	...
//	result, err := ops.Submit(ctx, bulk.Request{
//		Op:        operations.Set,
//		Args:      operations.SetArgs{Set: map[string]any{"status": "inactive", "fields.tier": "gold"}},
//		Selection: bulk.Selection{Filter: `fields.state == "OH"`},
//	})
//
// Up to 1,000 recipients are changed before Submit returns. More are work for a run, which
// goes through a snapshot of their ids (package bulk). Each recipient is validated, counted
// against the plan and audited as by the calls of recipients.Store for one; those that are
// refused are listed with the reason, and do not keep the others from being done.
//
// A product adds operations of its own with [bulk.Register].
package operations
