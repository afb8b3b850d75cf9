// Package clock judges times that somebody else's clock has told.
package clock

import "time"

// ahead is how far such a clock may be before ours.
const ahead = 5 * time.Minute

// InFuture reports whether a time is later than now by more than clocks differ.
func InFuture(at time.Time) bool { return time.Until(at) > ahead }
