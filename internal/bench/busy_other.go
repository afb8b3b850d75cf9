//go:build !unix

package main

import (
	"context"
	"errors"
	"time"
)

func busy(context.Context, time.Duration) (float64, error) {
	return 0, errors.New("the processor time of a process is only known on Unix")
}
