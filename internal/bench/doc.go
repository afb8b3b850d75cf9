// Command bench measures Strata against the best hand-written SQL for the same work, on
// the same server, in one run, and prints one table:
//
//	go run ./internal/bench
//	go run ./internal/bench -only import -rows 50000 -repeat 1
//	go run ./internal/bench -only fields -plans
//
// The two sides of a row take turns, and the medians are compared: machines differ and
// are shared, ratios stay. PostgreSQL and Redis are found or started as everywhere
// (package backends), with durable settings; the work is done in a database of its own on
// that server, which is dropped at the end. The login has to be a superuser.
package main
