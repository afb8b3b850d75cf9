package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	work   string
	strata time.Duration
	floor  time.Duration // 0: there is none
	budget string
	note   string
}

func print(out io.Writer, about string, table []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s\n\nwork\tStrata\tfloor\tratio\tbudget\tnote\n", about)
	for _, r := range table {
		floor, ratio := "", ""
		if r.floor > 0 {
			floor, ratio = short(r.floor), fmt.Sprintf("%.2f x", float64(r.strata)/float64(r.floor))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.work, short(r.strata), floor, ratio, r.budget, r.note)
	}
	return t.Flush()
}

func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(100 * time.Nanosecond).String()
	}
	return d.String()
}

// compare lets two sides take turns and returns their medians. Each returns the time it
// took, so that setting up is not counted.
func compare(ctx context.Context, times int, strata, floor func(context.Context) (time.Duration, error)) (s, f time.Duration, err error) {
	var a, b []time.Duration
	for i := range times {
		sides := []struct {
			run  func(context.Context) (time.Duration, error)
			into *[]time.Duration
		}{{strata, &a}, {floor, &b}}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			d, err := side.run(ctx)
			if err != nil {
				return 0, 0, err
			}
			*side.into = append(*side.into, d)
		}
	}
	return median(a), median(b), nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// timed makes of a function one that returns how long it took.
func timed(fn func(context.Context) error) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		err := fn(ctx)
		return time.Since(start), err
	}
}

func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
