// Package customfields lets each workspace define fields of its own and keeps their values
// in one form. Package filter compiles filters over them.
//
// # Definitions
//
// A [Registry] holds the definitions of every workspace; [Registry.Set] returns those of
// the context's. [Set.Normalize] turns the values of an API call, and [Set.NormalizeText]
// the cells of a file, into the one form they are stored in, with everything that is
// wrong reported at once.
//
// # Fields that have values
//
// What the records have to follow, another key, another type, an option that goes away, is
// done by package lifecycle. The values of a field stand in the records under its
// [Field].Slot, which such a change may make another one than its key: who reads records
// passes them through [Set.Named].
package customfields
