package settings

import (
	"cmp"
	"slices"
)

// Min is the Tighten of an upper bound: the smaller counts.
func Min[T cmp.Ordered](above, own T) T { return min(above, own) }

// Max is the Tighten of a lower bound, such as the least length of a password.
func Max[T cmp.Ordered](above, own T) T { return max(above, own) }

// AllOf is the Tighten of a permission: true only while it is true at every level.
func AllOf(above, own bool) bool { return above && own }

// AnyOf is the Tighten of a duty, such as a second factor: true once any level wants it.
func AnyOf(above, own bool) bool { return above || own }

// Intersection is the Tighten of a list of what is allowed: what every level allows, in
// the order of the deeper one.
func Intersection[E comparable](above, own []E) []E {
	out := make([]E, 0, len(own))
	for _, e := range own {
		if slices.Contains(above, e) {
			out = append(out, e)
		}
	}
	return out
}
