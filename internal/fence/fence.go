// Package fence lets the code that moves a domain write to it while everybody else is
// kept out. It is internal so that nobody passes by accident.
package fence

import "context"

type key struct{}

// Pass returns a context whose transactions may write to a domain that is being moved, and
// whose reads may say that a domain is where it is not. It is for whoever holds the lease of
// the move, and checks it in each of them, and for what looks at a move beforehand.
func Pass(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Passes reports whether ctx is one of Pass.
func Passes(ctx context.Context) bool { return ctx.Value(key{}) != nil }
