// Package audit keeps the trail of what was done: one append-only entry a mutation,
// written in the mutation's own transaction, so that neither can exist without the
// other.
//
//	err := db.InTx(ctx, func(tx *tenancy.Tx) error {
//		// ... change something ...
//		return recorder.RecordTx(ctx, tx, audit.Entry{Action: "invoice.sent", ResourceType: "invoice", ResourceID: id})
//	})
//
// Who did it, from where and for which tenant comes from the context. [Recorder.List]
// reads the trail of the context's tenant: a company sees all of its own, a workspace
// only its own. The runtime role may insert and read entries, never change or delete one.
package audit
