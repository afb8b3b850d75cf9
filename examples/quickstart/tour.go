package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/imports"
	"github.com/stratakit/strata/tenancy"
)

// tour does with the library what a product would.
func tour(ctx context.Context, s *strata.Strata, o options, input io.Reader) error {
	sc := o.scenario()
	for _, f := range sc.fields {
		if _, err := s.Fields.Create(ctx, f); err != nil && !errors.Is(err, customfields.ErrKeyTaken) {
			return err
		}
	}
	if err := importFile(ctx, s, sc, input); err != nil {
		return err
	}
	fmt.Println("\nFilters")
	for _, filter := range sc.filters {
		start := time.Now()
		n, err := s.Recipients.Count(ctx, filter)
		if err != nil {
			return err
		}
		fmt.Printf("  %8d  %6.1f ms  %s\n", n, float64(time.Since(start).Microseconds())/1000, filter)
	}
	usage, err := s.Limits.Usage(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\nUsage (plan %s, access %s)\n", usage.Plan, usage.Access)
	for _, r := range usage.Resources {
		limit := "unlimited"
		if r.Limit != nil {
			limit = fmt.Sprintf("of %d", *r.Limit)
		}
		fmt.Printf("  %-14s %8d %s\n", r.Resource, r.Used, limit)
	}
	trail, err := s.Audit.List(ctx, audit.Query{PageRequest: tenancy.PageRequest{PageSize: 5}})
	if err != nil {
		return err
	}
	fmt.Println("\nAudit trail, latest first")
	for _, e := range trail.Items {
		metadata, err := json.Marshal(e.Metadata)
		if err != nil {
			return err
		}
		fmt.Printf("  %s  %-12s %-20s %s %s\n", e.OccurredAt.Format(time.TimeOnly), e.ActorID, e.Action, e.ResourceType, metadata)
	}
	fmt.Println("\nNext: run it again (nothing is inserted twice), read examples/quickstart/tour.go, then go run ./examples/server")
	return nil
}

// importFile is an import from a reader to committed recipients.
func importFile(ctx context.Context, s *strata.Strata, sc scenario, input io.Reader) error {
	imp, err := s.Imports.CreateFromReader(ctx, sc.fileName, input)
	if err != nil {
		return err
	}
	processed, err := s.Imports.Process(ctx, imp.ID, imports.ProcessOptions{Mapping: sc.mapping})
	if err != nil {
		_, cancelErr := s.Imports.Cancel(context.WithoutCancel(ctx), imp.ID) // nobody tries this one again
		return errors.Join(fmt.Errorf("%s: %w", sc.fileName, err), cancelErr)
	}
	imp = processed
	if err := follow(ctx, s, imp.ID, "Checking", "and nothing was imported yet: run it again"); err != nil {
		return err
	}
	preview, err := s.Imports.Preview(ctx, imp.ID)
	if err != nil {
		return err
	}
	show(os.Stdout, preview)
	start := time.Now()
	if _, err = s.Imports.Commit(ctx, imp.ID); err != nil {
		return err
	}
	if err := follow(ctx, s, imp.ID, "Committing", "what was committed stays, and the rest follows when quickstart runs again"); err != nil {
		return err
	}
	if imp, err = s.Imports.Get(ctx, imp.ID); err != nil {
		return err
	}
	fmt.Printf("\nCommitted in %.1f s\n", time.Since(start).Seconds())
	sum := imp.Inserted + imp.Updated + imp.Unchanged + imp.Duplicate + imp.Invalid + imp.Skipped
	fmt.Printf("  %d rows in file = %d inserted + %d updated + %d unchanged + %d duplicate + %d invalid",
		imp.TotalRows, imp.Inserted, imp.Updated, imp.Unchanged, imp.Duplicate, imp.Invalid)
	if imp.Skipped > 0 {
		fmt.Printf(" + %d skipped", imp.Skipped)
	}
	fmt.Println()
	if imp.Status != imports.Done || sum != imp.TotalRows {
		return fmt.Errorf("the import is %s and accounts for %d of %d rows: %s", imp.Status, sum, imp.TotalRows, imp.Error)
	}
	return nil
}

// follow shows the progress of a run until it ends: a bar on a terminal, else a line for
// every fifth of it. onInterrupt tells a person who stops it there what that means.
func follow(ctx context.Context, s *strata.Strata, id imports.ID, what, onInterrupt string) error {
	updates, err := s.Runner.Watch(ctx, bulk.RunID(id))
	if err != nil {
		return err
	}
	terminal := term.IsTerminal(int(os.Stdout.Fd()))
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetDescription(fmt.Sprintf("%-10s", what)), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("rows"), progressbar.OptionSetWidth(30), progressbar.OptionSetWriter(os.Stdout), progressbar.OptionSetVisibility(terminal))
	var last bulk.Progress
	shown := -1
	fmt.Println()
	for p := range updates {
		last = p
		if p.Total == 0 { // not known yet, or nothing to do
			continue
		}
		if terminal {
			bar.ChangeMax64(p.Total)
			_ = bar.Set64(p.Processed)
		} else if fifth := int(p.Percentage) / 20; fifth > shown {
			shown = fifth
			fmt.Printf("%s %d of %d\n", what, p.Processed, p.Total)
		}
	}
	if last.Status == bulk.StateCompleted {
		_ = bar.Finish()
	} else {
		_ = bar.Exit() // it stays where it was
	}
	if terminal {
		fmt.Println()
	}
	if ctx.Err() != nil && last.Status != bulk.StateCompleted {
		return errors.New("interrupted: nothing is lost, " + onInterrupt)
	}
	if last.Status != bulk.StateCompleted {
		imp, err := s.Imports.Get(ctx, id)
		return errors.Join(err, fmt.Errorf("%s ended as %s: %s", strings.ToLower(what), last.Status, imp.Error))
	}
	return nil
}
