// Package audit keeps the trail of what was done: one append-only entry a mutation,
// written in the mutation's own transaction, so that neither can exist without the
// other.
//
//	err := db.InTx(ctx, func(tx *tenancy.Tx) error {
//		// ... change something ...
//		return recorder.RecordTx(ctx, tx, audit.Entry{Action: "invoice.sent", ResourceType: "invoice", ResourceID: id})
//	})
//
// Who did it, from where and for which tenant comes from the context. What comes from a
// request is made storable (valid UTF-8, no NUL, bounded) and never fails the mutation.
//
// [Recorder.List] reads the trail of the context's tenant: a company sees all of its
// own, a workspace or a domain only its own. The runtime role may insert and read
// entries, never change or delete one, and the transaction id in an entry is
// PostgreSQL's own: an entry cannot be passed off as another transaction's.
package audit
