package bulk_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/tenancy"
)

// greetings is a Handler: it says how to go on from wherever the run stands.
type greetings struct{}

func (greetings) Open(_ context.Context, run bulk.Run) (bulk.Work, error) {
	w := &greeting{}
	if err := json.Unmarshal(run.Args, &w.names); err != nil {
		return nil, bulk.Permanent(err)
	}
	if run.Cursor != nil { // a part is done: go on after it, in whichever process this is
		if err := json.Unmarshal(run.Cursor, &w.next); err != nil {
			return nil, bulk.Permanent(err)
		}
	}
	return w, nil
}

func (greetings) Finish(context.Context, *tenancy.Tx, bulk.Run) error { return nil }

type greeting struct {
	names []string
	next  int
}

// Batch does the next piece. What it writes through tx, the cursor and the counters commit
// together.
func (w *greeting) Batch(context.Context, *tenancy.Tx) (bulk.Batch, error) {
	// ... write to w.names[w.next] through tx ...
	w.next++
	return bulk.Batch{Cursor: w.next, Processed: 1, Counters: map[string]int64{"greeted": 1}, Done: w.next == len(w.names)}, nil
}

func (*greeting) Close() error { return nil }

// Long work, in small transactions that survive the death of the process.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	s, err := strata.New(ctx, env.Pool, env.Redis, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()
	if err := s.Runner.Register("greet", greetings{}); err != nil {
		fmt.Println(err)
	}
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
	}

	var run bulk.Run
	err = s.DB.InTx(ctx, func(tx *tenancy.Tx) (err error) {
		names := []string{"ada@example.com", "bo@example.com", "cy@example.com"}
		run, err = s.Runner.SubmitTx(ctx, tx, bulk.Submission{Kind: "greet", Args: names, Total: 3})
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	progress, err := s.Runner.Watch(ctx, run.ID)
	if err != nil {
		fmt.Println(err)
	}
	var last bulk.Progress
	for last = range progress {
		// ... show it ...
	}
	fmt.Println(last.Status, last.Processed, "of", last.Total)
	run, err = s.Runner.Get(ctx, run.ID)
	fmt.Println(run.Counters, err)
	// Output:
	// completed 3 of 3
	// map[greeted:3] <nil>
}
