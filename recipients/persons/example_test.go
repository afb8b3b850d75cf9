package persons_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/persons"
)

// Two addresses of one human become one person, until somebody takes them apart.
func Example() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch) // a migrated database with a company
	s, err := strata.New(env.A.Ctx, env.Pool, env.Redis, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()

	var refs []persons.Ref
	for _, email := range []string{"ada@example.com", "lovelace@example.org"} {
		r, err := s.Recipients.Create(env.A.Ctx, recipients.New{Email: email, Name: "Ada"})
		if err != nil {
			fmt.Println(err)
			return
		}
		refs = append(refs, persons.Ref{DomainID: env.A.DomainID, RecipientID: r.ID})
	}
	ctx := env.A.WorkspaceCtx
	id, err := s.Persons.Link(ctx, refs)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := s.Persons.Get(ctx, id)
	for _, l := range p.Links {
		fmt.Println(l.Email, l.Method, l.Confidence, err)
	}
	fmt.Println(s.Persons.Unlink(ctx, refs[0]))
	_, err = s.Persons.Get(ctx, id)
	fmt.Println(errors.Is(err, persons.ErrNotFound))
	// Output:
	// ada@example.com manual 1 <nil>
	// lovelace@example.org manual 1 <nil>
	// <nil>
	// true
}

// What one address of a human has completed is credited to the other one.
func ExampleStore_Complete() {
	scratch := &tenancytest.Scratch{}
	defer scratch.Close()
	env := tenancytest.Open(scratch)
	s, err := strata.New(env.A.Ctx, env.Pool, env.Redis, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Stop(context.Background()) }()

	var refs []persons.Ref
	for _, email := range []string{"ada@example.com", "lovelace@example.org"} {
		r, err := s.Recipients.Create(env.A.Ctx, recipients.New{Email: email, Name: "Ada"})
		if err != nil {
			fmt.Println(err)
			return
		}
		refs = append(refs, persons.Ref{DomainID: env.A.DomainID, RecipientID: r.ID})
	}
	ctx := env.A.WorkspaceCtx
	course := persons.Topic{Product: "training", Key: "course:fire-safety-2026"}
	_, err = s.Persons.Complete(ctx, persons.NewCompletion{Ref: refs[0], Topic: course, OccurredAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = s.Persons.Link(ctx, refs) // also what was completed before counts
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := s.Persons.CreditsSince(env.A.Ctx, persons.CreditsSinceQuery{Product: "training"})
	for _, c := range page.Items {
		fmt.Println(c.RecipientID == refs[1].RecipientID, c.Key, c.OccurredAt.Format(time.DateOnly), err)
	}
	// Keep page.NextCursor with what follows from the page, and read on from there.
	fmt.Println(s.Persons.Withdraw(ctx, refs[0], course))
	page, err = s.Persons.CreditsSince(env.A.Ctx, persons.CreditsSinceQuery{Product: "training", Cursor: page.NextCursor})
	for _, c := range page.Items {
		fmt.Println(c.RevokedReason, err)
	}
	// Output:
	// true course:fire-safety-2026 2026-03-01 <nil>
	// <nil>
	// withdrawn <nil>
}
