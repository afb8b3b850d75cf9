package recipients_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratakit/strata"
	"github.com/stratakit/strata/internal/tenancytest"
	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/tenancy"
)

// Addresses are equal however they are spelled, and a change can insist on the version
// that was read.
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
	store := s.Recipients

	ada, err := store.Create(ctx, recipients.New{Email: "Ada@Example.com", Name: "Ada"})
	fmt.Println(ada.Email, ada.Status, ada.Version, err)

	_, err = store.Create(ctx, recipients.New{Email: "ada@example.com"})
	fmt.Println(errors.Is(err, recipients.ErrEmailTaken))

	status := recipients.Unsubscribed
	ada, err = store.Update(ctx, ada.ID, recipients.Change{Status: &status, Version: ada.Version})
	fmt.Println(ada.Status, ada.Version, err)

	_, err = store.Create(ctx, recipients.New{Email: "bo@example,com", Status: "actve"})
	fmt.Println(err)
	// Output:
	// Ada@Example.com active 1 <nil>
	// true
	// unsubscribed 2 <nil>
	// invalid input: email: the part after the @ must be a DNS name with a dot, such as example.com; status: must be one of active, inactive, bounced, complained, unsubscribed
}

// Page by page through everything that a filter matches.
func ExampleStore_List() {
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
	store := s.Recipients

	for _, email := range []string{"ada@example.com", "bo@example.org", "cy@example.com", "di@example.com"} {
		if _, err := store.Create(ctx, recipients.New{Email: email}); err != nil {
			fmt.Println(err)
		}
	}

	q := recipients.Query{Filter: `email.endsWith(".com")`, Sort: "-email", PageRequest: tenancy.PageRequest{PageSize: 2}}
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range page.Items {
			fmt.Println(r.Email)
		}
		if !page.HasMore {
			break
		}
		q.Cursor = page.NextCursor
	}
	// Output:
	// di@example.com
	// cy@example.com
	// ada@example.com
}
