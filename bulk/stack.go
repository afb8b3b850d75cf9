package bulk

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/stratakit/strata/internal/fault"
)

// maxStack is the longest stack that is kept, in bytes.
const maxStack = 16 << 10

// panicError is what a handler's code panicked with.
type panicError struct {
	value any
	stack string
}

// Error returns what was panicked with.
func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Unwrap returns the error that was panicked with, if it was one.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// stepError says which part of a handler returned an error.
type stepError struct {
	error

	step string
}

// Unwrap returns what was returned.
func (e *stepError) Unwrap() error { return e.error }

// safely runs code of a handler and makes an error of a panic: it is one run's, not the
// process's.
func safely(step string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &stepError{&panicError{p, string(debug.Stack())}, step}
		}
	}()
	if err := fn(); err != nil {
		return &stepError{err, step}
	}
	return nil
}

// stackOf describes where an error comes from. Go's errors do not know where they were
// made, and the stack of whoever got one says nothing: what is told instead is which part of
// the handler returned it and what it wraps, each with its type, and the stack of those that
// have one and print it with %+v.
func stackOf(err error) string {
	var b strings.Builder
	var walk func(err error, depth int)
	walk = func(err error, depth int) {
		if b.Len() > maxStack {
			return
		}
		switch e := err.(type) { //nolint:errorlint // each link of the chain is looked at in turn
		case *stepError:
			fmt.Fprintf(&b, "%s returned\n", e.step)
		case *permanentError:
		case *panicError:
			fmt.Fprintf(&b, "%s\n%s\n", e, e.stack)
			return
		default:
			fmt.Fprintf(&b, "%s%T: %s\n", strings.Repeat("  ", depth), err, err)
			depth++
			if f, ok := err.(fmt.Formatter); ok {
				fmt.Fprintf(&b, "%+v\n", f)
				return
			}
		}
		switch e := err.(type) { //nolint:errorlint // as above
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				walk(inner, depth)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner, depth)
			}
		}
	}
	walk(err, 0)
	s := fault.Storable(b.String())
	return strings.ToValidUTF8(s[:min(len(s), maxStack)], "")
}
