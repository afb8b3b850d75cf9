package operations_test

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/audit"
	"github.com/stratakit/strata/bulk"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/operations"
	"github.com/stratakit/strata/tenancy"
)

// greet is an operation of a product's own: what it is told is a struct.
type greet struct {
	With string `json:"with"`
}

// apply greets recipients. What it writes through tx is undone when the process dies in the
// middle, and done once in the end.
func (g greet) apply(ctx context.Context, tx *tenancy.Tx, recorder *audit.Recorder, ids []uuid.UUID) (bulk.Outcome, error) {
	tag, err := tx.Exec(ctx, `UPDATE strata.recipients SET name = $3 || ' ' || name, version = version + 1, updated_at = now()
		WHERE domain_id = $1 AND id = ANY ($2) AND deleted_at IS NULL`, tx.Tenant().DomainID, ids, g.With)
	if err == nil {
		err = recorder.RecordTx(ctx, tx, audit.Entry{Action: "recipient.greeted", Metadata: map[string]any{"recipients": tag.RowsAffected()}})
	}
	return bulk.Outcome{Changed: int(tag.RowsAffected())}, err // the others count as missing
}

// Change many recipients at once: a few before Submit returns, many by a run.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	s, err := strata.New(ctx, env.Pool, env.Redis, &strata.Config{
		Operations: bulk.OperationsConfig{InlineLimit: 2}, // of recipients; 1,000 by default
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()
	err = bulk.Register(s.Operations, bulk.Operation[greet]{
		Name: "greet",
		Apply: func(ctx context.Context, tx *tenancy.Tx, g greet, ids []uuid.UUID) (bulk.Outcome, error) {
			return g.apply(ctx, tx, s.Audit, ids)
		},
	})
	if err != nil {
		fmt.Println(err)
	}
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
	}
	if _, err := s.Fields.Create(ctx, customfields.Field{Key: "tier", Type: customfields.Select, Options: []string{"gold", "silver"}, Filterable: true}); err != nil {
		fmt.Println(err)
	}
	for _, name := range []string{"Ada", "Bo", "Cy"} {
		if _, err := s.Recipients.Create(ctx, recipients.New{Email: name + "@example.com", Name: name}); err != nil {
			fmt.Println(err)
		}
	}

	result, err := s.Operations.Submit(ctx, bulk.Request{
		Op:        operations.Set,
		Args:      operations.SetArgs{Set: map[string]any{"fields.tier": "gold"}},
		Selection: bulk.Selection{Filter: `email < "c"`},
	})
	fmt.Println(result.Status, result.Changed, err)

	result, err = s.Operations.Submit(ctx, bulk.Request{Op: "greet", Args: greet{With: "Dear"}, Selection: bulk.Selection{All: true}})
	fmt.Println(result.Status, result.Rows, err)
	progress, err := s.Runner.Watch(ctx, result.RunID)
	if err != nil {
		fmt.Println(err)
	}
	for range progress {
		// ... show it ...
	}
	run, err := s.Runner.Get(ctx, result.RunID)
	fmt.Println(run.State, run.Counters["changed"], err)
	failed, err := s.Runner.Failures(ctx, result.RunID, tenancy.PageRequest{})
	fmt.Println(len(failed.Items), err)
	// Output:
	// completed 2 <nil>
	// queued 3 <nil>
	// completed 3 <nil>
	// 0 <nil>
}
