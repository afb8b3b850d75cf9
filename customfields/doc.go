// Package customfields lets each workspace define fields of its own and keeps their values
// in one form. Package filter compiles filters over them.
//
// # Definitions
//
// A [Registry] holds the definitions of every workspace; [Registry.Set] returns those of
// the context's. [Set.Normalize] turns the values of an API call, and [Set.NormalizeText]
// the cells of a file, into the one form they are stored in, with everything that is
// wrong reported at once.
package customfields
