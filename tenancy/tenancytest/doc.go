// Package tenancytest proves in a product's own tests that its tables keep tenants apart.
//
// One line in one test, on a database to which the product's migrations were applied, is
// all that it takes, for the tables there are and those that will be:
//
//	func TestTenantsAreKeptApart(t *testing.T) { tenancytest.Prove(t, pool, nil) }
//
// [Prove] finds the tables in the catalog, makes rows for tenants of its own and tries, as
// the role that statements run as, to reach the rows of one from the scope of another. Where
// it succeeds the test fails with the name of the table, what was tried and the definition
// that would be right.
package tenancytest
