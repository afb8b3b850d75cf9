package tenancytest

import (
	"context"
	"fmt"
	"testing"
)

// Scratch is the testing.TB of an example, which has none. The zero value is ready; what
// was opened with it ends with Close.
type Scratch struct {
	testing.TB

	cleanups []func()
}

// Close undoes what was done, last first.
func (s *Scratch) Close() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}

// Cleanup has fn called by Close.
func (s *Scratch) Cleanup(fn func()) { s.cleanups = append(s.cleanups, fn) }

// Helper does nothing.
func (s *Scratch) Helper() {}

// Name returns "Example".
func (s *Scratch) Name() string { return "Example" }

// Context returns one that does not end.
func (s *Scratch) Context() context.Context { return context.Background() }

// Logf does nothing.
func (s *Scratch) Logf(string, ...any) {}

// Errorf ends the example with a panic.
func (s *Scratch) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Fatalf ends the example with a panic.
func (s *Scratch) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// FailNow ends the example with a panic.
func (s *Scratch) FailNow() { panic("failed") }
