// Package lifecycle changes custom fields that have values: it renames and converts them,
// takes options away, and archives, restores and purges them, while records are read and
// written.
//
//	p, err := manager.Preview(ctx, "tier", customfields.Select, nil) // what would become of the values
//	run, err := manager.Convert(ctx, "tier", customfields.Select, nil)
//	run, err = manager.Run(ctx, run.ID) // how far it is; Cancel and Retry
//
// # Slots
//
// The values of a field stand in custom_fields under its slot ([customfields.Field].Slot),
// which is its key at first. Rename changes the key and leaves the values where they are: it
// is one small transaction, however many records there are. A conversion writes the new
// values into a new slot beside the old one.
//
// # A conversion
//
//  1. Convert writes into the definition that values are on their way to another slot
//     ([customfields.Transition]). Writers that know it store each value in both, and refuse
//     one that cannot be converted.
//  2. wait: a process may use a definition for customfields.Config.Lifetime without asking
//     whether it is the current one. When that time is over, the transactions that are in
//     one of the workspace's domains may still write by an old one; they are waited for, by
//     the lock of the domain that each holds (strata.enter_domain). From then on nobody writes
//     the old slot alone.
//  3. fill: record after record, in batches, the value is converted into the new slot.
//  4. flip: one transaction makes the new slot and type those of the field. Readers and
//     filters go by them from their next look at the definitions. When more values would be
//     lost than were accepted, nothing is flipped and the run fails: the values are where they
//     were.
//  5. drain: as wait. Writers that know of the flip clear the old slot when they write the
//     field; who does not know writes the old slot.
//  6. clean: a record that has the old slot gets the value in it converted once more, and
//     loses the old slot. What a late writer has left there is the newest, because one that
//     came after it would have cleared it. So no write is lost, whatever the writer knew.
//
// Taking an option away and purging are the steps wait and clean alone: writers refuse the
// option, or the archived field, and then the records are gone through.
//
// Fields stay readable and writable all the time. A batch is one transaction of about
// [Config.BatchTime], and waits for a record that somebody else holds for at most half a
// second before it gives way. The version and the time of change of a record stay as they
// are: it was not changed, only its definition.
//
// # When something dies
//
// The row of a run says how far it is. Every step is one transaction that holds the row's
// lock, does its work and writes down where the next one begins. A process that dies leaves
// no trace of the step in hand, and any other that runs [Manager.Work] goes on with it. There is no
// lease to lose.
//
// # Who else names a field
//
// Products keep filters in tables of their own: segments, rules. With a [Holder] for them
// a rename rewrites them in its own transaction, and what would break them is refused with
// their names.
package lifecycle
