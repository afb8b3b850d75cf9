// Package suggest finds what somebody who mistyped a word most likely meant.
package suggest

import (
	"slices"
	"strings"
)

// maxEdits is where a word stops being a mistyped one, however long it is.
const maxEdits = 3

// Closest returns the candidate nearest to word, the first of those equally near, or ""
// when none is near: at most one edit for every three letters of word, and at most three,
// letters' case aside. So a word of one or two letters is only found in another case.
func Closest(word string, candidates []string) string {
	w := []rune(strings.ToLower(word))
	best, limit := "", min(len(w)/3, maxEdits)
	for _, c := range candidates {
		if d := distance(w, []rune(strings.ToLower(c)), limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the optimal string alignment distance (insertions, deletions,
// substitutions, swaps of neighbours), or limit+1 when it is larger than limit.
func distance(a, b []rune, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		if slices.Min(row) > limit { // it never gets smaller again
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit+1)
}
