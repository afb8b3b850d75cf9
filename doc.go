// Package strata wires the packages of Strata together for programs that want all of
// them: [Migrate] prepares the database, New makes the parts, Handler serves them.
package strata
