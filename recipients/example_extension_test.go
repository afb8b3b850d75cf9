package recipients_test

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
)

// Training is what a product for training keeps of a recipient.
type Training struct {
	bun.BaseModel `bun:"table:training.enrollments"`
	recipients.Enrollment

	Level  string `bun:"level"  strata:"filterable,options:beginner|expert"`
	Points int    `bun:"points" strata:"filterable,index"`
}

// A product registers what it adds to recipients; its table is made by the library. Lists filter
// by its columns and bring its rows along, in one statement.
func ExampleRegister() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	ctx := env.A.Ctx

	registry := recipients.NewRegistry()
	training, err := recipients.Register(registry, recipients.Extension[Training]{Name: "training", Product: "academy"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := registry.Migrate(ctx, env.Direct(scratch)); err != nil { // or strata.MigrateConfig.Extensions
		fmt.Println(err)
		return
	}
	s, err := strata.New(ctx, env.Pool, env.Redis, &strata.Config{Extensions: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()

	ada, err := s.Recipients.Create(ctx, recipients.New{Email: "ada@example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(training.Enroll(ctx, ada.ID, &Training{Level: "expret"}))
	fmt.Println(training.Enroll(ctx, ada.ID, &Training{Level: "expert"}))
	row, err := training.Update(ctx, ada.ID, 1, func(t *Training) error { t.Points += 7; return nil })
	fmt.Println(row.Points, row.Version, err)

	page, err := s.Recipients.List(ctx, recipients.Query{Filter: `training.points > 5 && training.level == "expert"`, With: []string{"training"}})
	for _, r := range page.Items {
		t, enrolled := training.From(r)
		fmt.Println(r.Email, enrolled, t.Level, err)
	}
	// Output:
	// invalid input: level: must be one of "beginner", "expert"
	// <nil>
	// 7 2 <nil>
	// ada@example.com true expert <nil>
}
