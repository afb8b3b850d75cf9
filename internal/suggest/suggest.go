// Package suggest finds what somebody who mistyped a word most likely meant.
package suggest

import "strings"

// Closest returns the candidate nearest to word, or "" when none is near: at most one
// edit for every three letters, letters' case aside.
func Closest(word string, candidates []string) string {
	w := []rune(strings.ToLower(word))
	best, bestDistance := "", 1+len(w)/3
	for _, c := range candidates {
		if d := distance(w, []rune(strings.ToLower(c)), bestDistance); d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = c, d
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
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit+1)
}
