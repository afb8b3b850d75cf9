package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/customfields"
	"github.com/stratakit/strata/customfields/lifecycle"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

// A text that was meant to be a number becomes one.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	workspace, domain := env.A.WorkspaceCtx, env.A.Ctx
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	s, err := strata.New(workspace, env.Pool, env.Redis, &strata.Config{FieldChanges: lifecycle.Config{Settle: 3 * time.Second}})
	check(err)
	defer func() { _ = s.Stop(context.Background()) }()
	check(s.Start(workspace))

	_, err = s.Fields.Create(workspace, customfields.Field{Key: "nr", Type: customfields.Text, Filterable: true})
	check(err)
	for i, seats := range []string{"40", "7.50", "many"} {
		_, err = s.Recipients.Create(domain, recipients.New{Email: fmt.Sprintf("office%d@example.com", i), CustomFields: map[string]any{"nr": seats}})
		check(err)
	}
	_, err = s.FieldChanges.Rename(workspace, "nr", "seats")
	check(err)
	_, err = s.FieldChanges.Convert(workspace, "seats", customfields.Number, nil)
	var loss *lifecycle.LossError
	if errors.As(err, &loss) {
		fmt.Printf("%d would be lost: %q %s\n", loss.Lost, loss.Samples[0].Value, loss.Samples[0].Message)
	}
	run, err := s.FieldChanges.Convert(workspace, "seats", customfields.Number, &lifecycle.ConvertOptions{AcceptLoss: 1})
	check(err)
	for !run.State.Final() {
		run, err = s.FieldChanges.Run(workspace, run.ID)
		check(err)
	}
	fmt.Printf("%s: %d converted, %d lost\n", run.State, run.Changed-run.Lost, run.Lost)
	_, err = s.Fields.Current(workspace)
	check(err)
	n, err := s.Recipients.Count(domain, `fields.seats > 7`)
	check(err)
	fmt.Println(n, "have more than 7")
	// Output:
	// 1 would be lost: "many" must be a number between -1e15 and 1e15
	// done: 2 converted, 1 lost
	// 2 have more than 7
}
