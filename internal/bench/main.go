package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	rows       int
	filterRows int
	repeat     int
	clients    int
	only       string
	plans      bool
	profile    string
}

// scenarios, in the order in which they are run: each finds the database as it was made.
func scenarios() []scenario {
	return []scenario{
		{"import", measureImport},
		{"workbooks", measureWorkbooks},
		{"filter", measureFilters},
		{"fields", measureFields},
		{"recipients", measureRecipients},
		{"bulk", measureBulk},
		{"export", measureExports},
		{"calls", measureCalls},
		{"sse", measureStreams},
		{"queue", measureQueue},
	}
}

type scenario struct {
	name string
	run  func(ctx context.Context, w *world, o options) ([]row, error)
}

func main() {
	if part := os.Getenv(childVariable); part != "" {
		if err := runChild(part); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", part, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rows, "rows", 200_000, "rows of the file that is imported")
	flag.IntVar(&o.filterRows, "filter-rows", 1_000_000, "recipients in the table that is filtered, four tenths of them in one domain, and in the domain that is exported")
	flag.IntVar(&o.repeat, "repeat", 3, "how often an import is repeated; what is quicker is repeated more often")
	flag.IntVar(&o.clients, "clients", 1000, "clients that follow jobs")
	flag.StringVar(&o.only, "only", "", "scenarios to run, with commas between: import, workbooks, filter, fields, recipients, bulk, export, calls, sse, queue")
	flag.BoolVar(&o.plans, "plans", false, "print the plans of fields, ours and those of the SQL by hand")
	flag.StringVar(&o.profile, "cpuprofile", "", "file for a CPU profile of this process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.rows < 1000 || o.filterRows < 1000 || o.repeat < 1 || o.clients < 1 {
		return errors.New("-rows and -filter-rows want at least 1000, -repeat and -clients at least 1")
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	stopProfile, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	w, err := openWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var table []row
	for _, s := range chosen {
		rows, err := s.run(ctx, w, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		table = append(table, rows...)
	}
	return print(os.Stdout, w.about, table)
}

func choose(only string) ([]scenario, error) {
	all := scenarios()
	if only == "" {
		return all, nil
	}
	var out []scenario
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("-only %q: there is no scenario %q", only, name)
		}
		out = append(out, all[i])
	}
	return out, nil
}
