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

// What is deleted can be restored until it is purged. Who was told that a person does not want
// to hear any more does not forget it because a feed says otherwise.
func ExampleStore_Restore() {
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

	_, err = store.Create(ctx, recipients.New{Email: "ada@example.com", Status: recipients.Unsubscribed, StatusReason: "link in a letter"})
	fmt.Println(err)
	first, _, err := store.Upsert(ctx, recipients.New{Email: "ada@example.com", Status: recipients.Active})
	fmt.Println(first.Status, first.StatusReason, err)

	fmt.Println(store.Delete(ctx, first.ID, recipients.IfVersion(first.Version)))
	second, _ := store.Create(ctx, recipients.New{Email: "ada@example.com"}) // the address is free
	_, err = store.Restore(ctx, first.ID)
	var taken *recipients.EmailTakenError
	fmt.Println(errors.As(err, &taken) && taken.ID == second.ID)

	fmt.Println(store.Purge(ctx, []recipients.ID{second.ID})) // for good
	trash, err := store.List(ctx, recipients.Query{Deleted: true})
	fmt.Println(len(trash.Items), err)
	first, err = store.Restore(ctx, first.ID)
	fmt.Println(first.Email, first.Status, err)
	// Output:
	// <nil>
	// unsubscribed link in a letter <nil>
	// <nil>
	// true
	// <nil>
	// 1 <nil>
	// ada@example.com unsubscribed <nil>
}

// A batch is done as a whole or not at all, and all that is wrong is said at once.
func ExampleStore_UpsertMany() {
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

	_, err = store.UpsertMany(ctx, []recipients.New{{Email: "ada@example.com"}, {Email: "bo@example"}, {Email: "ADA@example.com"}})
	fmt.Println(err)

	_, err = store.CreateMany(ctx, []recipients.New{{Email: "ada@example.com", Name: "Ada"}, {Email: "bo@example.com"}})
	fmt.Println(err)
	rows, err := store.UpsertMany(ctx, []recipients.New{{Email: "cy@example.com"}, {Email: "ada@example.com", Name: "Ada"}, {Email: "bo@example.com", Name: "Bo"}})
	for _, r := range rows {
		fmt.Println(r.Email, r.Version, r.Outcome)
	}
	fmt.Println(err)
	// Output:
	// invalid input: [1].email: the part after the @ must be a DNS name with a dot, such as example.com; [2].email: is that of row [0] too
	// <nil>
	// cy@example.com 1 created
	// ada@example.com 1 unchanged
	// bo@example.com 2 updated
	// <nil>
}
