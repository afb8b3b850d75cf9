//go:build unix

package main

import (
	"context"
	"syscall"
	"time"
)

// busy returns how many processor cores this process used on average during a time.
func busy(ctx context.Context, during time.Duration) (float64, error) {
	before, err := used()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	select {
	case <-time.After(during):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := used()
	return (after - before).Seconds() / time.Since(began).Seconds(), err
}

// used returns the processor time of this process so far.
func used() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
