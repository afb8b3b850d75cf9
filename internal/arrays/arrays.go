// Package arrays makes the arrays that statements on many rows take shorter.
package arrays

// Once returns values, or only the first where all of them are the same: many rows get the same
// text more often than not, and what is the same need not be sent, read and checked for each.
//
// A statement reads the column c of unnest($1, $2, ...), which fills up shorter arrays with
// NULL, as coalesce(c, ($2)[1]).
func Once[T comparable](values []T) []T {
	for _, v := range values {
		if v != values[0] {
			return values
		}
	}
	return values[:min(1, len(values))]
}
